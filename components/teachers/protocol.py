"""What a recipe may ask of any teacher: answers in text, features on a grid, states of words, probabilities."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np


@dataclass(frozen=True, slots=True)
class Identity:
    """Which teacher answered: part of every cache key. `revision` is the sha256 of its weights, or the hub's commit."""

    backend: str
    name: str
    revision: str


@dataclass(frozen=True)
class View:
    """One image as a teacher is given it: known by its content (`id`, a sample id), decoded only when needed.

    `load` returns uint8 [H, W, 3]. A teacher whose features of this id are cached need not decode at all.
    """

    id: str
    load: Callable[[], np.ndarray] = field(repr=False)


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
    """One question about one image.

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
    """What came back, as text (JSON text where a schema was given), with what it cost."""

    text: str
    seconds: float = 0.0
    tokens_in: int = 0
    tokens_out: int = 0


class Teacher(Protocol):
    """A frozen multimodal model. Every method is batched and deterministic."""

    identity: Identity

    def answer(self, images: Sequence[View], questions: Sequence[Question]) -> list[Answer]:
        """One answer per (image, question) pair; the two sequences have equal length."""

    def grid(self, images: Sequence[View]) -> np.ndarray:
        """Image features float32 [N, 1 + T, D]: row 0 sees the whole image, then T = G*G cells, row by row."""

    def words(self, texts: Sequence[str]) -> np.ndarray:
        """Unit text states float32 [N, E] in the space in which the student's scores are taken."""

    def score(self, images: Sequence[View], candidates: Sequence[str]) -> np.ndarray:
        """Probabilities float32 [N, C] over candidate texts, rows summing to 1."""
