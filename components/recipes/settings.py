"""Settings that every recipe has: how its teacher is asked, the budget of training, the bars of promotion."""

from dataclasses import dataclass
from typing import Literal

from components.base.errors import UserError


@dataclass(frozen=True, slots=True)
class Ask:
    """Asking: `version` of the prompts (part of every cache key).

    `judge` judges answers: nobody (""), the teacher itself ("same"), or another teacher by name. `again`: how often a
    rejected or unreadable answer is asked for again, with another prompt (of a teacher that reads prompts).
    """

    version: str = "1"
    judge: str = ""
    again: int = 1


@dataclass(frozen=True, slots=True)
class Training:
    """The budget of a student, the same for every method that it is compared with. `ema`: the decay of a moving average
    of the weights, which then ships in their place. How it is run (`ranks`, `zero`, `precision`, `device`) is told in
    `components.training.spec`.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float = 0.05
    ema: float | None = None
    ranks: int = 1
    zero: int = 0
    precision: Literal["fp32", "bf16", "bf16_matmul"] = "fp32"
    device: Literal["cpu", "cuda"] = "cpu"
    checkpoint_every: int = 200


@dataclass(frozen=True, slots=True)
class Edge:
    """Edge export: `calibration`, training images that the ranges of int8 come from; `timing`, about how many seconds
    latency is measured for. Raises UserError for less than one image.
    """

    calibration: int = 64
    timing: float = 4.0

    def __post_init__(self) -> None:
        if self.calibration < 1:
            raise UserError(f"must be at least 1, got {self.calibration}", where="edge.calibration",
                            mend="64 is the default")


FAST_EDGE = Edge(calibration=16, timing=0.4)


@dataclass(frozen=True, slots=True)
class Bars:
    """Promotion: budgets of the edge; a recipe adds the bars of its own metrics and the margins of its slices."""

    parity: float = 1e-3
    int8_loss: float = 0.03
    latency_ms: float = 250.0
    size_mb: float = 80.0

    def budgets(self) -> dict[str, float]:
        """As `components.recipes.protocol.Gates` takes them."""
        return {name: getattr(self, name) for name in ("parity", "int8_loss", "latency_ms", "size_mb")}
