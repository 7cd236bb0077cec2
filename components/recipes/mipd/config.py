"""Every setting of the MIPD recipe, in one place."""

from dataclasses import dataclass, field, replace
from typing import Literal, Self

from components.datasets.scenes.spec import DrawSpec
from components.recipes import settings
from components.teachers.prices import Spend


@dataclass(frozen=True, slots=True)
class Ask(settings.Ask):
    """Rationales: with `gaze`, what fills each role is asked about too."""

    gaze: bool = True


@dataclass(frozen=True, slots=True)
class Encoder:
    """The frozen encoders that the student sees with and whose space its words live in: "embedded", or a checkpoint by
    hub name (NAME@REVISION) or folder; `image` CLIP, SigLIP, DINOv2 or DINOv3, `text` CLIP, SigLIP or a sentence
    encoder. Teachers keep eyes and words of their own.
    """

    image: str = "embedded"
    text: str = "embedded"


@dataclass(frozen=True, slots=True)
class Align:
    """Teacher alignment: prompts and NMPA are trained for `steps`; `composites` CutMix pictures an image."""

    steps: int = 150
    batch_size: int = 64
    learning_rate: float = 1e-3
    composites: int = 3
    margin: float = 0.2
    scene_prompt: bool = True
    instance_prompt: bool = True


@dataclass(frozen=True, slots=True)
class Architecture:
    """Sizes of the student: `width` D of tokens, `layers` of the trunk, `heads` of every attention."""

    width: int = 192
    layers: int = 1
    heads: int = 6
    box_width: int = 64
    dropout: float = 0.1


@dataclass(frozen=True, slots=True)
class Terms:
    """Weights of the loss terms."""

    verb: float = 2.0
    noun: float = 1.0
    noun_in_box: float = 0.5
    box_l1: float = 10.0
    box_giou: float = 2.0
    token_l1: float = 5.0
    token_giou: float = 1.0
    attention: float = 1.0
    exists: float = 1.0
    scene: float = 8.0
    label_text: float = 1.5
    instances: float = 0.5
    dense_nouns: float = 3.0
    dense: float = 2.0


@dataclass(frozen=True, slots=True)
class Training(settings.Training):
    """The budget of a student, the same for every method. `teacher` off: labels only, the honest baseline; `shuffle`:
    each image gets another image's teacher signals, the control.
    """

    epochs: int = 5
    batch_size: int = 16
    learning_rate: float = 1.6e-3
    precision: Literal["fp32", "bf16", "bf16_matmul"] = "bf16_matmul"
    checkpoint_every: int = 100
    teacher: bool = True
    shuffle: bool = False

    def untaught(self) -> Self:
        """The same budget without a teacher."""
        return replace(self, teacher=False)


@dataclass(frozen=True, slots=True)
class Distil(Training):
    """Student training. `label_text`: the labels' own nouns as text on the scene vector, the stronger baseline without
    a teacher. `prior`: how far the verb loss discounts that some verbs have more images (logit adjustment, Menon et al.
    2021). `composites`: whether CutMix pictures are learnt from. `start`: a trained student of the same sizes, by the
    name of its folder below `store/student-distilled/`, from whose weights training begins; "" begins anew.
    """

    label_text: bool = False
    verb_dropout: float = 0.5
    smoothing: float = 0.1
    prior: float = 1.0
    composites: bool = True
    start: str = ""
    terms: Terms = field(default_factory=Terms)

    def untaught(self) -> Self:
        """Without a teacher, nor the weights of a student that had one."""
        return replace(self, teacher=False, start="")


@dataclass(frozen=True, slots=True)
class Evaluate:
    """Scoring: IoU convention of the field (see `components.evaluation.situation`); `calibrate` off: seen verbs pay no
    penalty, as published methods are scored."""

    calibrate: bool = True
    convention: str = "coformer"
    bootstrap: int = 1000


@dataclass(frozen=True, slots=True)
class Bars(settings.Bars):
    """Promotion: bars that hold with or without a champion, margins for protected slices."""

    harmonic: float = 0.4
    unseen_margin: float = 0.03
    rare_margin: float = 0.05
    source_margin: float = 0.05


@dataclass(frozen=True, slots=True)
class Config:
    """A run of MIPD, whole."""

    recipe: str = "mipd"
    draw: DrawSpec = field(default_factory=DrawSpec)
    ask: Ask = field(default_factory=Ask)
    spend: Spend = field(default_factory=Spend)
    encoder: Encoder = field(default_factory=Encoder)
    align: Align = field(default_factory=Align)
    student: Architecture = field(default_factory=Architecture)
    distil: Distil = field(default_factory=Distil)
    evaluate: Evaluate = field(default_factory=Evaluate)
    edge: settings.Edge = field(default_factory=settings.Edge)
    bars: Bars = field(default_factory=Bars)
