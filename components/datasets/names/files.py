"""Files of names: what a teacher called each image, what it is called after merging, and the way back.

IN: JSON lines with `image`, `labels` (names, best first) and optionally `response` (the answer they were read from).
OUT: JSON lines with `image`, `name`, `merged_from`. UNDO: JSON with the first label of every image and every merge.
"""

import dataclasses
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.base.artifacts import write_bytes, write_json
from components.base.errors import UserError
from components.datasets.names.consolidate import Consolidation
from components.datasets.names.evidence import Answer
from components.datasets.names.spelling import words

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Labels:
    """What a teacher said of images, in the order of the file; `several` counts images with more than one label."""

    images: tuple[str, ...]
    answers: tuple[Answer, ...]
    several: int

    @property
    def first(self) -> list[str]:
        """The label of each image that counts."""
        return [answer.name for answer in self.answers]


def read_labels(path: Path) -> Labels:
    """Reads `image`, `labels` and `response` of every line and nothing else.

    Raises UserError naming line and field for anything unreadable, an image named twice or an image without a name.
    """
    images, answers, several = [], [], 0
    for where, row in _rows(path):
        images.append(_text(row, "image", where))
        labels = row.get("labels")
        if not isinstance(labels, list) or not all(_is_text(n) for n in labels):
            raise UserError("'labels' must be a list of texts", where=where, mend='for example "labels": ["Wren"]')
        named = [n.strip() for n in labels if words(n)]
        if not named:
            raise UserError("'labels' holds no name", where=where, mend="leave images without an answer out")
        several += len(labels) > 1
        response = _text(row, "response", where) if row.get("response") else ""
        answers.append(Answer(named[0], tuple(named[1:]), response))
    return Labels(tuple(_distinct(images, path)), tuple(answers), several)


def read_truth(path: Path, images: Sequence[str]) -> tuple[str, ...]:
    """The true class of each image, in their order, from JSON lines with `image` and `class_name` (or `class_id`)."""
    truth = {}
    for where, row in _rows(path):
        value = row.get("class_name", row.get("class_id"))
        if not isinstance(value, str | int) or isinstance(value, bool):
            raise UserError("no 'class_name' and no 'class_id'", where=where, mend="say the true class of every image")
        truth[_text(row, "image", where)] = str(value)
    missing = [image for image in images if image not in truth]
    if missing:
        raise UserError(f"no class for {len(missing)} images, among them {missing[0]}", where=str(path),
                        mend="add them, or leave them out of the labels")
    return tuple(truth[image] for image in images)


def undo_path(out: Path) -> Path:
    """Where the way back from `out` lies."""
    return out.with_suffix(".undo.json")


def write(out: Path, labels: Labels, made: Consolidation) -> None:
    """Writes the way back, then the names."""
    write_json(undo_path(out), {"format": FORMAT, "labels": dict(zip(labels.images, labels.first, strict=True)),
                                "merges": [dataclasses.asdict(m) for m in made.merges]})
    _write_rows(out, [(i, n, made.merged_from[n]) for i, n in zip(labels.images, made.names, strict=True)])


def undo(names: Path, way_back: Path, out: Path, only: Sequence[str] = ()) -> int:
    """Gives images their first label back: all, or those that bear a name in `only`; the number of changed images.

    Raises UserError for images that the way back does not know, or a name in `only` that no image bears.
    """
    origin = _read_undo(way_back)
    rows = [(_text(row, "image", where), _text(row, "name", where)) for where, row in _rows(names)]
    _distinct([image for image, _ in rows], names)
    unknown = [image for image, _ in rows if image not in origin]
    if unknown:
        raise UserError(f"knows nothing of {unknown[0]}", where=str(way_back), mend=f"give the file made with {names}")
    absent = set(only) - {name for _, name in rows}
    if absent:
        raise UserError(f"no image is named '{min(absent)}'", where=str(names), mend="give a name that is in the file")
    back = [(image, origin[image] if not only or name in only else name) for image, name in rows]
    merged: dict[str, set[str]] = {}
    for image, name in back:
        merged.setdefault(name, set()).add(origin[image])
    _write_rows(out, [(image, name, tuple(sorted(merged[name] - {name}))) for image, name in back])
    return sum(a != b for a, b in zip(rows, back, strict=True))


def _write_rows(out: Path, rows: Sequence[tuple[str, str, tuple[str, ...]]]) -> None:
    lines = (json.dumps(dict(zip(("image", "name", "merged_from"), row, strict=True)), ensure_ascii=False)
             for row in rows)
    write_bytes(out, "".join(f"{line}\n" for line in lines).encode())


def _rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(where it is, the object) for every line that is not blank; raises UserError for none and for other lines."""
    try:
        lines = path.read_text("utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError("cannot be read as UTF-8 text", where=str(path), mend=str(error)) from error
    number = 0
    for number, line in ((n, line) for n, line in enumerate(lines, 1) if line.strip()):
        where = f"{path}, line {number}"
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UserError(f"is not JSON: {error}", where=where, mend="write one JSON object a line") from error
        if not isinstance(row, dict):
            raise UserError("is not a JSON object", where=where, mend="write one JSON object a line")
        yield where, row
    if not number:
        raise UserError("holds no line", where=str(path), mend="write one JSON object a line")


def _read_undo(path: Path) -> dict[str, str]:
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError("cannot be read as JSON", where=str(path), mend=str(error)) from error
    labels = value.get("labels") if isinstance(value, dict) and value.get("format") == FORMAT else None
    if not isinstance(labels, dict) or not all(isinstance(n, str) for n in labels.values()):
        raise UserError("is no way back from merged names", where=str(path), mend="give the .undo.json made with them")
    return labels


def _text(row: dict[str, Any], field: str, where: str) -> str:
    value = row.get(field)
    if not _is_text(value) or not value.strip():
        raise UserError(f"'{field}' must be a text", where=where, mend=f'for example "{field}": "..."')
    return value


def _is_text(value: Any) -> bool:
    """Whether a value is text that can be written again: JSON may hold halves of characters."""
    try:
        return isinstance(value, str) and value.encode() is not None
    except UnicodeEncodeError:
        return False


def _distinct(images: Sequence[str], path: Path) -> Sequence[str]:
    seen: set[str] = set()
    for image in images:
        if image in seen:
            raise UserError(f"names {image} twice", where=str(path), mend="keep one line for each image")
        seen.add(image)
    return images
