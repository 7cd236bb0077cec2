"""Frozen features computed once: float16 blocks on disk, checksummed, resumable, read by memory mapping."""

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from components.base.artifacts import file_digest, link, produce, write_json
from components.base.errors import UserError

BLOCK = 256  # rows a block: some 40 MB, a few seconds of work to lose at most


def write_features(
    items: Iterable[tuple[str, np.ndarray]],
    encode: Callable[[np.ndarray], np.ndarray],
    out: Path,
    *,
    revision: str,
    batch: int = 64,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Encodes (id, uint8 image [S, S, 3]) pairs into blocks below `out`; finished blocks of a killed call are kept.

    `encode` maps uint8 [B, S, S, 3] to float16 [B, T, C]. Memory holds one block, whatever the number of images.
    """
    blocks, ids, rows, images = [], [], [], []

    def close() -> None:
        nonlocal ids, rows
        if not ids:
            return
        name = f"{len(blocks):05d}"
        path, meta = out / f"{name}.npy", out / f"{name}.json"
        if rows:
            with open(path.with_suffix(".tmp"), "wb") as stream:
                np.save(stream, np.concatenate(rows))
            path.with_suffix(".tmp").replace(path)
            write_json(meta, {"ids": ids, "sha256": file_digest(path)})
        blocks.append(json.loads(meta.read_text()))
        ids, rows = [], []

    def flush() -> None:
        nonlocal images
        if images:
            rows.append(encode(np.stack(images)))
            images = []

    def done(block: int, first: str) -> bool:
        meta = out / f"{block:05d}.json"
        return meta.exists() and json.loads(meta.read_text())["ids"][0] == first

    skipping = False
    for total, (name, image) in enumerate(items, 1):
        if not ids:
            skipping = done(len(blocks), name)
        ids.append(name)
        if not skipping:
            images.append(image)
        if len(images) == batch or len(ids) == BLOCK:
            flush()
            if progress:
                progress(total)
        if len(ids) == BLOCK:
            close()
    flush()
    close()
    write_json(out / "index.json", {"revision": revision, "block": BLOCK, "blocks": blocks})


class FeatureCache:
    """Random access to cached features by sample id; only touched pages are read from disk."""

    def __init__(self, folder: Path):
        self.folder = Path(folder)
        index = json.loads((self.folder / "index.json").read_text())
        self.revision: str = index["revision"]
        self._sums = [b["sha256"] for b in index["blocks"]]
        self._maps = [np.load(self._path(i), mmap_mode="r") for i in range(len(self._sums))]
        self._at = {name: (b, r) for b, block in enumerate(index["blocks"]) for r, name in enumerate(block["ids"])}

    def _path(self, block: int) -> Path:
        return self.folder / f"{block:05d}.npy"

    @property
    def shape(self) -> tuple[int, ...]:
        """(T, C) of one image."""
        return self._maps[0].shape[1:]

    def __contains__(self, name: str) -> bool:
        return name in self._at

    def rows(self, ids: Sequence[str]) -> np.ndarray:
        """Features float16 [len(ids), T, C] in the order asked for."""
        out = np.empty((len(ids), *self.shape), np.float16)
        for i, name in enumerate(ids):
            block, row = self._at[name]
            out[i] = self._maps[block][row]
        return out

    def verify(self) -> None:
        """Raises UserError naming the first block whose bytes are not those that were written."""
        for block, expected in enumerate(self._sums):
            if file_digest(self._path(block)) != expected:
                raise UserError(
                    "cached features are damaged",
                    where=str(self._path(block)),
                    mend="delete this folder; the features are computed again at the next run",
                )


def reuse(out: Path, ids: Sequence[str], revision: str) -> int:
    """Links finished blocks of the same images from the features of other datasets into `out`; returns their number.

    A dataset that has grown begins with the images of its former version, so only the new ones are encoded.
    """
    wanted = {tuple(ids[at:at + BLOCK]): at // BLOCK for at in range(0, len(ids), BLOCK)}
    linked = 0
    for index in sorted(out.parent.glob("*/index.json")):
        there = json.loads(index.read_text())
        if there["revision"] != revision or there["block"] != BLOCK or index.parent == out:
            continue
        for number, block in enumerate(there["blocks"]):
            at, source = wanted.get(tuple(block["ids"])), index.parent / f"{number:05d}.npy"
            if at is None or (out / f"{at:05d}.json").exists() or file_digest(source) != block["sha256"]:
                continue
            (out / f"{at:05d}.npy").unlink(missing_ok=True)  # of a kill between the two files
            link(source, out / f"{at:05d}.npy")
            write_json(out / f"{at:05d}.json", block)
            linked += 1
    return linked


def dataset_features(dataset: Path, progress: Callable[[int], None] | None = None, encoder: str = "embedded") -> Path:
    """The features folder of a whole dataset under an image encoder (see `named.get`), computed at the first call."""
    from components.datasets.images import fit, load_image
    from components.datasets.store import Dataset
    from components.encoders import named

    data, eyes = Dataset(dataset), named.get(encoder)

    def pictures() -> Iterable[tuple[str, np.ndarray]]:
        for sample in data.samples():
            yield sample.id, fit(load_image(sample.image, sample.name), eyes.size)

    def work(out: Path) -> None:
        reuse(out, data.ids, eyes.revision)
        write_features(pictures(), eyes.features, out, revision=eyes.revision, progress=progress)

    return produce("features", {"dataset": data.version, "encoder": eyes.revision}, work)[0]
