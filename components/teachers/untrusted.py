"""What any teacher returns is data: read, checked against its schema, cleaned and bounded before anybody uses it."""

import json
import re
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from referencing import Registry

from components.base.text import clean, line

LONGEST, DEEPEST = 10_000, 20  # characters of an answer, levels of its JSON
_THOUGHT = re.compile(r"\A\s*<think>.*?</think>", re.DOTALL)


class Unfit(Exception):
    """An answer that cannot be used; the message says why in our own words, with nothing of the answer's in it."""


def read(text: str, schema: dict[str, Any] | None) -> str:
    """The usable text of an answer: cleaned, and where a schema is given exactly one JSON object that satisfies it.

    A leading thought (`<think>`), a code fence or a sentence around the object is dropped. Raises Unfit.
    """
    text = _THOUGHT.sub("", text)
    if len(text) > LONGEST:
        raise Unfit(f"longer than {LONGEST:,} characters")
    if schema is None:
        text = clean(text).strip()
        if not text:
            raise Unfit("empty")
        return text
    value = _cleaned(_object(text))
    validator = Draft202012Validator(schema, registry=Registry())  # the registry is empty: no reference is fetched
    if wrong := best_match(validator.iter_errors(value)):
        place = "/".join(map(str, wrong.absolute_schema_path))
        raise Unfit(f"does not fit the schema at {line(place, 100)}")
    return json.dumps(value, ensure_ascii=False)


def _object(text: str) -> dict[str, Any]:
    start = text.find("{")
    if start < 0:
        raise Unfit("not JSON")
    try:
        value, _ = json.JSONDecoder(parse_constant=_refuse).raw_decode(text, start)
    except (ValueError, RecursionError):
        raise Unfit("not JSON") from None
    return value


def _refuse(name: str) -> None:
    raise ValueError(name)  # NaN and Infinity are no JSON


def _cleaned(value: Any, depth: int = 0) -> Any:
    if depth > DEEPEST:
        raise Unfit(f"nested more than {DEEPEST} deep")
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, list):
        return [_cleaned(v, depth + 1) for v in value]
    if isinstance(value, dict):
        return {clean(k): _cleaned(v, depth + 1) for k, v in value.items()}
    return value


def asking(prompt: str, schema: dict[str, Any] | None, complaint: str = "") -> str:
    """The prompt of a teacher that is told the schema in words; `complaint` is why its last answer was not taken."""
    parts = [prompt]
    if schema is not None:
        parts.append("Answer with one JSON object and nothing else. It has to satisfy this JSON schema:\n"
                     + json.dumps(schema, ensure_ascii=False))
    return "\n\n".join(parts + complaining(complaint))


def complaining(complaint: str) -> list[str]:
    """What is added to a question that is asked again."""
    return [f"An earlier answer could not be used: {complaint}. Answer again, correctly."] if complaint else []
