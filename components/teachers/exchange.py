"""Answers as lines of JSON: to share labels, to replay them without a teacher (`recorded`), to join two caches.

A line: {"image": sha256, "question": {"kind", "prompt", "version", "schema", "context"}, "teacher": {"backend", "name",
"revision"}, "decoding", "text", "seconds", "tokens_in", "tokens_out", "run", "asked": unix seconds (may be missing)}.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from components.base.artifacts import replacing
from components.base.errors import UserError
from components.teachers.cache import AnswerCache, Entry
from components.teachers.protocol import Answer, Identity, Question

LONGEST = 2**20  # characters of a line
MEND = "give a file written by `foveate rationales cache export`"
_KINDS = {"text": str, "number": (int, float), "count": int, "object": dict}
_FIELDS = {"image": "text", "question": "object", "teacher": "object", "decoding": "object", "text": "text",
           "seconds": "number", "tokens_in": "count", "tokens_out": "count", "run": "text"}
_QUESTION = {"kind": "text", "prompt": "text", "version": "text", "context": "object"}
_TEACHER = dict.fromkeys(("backend", "name", "revision"), "text")


def export(cache: AnswerCache, file: Path) -> int:
    """Writes every sound answer, ordered by image; returns how many. The file appears only when it is complete."""
    count = 0
    try:
        with replacing(file) as stream:
            for entry in cache.entries():
                stream.write(json.dumps(line_of(entry), separators=(",", ":")).encode() + b"\n")
                count += 1
    except OSError as error:
        raise UserError(f"cannot be written ({error.strerror})", where=str(file),
                        mend="choose a folder with room that may be written") from error
    return count


def bring_in(cache: AnswerCache, file: Path) -> tuple[int, int]:
    """Adds the answers of a file: (new ones, all). What the cache holds already stays.

    The whole file is checked first, so a wrong line leaves the cache as it was; raises UserError naming file and line.
    """
    total = sum(1 for _ in read(file))
    return cache.add(read(file)), total


def read(file: Path) -> Iterator[Entry]:
    """The entries of a file, one at a time; raises UserError naming file and line where one is wrong."""
    try:
        with open(file, encoding="utf-8") as lines:
            number = 0
            while line := lines.readline(LONGEST):
                number += 1
                if line.strip():
                    yield _entry(line, f"{file}: line {number}")
    except OSError as error:
        raise UserError(f"cannot be read ({error.strerror})", where=str(file), mend=MEND) from error
    except UnicodeDecodeError as error:
        raise UserError("not UTF-8 text", where=str(file), mend=MEND) from error


def line_of(entry: Entry) -> dict[str, Any]:
    said = entry.answer
    return {"image": entry.image, "question": asdict(entry.question), "teacher": asdict(entry.teacher),
            "decoding": dict(entry.decoding), "text": said.text, "seconds": said.seconds, "tokens_in": said.tokens_in,
            "tokens_out": said.tokens_out, "run": entry.run, "asked": entry.asked}


def _entry(line: str, where: str) -> Entry:
    try:
        found = json.loads(line)
    except ValueError as error:
        raise UserError(f"not JSON ({error})", where=where, mend="one JSON object a line") from None
    _check(found, _FIELDS, where)
    _check(found["question"], _QUESTION, where, "question.")
    _check(found["teacher"], _TEACHER, where, "teacher.")
    question, teacher = found["question"], found["teacher"]
    if not isinstance(question.get("schema"), dict | None):
        raise UserError("'question.schema' must be an object or null", where=where)
    if min(found["seconds"], found["tokens_in"], found["tokens_out"]) < 0:
        raise UserError("seconds and tokens are never negative", where=where)
    asked = found.get("asked", 0)
    if type(asked) is not int:
        raise UserError("'asked' must be unix seconds", where=where)
    entry = Entry(found["image"].lower(), Question(**{k: question.get(k) for k in (*_QUESTION, "schema")}),
                  Identity(**{k: teacher[k] for k in _TEACHER}), found["decoding"],
                  Answer(found["text"], float(found["seconds"]), found["tokens_in"], found["tokens_out"]),
                  found["run"], asked)
    try:
        _ = entry.key
    except UserError as error:
        raise UserError(error.what, where=f"{where}: image", mend=error.mend) from None
    return entry


def _check(found: Any, fields: Mapping[str, str], where: str, prefix: str = "") -> None:
    """Raises UserError naming the first field that is missing or of another kind."""
    if not isinstance(found, dict):
        raise UserError("expected an object", where=f"{where}: {prefix.rstrip('.')}".removesuffix(": "))
    for name, kind in fields.items():
        if name not in found:
            raise UserError(f"no '{prefix}{name}'", where=where, mend=MEND)
        if not isinstance(found[name], _KINDS[kind]) or isinstance(found[name], bool):
            raise UserError(f"'{prefix}{name}' must be {'an' if kind == 'object' else 'a'} {kind}", where=where)
