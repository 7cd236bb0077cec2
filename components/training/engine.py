"""The training loop on DeepSpeed: the same losses for any ZeRO stage and number of ranks, and after a kill, also where
other numbers of ranks go on.

Randomness, data and learning rate are functions of the step alone, so a resumed run repeats an uninterrupted one.
"""

import hashlib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import deepspeed
import torch
import torch.distributed as dist
from safetensors.torch import load_file, save

from components.base.artifacts import write_bytes
from components.base.errors import PipelineError
from components.training import checkpoints, universal
from components.training.spec import Plan, deepspeed_settings, learning_rate
from components.training.task import Task

BESIDE = "beside.safetensors"
NAMED = 16  # samples named in a message


class Trainer:
    """A task on a DeepSpeed engine. Every method is collective: all ranks call it, in the same order."""

    def __init__(self, task: Task, plan: Plan, rank: int, world: int, folder: Path, emit: Callable[[dict], None]):
        self.task, self.plan, self.rank, self.world, self.folder, self.emit = task, plan, rank, world, folder, emit
        trained = [p for p in task.model.parameters() if p.requires_grad]
        decay = plan.spec.optimizer.weight_decay
        groups = [{"params": [p for p in trained if p.ndim > 1], "weight_decay": decay},
                  {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0}]
        self.engine, self.optimizer, _, _ = deepspeed.initialize(
            model=task.model, model_parameters=[g for g in groups if g["params"]], config=deepspeed_settings(plan))
        self.trained = trained
        self.average = [_local(p).detach().clone() for p in trained] if plan.spec.ema else []

    def train(self, resume: int) -> None:
        """Steps `resume` .. task.steps-1, from the checkpoint of `resume` where it is not 0."""
        if resume:
            self._load(checkpoints.tag_of(resume))
        steps, every, began = self.task.steps, self.plan.spec.checkpoint_every, time.monotonic()
        self.emit({"event": "start", "step": resume, "steps": steps, "ranks": self.world, "zero": self.plan.zero,
                   "device": str(self.engine.device)})
        self.engine.train()
        for step in range(resume, steps):
            event = self.step(step)
            self.emit({"event": "step", "step": step, "steps": steps, **event, "seconds": time.monotonic() - began})
            if (step + 1) % every == 0 and step + 1 < steps:
                self.checkpoint(step + 1)

    def step(self, step: int) -> dict[str, Any]:
        """One optimizer step; returns loss, terms (means over ranks), learning rate and gradient norm before clipping.

        Raises PipelineError, on all ranks alike, when a term is not finite (before the weights change) or when the
        gradient is not (before they are kept).
        """
        torch.manual_seed(_seed(self.plan.spec.seed, step, self.rank))
        rate = learning_rate(step, self.task.steps, self.plan.spec.optimizer)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        batch, names = self.task.batch(step, self.rank, self.world)
        batch = {key: value.to(self.engine.device) for key, value in batch.items()}
        terms = self.task.loss(self.engine, batch, step)
        values = torch.stack([term.detach().float() for term in terms.values()])  # [K]
        means = values.clone()
        if self.world > 1:
            dist.all_reduce(means)
            means /= self.world
        means = dict(zip(terms, means.tolist(), strict=True))  # the one wait for the device in a step
        if not all(map(math.isfinite, means.values())):
            self.stop(step, _not_finite(dict(zip(terms, values.tolist(), strict=True))), batch, names)
        self.engine.backward(sum(terms.values()))
        norm = self._update()
        if norm is not None and not math.isfinite(norm):
            self.stop(step, f"the gradient is {norm}", batch, names)
        return {"loss": sum(means.values()), "terms": means, "lr": rate, "norm": norm}

    def _update(self) -> float | None:
        """Clips, steps and averages; the norm of the whole gradient before clipping (None: not computed)."""
        norm = None
        if not self.plan.zero:
            norm = float(torch.nn.utils.clip_grad_norm_(self.trained, self.plan.spec.optimizer.clip or math.inf))
            if not math.isfinite(norm):
                return norm
        self.engine.step()
        if self.plan.zero:
            norm = self.engine.get_global_grad_norm()
        if self.average:
            # The average warms up, so that the first steps do not weigh in it for ever.
            decay = min(self.plan.spec.ema, (1 + self.engine.global_steps) / (10 + self.engine.global_steps))
            with torch.no_grad():
                torch._foreach_lerp_(self.average, [_local(p).detach() for p in self.trained], 1 - decay)
        return None if norm is None else float(norm)

    def stop(self, step: int, why: str, batch: Mapping[str, torch.Tensor], names: Sequence[str]) -> None:
        """Raises the same PipelineError on every rank: the reasons of the ranks that have one, with their samples."""
        if why:
            why += f"; samples: {_listed(names)}"
            suspects = _suspects(batch, names)
            if suspects:
                why += f"; not finite on input: {_listed(suspects)}"
        reasons: list[str] = [""] * self.world
        dist.all_gather_object(reasons, why)
        raise PipelineError(f"step {step}: " + " | ".join(reason for reason in reasons if reason))

    def checkpoint(self, step: int) -> None:
        """Saves the state before `step`; it counts once it is sealed."""
        tag = checkpoints.tag_of(step)
        self.engine.save_checkpoint(str(self.folder), tag=tag)
        beside = self._beside()
        if self.rank == 0:
            write_bytes(self.folder / tag / BESIDE, save(beside))
            checkpoints.seal(self.folder / tag)
            checkpoints.prune(self.folder)
            self.emit({"event": "checkpoint", "step": step})

    def _beside(self) -> dict[str, torch.Tensor]:
        """What a checkpoint holds beside DeepSpeed's part, whole: the averages, and the buffers, which its universal
        form leaves out."""
        averages = {f"average.{i}": _whole(p, own, self.world)
                    for i, (p, own) in enumerate(zip(self.trained, self.average, strict=False))}
        buffers = {f"buffer.{name}": buffer for name, buffer in self._buffers().items()}
        return {name: t.detach().cpu().clone().contiguous() for name, t in (averages | buffers).items()}

    def _load(self, tag: str) -> None:
        """Takes up a checkpoint, of this number of ranks or another."""
        beside = load_file(self.folder / tag / BESIDE)
        moved = self.plan.zero and len(list((self.folder / tag).glob("*_optim_states.pt"))) != self.world
        with universal.form(self.engine, self.folder, tag, self.rank) if moved else nullcontext(tag) as read:
            path, _ = self.engine.load_checkpoint(str(self.folder), tag=read, load_lr_scheduler_states=False)
        if path is None:
            raise PipelineError(f"checkpoint {tag} could not be read")
        for name, buffer in self._buffers().items():
            buffer.copy_(beside[f"buffer.{name}"])
        self.average = [_share(p, beside[f"average.{i}"], self.rank).to(self.engine.device)
                        for i, p in enumerate(self.trained)] if self.average else []

    def _buffers(self) -> dict[str, torch.Tensor]:
        """The buffers that belong to the model's state."""
        model = self.engine.module
        kept = model.state_dict(keep_vars=True)
        return {name: b for name, b in model.named_buffers(remove_duplicate=False) if name in kept}

    def weights(self) -> bytes:
        """The whole model as safetensors: the average where there is one, gathered from all ranks under ZeRO 3."""
        model = self.engine.module
        averaged = dict(zip(map(id, self.trained), self.average, strict=False))
        tensors = {name: _whole(p, averaged.get(id(p), _local(p)), self.world)
                   for name, p in model.named_parameters(remove_duplicate=False)}
        tensors |= self._buffers()
        return save({name: t.detach().cpu().clone().contiguous() for name, t in tensors.items()})


def _local(parameter: torch.Tensor) -> torch.Tensor:
    """What this rank keeps of a parameter: its flat part under ZeRO 3, all of it otherwise."""
    return getattr(parameter, "ds_tensor", parameter)


def _whole(parameter: torch.Tensor, local: torch.Tensor, world: int) -> torch.Tensor:
    if not hasattr(parameter, "ds_tensor"):
        return local
    parts = [torch.empty_like(local) for _ in range(world)]
    dist.all_gather(parts, local.detach().contiguous())
    return torch.cat(parts)[: parameter.ds_numel].view(parameter.ds_shape)  # the last part is padded


def _share(parameter: torch.Tensor, whole: torch.Tensor, rank: int) -> torch.Tensor:
    """The inverse of `_whole`."""
    if not hasattr(parameter, "ds_tensor"):
        return whole
    size, flat = parameter.ds_tensor.numel(), whole.flatten()[rank * parameter.ds_tensor.numel():]
    return torch.nn.functional.pad(flat[:size], (0, size - len(flat[:size])))


def _seed(*parts: int) -> int:
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:7], "big")


def _not_finite(terms: Mapping[str, float]) -> str:
    return ", ".join(f"loss term '{k}' is {v}" for k, v in terms.items() if not math.isfinite(v))


def _suspects(batch: Mapping[str, torch.Tensor], names: Sequence[str]) -> list[str]:
    """Samples with a value that is not finite in a tensor that has one row for each sample."""
    rows = [~value.flatten(1).isfinite().all(1) if value.ndim > 1 else ~value.isfinite()
            for value in batch.values() if value.is_floating_point() and value.ndim and len(value) == len(names)]
    bad = torch.stack(rows).any(0).tolist() if rows else []
    return [name for name, is_bad in zip(names, bad, strict=False) if is_bad]


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
