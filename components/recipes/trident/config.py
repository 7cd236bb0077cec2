"""Every setting of the TRIDENT recipe, in one place, and the switches by which the released code differs."""

from dataclasses import dataclass, field, replace
from typing import Literal

from components.datasets.pairs.pairing import PairsSpec
from components.recipes import settings
from components.recipes.settings import Ask
from components.teachers.prices import Spend


@dataclass(frozen=True, slots=True)
class Align:
    """Words: `prompt` puts a word to the teacher for its state; `auxiliary` words a pair, `weighted` by how many images
    they were said of, or all alike."""

    prompt: str = "{word}"
    auxiliary: int = 3
    weighted: bool = True


@dataclass(frozen=True, slots=True)
class Architecture:
    """Sizes of the student: `local` rows p, `glob` rows q, `width` D.

    `masks` learnt, or lost (random, neither trained nor saved, as released); `mean` over a mask's weight or over all
    tokens; `heads` of their own for attribute and object; `learn_words`: word states are trained too.
    """

    width: int = 160
    local: int = 4
    glob: int = 2
    channel_drop: float = 0.3
    dropout: float = 0.05
    masks: Literal["learnt", "lost"] = "learnt"
    mean: Literal["weighted", "tokens"] = "weighted"
    heads: bool = True
    learn_words: bool = True


@dataclass(frozen=True, slots=True)
class Terms:
    """Weights of the loss terms; 0 leaves one out."""

    composition: float = 1.0
    orthogonality: float = 0.1
    disentangling: float = 0.25
    primitives: float = 1.0


@dataclass(frozen=True, slots=True)
class Distil(settings.Training):
    """Student training. `smoothing` is the share of auxiliary words. `prior`: how far the loss discounts that some
    pairs have more images. `missing`: an image without a partner gets none, or the last training image, which is then
    learnt from each time (as released). `rows`: a word that is both attribute and object has a row as either, or
    the attribute trains the object's row and is tested on its own (as released).
    """

    epochs: int = 24
    batch_size: int = 64
    learning_rate: float = 2e-3
    temperature: float = 0.05
    smoothing: float = 0.09
    prior: float = 0.5
    missing: Literal["none", "last"] = "none"
    rows: Literal["own", "object"] = "own"
    terms: Terms = field(default_factory=Terms)


@dataclass(frozen=True, slots=True)
class Select:
    """What is chosen on validation, by area under the curve: how much the primitives count, of `primitives`.
    `calibrate`: the bias of unseen pairs that ships is the one with the best harmonic mean there; else 0."""

    primitives: tuple[float, ...] = (0.0, 0.25, 0.5, 1.0, 2.0)
    calibrate: bool = True


@dataclass(frozen=True, slots=True)
class Evaluate:
    """Scoring: the curve's mode (`docs/composition.md`) and the bootstrap's draws."""

    mode: Literal["exact", "reference"] = "exact"
    bootstrap: int = 1000


@dataclass(frozen=True, slots=True)
class Bars(settings.Bars):
    """Promotion: a bar that holds with or without a champion, and the margin of unseen pairs."""

    auc: float = 0.15
    unseen_margin: float = 0.05
    int8_loss: float = 0.05


@dataclass(frozen=True, slots=True)
class Config:
    """A run of TRIDENT, whole."""

    recipe: str = "trident"
    draw: PairsSpec = field(default_factory=PairsSpec)
    ask: Ask = field(default_factory=Ask)
    spend: Spend = field(default_factory=Spend)
    align: Align = field(default_factory=Align)
    student: Architecture = field(default_factory=Architecture)
    distil: Distil = field(default_factory=Distil)
    select: Select = field(default_factory=Select)
    evaluate: Evaluate = field(default_factory=Evaluate)
    edge: settings.Edge = field(default_factory=settings.Edge)
    bars: Bars = field(default_factory=Bars)


def released(config: Config) -> Config:
    """The behaviour of the released code: masks that are lost, word states that hardly move, a missing partner that is
    the last image, one row for a word of both kinds, three equal auxiliary words, composition alone at test, nothing
    chosen on validation."""
    return replace(
        config, recipe="trident-released",
        align=replace(config.align, weighted=False),
        student=replace(config.student, masks="lost", mean="tokens", heads=False, learn_words=False),
        distil=replace(config.distil, prior=0.0, missing="last", rows="object",
                       terms=replace(config.distil.terms, primitives=0.0)),
        select=Select((0.0,), calibrate=False))
