"""A real, small training task for tests: says which quadrant of a drawn image is bright, and how bright it is."""

import json
import os
import signal
import time
from pathlib import Path

import torch
from torch import nn
from torch.nn.functional import cross_entropy, mse_loss

SIZE, CLASSES = 8, 4


class Quadrants(nn.Module):
    """A frozen convolution and two trained layers; counts its training batches in a buffer."""

    def __init__(self, width: int = 32, dropout: float = 0.0):
        super().__init__()
        self.edges = nn.Conv2d(1, 4, 3, padding=1).requires_grad_(False)
        self.hidden = nn.Linear(4 * SIZE * SIZE, width)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, CLASSES + 1)
        self.register_buffer("batches", torch.zeros((), dtype=torch.int64))

    def forward(self, image: torch.Tensor) -> torch.Tensor:  # [B, 1, S, S] -> [B, C + 1]
        self.batches += self.training
        return self.head(self.dropout(torch.relu(self.hidden(self.edges(image).flatten(1)))))


def draw(step: int, size: int) -> dict[str, torch.Tensor]:
    """The whole batch of a step: images [B, 1, S, S], the bright quadrant [B], its brightness [B]."""
    source = torch.Generator().manual_seed(1000 + step)
    label = torch.randint(CLASSES, (size,), generator=source)
    light = 0.5 + torch.rand(size, generator=source)
    image = 0.1 * torch.randn(size, 1, SIZE, SIZE, generator=source)
    half = SIZE // 2
    for i, (quadrant, value) in enumerate(zip(label.tolist(), light.tolist(), strict=True)):
        row, column = half * (quadrant // 2), half * (quadrant % 2)
        image[i, 0, row:row + half, column:column + half] += value
    return {"image": image, "label": label, "light": light}


class QuadrantTask:
    """The faults that tests ask for: not-a-number in the last image or an infinite gradient at a step, a pause in each
    step, and death by SIGKILL at `kill_at` where the file `armed` exists (it is removed first)."""

    def __init__(self, steps: int, batch_size: int, dropout: float = 0.0, nan_at: int | None = None,
                 infinite_at: int | None = None, pause: float = 0.0, kill_at: int | None = None, armed: str = ""):
        self.model, self.steps, self.size, self.pause = Quadrants(dropout=dropout), steps, batch_size, pause
        self.nan_at, self.infinite_at, self.kill_at, self.armed = nan_at, infinite_at, kill_at, Path(armed)

    def batch(self, step, rank, world):
        time.sleep(self.pause)
        if step == self.kill_at and self.armed.exists():
            self.armed.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        whole = draw(step, self.size)
        if step == self.nan_at:
            whole["image"][-1, 0, 0, 0] = float("nan")
        share = slice(rank * self.size // world, (rank + 1) * self.size // world)
        return {k: v[share] for k, v in whole.items()}, [f"sample-{step}-{i}" for i in range(self.size)][share]

    def loss(self, model, batch, step):
        out = model(batch["image"]).float()  # [B, C + 1]
        terms = {"quadrant": cross_entropy(out[:, :CLASSES], batch["label"]),
                 "light": mse_loss(out[:, CLASSES], batch["light"])}
        if step == self.infinite_at:
            terms["root"] = out[:, 0].sum().mul(0).sqrt()  # zero, with an infinite slope
        return terms

    def artifacts(self):
        return {"size": SIZE, "classes": CLASSES}


def build(**arguments) -> QuadrantTask:
    """The function that a spec names."""
    return QuadrantTask(**arguments)


def _trainer(spec: dict, zero: int, folder: Path, emit, precision: str = "fp32", **faults):
    """A trainer of `spec` on the ranks of this run."""
    import torch.distributed as dist

    from components.training.engine import Trainer
    from components.training.spec import plan_of

    torch.manual_seed(spec["seed"])
    world = dist.get_world_size()
    plan = plan_of(spec, ranks=world, zero=zero, precision=precision)
    return Trainer(build(**spec["arguments"], **faults), plan, dist.get_rank(), world, folder, emit)


def leave_checkpoints(spec: dict, folder: str) -> QuadrantTask:
    """Trains `spec` under every ZeRO stage, for other numbers of ranks to go on from."""
    for zero in (0, 1, 2, 3):
        _trainer(spec, zero, Path(folder) / f"left{zero}", lambda event: None).train(0)
    return build(steps=1, batch_size=spec["batch_size"])


def every_stage(spec: dict, folder: str) -> QuadrantTask:
    """Trains `spec` under every ZeRO stage on the ranks of this run: whole, resumed, from the checkpoints of
    `leave_checkpoints`, and with faults; writes what came.

    Called where a task is built, so that one start of the ranks serves all stages.
    """
    import torch.distributed as dist

    from components.base.errors import PipelineError

    rank, out = dist.get_rank(), Path(folder)

    def trained(zero: int, place: str = "zero", precision: str = "fp32", since: int = 0, **faults):
        """The weights, and the "step" events, of training to the end."""
        events: list = []
        one = _trainer(spec, zero, out / f"{place}{zero}", events.append, precision, **faults)
        one.train(since)
        return one.weights(), [e for e in events if e["event"] == "step"]

    results = {}
    for zero in (0, 1, 2, 3):
        errors, half = [], spec["checkpoint_every"]
        weights, steps = trained(zero)
        resumed, _ = trained(zero, since=half)
        moved, moved_steps = trained(zero, "left", since=half)
        for fault in ("nan_at", "infinite_at"):
            try:
                trained(zero, **{fault: 1})
            except PipelineError as error:
                errors.append(str(error))
        _, rough = trained(zero, precision="bf16")
        results[zero] = {"steps": steps, "errors": errors, "resumed": resumed == weights,
                         "moved": [e["loss"] for e in moved_steps], "bf16": [e["loss"] for e in rough]}
        if rank == 0:
            (out / f"zero{zero}.safetensors").write_bytes(weights)
            (out / f"moved{zero}.safetensors").write_bytes(moved)
    (out / f"rank{rank}.json").write_text(json.dumps(results))
    return build(steps=1, batch_size=spec["batch_size"])
