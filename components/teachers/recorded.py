"""The recorded teacher: a JSONL of earlier answers, replayed. Labels can be shared without the teacher that gave them.

A line is what `foveate rationales cache export` writes: {"image": sha256 of the image, "question": {"kind", "prompt",
"version", "schema", "context"}, "teacher": {"backend", "name", "revision"}, "decoding": {...}, "text", "seconds",
"tokens_in", "tokens_out", "run"}. The file is read once, into an index of places; answers are read when asked for.
"""

import json
import re
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from jsonschema import Draft202012Validator

from components.base.artifacts import digest, file_digest
from components.base.errors import UserError
from components.base.home import state
from components.base.text import line
from components.encoders.cache import FeatureCache
from components.teachers import choice
from components.teachers.protocol import Answer, Identity, NotOffered, Question, View
from components.teachers.sight import BorrowedSight
from components.teachers.specs import Spec
from components.teachers.untrusted import Unfit, read

FORM = 1  # of the index: a change of how keys are made makes it anew
_NAME = {"type": "string", "minLength": 1, "maxLength": 300}
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
        "tokens_in": {"type": "integer", "minimum": 0},
        "tokens_out": {"type": "integer", "minimum": 0},
        "run": {"type": "string"},
    },
}
# Who a teacher is reaches pages, tags and messages: what would be markup or a control there is not a name.
_PLAIN = re.compile(r"[^\x00-\x20\x7f-\x9f<>&\"'`|\[\]\\]([^\x00-\x1f\x7f-\x9f<>&\"'`|\[\]\\])*")


class RecordedTeacher(BorrowedSight):
    """See `components.teachers.protocol.Teacher`. Identity and decoding are those recorded, so that cache keys agree.

    `grid` and `words` are borrowed (`components.teachers.sight`); `score` replays recorded choices. Raises UserError
    naming the line that cannot be used, and where answers of more than one teacher are in the file.
    """

    def __init__(self, spec: Spec, features: FeatureCache | None = None):
        self.path, self.cached = Path(spec.where), features
        self._index = state("cache", "recorded") / f"{digest([file_digest(self.path), FORM])}.sqlite"
        if not self._index.exists():
            _build(self.path, self._index)
        with closing(_open(self._index)) as index:
            who, self.count = index.execute("SELECT who, answers FROM about").fetchone()
        told = json.loads(who)
        self.identity, self.decoding = Identity(**told["teacher"]), told["decoding"]

    def stream(self, images: Sequence[View], questions: Sequence[Question]) -> Iterator[tuple[int, Answer]]:
        with closing(_open(self._index)) as index, open(self.path, "rb") as lines:
            for i, (view, question) in enumerate(zip(images, questions, strict=True)):
                key = _key(view.id, asdict(question))
                place = index.execute("SELECT place FROM answers WHERE key = ?", (key,)).fetchone()
                if place is None:
                    yield i, Answer("", failure=f"not in {self.path.name}: no such question of kind "
                                                f"'{question.kind}' about this image")
                    continue
                lines.seek(place[0])
                yield i, _answer(self._reread(lines.readline()), question)

    def _reread(self, text: bytes) -> dict[str, Any]:
        try:
            return json.loads(text)
        except ValueError:
            raise UserError("has changed since it was read", where=str(self.path), mend="run again") from None

    def score(self, images: Sequence[View], candidates: Sequence[str]) -> np.ndarray:
        """Raises NotOffered where the choice between these candidates was not recorded."""
        rows = []
        for answer in self.answer(images, [choice.question(candidates)] * len(images)):
            if answer.failure:
                raise NotOffered("no choice between these texts was recorded", where=str(self.path),
                                mend="record it, or do without the teacher's own scores")
            rows.append(choice.read(answer.text, len(candidates)))
        return np.stack(rows)


def _answer(entry: Mapping[str, Any], question: Question) -> Answer:
    """A recorded answer, checked like one that has just been given."""
    cost = Answer("", float(entry.get("seconds", 0.0)), entry.get("tokens_in", 0), entry.get("tokens_out", 0))
    try:
        return Answer(read(entry["text"], question.schema), cost.seconds, cost.tokens_in, cost.tokens_out)
    except Unfit as reason:
        return Answer("", cost.seconds, cost.tokens_in, cost.tokens_out, f"the recorded answer is {reason}")


def _key(image: str, question: Mapping[str, Any]) -> bytes:
    return bytes.fromhex(digest([image, dict(question)]))


def _open(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)


def _build(path: Path, out: Path) -> None:
    """Writes the index, key to place in the file, whole or not at all; of two answers to a question the last counts."""
    with tempfile.TemporaryDirectory(dir=out.parent) as folder:
        made, who, count = Path(folder) / out.name, None, 0
        with closing(sqlite3.connect(made)) as index:
            index.execute("CREATE TABLE answers (key BLOB PRIMARY KEY, place INTEGER NOT NULL) WITHOUT ROWID")
            index.execute("CREATE TABLE about (who TEXT NOT NULL, answers INTEGER NOT NULL)")
            for where, place, entry in _entries(path):
                teacher = {"teacher": entry["teacher"], "decoding": entry["decoding"]}
                if who not in (None, teacher):
                    raise UserError("another teacher than before, or answers drawn another way", where=where,
                                    mend="keep each teacher's answers in a file of their own")
                who, count = teacher, count + 1
                index.execute("INSERT OR REPLACE INTO answers VALUES (?, ?)",
                              (_key(entry["image"], entry["question"]), place))
            if who is None:
                raise UserError("holds no answers", where=str(path), mend="`foveate rationales cache export` makes one")
            index.execute("INSERT INTO about VALUES (?, ?)", (json.dumps(who), count))
            index.commit()
        made.replace(out)


def _entries(path: Path) -> Iterator[tuple[str, int, dict[str, Any]]]:
    """(file:line, place in bytes, checked entry) of every line that is not empty."""
    check, place = Draft202012Validator(LINE), 0
    with open(path, "rb") as lines:
        for number, text in enumerate(lines, 1):
            if text.strip():
                yield f"{path}:{number}", place, _entry(text, check, f"{path}:{number}")
            place += len(text)


def _entry(text: bytes, check: Draft202012Validator, where: str) -> dict[str, Any]:
    try:
        entry = json.loads(text)
    except (ValueError, RecursionError):
        raise UserError("not JSON", where=where, mend="one JSON object a line, in UTF-8") from None
    if wrong := next(check.iter_errors(entry), None):
        field = "/".join(map(str, wrong.absolute_path)) or "line"
        raise UserError(f"{line(field, 60)}: {line(wrong.message)}", where=where,
                        mend="see docs/teachers.md for what a line holds")
    for field, value in entry["teacher"].items():
        if not _PLAIN.fullmatch(value):
            raise UserError(f"teacher/{field} holds markup or control characters", where=where, mend="rename it")
    return entry
