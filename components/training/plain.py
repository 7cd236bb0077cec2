"""The training loop on plain torch, in this process: same batches, losses, rates and clipping as the engine's.

For tests and benchmarks that train many small students, where starting ranks would take longer than training; what is
promoted is always trained by `components.training.launch`.
"""

from typing import Any

import torch

from components.base.errors import PipelineError
from components.training.spec import learning_rate, plan_of
from components.training.task import Task


def train(task: Task, spec: dict[str, Any]) -> list[float]:
    """Trains `task.model` in place by the spec (see `components.training.spec.TrainingSpec`); the loss of each step.

    Raises PipelineError at a loss that is not finite.
    """
    settings = plan_of(spec).spec.optimizer
    trained = [p for p in task.model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW([
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0}], lr=settings.lr)
    torch.manual_seed(spec.get("seed", 0))
    task.model.train()
    history = []
    for step in range(task.steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, task.steps, settings)
        batch, _ = task.batch(step, 0, 1)
        loss = sum(task.loss(task.model, batch, step).values())
        if not torch.isfinite(loss):
            raise PipelineError(f"step {step}: the loss is {float(loss)}")
        optimizer.zero_grad()
        loss.backward()
        if settings.clip:
            torch.nn.utils.clip_grad_norm_(trained, settings.clip)
        optimizer.step()
        history.append(float(loss.detach()))
    task.model.eval()
    return history
