"""Content-addressed stage outputs: a stage with the same inputs and code is done once, and a kill never half-writes.

An output lives at `<home>/store/<stage>/<key>/`, where the key is the sha256 of the stage's inputs as JSON. Work
happens in `<key>.part/`, which survives a kill (so a stage may resume in it) and is renamed when the stage is done.
"""

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from components.base.errors import UserError
from components.base.home import environment, state


def digest(value: Any) -> str:
    """sha256 (hex) of a JSON-able value, independent of key order."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def file_digest(path: Path) -> str:
    """sha256 (hex) of a file's bytes."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def code_version(*packages: str) -> str:
    """sha256 of the Python sources of packages such as "components.recipes.mipd": part of a key, so edits re-run."""
    root = Path(__file__).parents[2]
    files = sorted(f for p in packages for f in _sources(root.joinpath(*p.split("."))))
    return digest([[str(f.relative_to(root)), file_digest(f)] for f in files])


def _sources(path: Path) -> list[Path]:
    return list(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]


def produce(stage: str, inputs: dict[str, Any], work: Callable[[Path], None], *,
            shared: bool = False) -> tuple[Path, bool]:
    """The finished output folder of `stage` for `inputs`, and whether it was there already.

    Otherwise `work(part)` is called with the working folder; it may find its own earlier, interrupted work there.
    Processes and threads that want the same output wait for the one that makes it. What is `shared` follows from
    installed packages alone and is kept with the Python environment where that can be written, for all state folders.
    """
    key = digest(inputs)[:20]
    done = _shelf(stage, shared) / key
    if (done / "inputs.json").exists():
        return done, True
    with open(done.with_name(f".{key}.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # gone with the process that holds it
        if (done / "inputs.json").exists():
            return done, True
        part = done.with_name(f"{key}.part")
        part.mkdir(exist_ok=True)
        work(part)
        write_json(part / "inputs.json", {"stage": stage, "inputs": inputs})
        shutil.rmtree(done, ignore_errors=True)
        part.rename(done)
    return done, False


def _shelf(stage: str, shared: bool) -> Path:
    """Where the outputs of a stage lie."""
    if shared:
        with suppress(OSError):
            (folder := environment() / stage).mkdir(parents=True, exist_ok=True)
            if os.access(folder, os.W_OK):
                return folder
    return state("store", stage)


def link(file: Path, to: Path) -> None:
    """A second name for a finished file, which nobody changes any more; a copy where the disk cannot do that."""
    try:
        os.link(file, to)
    except OSError:
        shutil.copyfile(file, to)


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """A working folder that becomes `out` when the block ends well; after any error nothing is left.

    Raises UserError where `out` holds something already.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError("the folder is not empty", where=str(out), mend="choose a new folder")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as temporary:
        work = Path(temporary) / "new"
        work.mkdir()
        yield work
        shutil.rmtree(out, ignore_errors=True)
        work.rename(out)


def write_json(path: Path, value: Any) -> None:
    """Writes JSON so that a reader sees the old file or the new one, never a part."""
    write_bytes(path, (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Writes a file whole or not at all; a full disk leaves no partial file behind."""
    with replacing(path) as stream:
        stream.write(content)


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A stream into a temporary file beside `path`, which is synced and takes its place when the block is left well."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
