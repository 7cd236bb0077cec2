"""Every setting of the NeaR recipe, in one place; the paper publishes none of their values."""

from dataclasses import dataclass, field
from typing import Literal

from components.datasets.species.answers import Regime
from components.datasets.species.world import SpeciesSpec
from components.recipes import settings
from components.recipes.near.methods import Method
from components.teachers.prices import Spend


@dataclass(frozen=True, slots=True)
class Ask(settings.Ask):
    """One name an image: `share` of the training images asked about. `regime` is how the drawn world's recorded teacher
    errs."""

    share: float = 1.0
    regime: Regime = "wrong"


@dataclass(frozen=True, slots=True)
class Align:
    """Names to a vocabulary (`risk`: share of images that merging may misname, 0 merges spellings only), and the `k`
    nearest neighbours of each image (`space`): by its features whitened, or as they are, or by the mean of those and
    its name's text. A name whose images are of two kinds (`components.recipes.near.space`) becomes two; `apart` 0:
    never.
    """

    risk: float = 0.01
    k: int = 5
    mutual: bool = False
    space: Literal["whitened", "image", "text"] = "whitened"
    apart: float = 0.08


@dataclass(frozen=True, slots=True)
class Architecture:
    """The student's own part, on frozen features: `width` of the vector that ships."""

    width: int = 256


@dataclass(frozen=True, slots=True)
class Distil(settings.Training):
    """Student training: `method` with its switches; the budget and the `views` of an image are every method's alike."""

    epochs: int = 40
    batch_size: int = 32
    learning_rate: float = 3e-3
    views: int = 8
    method: Method = field(default_factory=Method)


@dataclass(frozen=True, slots=True)
class Evaluate:
    """`test` images of each species are held out (a share of them below 1); intervals from `bootstrap` resamples."""

    test: float = 8
    bootstrap: int = 1000


@dataclass(frozen=True, slots=True)
class Bars(settings.Bars):
    """Promotion: a bar that holds with or without a champion, and the margin of rare classes."""

    clusters: float = 0.5
    rare_margin: float = 0.05
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
    edge: settings.Edge = field(default_factory=settings.Edge)
    bars: Bars = field(default_factory=Bars)
