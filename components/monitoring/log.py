"""The prediction log: what a student saw and said, as rows of Parquet files that rotate and stay within a bound.

A row holds an embedding and what was answered, no name and no pixel; images are kept only where that was consented to.
Every call that logs writes one whole file; many small ones are joined into one. A row has a random number, so that one
that is in two files for a moment (a join that was killed) counts once.
"""

import fcntl
import io
import secrets
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.base.artifacts import write_bytes
from components.base.errors import UserError

MOST_BYTES = 256 << 20  # of one student's log: the oldest files go first
SMALL, MANY = 4 << 20, 64  # bytes of a file that may be joined, and how many of them are joined
SCHEMA = pa.schema([
    ("row", pa.int64()), ("at", pa.timestamp("us", "UTC")), ("answer", pa.string()), ("score", pa.float32()),
    ("confident", pa.bool_()), ("boxes", pa.int16()), ("nouns", pa.int16()), ("embedding", pa.list_(pa.float32())),
    ("image", pa.binary())])


def rows(embeddings: np.ndarray, predictions: Sequence[Mapping[str, Any]], images: Sequence[bytes] | None = None,
         at: datetime | None = None, labels: str = "verbs") -> pa.Table:
    """Predictions with their embeddings (float [N, E]) as rows of the log: the best of their `labels`, and how its
    frame was filled where there is one. Encoded `images` go in only where they are given.
    """
    frames = [p.get("frames", {}).get(p[labels][0], {}).values() for p in predictions]
    return pa.table({
        "row": [secrets.randbits(63) for _ in predictions], "at": [at or datetime.now(UTC)] * len(predictions),
        "answer": [p[labels][0] for p in predictions], "score": [p["scores"][0] for p in predictions],
        "confident": [p["confident"] for p in predictions],
        "boxes": [sum(e["box"] is not None for e in frame) for frame in frames],
        "nouns": [sum(bool(e["noun"]) for e in frame) for frame in frames],
        "embedding": [np.asarray(e, np.float32).tolist() for e in embeddings],
        "image": list(images) if images else [None] * len(predictions)}, SCHEMA)


def encoded(table: pa.Table) -> bytes:
    """The bytes of a Parquet file."""
    stream = io.BytesIO()
    pq.write_table(table, stream, compression="zstd")
    return stream.getvalue()


class PredictionLog:
    """Collects a share of predictions and writes them as one file when it is closed.

    `share` in 0..1 of all predictions, drawn by chance; `images`: keep the encoded images too. `most` bytes are kept in
    `folder`, which is one student's. Raises UserError for a share out of range.
    """

    def __init__(self, folder: Path, *, share: float = 1.0, images: bool = False, most: int = MOST_BYTES):
        if not 0 < share <= 1:
            raise UserError(f"must lie above 0 and up to 1, got {share}", where="--log-share",
                            mend="0.1 logs every tenth prediction, on average")
        self.folder, self.share, self.images, self.most = folder, share, images, most
        self._chance, self._tables = np.random.default_rng(), []

    def add(self, embeddings: np.ndarray, predictions: Sequence[Mapping[str, Any]], images: Sequence[bytes],
            labels: str = "verbs") -> None:
        """Offers a batch: embeddings [B, E], its predictions and its encoded images, in the same order."""
        taken = np.flatnonzero(self._chance.random(len(predictions)) < self.share)
        if len(taken):
            self._tables.append(rows(np.asarray(embeddings)[taken], [predictions[i] for i in taken],
                                     [images[i] for i in taken] if self.images else None, labels=labels))

    def close(self) -> int:
        """Writes what was collected, joins small files and drops the oldest; returns how many rows were written.

        Raises UserError where that cannot be written.
        """
        if not self._tables:
            return 0
        table, self._tables = pa.concat_tables(self._tables), []
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            _write(self.folder, table)
            self._tidy()
        except OSError as error:
            raise UserError(f"the predictions cannot be logged ({error.strerror})", where=str(self.folder),
                            mend="free some disk space, or predict without --log") from error
        return len(table)

    def _tidy(self) -> None:
        with open(self.folder / ".lock", "w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:  # another process is at it
                return
            _join(self.folder)
            _drop(self.folder, self.most)


def read(folder: Path, last: int) -> pa.Table:
    """The newest `last` rows of a log, oldest first; an empty table where nothing was logged.

    Raises UserError for a file that is damaged.
    """
    while True:
        tables, found = [SCHEMA.empty_table()], 0
        try:
            for file in reversed(_files(folder)):
                tables.append(_read(file))
                found += len(tables[-1])
                if found >= 2 * last:  # twice, as a row may be there twice for a moment
                    break
            break
        except FileNotFoundError:  # joined or dropped since it was listed
            continue
    table = pa.concat_tables(reversed(tables)).sort_by("at")
    _, first = np.unique(table["row"].to_numpy(), return_index=True)
    return table.take(np.sort(first)[-last:])


def embeddings(table: pa.Table) -> np.ndarray:
    """[N, E] float32"""
    return np.array(table["embedding"].to_pylist(), np.float32).reshape(len(table), -1)


def _files(folder: Path) -> list[Path]:
    """Oldest first: names begin with the time they were written at."""
    return sorted(folder.glob("*.parquet"))


def _write(folder: Path, table: pa.Table, when: str = "") -> Path:
    file = folder / f"{when or f'{time.time_ns():020d}'}-{secrets.token_hex(4)}.parquet"
    write_bytes(file, encoded(table))
    return file


def _read(file: Path) -> pa.Table:
    try:
        return pq.read_table(file, schema=SCHEMA)
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"is damaged ({type(error).__name__})", where=str(file), mend="delete this file") from error


def _join(folder: Path) -> None:
    """Many small files become one, which takes the place of the newest of them in the order."""
    small = [f for f in _files(folder) if f.stat().st_size < SMALL]
    if len(small) >= MANY:
        _write(folder, pa.concat_tables([_read(f) for f in small]), small[-1].name.partition("-")[0])
        for file in small:
            file.unlink(missing_ok=True)


def _drop(folder: Path, most: int) -> None:
    files = _files(folder)
    sizes = [f.stat().st_size for f in files]
    while files and sum(sizes) > most and len(files) > 1:
        files.pop(0).unlink(missing_ok=True)
        sizes.pop(0)
