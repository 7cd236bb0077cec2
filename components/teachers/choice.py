"""Choosing between texts, asked as a question: for teachers that answer but show no probabilities of their own."""

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from components.teachers.protocol import Question
from components.teachers.untrusted import Unfit

LETTERS = "ABCDEFGHIJKLMNOPQRST"  # twenty: as many as servers show probabilities of
REST = 1e-3  # of the probability, shared by the candidates that were not named

SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["likeliest"],
    "properties": {"likeliest": {
        "type": "array", "minItems": 1, "maxItems": 5,
        "items": {"type": "object", "additionalProperties": False, "required": ["number", "probability"],
                  "properties": {"number": {"type": "integer", "minimum": 1},
                                 "probability": {"type": "number", "minimum": 0, "maximum": 1}}}}},
}


def question(candidates: Sequence[str]) -> Question:
    """One JSON question over numbered candidates: the one to five likeliest, with probabilities."""
    listed = "\n".join(f"{i}. {text}" for i, text in enumerate(candidates, 1))
    prompt = ("Which of these fits the picture? Answer in JSON. `likeliest`: the one to five that fit best, by number, "
              f"best first, each with its probability.\n{listed}")
    return Question("choice", prompt, "choice/1", SCHEMA)


def read(text: str, count: int) -> np.ndarray:
    """Probabilities float32 [count] of a checked answer to `question`; what was not named shares a thousandth."""
    out = np.zeros(count)
    for entry in json.loads(text)["likeliest"]:
        if entry["number"] <= count:
            out[entry["number"] - 1] += entry["probability"]
    out = out / out.sum() if out.sum() > 0 else np.full(count, 1 / count)
    return ((1 - REST) * out + REST / count).astype(np.float32)


def by_letter(candidates: Sequence[str]) -> Question:
    """The same, answered by one letter whose probability the server tells."""
    listed = "\n".join(f"{letter}. {text}" for letter, text in zip(LETTERS, candidates, strict=False))
    return Question("letter", f"Which of these fits the picture? Answer with one letter.\n{listed}", "letter/1")


def read_letters(first: dict[str, Any], count: int) -> np.ndarray:
    """Probabilities float32 [count] of the first token's letters in a chat completion's choice; raises Unfit."""
    out = np.zeros(count)
    try:
        for entry in first["logprobs"]["content"][0]["top_logprobs"]:
            at = LETTERS.find(entry["token"].strip().upper()) if len(entry["token"].strip()) == 1 else -1
            if 0 <= at < count:
                out[at] += math.exp(min(float(entry["logprob"]), 0.0))
    except (KeyError, IndexError, TypeError, ValueError, AttributeError):
        raise Unfit("without log-probabilities") from None
    if not out.sum() > 0:
        raise Unfit("without the letters' log-probabilities")
    return ((1 - REST) * out / out.sum() + REST / count).astype(np.float32)
