"""What NeaR asks its teacher, one best name an image, and what it accepts. The true class is nowhere in it."""

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from typing import Any

from components.base.text import line
from components.datasets.names.spelling import words
from components.datasets.schema import Sample
from components.recipes.protocol import Record, Rejection
from components.teachers.judge import Statement
from components.teachers.protocol import Answer, Question

LONGEST, RESPONSE = 80, 500  # characters of a name, of a response: teacher text is untrusted
MOST = 5  # names in an answer
SCHEMA = {
    "type": "object", "additionalProperties": False, "required": ["names"],
    "properties": {"names": {"type": "array", "minItems": 1, "maxItems": MOST, "items": {"type": "string"}},
                   "response": {"type": "string"}},
}
PROMPT = (
    "What exactly is the main thing in this picture? Be as specific as you can: a species, a breed, a variety, a "
    "model. Answer in JSON. `names`: one to five names in English, your best guess first, each of them a name alone. "
    "`response`: a sentence on what you see that tells it from similar ones, with its scientific or other names."
)


def questions(sample: Sample, version: str, share: float) -> list[Question]:
    """The one question, about a `share` of the images: which ones depends on nothing but their content."""
    place = int(hashlib.sha256(f"ask/{sample.id}".encode()).hexdigest()[:8], 16) / 16**8
    return [Question("name", PROMPT, f"name/{version}", SCHEMA)] if place < share else []


def read(answer: Answer) -> dict[str, Any] | str:
    """{"labels": names, best first, "response": text} of a teacher's JSON, or in words what is wrong with it."""
    if answer.failure:
        return answer.failure
    try:
        reply = json.loads(answer.text)
    except (ValueError, RecursionError):
        return "not JSON"
    names = reply.get("names") if isinstance(reply, dict) else None
    if not isinstance(names, list) or not all(isinstance(n, str) for n in names):
        return "no 'names'"
    usable = [line(n, LONGEST + 1) for n in names[:MOST] if words(n)]
    if not usable:
        return "no name among 'names'"
    if len(usable[0]) > LONGEST:
        return f"a name longer than {LONGEST} characters"
    response = reply.get("response", "")
    told = line(response, RESPONSE) if isinstance(response, str) else ""
    return {"labels": [n for n in usable if len(n) <= LONGEST], "response": told}


def accept(sample: Sample, answers: Sequence[Answer]) -> Record | Rejection:
    found = read(answers[0])
    return Rejection(sample.id, f"name: {found}") if isinstance(found, str) else Record(sample.id, found)


def statement(answer: Answer) -> Statement | str:
    """The claim that the picture shows what was named, or in words why there is none."""
    found = read(answer)
    if isinstance(found, str):
        return found
    name = found["labels"][0]
    return Statement(f"The main thing in the picture is a {name}.", f"There is no {name} in the picture.")


def repaired(answer: Answer) -> Answer:
    """A corrected sentence is not read for names: the answer fails, and is asked for again."""
    return dataclasses.replace(answer, text="", failure="the judge sees something else")


def rows(record: Record) -> list[dict[str, Any]]:
    """The record as rows of the quality suite of short answers."""
    return [{"sample": record.sample, "kind": "name", "text": record.content["labels"][0]}]
