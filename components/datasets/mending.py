"""Copies of SWiG annotations in which faulty boxes are put right and hopeless entries left out, every change listed."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.base.artifacts import new_folder, write_json
from components.base.errors import UserError
from components.base.reading import read_json
from components.datasets.situation import UNGROUNDED, Entry, Space, box_fault, check_space, faults


@dataclass(frozen=True, slots=True)
class Change:
    """What became of a role's box, or (without role) that an entry was left out and why."""

    file: str
    image: str
    role: str
    was: Any
    now: Any

    def __str__(self) -> str:
        what = f"box {self.was} -> {self.now or 'not grounded'}" if self.role else f"left out: {self.was}"
        return f"mended: {': '.join(p for p in (self.file, self.image, self.role) if p)}: {what}"


def mend_files(files: Iterable[Path], space: Path, out: Path) -> list[Change]:
    """Writes a copy of each file of SWiG entries into a new folder; a box is cut to its image, its corners put in
    order, and dropped (not grounded) where nothing is left of it. Entries with other faults are left out.

    Raises UserError for a file that is not of this form, for a faulty space, and where `out` is not empty.
    """
    lexicon = read_json(space)
    check_space(lexicon, str(space))
    changes: list[Change] = []
    with new_folder(out) as work:
        for file in files:
            content = read_json(file)
            if not isinstance(content, dict) or not any(isinstance(e, dict) and "bb" in e for e in content.values()):
                raise UserError("not annotations of SWiG", where=str(file), mend="only their boxes can be mended")
            if (work / file.name).exists():
                raise UserError("two files of this name", where=str(file), mend="mend them one by one")
            kept = {}
            for name, entry in content.items():
                made, found = _mended(entry, lexicon)
                changes += [Change(str(file), name, *change) for change in found]
                if made is not None:
                    kept[name] = made
            write_json(work / file.name, kept)
    return changes


def _mended(entry: Any, space: Space) -> tuple[Entry | None, list[tuple[str, Any, Any]]]:
    """The entry without faults, or None, and (role, was, now) of each change."""
    changes: list[tuple[str, Any, Any]] = []
    sized = isinstance(entry, dict) and isinstance(entry.get("bb"), dict) and all(
        type(entry.get(k)) is int and entry[k] > 0 for k in ("width", "height"))
    if sized:
        boxes = {}
        for role, box in entry["bb"].items():
            boxes[role] = box
            if box_fault(box, entry["width"], entry["height"]):
                now = _cut(box, entry["width"], entry["height"])
                boxes[role] = now or list(UNGROUNDED)
                changes.append((role, box, now))
        entry = {**entry, "bb": boxes}
    for fault in faults(entry, space):
        return None, [("", f"{fault.field}: {fault.what}" if fault.field else fault.what, None)]
    return entry, changes


def _cut(box: Any, width: int, height: int) -> list[float] | None:
    if not isinstance(box, list) or len(box) != 4 or not all(
            type(v) in (int, float) and math.isfinite(v) for v in box):
        return None
    x1, x2 = (min(max(v, 0), width) for v in sorted((box[0], box[2])))
    y1, y2 = (min(max(v, 0), height) for v in sorted((box[1], box[3])))
    return [x1, y1, x2, y2] if x1 < x2 and y1 < y2 else None
