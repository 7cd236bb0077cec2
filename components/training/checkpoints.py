"""Checkpoints that are whole or not there: a tag counts only while every file in it has the digest it was sealed with.

A folder holds `stepNNNNNNN/` tags written by DeepSpeed, each with a `seal.json` written last. The pickles inside are
read back only from this folder, and only by the run that wrote them; what is published is safetensors.
"""

import json
import shutil
from pathlib import Path

from components.base.artifacts import file_digest, write_json

SEAL = "seal.json"


def tag_of(step: int) -> str:
    """The name of the checkpoint taken before `step`, that is after `step` steps."""
    return f"step{step:07d}"


def seal(tag: Path) -> None:
    """Declares a tag complete: records the sha256 of each of its files."""
    write_json(tag / SEAL, {str(f.relative_to(tag)): file_digest(f) for f in _files(tag)})


def intact(tag: Path) -> bool:
    """Whether a tag was sealed and still holds the bytes that were sealed."""
    try:
        sealed = json.loads((tag / SEAL).read_text())
        return bool(sealed) and all(file_digest(tag / name) == digest for name, digest in sealed.items())
    except (OSError, ValueError, AttributeError):
        return False


def newest(folder: Path) -> tuple[int, list[str]]:
    """The step to resume at (0 where no checkpoint is usable), and the names of newer tags that are damaged.

    Damaged tags are removed: DeepSpeed writes their names again.
    """
    damaged = []
    for tag in _tags(folder):
        if intact(tag):
            return int(tag.name.removeprefix("step")), damaged
        damaged.append(tag.name)
        shutil.rmtree(tag)
    return 0, damaged


def prune(folder: Path, keep: int = 2) -> None:
    """Removes all but the newest `keep` tags."""
    for tag in _tags(folder)[keep:]:
        shutil.rmtree(tag, ignore_errors=True)


def _tags(folder: Path) -> list[Path]:
    return sorted((t for t in folder.glob("step*") if t.is_dir()), reverse=True)


def _files(tag: Path) -> list[Path]:
    return sorted(f for f in tag.rglob("*") if f.is_file() and f.name != SEAL)
