"""What TRIDENT asks its teacher of each training image, and what it accepts: three adjectives for how the thing looks.

The released code asks once a pair and names the attribute; here the picture is shown and only the object is named, so
that what is said comes from what is seen. Adjectives that repeat the true attribute are left out (and told), since
smoothing towards them would be no smoothing.
"""

import dataclasses
import json
import re
from collections.abc import Sequence
from typing import Any

from components.datasets.pairs.wording import spoken
from components.datasets.schema import Sample
from components.recipes.protocol import Record, Rejection
from components.teachers.judge import Statement
from components.teachers.protocol import Answer, Question

COUNT = 3
SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["look"],
    "properties": {"look": {"type": "array", "minItems": 1, "maxItems": COUNT, "items": {"type": "string"}}},
}
PROMPT = ("Look at the {object} in the picture. Answer in JSON. `look`: three different adjectives, one word each, for "
          "how it looks: its surface, pattern, colour or state.")
_WORD = re.compile(r"[^\W\d_]+([-' ][^\W\d_]+)?")
LONGEST = 30  # characters of a word: teacher text is untrusted


def questions(sample: Sample, version: str) -> list[Question]:
    """One question an image, whose label is "attribute object"; none about an image without a label."""
    if not sample.label:
        return []
    thing = spoken(sample.label.split()[1])
    return [Question("look", PROMPT.format(object=thing), f"look/{version}", SCHEMA, {"object": thing})]


def read(answer: Answer) -> list[str] | str:
    """The adjectives, lower case, each once; or in words why they cannot be used."""
    if answer.failure:
        return answer.failure
    try:
        said = json.loads(answer.text)["look"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return "no JSON with 'look'"
    if not isinstance(said, list) or not all(isinstance(word, str) for word in said):
        return "'look' is no list of words"
    words = [" ".join(word.split()).strip(" .,").lower() for word in said[:COUNT]]
    good = [w for w in words if len(w) <= LONGEST and _WORD.fullmatch(w)]
    return list(dict.fromkeys(good)) or "no word that could be used"


def accept(sample: Sample, answers: Sequence[Answer]) -> Record | Rejection:
    """{"look": adjectives, "told": those that were the true attribute}, or why nothing is left."""
    said = read(answers[0])
    if isinstance(said, str):
        return Rejection(sample.id, f"look: {said}")
    attribute = (sample.label or " ").split(" ")[0]
    told = [word for word in said if same(word, attribute)]
    look = [word for word in said if word not in told]
    if not look:
        return Rejection(sample.id, "says nothing but the attribute")
    return Record(sample.id, {"look": look, "told": told})


def same(word: str, attribute: str) -> bool:
    """Whether a word is the attribute itself, whatever its form: "Rust" and "rusted" are "rusty"."""
    return _stem(spoken(word)) == _stem(spoken(attribute))


def _stem(word: str) -> str:
    for ending in ("iness", "ness", "ies", "ied", "ing", "ed", "en", "es", "y", "s", "d"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            return word[:-len(ending)]
    return word


def rows(record: Record) -> list[dict[str, Any]]:
    """The record as a row of the quality suite of short answers."""
    return [{"sample": record.sample, "kind": "look", "text": " ".join(record.content["look"])}]


def statement(answer: Answer) -> Statement | str:
    """The claim that the thing looks so, or in words why there is none."""
    said = read(answer)
    if isinstance(said, str):
        return said
    return Statement(f"The thing looks {', '.join(said)}.", f"The thing is not {' or '.join(said)}.", tuple(said))


def repaired(answer: Answer) -> Answer:
    """A corrected sentence is not read for adjectives: the answer fails, and is asked for again."""
    return dataclasses.replace(answer, text="", failure="the judge sees something else")
