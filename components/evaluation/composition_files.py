"""Score files of attribute-object pairs, read row by row: a file may be larger than memory.

S.npz (numpy.savez or savez_compressed): `scores` float [N, P] in C order, `labels` int [N], the index of each image's
true pair. P.json: `pairs`, a list of P [attribute, object]; `seen`, P booleans (a pair of the training set); optionally
`candidates`, P booleans (may be guessed in the closed world: test and training pairs; default all), and `feasibility`,
P numbers (open world: unseen pairs below the threshold are never guessed).
"""

import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy

from components.base.errors import UserError

BLOCK_BYTES = 32 << 20


@dataclass(frozen=True, slots=True)
class Pairs:
    """The P pairs: codes of attribute and object, and what is known of each pair."""

    parts: np.ndarray  # [P, 2] int
    seen: np.ndarray  # [P] bool
    candidates: np.ndarray  # [P] bool
    feasibility: np.ndarray | None  # [P] float64


class Scores:
    """An open score file: `labels` [N] at once, scores in blocks of rows."""

    def __init__(self, path: Path, pairs: Pairs):
        self.path, self.width = path, len(pairs.seen)
        try:
            with zipfile.ZipFile(path) as archive:
                self.labels = self._labels(archive)
                with self._member(archive, "scores") as stream:
                    shape, self.dtype = self._header(stream, "scores")
        except (OSError, zipfile.BadZipFile) as error:
            raise UserError("is not a readable .npz file", where=str(path), mend=str(error)) from error
        if shape != (len(self.labels), self.width):
            raise UserError(f"'scores' has shape {list(shape)}, expected {[len(self.labels), self.width]}",
                            where=str(path), mend="one row an image of 'labels', one column a pair of the pair file")
        if self.dtype.kind != "f":
            raise UserError(f"'scores' holds {self.dtype}", where=str(path), mend="write float32")
        if not len(self.labels):
            raise UserError("'labels' is empty", where=str(path), mend="score at least one image of each kind")
        if self.labels.min() < 0 or self.labels.max() >= self.width:
            raise UserError(f"'labels' must lie in 0..{self.width - 1}", where=str(path), mend="index the pair file")

    def blocks(self, block_bytes: int = BLOCK_BYTES) -> Iterator[np.ndarray]:
        """Scores of consecutive rows [rows, P], each array freshly made, about `block_bytes` at a time.

        Raises UserError for scores that are no numbers; -inf is taken as "never".
        """
        row_bytes = self.width * self.dtype.itemsize
        rows = max(1, block_bytes // row_bytes)
        try:
            with zipfile.ZipFile(self.path) as archive, self._member(archive, "scores") as stream:
                self._header(stream, "scores")
                for start in range(0, len(self.labels), rows):
                    count = min(rows, len(self.labels) - start)
                    block = np.empty((count, self.width), self.dtype)
                    if self._fill(stream, block) != block.nbytes:
                        raise UserError("'scores' ends early", where=str(self.path), mend="write the file again")
                    if not (np.isfinite(block) | np.isneginf(block)).all():
                        raise UserError(f"'scores' holds no number in rows {start} to {start + count - 1}",
                                        where=str(self.path), mend="write finite scores, or -inf for never")
                    yield block
        except (OSError, zipfile.BadZipFile) as error:
            raise UserError("cannot be read to its end", where=str(self.path), mend=str(error)) from error

    def _labels(self, archive: zipfile.ZipFile) -> np.ndarray:
        with self._member(archive, "labels") as stream:
            shape, dtype = self._header(stream, "labels")
            if len(shape) != 1 or dtype.kind not in "iu":
                raise UserError(f"'labels' is {dtype} of shape {list(shape)}", where=str(self.path),
                                mend="write one whole number an image")
            labels = np.empty(shape, dtype)
            if self._fill(stream, labels) != labels.nbytes:
                raise UserError("'labels' ends early", where=str(self.path), mend="write the file again")
        return labels.astype(np.int64)

    def _member(self, archive: zipfile.ZipFile, name: str) -> IO[bytes]:
        if f"{name}.npy" not in archive.namelist():
            raise UserError(f"no '{name}'", where=str(self.path), mend="numpy.savez(path, scores=..., labels=...)")
        return archive.open(f"{name}.npy")

    def _header(self, stream: IO[bytes], name: str) -> tuple[tuple[int, ...], np.dtype]:
        """Shape and type of an array, its data next in the stream; nothing pickled is ever read."""
        try:
            version = npy.read_magic(stream)
            read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            shape, fortran, dtype = read(stream)
        except ValueError as error:
            raise UserError(f"'{name}' is not a numpy array", where=str(self.path), mend=str(error)) from error
        if dtype.hasobject:
            raise UserError(f"'{name}' holds objects", where=str(self.path), mend="write plain numbers")
        if fortran and len(shape) > 1:
            raise UserError(f"'{name}' is stored by columns", where=str(self.path),
                            mend="write numpy.ascontiguousarray(scores)")
        return shape, dtype

    @staticmethod
    def _fill(stream: IO[bytes], array: np.ndarray) -> int:
        """Reads an array's bytes; how many there were."""
        view, got = memoryview(array.reshape(-1).view(np.uint8)), 0
        while got < len(view):
            count = stream.readinto(view[got:got + (1 << 20)])
            if not count:
                break
            got += count
        return got


def read_pairs(path: Path) -> Pairs:
    """Reads a pair file; raises UserError naming the field that does not fit."""
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError("cannot be read as JSON", where=str(path), mend=str(error)) from error
    if not isinstance(value, dict):
        raise UserError("is not a JSON object", where=str(path), mend='{"pairs": [["wet", "dog"]], "seen": [true]}')
    pairs = value.get("pairs")
    if not isinstance(pairs, list) or not pairs or not all(_is_pair(p) for p in pairs):
        raise UserError("'pairs' must be a list of [attribute, object]", where=str(path), mend='[["wet", "dog"], ...]')
    if len({tuple(p) for p in pairs}) != len(pairs):
        raise UserError("'pairs' holds a pair twice", where=str(path), mend="list every pair once")
    parts = np.stack([np.unique(np.array([str(p[i]) for p in pairs]), return_inverse=True)[1] for i in (0, 1)], 1)
    seen = _booleans(value, "seen", len(pairs), path)
    candidates = np.ones(len(pairs), bool)
    if "candidates" in value:
        candidates = _booleans(value, "candidates", len(pairs), path)
    return Pairs(parts, seen, candidates, _feasibility(value, len(pairs), path))


def _is_pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(isinstance(w, str | int) for w in value)


def _booleans(value: dict[str, Any], field: str, size: int, path: Path) -> np.ndarray:
    given = value.get(field)
    if not isinstance(given, list) or len(given) != size or not all(isinstance(v, bool) for v in given):
        raise UserError(f"'{field}' must be {size} booleans, one a pair", where=str(path), mend="write true or false")
    return np.array(given)


def _feasibility(value: dict[str, Any], size: int, path: Path) -> np.ndarray | None:
    given = value.get("feasibility")
    if given is None:
        return None
    numbers = isinstance(given, list) and all(isinstance(v, int | float) and not isinstance(v, bool) for v in given)
    if not numbers or len(given) != size or not np.isfinite(np.array(given, float)).all():
        raise UserError(f"'feasibility' must be {size} numbers, one a pair", where=str(path),
                        mend="write finite numbers")
    return np.array(given, float)
