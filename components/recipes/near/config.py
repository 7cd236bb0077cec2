"""Every setting of the NeaR recipe, in one place; the paper publishes none of their values."""

from dataclasses import dataclass, field
from typing import Literal

from components.datasets.species.answers import Regime
from components.datasets.species.world import SpeciesSpec
from components.recipes.near.methods import Method
from components.teachers.prices import Spend


@dataclass(frozen=True, slots=True)
class Ask:
    """One name an image: `version` of the prompt (part of every cache key), `share` of the training images asked about.

    `regime` is how the drawn world's recorded teacher errs. `judge` judges answers: nobody (""), the teacher itself
    ("same"), or another teacher by name; `again`: how often an unusable answer is asked for again.
    """

    version: str = "1"
    share: float = 1.0
    regime: Regime = "wrong"
    judge: str = ""
    again: int = 1


@dataclass(frozen=True, slots=True)
class Align:
    """Names to a vocabulary (`risk`: share of images that merging may misname, 0 merges spellings only), and the `k`
    nearest neighbours of each image: by its features, or by the mean of those and its name's text (`space`)."""

    risk: float = 0.01
    k: int = 5
    mutual: bool = False
    space: Literal["image", "text"] = "image"


@dataclass(frozen=True, slots=True)
class Architecture:
    """The student's own part, on frozen features: `width` of the vector that ships."""

    width: int = 256


@dataclass(frozen=True, slots=True)
class Distil:
    """Student training: `method` with its switches; the budget and the `views` of an image are every method's alike."""

    method: Method = field(default_factory=Method)
    epochs: int = 40
    batch_size: int = 32
    learning_rate: float = 3e-3
    weight_decay: float = 0.05
    views: int = 8
    ranks: int = 1
    zero: int = 0
    precision: Literal["fp32", "bf16", "bf16_matmul"] = "fp32"
    device: Literal["cpu", "cuda"] = "cpu"
    checkpoint_every: int = 200


@dataclass(frozen=True, slots=True)
class Evaluate:
    """`test` images of each species are held out (a share of them below 1); intervals from `bootstrap` resamples."""

    test: float = 8
    bootstrap: int = 1000


@dataclass(frozen=True, slots=True)
class Bars:
    """Promotion: a bar that holds with or without a champion, the margin of rare classes, budgets of the edge."""

    clusters: float = 0.5
    rare_margin: float = 0.05
    parity: float = 1e-3
    int8_loss: float = 0.03
    latency_ms: float = 250.0
    size_mb: float = 40.0


@dataclass(frozen=True, slots=True)
class Config:
    """A run of NeaR, whole. Of each species eight images are named, of a rare one three."""

    recipe: str = "near"
    draw: SpeciesSpec = field(default_factory=lambda: SpeciesSpec(each=16, few=11))
    ask: Ask = field(default_factory=Ask)
    spend: Spend = field(default_factory=Spend)
    align: Align = field(default_factory=Align)
    student: Architecture = field(default_factory=Architecture)
    distil: Distil = field(default_factory=Distil)
    evaluate: Evaluate = field(default_factory=Evaluate)
    bars: Bars = field(default_factory=Bars)
