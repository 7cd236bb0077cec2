"""Answers as lines of JSON: to share labels, to replay them without a teacher (`recorded`), to join two caches.

A line: {"image": sha256 of the image, "question": {"kind", "prompt", "version", "schema", "context"}, "teacher":
{"backend", "name", "revision"}, "decoding": {...}, "text", "seconds", "tokens_in", "tokens_out", "run", "asked"}; what
comes after "text" may be missing; "asked" is the time in unix seconds.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import asdict
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from components.base.artifacts import replacing
from components.base.errors import UserError
from components.base.text import line
from components.teachers.cache import AnswerCache, Entry
from components.teachers.protocol import Answer, Identity, Question

_NAME = {"type": "string", "minLength": 1, "maxLength": 300}
_COUNT = {"type": "integer", "minimum": 0, "maximum": 2**53}
LINE = {
    "type": "object",
    "required": ["image", "question", "teacher", "decoding", "text"],
    "properties": {
        "image": _NAME,
        "question": {"type": "object", "additionalProperties": False,
                     "required": ["kind", "prompt", "version", "schema", "context"],
                     "properties": {"kind": {"type": "string"}, "prompt": {"type": "string"},
                                    "version": {"type": "string"}, "schema": {"type": ["object", "null"]},
                                    "context": {"type": "object"}}},
        "teacher": {"type": "object", "additionalProperties": False, "required": ["backend", "name", "revision"],
                    "properties": dict.fromkeys(("backend", "name", "revision"), _NAME)},
        "decoding": {"type": "object"},
        "text": {"type": "string"},
        "seconds": {"type": "number", "minimum": 0},
        "tokens_in": _COUNT,
        "tokens_out": _COUNT,
        "run": {"type": "string"},
        "asked": _COUNT,
    },
}
# Who a teacher is reaches pages, tags and messages: what would be markup or a control there is not a name.
_PLAIN = re.compile(r"[^\x00-\x20\x7f-\x9f<>&\"'`|\[\]\\]([^\x00-\x1f\x7f-\x9f<>&\"'`|\[\]\\])*")


def export(cache: AnswerCache, file: Path, teacher: str = "*") -> int:
    """Writes the sound answers of the teachers that fit a pattern for "backend:name", by image; returns how many.

    The file appears only when it is complete.
    """
    count = 0
    try:
        with replacing(file) as stream:
            for entry in cache.entries():
                if fnmatchcase(f"{entry.teacher.backend}:{entry.teacher.name}", teacher):
                    stream.write(json.dumps(_line(entry), separators=(",", ":")).encode() + b"\n")
                    count += 1
    except OSError as error:
        raise UserError(f"cannot be written ({error.strerror})", where=str(file),
                        mend="choose a folder with room that may be written") from error
    return count


def bring_in(cache: AnswerCache, file: Path) -> tuple[int, int]:
    """Adds the answers of a file: (new ones, all). What the cache holds already stays.

    The whole file is checked first, so a wrong line leaves the cache as it was; raises UserError naming file and line.
    """
    total = sum(1 for _ in _entries(file))
    return cache.add(_entries(file)), total


def lines(file: Path) -> Iterator[tuple[str, int, dict[str, Any]]]:
    """(file:line, place in bytes, checked content) of every line that is not empty.

    Raises UserError naming file and line where one is wrong.
    """
    check, place = Draft202012Validator(LINE), 0
    try:
        with open(file, "rb") as stream:
            for number, text in enumerate(stream, 1):
                if text.strip():
                    yield f"{file}:{number}", place, _checked(text, check, f"{file}:{number}")
                place += len(text)
    except OSError as error:
        raise UserError(f"cannot be read ({error.strerror})", where=str(file),
                        mend="give a file written by `foveate rationales cache export`") from error


def _checked(text: bytes, check: Draft202012Validator, where: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise UserError("not JSON", where=where, mend="one JSON object a line, in UTF-8") from None
    if wrong := next(check.iter_errors(found), None):
        field = "/".join(map(str, wrong.absolute_path)) or "line"
        raise UserError(f"{line(field, 60)}: {line(wrong.message)}", where=where,
                        mend="see docs/rationales.md for what a line holds")
    for field, value in found["teacher"].items():
        if not _PLAIN.fullmatch(value):
            raise UserError(f"teacher/{field} holds markup or control characters", where=where, mend="rename it")
    return found


def _entries(file: Path) -> Iterator[Entry]:
    for where, _, found in lines(file):
        said = Answer(found["text"], float(found.get("seconds", 0.0)), *(found.get(f"tokens_{way}", 0)
                                                                        for way in ("in", "out")))
        entry = Entry(found["image"].lower(), Question(**found["question"]), Identity(**found["teacher"]),
                      found["decoding"], said, found.get("run", "unknown"), found.get("asked", 0))
        try:
            _ = entry.key
        except UserError as error:
            raise UserError(error.what, where=f"{where}: image", mend=error.mend) from None
        yield entry


def _line(entry: Entry) -> dict[str, Any]:
    said = entry.answer
    return {"image": entry.image, "question": asdict(entry.question), "teacher": asdict(entry.teacher),
            "decoding": dict(entry.decoding), "text": said.text, "seconds": said.seconds, "tokens_in": said.tokens_in,
            "tokens_out": said.tokens_out, "run": entry.run, "asked": entry.asked}
