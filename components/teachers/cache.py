"""Asked once: a content-addressed store of a teacher's answers that many writers share and a kill does not break.

One SQLite file in WAL mode, read while it is written. Each answer carries a checksum and the run that paid for it; an
answer whose checksum does not hold counts as missing, so that it is asked again.
"""

import contextlib
import sqlite3
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from components.base.artifacts import digest
from components.base.errors import UserError
from components.base.home import state
from components.teachers.protocol import Answer, Identity, Question

SCHEMA = 1  # part of every key: a change of what an answer is makes all earlier ones missing
CHUNK = 500  # keys in one query; SQLite bounds the variables of a statement
WAIT = 60.0  # seconds a writer waits for another

TABLE = """CREATE TABLE IF NOT EXISTS answers (
    key TEXT PRIMARY KEY, text TEXT NOT NULL, seconds REAL NOT NULL, tokens_in INTEGER NOT NULL,
    tokens_out INTEGER NOT NULL, run TEXT NOT NULL, checksum TEXT NOT NULL) WITHOUT ROWID"""


def answer_key(image: str, question: Question, teacher: Identity, decoding: Mapping[str, Any] | None = None) -> str:
    """sha256 (hex) of all that decides an answer; `image` is the sha256 of the image, `decoding` how text is drawn."""
    return digest({"cache": SCHEMA, "image": image, "question": asdict(question), "teacher": asdict(teacher),
                   "decoding": dict(decoding or {})})


@dataclass(frozen=True, slots=True)
class CacheStats:
    """`answers` and `bytes` in the file, `runs` {run id: answers it paid for}, `damaged` entries met by this object."""

    answers: int
    bytes: int
    runs: dict[str, int]
    damaged: int


class AnswerCache:
    """The store at `path` (a file; by default <home>/cache/answers/answers.sqlite). Threads and processes may share it.

    Nothing stays open between calls. Every method raises UserError, naming the file, when the file is not a sound
    database or cannot be written.
    """

    def __init__(self, path: Path | None = None):
        self.path = path or state("cache", "answers") / "answers.sqlite"
        self.damaged = 0
        with self._open() as db:
            db.execute("PRAGMA journal_mode=WAL")
            db.execute(TABLE)

    def get_many(self, keys: Iterable[str]) -> dict[str, Answer]:
        """The answers that are here, by key; damaged ones are left out, counted, and warned of once a call."""
        wanted, found, damaged = list(dict.fromkeys(keys)), {}, []
        with self._open() as db:
            for start in range(0, len(wanted), CHUNK):
                part = wanted[start:start + CHUNK]
                marks = ",".join("?" * len(part))
                for row in db.execute(f"SELECT * FROM answers WHERE key IN ({marks})", part):
                    if _sound(row):
                        found[row[0]] = Answer(*row[1:5])
                    else:
                        damaged.append(row[0])
        if damaged:
            self.damaged += len(damaged)
            warnings.warn(f"{self.path}: {len(damaged)} damaged answer(s), first {damaged[0]}: asked again",
                          stacklevel=2)
        return found

    def put_many(self, answers: Mapping[str, Answer], run: str) -> None:
        """Stores answers, all or none, as paid for by `run`; what was under the same keys is replaced."""
        rows = []
        for key, answer in answers.items():
            row = (key, answer.text, float(answer.seconds), int(answer.tokens_in), int(answer.tokens_out), run)
            rows.append((*row, digest(row)))
        with self._open() as db:
            db.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?, ?, ?)", rows)

    def stats(self) -> CacheStats:
        with self._open() as db:
            runs = dict(db.execute("SELECT run, count(*) FROM answers GROUP BY run ORDER BY run"))
            (pages,), (page,) = db.execute("PRAGMA page_count").fetchone(), db.execute("PRAGMA page_size").fetchone()
        return CacheStats(sum(runs.values()), pages * page, runs, self.damaged)

    def verify(self) -> list[str]:
        """Reads the whole file; the keys of damaged answers, in order. Raises UserError for a damaged file."""
        with self._open() as db:
            (report,) = db.execute("PRAGMA integrity_check(1)").fetchone()
            if report != "ok":
                raise sqlite3.DatabaseError(report)
            return [row[0] for row in db.execute("SELECT * FROM answers ORDER BY key") if not _sound(row)]

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """A connection with one transaction, committed at the end; one for each use, so threads and forks are safe."""
        try:
            db = sqlite3.connect(self.path, timeout=WAIT)
            try:
                db.execute("PRAGMA synchronous=NORMAL")  # with WAL: safe against a kill, cheap to commit
                with db:
                    yield db
            finally:
                db.close()
        except sqlite3.OperationalError as error:
            raise UserError(f"the answer cache cannot be used: {error}", where=str(self.path),
                            mend="free disk space, and see that the folder may be written") from error
        except sqlite3.DatabaseError as error:
            raise UserError(f"the answer cache is damaged: {error}", where=str(self.path),
                            mend="move it away (with its -wal and -shm); the answers will be asked again") from error


def _sound(row: tuple) -> bool:
    return digest(row[:-1]) == row[-1]
