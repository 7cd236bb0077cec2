"""The files of the answer cache: SQLite databases of one layout, opened once a thread, each change whole or not at all.

Several files rather than one: commits to a file queue, and SQLite lets those who wait sleep, so that among many writers
some wait a second. A file is in WAL mode: it is read while it is written, and a killed writer leaves no trace. WAL
needs memory that its users share, so a folder on a network drive, which several machines work on, is put into SQLite's
older journal mode (`share`).
"""

import contextlib
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from components.base.errors import UserError

WAIT = 60.0  # seconds a writer waits for another
MOVE = "move it away (with its -wal and -shm); its answers will be asked again"


class Shards:
    """The files `names` in `folder`, made by `layout` (SQL) if they are missing; `version` is that of the layout.

    Threads and processes may share the folder, and one object. Every use raises UserError naming the file when it is
    damaged, of another version, or cannot be used.
    """

    def __init__(self, folder: Path, names: tuple[str, ...], layout: str, version: int,
                 attach: Callable[[], Any] = dict):
        self.folder, self.version, self.attach = folder, version, attach
        self.files = tuple(folder / name for name in names)
        self._layout, self._here = layout, threading.local()
        for file in self.files:
            if not file.exists():
                self._create(file)

    @contextlib.contextmanager
    def reading(self, number: int) -> Iterator[tuple[sqlite3.Connection, Any]]:
        """A connection to file `number`, with what `attach` made for it (a memory of its side tables, say)."""
        with self._explained(number):
            yield self._open(number)

    @contextlib.contextmanager
    def writing(self, number: int) -> Iterator[tuple[sqlite3.Connection, Any]]:
        """The same inside one transaction that no other writer shares."""
        with self._explained(number):
            db, attached = self._open(number)
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db, attached
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:  # a full disk has ended it already
                    db.execute("ROLLBACK")
                self._forget(number)  # what was attached may speak of rows that are no more
                raise

    def share(self) -> None:
        """Makes the files fit for a network drive that several machines write to; slower, and lasting.

        Raises UserError while somebody else uses them.
        """
        for number in range(len(self.files)):
            with self._explained(number):
                self._open(number)[0].execute("PRAGMA journal_mode=DELETE")
                self._forget(number)

    def bytes(self) -> int:
        """On disk, with what waits beside the files to be merged into them."""
        names = {f.name for f in self.files}
        total = 0
        for file in self.folder.iterdir():
            if file.name.removesuffix("-wal").removesuffix("-journal") in names:
                with contextlib.suppress(FileNotFoundError):  # a writer beside us has merged its journal
                    total += file.stat().st_size
        return total

    def close(self) -> None:
        """Closes what this thread has open."""
        for number in range(len(self.files)):
            self._forget(number)

    def _open(self, number: int) -> tuple[sqlite3.Connection, Any]:
        """This thread's connection; one taken along by a fork is left alone, as SQLite demands."""
        mine = self._here.__dict__.setdefault("open", {})
        if (os.getpid(), number) not in mine:
            db = sqlite3.connect(self.files[number], timeout=WAIT, isolation_level=None)
            (found,) = db.execute("PRAGMA user_version").fetchone()
            if found != self.version:
                db.close()
                raise UserError(f"of layout {found}, this program reads {self.version}",
                                where=str(self.files[number]), mend=MOVE)
            if db.execute("PRAGMA journal_mode").fetchone() == ("wal",):
                db.execute("PRAGMA synchronous=NORMAL")  # safe against a kill, whole after a power cut, cheap to commit
            mine[os.getpid(), number] = db, self.attach()
        return mine[os.getpid(), number]

    def _forget(self, number: int) -> None:
        db, _ = self._here.__dict__.get("open", {}).pop((os.getpid(), number), (None, None))
        if db is not None:
            db.close()

    def _create(self, file: Path) -> None:
        """Laid out under another name first: nobody ever sees half a file, and of several makers the first one wins."""
        fresh = file.with_name(f".{file.name}.{os.getpid()}.{threading.get_ident()}.tmp")
        with _explained(file):
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                fresh.unlink(missing_ok=True)
                with contextlib.closing(sqlite3.connect(fresh, isolation_level=None)) as db:
                    db.execute("PRAGMA journal_mode=WAL")
                    db.executescript(f"{self._layout}; PRAGMA user_version = {self.version}")
                with contextlib.suppress(FileExistsError):
                    os.link(fresh, file)
            finally:
                with contextlib.suppress(OSError):
                    fresh.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _explained(self, number: int) -> Iterator[None]:
        try:
            with _explained(self.files[number]):
                yield
        except UserError:
            self._forget(number)
            raise


@contextlib.contextmanager
def _explained(file: Path) -> Iterator[None]:
    """Turns what SQLite says into what a user can mend."""
    try:
        yield
    except (sqlite3.OperationalError, OSError) as error:
        raise UserError(f"the answer cache cannot be used: {error}", where=str(file),
                        mend="free disk space, and see that the folder may be written") from error
    except sqlite3.DatabaseError as error:
        raise UserError(f"the answer cache is damaged: {error}", where=str(file), mend=MOVE) from error
