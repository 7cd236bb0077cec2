"""What a training run is asked to do, as a checked value; what follows from it alone: settings and learning rates."""

import dataclasses
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from components.base.config import as_dict, from_dict
from components.base.errors import UserError

TEMPLATES = Path(__file__).parents[2] / "infra" / "deepspeed"
ZERO_STAGES = (0, 1, 2, 3)
PRECISIONS = ("fp32", "bf16", "bf16_matmul")
"""`bf16` is autocast; `bf16_matmul` keeps every tensor float32 and multiplies in bfloat16 where the processor does so
natively (elsewhere it is fp32): on such CPUs nearly twice as fast, without casts between operations."""
DEVICES = ("cpu", "cuda")


@dataclass(frozen=True, slots=True)
class Optimizer:
    """AdamW. `lr` is the peak; `warmup` the share of all steps (0 to 1) before it; `clip` bounds the global gradient
    norm (None: unbounded). Weight decay acts on matrices and kernels only, not on vectors (biases, norms)."""

    lr: float
    weight_decay: float = 0.01
    warmup: float = 0.1
    schedule: Literal["onecycle"] = "onecycle"
    clip: float | None = 1.0


@dataclass(frozen=True, slots=True)
class TrainingSpec:
    """`task` is "module:function", called with `arguments` to give a `components.training.task.Task`; `batch_size` is
    global, over all ranks; `ema` the decay of a moving average of the weights (None: off), exported in their place."""

    task: str
    optimizer: Optimizer
    batch_size: int
    arguments: dict = dataclasses.field(default_factory=dict)
    checkpoint_every: int = 100
    seed: int = 0
    ema: float | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """A spec and how it is run: the whole of what decides the weights. Checkpoints of one plan serve no other, but for
    the number of ranks: batches are global, so another number takes the same steps."""

    spec: TrainingSpec
    ranks: int = 1
    zero: int = 0
    precision: str = "fp32"
    device: str = "cpu"


def plan_of(spec: dict[str, Any], **how: Any) -> Plan:
    """The checked plan; raises UserError naming the setting that is missing, unknown or out of range."""
    _demand(TrainingSpec, spec, "spec")
    _demand(Optimizer, spec["optimizer"], "spec.optimizer")
    read = from_dict(TrainingSpec, spec)
    plan = Plan(read, **how)
    module, _, function = read.task.partition(":")
    ranges = [
        ("task", bool(module and function), "must be 'module:function'"),
        ("optimizer.lr", read.optimizer.lr > 0, "must be above 0"),
        ("optimizer.weight_decay", read.optimizer.weight_decay >= 0, "must not be negative"),
        ("optimizer.warmup", 0 <= read.optimizer.warmup <= 1, "must be a share of the steps, 0 to 1"),
        ("optimizer.clip", read.optimizer.clip is None or read.optimizer.clip > 0, "must be above 0, or null"),
        ("checkpoint_every", read.checkpoint_every > 0, "must be at least 1"),
        ("ema", read.ema is None or 0 < read.ema < 1, "must lie between 0 and 1, or be null"),
        ("ranks", plan.ranks >= 1, "must be at least 1"),
        ("zero", plan.zero in ZERO_STAGES, f"must be one of {ZERO_STAGES}"),
        ("precision", plan.precision in PRECISIONS, f"must be one of {PRECISIONS}"),
        ("device", plan.device in DEVICES, f"must be one of {DEVICES}"),
        ("batch_size", read.batch_size >= 1 and plan.ranks >= 1 and read.batch_size % plan.ranks == 0,
         f"{read.batch_size} must be a positive multiple of the {plan.ranks} rank(s)"),
    ]
    for name, holds, what in ranges:
        if not holds:
            raise UserError(what, where=f"training {name}")
    return plan


def _demand(kind: type, values: Any, where: str) -> None:
    if not isinstance(values, dict):
        raise UserError(f"expected settings, got {values!r}", where=where)
    for field in dataclasses.fields(kind):
        optional = field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
        if field.name not in values and not optional:
            raise UserError(f"'{field.name}' is missing", where=where)


def plan_to_json(plan: Plan) -> dict[str, Any]:
    return as_dict(plan)


def plan_from_json(values: dict[str, Any]) -> Plan:
    return from_dict(Plan, values)


def deepspeed_settings(plan: Plan) -> dict[str, Any]:
    """DeepSpeed's configuration for a plan: the template of its ZeRO stage with sizes, rates and precision filled."""
    filled = json.loads((TEMPLATES / f"zero{plan.zero}.json").read_text())
    filled["train_batch_size"] = plan.spec.batch_size
    filled["train_micro_batch_size_per_gpu"] = plan.spec.batch_size // plan.ranks
    filled["optimizer"]["params"] |= {"lr": plan.spec.optimizer.lr, "weight_decay": plan.spec.optimizer.weight_decay}
    if plan.zero and plan.spec.optimizer.clip:  # without ZeRO the gradients are whole here, and clipped here
        filled["gradient_clipping"] = plan.spec.optimizer.clip
    if plan.precision == "bf16":  # weights and optimizer stay float32; matrix products and convolutions do not
        filled["torch_autocast"] = {"enabled": True, "dtype": "bfloat16"}
    return filled


def learning_rate(step: int, steps: int, optimizer: Optimizer) -> float:
    """One-cycle rate of step 0 .. steps-1: a cosine from lr/25 up to lr, then a cosine down to lr/10000.

    Source: Smith & Topin, Super-Convergence, 2018, with cosine halves and without the momentum cycle.
    """
    rise = round(optimizer.warmup * steps)
    if step < rise:
        start, end, share = 1 / 25, 1.0, step / rise
    else:
        start, end, share = 1.0, 1e-4, (step - rise) / max(1, steps - 1 - rise)
    return optimizer.lr * (end + (start - end) * (1 + math.cos(math.pi * share)) / 2)
