"""What a recipe may ask of any teacher: answers in text, features on a grid, states of words, probabilities."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from components.base.artifacts import digest
from components.base.errors import UserError


@dataclass(frozen=True, slots=True)
class Identity:
    """Which teacher answered: part of every cache key. `revision` is the sha256 of its weights, or the hub's commit."""

    backend: str
    name: str
    revision: str


@dataclass(frozen=True)
class View:
    """One image as a teacher is given it: known by its content (`id`, a sample id), decoded only when needed.

    `load` returns uint8 [H, W, 3]. A teacher whose features of this id are cached need not decode at all. `beside` are
    further images that a question is about as well, shown after this one; `together` makes such a view.
    """

    id: str
    load: Callable[[], np.ndarray] = field(repr=False)
    beside: tuple["View", ...] = field(default=(), kw_only=True)

    @property
    def shown(self) -> tuple["View", ...]:
        """All images of a question about this view, in the order in which they are shown."""
        return (self, *self.beside)


def together(views: Sequence[View]) -> View:
    """One or more images as one view to ask about, in this order. Its id is the image's own, or that of the series."""
    first, *others = views
    return View(digest([v.id for v in views]), first.load, beside=tuple(others)) if others else first


@dataclass(frozen=True)
class Composite(View):
    """A CutMix composite: `first` with the rectangle `cells` (x0, y0, x1, y1 on the G x G grid) taken from `second`.

    `load` gives its pixels, so that any teacher can look at it; one with cached features may compose those instead.
    """

    first: View = None  # type: ignore[assignment]
    second: View = None  # type: ignore[assignment]
    cells: tuple[int, int, int, int] = (0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Question:
    """One question about one image, or several (`together`).

    `kind` names the recipe's prompt ("glimpse", "gaze"), `prompt` is the text itself, `version` changes whenever the
    template does; `schema` is the JSON schema the answer must satisfy (None: free text); `context` holds values
    the prompt was filled with (a role's box, say) as plain JSON.
    """

    kind: str
    prompt: str
    version: str
    schema: dict[str, Any] | None = None
    context: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, as text (JSON text where a schema was given), with what it cost.

    `failure` says in words why there is no usable text (a refusal, JSON that does not fit after all retries); then
    `text` is empty, the cost is still what it was, and nobody caches it.
    """

    text: str
    seconds: float = 0.0
    tokens_in: int = 0
    tokens_out: int = 0
    failure: str = ""


class NotOffered(UserError):
    """What was asked is nothing that this teacher can do; recipes that can do without go on."""


class Teacher(Protocol):
    """A frozen multimodal model. Every method is batched, and deterministic as far as `decoding` says.

    Spaces: what a teacher says is text, and a recipe takes text into the student's space itself
    (`components.encoders.text`). What it sees (`grid`) and how it reads (`words`) live in spaces of the teacher's
    own, of any width; a recipe learns the way from there, unless `space` says that `grid` lies in the student's. Only
    the number of cells is fixed: G is `components.encoders.image.GRID`, as boxes and composites are laid on that grid.

    Any method may raise PipelineError when the teacher is out (a server that does not answer, say), and UserError when
    it turns the caller away; what was yielded before that stays good.
    """

    identity: Identity
    decoding: Mapping[str, Any]  # how text is drawn (temperature, seed, ...), plain JSON; part of every cache key
    eyes: str  # what `grid` and `words` are made by; part of the key of whatever is made of them
    space: str = ""  # the revision of the text encoder in whose space `grid` lies; "": of none

    def stream(self, images: Sequence[View], questions: Sequence[Question]) -> Iterator[tuple[int, Answer]]:
        """(position, answer) for every (image, question) pair, once each, as they complete, in any order.

        The two sequences have equal length. A question that failed for good yields an answer with `failure`; so does
        one about several images where the teacher looks at one at a time. All other methods look at one image a view.
        """

    def answer(self, images: Sequence[View], questions: Sequence[Question]) -> list[Answer]:
        """The answers of `stream`, in the order of the questions."""
        found = dict(self.stream(images, questions))
        return [found[i] for i in range(len(questions))]

    def grid(self, images: Sequence[View]) -> np.ndarray:
        """Image features float32 [N, 1 + T, D]: row 0 sees the whole image, then T = G*G cells, row by row."""

    def words(self, texts: Sequence[str]) -> np.ndarray:
        """How the teacher reads texts: unit states float32 [N, W]."""

    def score(self, images: Sequence[View], candidates: Sequence[str]) -> np.ndarray:
        """Probabilities float32 [N, C] over candidate texts, rows summing to 1. May raise NotOffered."""
