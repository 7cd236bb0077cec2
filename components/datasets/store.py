"""Keeps samples in Parquet shards under a manifest of sha256 sums: streamed in and out, verified, never half there.

A dataset folder holds `manifest.json`, `space.json` (if its annotations have one) and `shards/NNNNN.parquet`. The
manifest is written last: a folder without one is not a dataset. Shards carry the features of the Hugging Face
`datasets` library, which reads their images as images.
"""

import io
import json
import shutil
from collections import Counter
from collections.abc import Collection, Iterator
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from components.base.artifacts import digest, file_digest, link, write_bytes, write_json
from components.base.errors import UserError
from components.datasets.schema import Sample, sample_id

SCHEMA_VERSION = 1
SHARD_ROWS = 512
SHARD_BYTES = 64 * 2**20
GROUP_ROWS = 64  # one sample is read by reading this many rows

_TEXTS = ("id", "name", "phash", "source", "label", "annotation")
_FEATURES = {name: {"dtype": "string", "_type": "Value"} for name in _TEXTS} | {
    "image": {"_type": "Image"}, "width": {"dtype": "int32", "_type": "Value"},
    "height": {"dtype": "int32", "_type": "Value"}}
_COLUMNS = [("id", pa.string()), ("name", pa.string()),
            ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
            ("width", pa.int32()), ("height", pa.int32()), ("phash", pa.string()), ("source", pa.string()),
            ("label", pa.string()), ("annotation", pa.string())]
_SCHEMA = pa.schema(_COLUMNS, metadata={"huggingface": json.dumps({"info": {"features": _FEATURES}})})
_PLAIN = [name for name, _ in _COLUMNS if name != "image"]
_COMPRESSION = dict.fromkeys(_PLAIN, "zstd") | {"image.bytes": "none", "image.path": "zstd"}


def sample_digest(sample: Sample) -> str:
    """sha256 of what a sample says: image, name, size, label, annotation; not of where it came from."""
    return digest([sample.id, sample.name, sample.width, sample.height, sample.phash, sample.label, sample.annotation])


def _version(schema: int, space: Any, shards: list[dict[str, Any]]) -> str:
    """Digest over the content in order; neither time, nor path, nor the cut into shards changes it."""
    return digest([schema, space, [s["sha256"] for shard in shards for s in shard["samples"]]])


class DatasetWriter:
    """Writes samples one by one into a dataset folder; leaving the `with` block finishes it.

    Work happens in `<path>/.writing`; the dataset appears, or replaces an older one there, only when all is written.
    After any error nothing of it is left. Raises UserError naming the shard when the disk is full. With `after`, the
    samples of that dataset come first: its shards are linked, not written again.
    """

    def __init__(self, path: Path, name: str, space: dict[str, Any] | None = None, shard_rows: int = SHARD_ROWS,
                 after: "Dataset | None" = None):
        self.path, self.name, self.space, self.shard_rows, self.after = path, name, space, shard_rows, after
        self._samples: list[Sample] = []
        self._bytes = 0
        self._shards: list[dict[str, Any]] = []
        self._names: dict[str, str] = {}

    def __enter__(self) -> Self:
        manifest = self.path / "manifest.json"
        if manifest.exists():
            _read_manifest(self.path)  # refuses to replace a file that is not ours
        self._created = not self.path.exists()
        self._work = self.path / ".writing"
        shutil.rmtree(self._work, ignore_errors=True)
        (self._work / "shards").mkdir(parents=True)
        if self.after is not None:
            self._shards, self._names = list(self.after.manifest["shards"]), dict(self.after.names)
            for shard, file in zip(self._shards, self.after.shard_files(), strict=True):
                link(file, self._work / shard["file"])
        return self

    def add(self, sample: Sample) -> None:
        """Adds one sample; raises UserError for an image that is in the dataset already."""
        if sample.id in self._names:
            raise UserError(f"the same image as {self._names[sample.id]}", where=sample.name, mend="keep one of them")
        self._names[sample.id] = sample.name
        self._samples.append(sample)
        self._bytes += len(sample.image)
        if len(self._samples) >= self.shard_rows or self._bytes >= SHARD_BYTES:
            self._flush()

    def _flush(self) -> None:
        rows = [{"id": s.id, "name": s.name, "image": {"bytes": s.image, "path": s.name}, "width": s.width,
                 "height": s.height, "phash": s.phash, "source": s.source, "label": s.label,
                 "annotation": None if s.annotation is None else json.dumps(s.annotation, ensure_ascii=False)}
                for s in self._samples]
        buffer = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(rows, _SCHEMA), buffer, row_group_size=GROUP_ROWS, compression=_COMPRESSION,
                       use_dictionary=["label", "source"])
        file = f"shards/{len(self._shards):05d}.parquet"
        try:
            write_bytes(self._work / file, buffer.getvalue())
        except OSError as error:
            raise UserError(f"cannot be written ({error.strerror})", where=str(self.path / file),
                            mend="free some disk space and run again; nothing was left behind") from error
        samples = [{"id": s.id, "name": s.name, "label": s.label, "sha256": sample_digest(s)} for s in self._samples]
        self._shards.append({"file": file, "sha256": file_digest(self._work / file), "rows": len(rows),
                             "samples": samples})
        self._samples, self._bytes = [], 0

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None):
        try:
            if kind is None:
                if self._samples:
                    self._flush()
                self._publish()
        finally:
            shutil.rmtree(self._work, ignore_errors=True)
            if self._created and self.path.exists() and not any(self.path.iterdir()):
                self.path.rmdir()

    def _publish(self) -> None:
        labels = Counter(s["label"] for shard in self._shards for s in shard["samples"] if s["label"] is not None)
        manifest = {"schema": SCHEMA_VERSION, "name": self.name,
                    "version": _version(SCHEMA_VERSION, self.space, self._shards), "count": len(self._names),
                    "labels": dict(sorted(labels.items())), "shards": self._shards}
        try:
            write_json(self._work / "manifest.json", manifest)
            if self.space is not None:
                write_json(self._work / "space.json", self.space)
        except OSError as error:
            raise UserError(f"cannot be written ({error.strerror})", where=str(self.path / "manifest.json"),
                            mend="free some disk space and run again; nothing was left behind") from error
        (self.path / "manifest.json").unlink(missing_ok=True)
        shutil.rmtree(self.path / "shards", ignore_errors=True)
        (self.path / "space.json").unlink(missing_ok=True)
        for file in ("shards", "space.json", "manifest.json"):  # the manifest last: it says that the rest is there
            if (self._work / file).exists():
                (self._work / file).rename(self.path / file)


def _read_manifest(path: Path) -> dict[str, Any]:
    file = path / "manifest.json"
    try:
        manifest = json.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        raise UserError("not a dataset: there is no manifest.json", where=str(path),
                        mend="make one with `foveate data ingest FOLDER --out DIR`") from None
    except (OSError, ValueError) as error:
        raise UserError(f"cannot be read ({error})", where=str(file), mend="ingest the images again") from error
    if not isinstance(manifest, dict) or "schema" not in manifest or "shards" not in manifest:
        raise UserError("not the manifest of a dataset", where=str(file), mend="choose another folder")
    if manifest["schema"] != SCHEMA_VERSION:
        raise UserError(f"schema version {manifest['schema']!r}, this program reads {SCHEMA_VERSION}", where=str(file),
                        mend="ingest the images again")
    return manifest


class Dataset:
    """A dataset folder, opened for reading. Raises UserError where there is none or its manifest was altered."""

    def __init__(self, path: Path):
        self.path = Path(path)
        self.manifest = _read_manifest(self.path)
        self.name: str = self.manifest["name"]
        self.version: str = self.manifest["version"]
        self._entries = [(number, row, sample) for number, shard in enumerate(self.manifest["shards"])
                         for row, sample in enumerate(shard["samples"])]
        self.ids: tuple[str, ...] = tuple(sample["id"] for _, _, sample in self._entries)
        self.names: dict[str, str] = {sample["id"]: sample["name"] for _, _, sample in self._entries}
        self.labels: dict[str, str | None] = {sample["id"]: sample["label"] for _, _, sample in self._entries}
        self._places = {sample["id"]: (number, row) for number, row, sample in self._entries}
        if self.version != _version(self.manifest["schema"], self.space, self.manifest["shards"]):
            raise UserError("the manifest or the space does not have the content it was written with",
                            where=str(self.path / "manifest.json"), mend="ingest the images again")

    @cached_property
    def space(self) -> dict[str, Any] | None:
        """The lexicon of the annotations in the form of imsitu_space.json, or None."""
        file = self.path / "space.json"
        try:
            return json.loads(file.read_text("utf-8")) if file.exists() else None
        except ValueError as error:
            raise UserError(f"cannot be read ({error})", where=str(file), mend="ingest the images again") from error

    def __len__(self) -> int:
        return len(self.ids)

    def __iter__(self) -> Iterator[Sample]:
        return self.samples()

    def samples(self, ids: Collection[str] | None = None, images: bool = True) -> Iterator[Sample]:
        """The samples, or those of `ids`, in the order of the dataset, read as they are asked for.

        With `images=False` the image column is not read and `Sample.image` is empty.
        """
        wanted = None if ids is None else set(ids)
        for unknown in (wanted or set()) - self._places.keys():
            raise UserError(f"no sample {unknown}", where=str(self.path))
        for number, shard in enumerate(self.manifest["shards"]):
            for start in range(0, shard["rows"], GROUP_ROWS):
                entries = shard["samples"][start:start + GROUP_ROWS]
                if wanted is None or any(e["id"] in wanted for e in entries):
                    for sample in self._group(number, start // GROUP_ROWS, images):
                        if wanted is None or sample.id in wanted:
                            yield sample

    def get(self, id: str) -> Sample:
        """One sample; raises UserError if there is none of that id."""
        return next(self.samples([id]))

    def image(self, id: str) -> bytes:
        """The encoded image of one sample."""
        return self.get(id).image

    def hashes(self) -> dict[str, str]:
        """The perceptual hash of every sample by id; reads that column only."""
        return {row["id"]: row["phash"] for number in range(len(self.manifest["shards"]))
                for row in self._rows(number, ["id", "phash"])}

    def shard_files(self) -> list[Path]:
        """The Parquet files, for example for `datasets.load_dataset("parquet", data_files=...)`."""
        return [self._file(number) for number in range(len(self.manifest["shards"]))]

    def _file(self, number: int) -> Path:
        return self.path / "shards" / f"{number:05d}.parquet"

    def _rows(self, number: int, columns: list[str] | None, group: int | None = None) -> list[dict[str, Any]]:
        """Rows of a shard (or of one of its row groups) as dictionaries."""
        try:
            with pq.ParquetFile(self._file(number)) as file:
                table = file.read(columns) if group is None else file.read_row_group(group, columns)
                return table.to_pylist()
        except (OSError, ValueError, IndexError) as error:  # of these kinds are Arrow's own, and broken UTF-8
            samples = self.manifest["shards"][number]["samples"]
            first = 0 if group is None else group * GROUP_ROWS
            last = len(samples) if group is None else min(first + GROUP_ROWS, len(samples))
            lost = f"samples {samples[first]['name']} to {samples[last - 1]['name']} are lost"
            raise UserError(f"the shard cannot be read, {lost} ({error})", where=str(self._file(number)),
                            mend="ingest the images again") from error

    def _group(self, number: int, group: int, images: bool) -> list[Sample]:
        return [_sample(row) for row in self._rows(number, None if images else _PLAIN, group)]

    def verify(self) -> None:
        """Reads everything; raises UserError naming the shard and the samples whose bytes are not those written."""
        for number, shard in enumerate(self.manifest["shards"]):
            file = self._file(number)
            if not file.exists():
                raise UserError("the shard is missing", where=str(file), mend="ingest the images again")
            if file_digest(file) == shard["sha256"]:
                continue
            bad = [s.name for s, e in zip(self._shard(number), shard["samples"], strict=False)
                   if sample_id(s.image) != s.id or sample_digest(s) != e["sha256"]]
            what = f"sample {', '.join(bad[:20])} is corrupt" if bad else "corrupt outside its samples"
            raise UserError(f"the shard does not have its sha256: {what}", where=str(file),
                            mend="ingest the images again")

    def _shard(self, number: int) -> Iterator[Sample]:
        for group in range(-(-self.manifest["shards"][number]["rows"] // GROUP_ROWS)):
            yield from self._group(number, group, images=True)


def _sample(row: dict[str, Any]) -> Sample:
    annotation = row["annotation"]
    image = row["image"]["bytes"] if "image" in row else b""
    return Sample(row["id"], row["name"], image, row["width"], row["height"], row["phash"], row["source"], row["label"],
                  None if annotation is None else json.loads(annotation))
