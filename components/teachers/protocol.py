"""What a recipe may ask of any teacher: answers in text, features on a grid, states of words, probabilities."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np


@dataclass(frozen=True, slots=True)
class Identity:
    """Which teacher answered: part of every cache key. `revision` is the sha256 of its weights (or the hub's commit)."""

    backend: str
    name: str
    revision: str


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
    """A frozen multimodal model. Images are uint8 arrays [H, W, 3]. Every method is batched and deterministic."""

    identity: Identity

    def answer(self, images: Sequence[np.ndarray], questions: Sequence[Question]) -> list[Answer]:
        """One answer per (image, question) pair; the two sequences have equal length."""

    def grid(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """Image features float32 [N, T, D] on a square grid of T = G*G cells, row by row."""

    def words(self, texts: Sequence[str]) -> np.ndarray:
        """Unit text states float32 [N, E] in the space in which the student's scores are taken."""

    def score(self, images: Sequence[np.ndarray], candidates: Sequence[str]) -> np.ndarray:
        """Probabilities float32 [N, C] over candidate texts, rows summing to 1."""
