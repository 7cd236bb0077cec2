"""Asked once: a content-addressed store of a teacher's answers that many writers share and a kill does not break.

An answer is one row in one of sixteen files (by its image's first digit), with a checksum and the run that paid for it.
One whose checksum does not hold counts as missing, so that it is asked again. What was spent is counted in the same
transaction, and stays when answers are pruned.
"""

import contextlib
import sqlite3
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import groupby, islice
from pathlib import Path
from typing import Any

from components.base.errors import UserError
from components.base.home import state
from components.teachers.packing import LAYOUT, SCHEMA, Entry, Shared, answer_key, pack, source_of, unpack
from components.teachers.shards import Shards

__all__ = ["AnswerCache", "CacheStats", "Entry", "answer_key"]

CHUNK = 500  # keys in one query (SQLite bounds the variables of a statement), rows in one page or transaction
FILES = tuple(f"{digit:x}.sqlite" for digit in range(16))
ROW = "key, form, source, run, asked, seconds, tokens_in, tokens_out, body, checksum"


@dataclass(frozen=True, slots=True)
class CacheStats:
    """How many `answers` in how many `bytes`; {name: answers} by `runs` that paid, `teachers` and `kinds`.

    `damaged` counts the entries met by this object; `former` names a file of an earlier version that is not read.
    """

    answers: int
    bytes: int
    runs: dict[str, int]
    teachers: dict[str, int]
    kinds: dict[str, int]
    damaged: int
    former: str


class AnswerCache:
    """The store in `folder` (by default <home>/cache/answers). Threads and processes may share it.

    Every method raises UserError, naming the file, when a file is damaged or cannot be written.
    """

    def __init__(self, folder: Path | None = None):
        self.folder = folder or state("cache", "answers")
        self.shards = Shards(self.folder, FILES, LAYOUT, SCHEMA, Shared)
        self.damaged = 0

    def close(self) -> None:
        """Closes the files that this thread has open; the next use opens them again."""
        self.shards.close()

    def get_many(self, keys: Iterable[bytes]) -> dict[bytes, Entry]:
        """The answers that are here, by key; damaged ones are left out, counted, and warned of once a call."""
        found, damaged = {}, []
        for db, shared, row in self._select(ROW, keys):
            entry = unpack(db, shared, row)
            if entry is None:
                damaged.append(row[0])
            else:
                found[row[0]] = entry
        self._warn(damaged)
        return found

    def present(self, keys: Iterable[bytes]) -> set[bytes]:
        """Those of the keys that are here, damaged or not."""
        return {row[0] for _, _, row in self._select("key", keys)}

    def _select(self, columns: str, keys: Iterable[bytes]) -> Iterator[tuple[sqlite3.Connection, Shared, tuple]]:
        for number, wanted in groupby(sorted(set(keys)), _shard):
            with self.shards.reading(number) as (db, shared):
                while part := list(islice(wanted, CHUNK)):
                    marks = ",".join("?" * len(part))
                    for row in db.execute(f"SELECT {columns} FROM answers WHERE key IN ({marks})", part):
                        yield db, shared, row

    def pay(self, entry: Entry, *, dataset: str = "", dollars: float = 0.0) -> None:
        """Stores a fresh answer, replacing what was under its key, and counts what it cost; one transaction.

        A failed answer is counted only.
        """
        said, key = entry.answer, entry.key
        with self.shards.writing(_shard(key)) as (db, shared):
            run = shared.id(db, {"run": entry.run, "dataset": dataset})
            source = shared.id(db, source_of(entry))
            if not said.failure:
                db.execute(f"INSERT OR REPLACE INTO answers ({ROW}) VALUES ({','.join('?' * 10)})",
                           pack(db, shared, key, entry, run, source))
            db.execute("""INSERT INTO spent VALUES (?, ?, ?, 1, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
                          requests = requests + 1, failures = failures + excluded.failures,
                          tokens_in = tokens_in + excluded.tokens_in, tokens_out = tokens_out + excluded.tokens_out,
                          seconds = seconds + excluded.seconds, dollars = dollars + excluded.dollars""",
                       (run, source, entry.question.kind, bool(said.failure), said.tokens_in, said.tokens_out,
                        said.seconds, dollars))

    def add(self, entries: Iterable[Entry]) -> int:
        """Stores answers that were paid for elsewhere; what is under the same keys stays. Returns how many were new."""
        waiting, new = defaultdict(list), 0
        for entry in entries:
            key = entry.key
            number = _shard(key)
            waiting[number].append((key, entry))
            if len(waiting[number]) >= CHUNK:
                new += self._add(number, waiting.pop(number))
        return new + sum(self._add(number, part) for number, part in waiting.items())

    def _add(self, number: int, entries: list[tuple[bytes, Entry]]) -> int:
        with self.shards.writing(number) as (db, shared):
            before = db.total_changes
            rows = [pack(db, shared, key, e, shared.id(db, {"run": e.run, "dataset": ""}), shared.id(db, source_of(e)))
                    for key, e in entries]
            named = db.total_changes - before
            db.executemany(f"INSERT OR IGNORE INTO answers ({ROW}) VALUES ({','.join('?' * 10)})", rows)
            return db.total_changes - before - named

    def entries(self) -> Iterator[Entry]:
        """Every sound answer, by key; read in pages, so that writers go on meanwhile."""
        damaged = []
        for number in range(len(FILES)):
            for row, entry in self._rows(number):
                if entry is None:
                    damaged.append(row[0])
                else:
                    yield entry
        self._warn(damaged)

    def verify(self) -> list[bytes]:
        """Reads everything; the keys of damaged answers, in order. Raises UserError for a damaged file.

        An answer is sound when its checksum holds and its key is that of its content.
        """
        bad = []
        for number in range(len(FILES)):
            with self.shards.reading(number) as (db, _):
                (report,) = db.execute("PRAGMA integrity_check(1)").fetchone()
                if report != "ok":
                    raise sqlite3.DatabaseError(report)
            bad += [row[0] for row, entry in self._rows(number) if entry is None or entry.key != row[0]]
        return bad

    def prune(self, *, before: float | None = None, teacher: str = "", run: str = "", damaged: bool = False,
              really: bool = False) -> int:
        """How many answers fit all that is given, and with `really` removes them; what they cost stays in the ledger.

        `before` is a time in unix seconds, `teacher` a pattern for "backend:name", `run` the run that paid.
        Raises UserError where nothing is given.
        """
        if before is None and not (teacher or run or damaged):
            raise UserError("says nothing of what to remove", where="prune",
                            mend="give --older-than, --teacher, --run or --damaged")
        bad = set(self.verify()) if damaged else None
        count = 0
        for number in range(len(FILES)):
            with self.shards.reading(number) as (db, shared):
                numbers = [n for n, in db.execute("SELECT id FROM shared")]
                fits = {n for n in numbers if _fits(shared.get(db, n), teacher, run)}
            doomed = [row[0] for row, _ in self._rows(number, whole=False) if (bad is None or row[0] in bad)
                      and (before is None or row[4] < before)
                      and (not teacher or row[2] in fits) and (not run or row[3] in fits)]
            count += len(doomed)
            if really and doomed:
                self._remove(number, doomed)
        return count

    def _remove(self, number: int, keys: list[bytes]) -> None:
        with self.shards.writing(number) as (db, _):
            db.executemany("DELETE FROM answers WHERE key = ?", [(key,) for key in keys])
        with self.shards.reading(number) as (db, _), contextlib.suppress(sqlite3.OperationalError):
            db.execute("VACUUM")  # somebody else may be writing: then the room is used by what comes
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def stats(self) -> CacheStats:
        runs, teachers, kinds = Counter(), Counter(), Counter()
        for number in range(len(FILES)):
            with self.shards.reading(number) as (db, shared):
                for form, source, run, count in db.execute(
                        "SELECT form, source, run, count(*) FROM answers GROUP BY form, source, run"):
                    runs[_name(shared.get(db, run), "run")] += count
                    teachers[_name(shared.get(db, source), "teacher")] += count
                    kinds[(shared.get(db, form) or {"is": ["?"]})["is"][0]] += count
        former = self.folder / "answers.sqlite"
        return CacheStats(sum(runs.values()), self.shards.bytes(), *(dict(sorted(c.items())) for c in
                          (runs, teachers, kinds)), self.damaged, str(former) if former.exists() else "")

    def _rows(self, number: int, whole: bool = True) -> Iterator[tuple[tuple, Entry | None]]:
        """The rows of a file in pages, each (if `whole`) with its entry, or None where it is damaged."""
        last = b""
        while True:
            with self.shards.reading(number) as (db, shared):
                page = db.execute(f"SELECT {ROW} FROM answers WHERE key > ? ORDER BY key LIMIT {CHUNK}",
                                  (last,)).fetchall()
                found = [(row, unpack(db, shared, row) if whole else None) for row in page]
            yield from found
            if len(page) < CHUNK:
                return
            last = page[-1][0]

    def _warn(self, damaged: list[bytes]) -> None:
        if damaged:
            self.damaged += len(damaged)
            warnings.warn(f"{self.folder}: {len(damaged)} damaged answer(s), first about image "
                          f"{damaged[0][:32].hex()}: left out, and asked again", stacklevel=3)


def _shard(key: bytes) -> int:
    return key[0] >> 4


def _fits(value: dict[str, Any] | None, teacher: str, run: str) -> bool:
    """Whether a shared value is a source of a teacher like `teacher`, or the run `run`."""
    match value:
        case {"is": {"teacher": {"backend": backend, "name": name}}}:
            return bool(teacher) and fnmatchcase(f"{backend}:{name}", teacher)
        case {"is": {"run": name}}:
            return bool(run) and name == run
    return False


def _name(value: dict[str, Any] | None, kind: str) -> str:
    match value, kind:
        case {"is": {"run": name}}, "run":
            return name
        case {"is": {"teacher": who}}, "teacher":
            return f"{who['backend']}:{who['name']}@{who['revision'][:12]}"
    return "?"
