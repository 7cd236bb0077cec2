"""The bundle: one folder with everything an edge device needs, every byte of it accounted for. Needs no torch.

    manifest.json         schema, recipe, provenance, preprocessing, graphs, decoding constants, facts, sha256 per file
    <graph>.fp32.onnx     one file per graph and precision
    <graph>.int8.onnx
    tables.safetensors    text embeddings of the vocabulary, rows in the order of the vocabulary's keys
    vocabulary.json       names, roles, frames
    text/                 tokenizer.json and text.int8.onnx: names never listed become embeddings on the device
    MODEL_CARD.md         the same facts for a person
"""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import onnxruntime
from safetensors.numpy import load, save

from components.base.artifacts import digest, file_digest, write_bytes, write_json
from components.base.errors import UserError

SCHEMA = 1
REMAKE = "the bundle is damaged or was edited: make it again with `foveate export`, or copy it again whole"
FIELDS = ("recipe", "preprocessing", "decoding", "graphs", "precision", "facts", "provenance", "files")


@dataclass(frozen=True, slots=True)
class Bundle:
    """An opened bundle. `manifest` is its verified manifest.json."""

    folder: Path
    manifest: dict[str, Any]

    @staticmethod
    def open(folder: Path) -> "Bundle":
        """Reads the manifest and checks the sha256 of every file it lists.

        Raises UserError naming the file that is missing, altered, or of a schema that this version does not read.
        """
        manifest = _manifest(Path(folder) / "manifest.json")
        for name, entry in manifest["files"].items():
            path = _inside(Path(folder), name)
            if not path.is_file():
                raise UserError("missing from the bundle", where=str(path), mend=REMAKE)
            if file_digest(path) != entry["sha256"]:
                raise UserError("its sha256 is not the one in manifest.json", where=str(path), mend=REMAKE)
        return Bundle(Path(folder), manifest)

    @property
    def identity(self) -> str:
        """What names this bundle: the sha256 of its manifest, hence of every file in it."""
        return self.manifest["sha256"]

    def vocabulary(self) -> dict[str, Any]:
        return json.loads((self.folder / "vocabulary.json").read_bytes())

    def tables(self) -> dict[str, np.ndarray]:
        """The text tables, float32, in memory."""
        return load((self.folder / "tables.safetensors").read_bytes())

    def precisions(self) -> list[str]:
        return [p for p in ("fp32", "int8") if all(p in graph["files"] for graph in self.manifest["graphs"].values())]

    def session(self, graph: str, precision: str | None = None, threads: int | None = None) -> "Session":
        """One graph, ready to run; `precision` "fp32" or "int8" (None: the bundle's default).

        Raises UserError for a precision that the bundle does not hold.
        """
        precision = precision or self.manifest["precision"]
        files = self.manifest["graphs"][graph]["files"]
        if precision not in files:
            known = ", ".join(sorted(files))
            raise UserError(f"no {precision} graph '{graph}' in this bundle", where="--precision", mend=f"use {known}")
        return Session(self.folder / files[precision], threads)


class Session:
    """An ONNX graph in ONNX Runtime on the CPU: named arrays in, named arrays out."""

    def __init__(self, path: Path, threads: int | None = None):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or 0  # 0: one per core
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.inputs = {i.name: i.shape for i in self._session.get_inputs()}
        self.outputs = [o.name for o in self._session.get_outputs()]

    def __call__(self, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Outputs by name. Inputs that the graph does not have are left out, so one dictionary can feed several."""
        feeds = {name: feeds[name] for name in self.inputs}
        return dict(zip(self.outputs, self._session.run(None, feeds), strict=True))


@contextmanager
def writing(out: Path) -> Iterator[Path]:
    """A working folder beside `out` that takes its place on success and leaves nothing behind on failure."""
    part = out.with_name(f".{out.name}.{os.getpid()}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        yield part
        if out.exists():  # a folder cannot be replaced in one step: the old one steps aside first
            old = out.with_name(f".{out.name}.{os.getpid()}.old")
            out.replace(old)
            part.replace(out)
            shutil.rmtree(old)
        else:
            part.replace(out)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def write_contents(folder: Path, tables: Mapping[str, np.ndarray], vocabulary: Mapping[str, Any],
                   text_encoder: Mapping[str, Path]) -> None:
    """Writes tables, vocabulary and the text encoder's files ({"tokenizer.json": path, "text.int8.onnx": path})."""
    arrays = {name: np.ascontiguousarray(table, dtype=np.float32) for name, table in tables.items()}
    write_bytes(folder / "tables.safetensors", save(arrays))
    write_json(folder / "vocabulary.json", vocabulary)
    for name, source in text_encoder.items():
        (folder / "text").mkdir(exist_ok=True)
        shutil.copyfile(source, folder / "text" / name)


def seal(folder: Path, manifest: Mapping[str, Any]) -> Bundle:
    """Lists every file of `folder` with size and sha256, writes manifest.json with them, and returns the bundle.

    `manifest` holds all of `FIELDS` but "files". Sealing again after adding facts is allowed: it replaces the manifest.
    """
    paths = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != "manifest.json")
    files = {p.relative_to(folder).as_posix(): {"sha256": file_digest(p), "bytes": p.stat().st_size} for p in paths}
    content = {"schema": SCHEMA, **manifest, "files": files}
    write_json(folder / "manifest.json", content | {"sha256": digest(content)})
    return Bundle.open(folder)


def _manifest(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise UserError("no such bundle", where=str(path), mend="give the folder that holds manifest.json")
    try:
        manifest = json.loads(path.read_bytes())
        schema, stated = manifest["schema"], manifest.pop("sha256")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError("not a bundle's manifest", where=str(path), mend=REMAKE) from error
    if schema != SCHEMA:
        raise UserError(f"bundle schema {schema}, this version reads {SCHEMA}", where=str(path),
                        mend="use the version of Foveate that made it, or make it again with `foveate export`")
    if digest(manifest) != stated:
        raise UserError("its content is not the one it was sealed with", where=str(path), mend=REMAKE)
    missing = [field for field in FIELDS if field not in manifest]
    if missing:
        raise UserError(f"no field '{missing[0]}'", where=str(path), mend=REMAKE)
    return manifest | {"sha256": stated}


def _inside(folder: Path, name: str) -> Path:
    """`name` below `folder`; a manifest from elsewhere may not point out of its own folder."""
    relative = PurePosixPath(name)
    if relative.is_absolute() or ".." in relative.parts:
        raise UserError(f"lists a file outside the bundle: {name}", where=str(folder / "manifest.json"), mend=REMAKE)
    return folder / relative
