"""An answer as a row of a few hundred bytes: what many answers share is kept once, the rest is compressed against it.

Questions of one kind, version and schema share a form: those three, and the first prompt and answer of the kind as a
dictionary for zlib, so that a prompt costs what sets it apart and a JSON answer does not repeat the names of its
fields. Teacher with decoding, and run with dataset, are kept once as well.
"""

import json
import sqlite3
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from hashlib import blake2b
from typing import Any

from components.base.artifacts import digest
from components.base.errors import UserError
from components.teachers.protocol import Answer, Identity, Question

SCHEMA = 2  # part of every key: a change of what an answer is makes all earlier ones missing
LAYOUT = """
CREATE TABLE shared (id INTEGER PRIMARY KEY, sha BLOB NOT NULL UNIQUE, value TEXT NOT NULL);
CREATE TABLE answers (key BLOB PRIMARY KEY, form INTEGER NOT NULL, source INTEGER NOT NULL, run INTEGER NOT NULL,
    asked INTEGER NOT NULL, seconds REAL NOT NULL, tokens_in INTEGER NOT NULL, tokens_out INTEGER NOT NULL,
    body BLOB NOT NULL, checksum BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE spent (run INTEGER, source INTEGER, kind TEXT, requests INTEGER NOT NULL, failures INTEGER NOT NULL,
    tokens_in INTEGER NOT NULL, tokens_out INTEGER NOT NULL, seconds REAL NOT NULL, dollars REAL NOT NULL,
    PRIMARY KEY (run, source, kind)) WITHOUT ROWID"""
_NUMBERS = struct.Struct("<qqqqdqq")


@dataclass(frozen=True, slots=True)
class Entry:
    """One answer with all that decides its key, the `run` that paid for it, and when it was `asked` (unix seconds)."""

    image: str
    question: Question
    teacher: Identity
    decoding: Mapping[str, Any]
    answer: Answer
    run: str
    asked: int

    @property
    def key(self) -> bytes:
        return answer_key(self.image, self.question, self.teacher, self.decoding)


def answer_key(image: str, question: Question, teacher: Identity, decoding: Mapping[str, Any] | None = None) -> bytes:
    """48 bytes for all that decides an answer: the image's sha256, then 128 bits of a sha256 over the rest.

    So the answers about one image lie side by side. Raises UserError where `image` is not a sha256 in hex.
    """
    try:
        picture = bytes.fromhex(image)
    except ValueError:
        picture = b""
    if len(picture) != 32:
        raise UserError(f"'{image[:80]}' is not a sha256 in hex", where="image", mend="name images by their content")
    rest = digest({"cache": SCHEMA, "question": _plain(question), "teacher": _plain(teacher),
                   "decoding": dict(decoding or {})})
    return picture + bytes.fromhex(rest[:32])


class Shared:
    """What many rows of one file share, as far as this connection has met it."""

    def __init__(self):
        self.ids: dict[str, int] = {}
        self.values: dict[int, dict[str, Any] | None] = {}

    def id(self, db: sqlite3.Connection, name: Any, **more: Any) -> int:
        """The number of the value called `name` (plain JSON), which is stored, with `more`, where it is new."""
        sha = digest(name)
        if sha not in self.ids:
            row = bytes.fromhex(sha), json.dumps({"is": name} | more)
            db.execute("INSERT OR IGNORE INTO shared (sha, value) VALUES (?, ?)", row)
            self.ids[sha], = db.execute("SELECT id FROM shared WHERE sha = ?", row[:1]).fetchone()
        return self.ids[sha]

    def get(self, db: sqlite3.Connection, number: int) -> dict[str, Any] | None:
        """{"is": its name, ...}; None where it is missing or is not what was stored."""
        if number not in self.values:
            row = db.execute("SELECT sha, value FROM shared WHERE id = ?", (number,)).fetchone()
            self.values[number] = _checked(*row) if row else None
        return self.values[number]


def pack(db: sqlite3.Connection, shared: Shared, key: bytes, entry: Entry, run: int, source: int) -> tuple:
    """The row of `answers`; stores the form of the question where it is new."""
    asked, said = entry.question, entry.answer
    body = json.dumps([asked.prompt, asked.context, said.text], ensure_ascii=False).encode("utf-8", "surrogatepass")
    form = shared.id(db, [asked.kind, asked.version, asked.schema], sample=body.decode("utf-8", "surrogatepass"))
    numbers = (form, source, run, int(entry.asked), float(said.seconds), int(said.tokens_in), int(said.tokens_out))
    squeezed = zlib.compressobj(level=6, wbits=-15, zdict=_sample(shared.get(db, form)))
    return key, *numbers, squeezed.compress(body) + squeezed.flush(), _checksum(key, numbers, body)


def unpack(db: sqlite3.Connection, shared: Shared, row: tuple) -> Entry | None:
    """The entry of a row of `answers`, or None where it is not what was stored."""
    key, *numbers, squeezed, checksum = row
    try:
        (form, source, run) = (shared.get(db, number) for number in numbers[:3])
        body = zlib.decompressobj(wbits=-15, zdict=_sample(form)).decompress(squeezed)
        if _checksum(key, numbers, body) != checksum:
            return None
        prompt, context, text = json.loads(body.decode("utf-8", "surrogatepass"))
        kind, version, schema = form["is"]
        return Entry(key[:32].hex(), Question(kind, prompt, version, schema, context),
                     Identity(**source["is"]["teacher"]), source["is"]["decoding"], Answer(text, *numbers[4:]),
                     run["is"]["run"], numbers[3])
    except (TypeError, ValueError, KeyError, struct.error, zlib.error):
        return None


def source_of(entry: Entry) -> dict[str, Any]:
    return {"teacher": _plain(entry.teacher), "decoding": dict(entry.decoding)}


def _plain(value: Question | Identity) -> dict[str, Any]:
    """As `dataclasses.asdict`, without its deep copy of a schema."""
    return {f.name: getattr(value, f.name) for f in fields(value)}


def _sample(form: dict[str, Any] | None) -> bytes:
    return form["sample"].encode("utf-8", "surrogatepass")


def _checked(sha: bytes, value: str) -> dict[str, Any] | None:
    try:
        found = json.loads(value)
        return found if bytes.fromhex(digest(found["is"])) == sha else None
    except (TypeError, ValueError, KeyError):
        return None


def _checksum(key: bytes, numbers: Any, body: bytes) -> bytes:
    return blake2b(key + _NUMBERS.pack(*numbers) + body, digest_size=8).digest()
