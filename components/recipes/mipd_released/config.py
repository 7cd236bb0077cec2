"""Settings of MIPD as released: its sizes and weights, and a switch for every fault of its code."""

from dataclasses import dataclass, field

from components.recipes.mipd import config as mipd


@dataclass(frozen=True, slots=True)
class Faults:
    """What keeps the released code from computing what its paper says; all mended by default.

    `prompts_unread`: the attention is read at the class token, which no prompt touches. `first_boxes`: every image gets
    the boxes of its batch's first image. `prompt_untrained`: the instance prompt never learns. `boxes_misplaced`: boxes
    of a 336 canvas are laid out as if it were 224. `instance_unheard`: no loss of the instance branch reaches the
    student. `positives_unpulled`: nothing draws the aligned vectors to their rationales. `teacher_dragged`: the
    distillation moves its target as well. `unbounded`: no temperature, so that a norm must serve two losses.
    `padding_read`: padded states of a text are attended to and averaged. `rows_untrained`: role queries are rows of a
    verb and of a role, which for unseen verbs nobody trained. `synsets_read`: nouns are read as synset ids instead of
    words. `boxes_flipped_alone`: half of the time boxes are mirrored and features are not. `unseen_as_negatives`: names
    of unseen verbs are wrong answers in the verb loss.
    """

    prompts_unread: bool = False
    first_boxes: bool = False
    prompt_untrained: bool = False
    boxes_misplaced: bool = False
    instance_unheard: bool = False
    positives_unpulled: bool = False
    teacher_dragged: bool = False
    unbounded: bool = False
    padding_read: bool = False
    rows_untrained: bool = False
    synsets_read: bool = False
    boxes_flipped_alone: bool = False
    unseen_as_negatives: bool = False


@dataclass(frozen=True, slots=True)
class Align:
    """What the teacher's side is kept as: `words` states at most of each rationale text."""

    words: int = 40


@dataclass(frozen=True, slots=True)
class Architecture:
    """Sizes of the student; its width is that of the text space. The closed noun head has `noun_width` hidden units."""

    heads: int = 8
    feedforward: int = 2048
    noun_width: int = 1024
    dropout: float = 0.5
    decoder_dropout: float = 0.1


@dataclass(frozen=True, slots=True)
class Terms:
    """Weights of the loss terms as released; the last three belong to mended faults."""

    verb: float = 1.0
    scene: float = 2.0
    scene_negative: float = 5.0
    noun: float = 3.0  # released: 1, summed over three annotators
    instance_negative: float = 1.0
    open_noun: float = 0.02
    box_l1: float = 5.0
    box_giou: float = 5.0
    exists: float = 5.0
    scene_pull: float = 1.0
    instance_pull: float = 1.0
    instance: float = 2.0


@dataclass(frozen=True, slots=True)
class Distil(mipd.Training):
    """Student training in the budget of `mipd`; smoothing of verbs and nouns as released."""

    verb_smoothing: float = 0.3
    noun_smoothing: float = 0.2
    terms: Terms = field(default_factory=Terms)
    faults: Faults = field(default_factory=Faults)


@dataclass(frozen=True, slots=True)
class Config(mipd.Config):
    """A run of the released MIPD, whole."""

    recipe: str = "mipd-released"
    align: Align = field(default_factory=Align)
    student: Architecture = field(default_factory=Architecture)
    distil: Distil = field(default_factory=Distil)
