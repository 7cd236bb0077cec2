"""The scorer of HICO-DET in its default setting: mean average precision over interactions, all images searched for all.

A detection is right if the smaller of the IoUs of its two boxes with those of a true pair of the same interaction and
image is at least 0.5 (pixel areas count both ends), and no detection of a higher score has that pair already; a pair
belongs to the detection's best match only. Average precision is the mean of the highest precision at recalls of at
least 0, 0.1, ..., 1. Source: the evaluation of Chao et al. (arXiv 1702.05448). Evaluators of DETR-like models keep an
image's best 100 detections, and so does this one unless told otherwise.

Legend: D detections, G true pairs, C interactions (600).
"""

from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from components.base.errors import UserError, nearest
from components.base.reading import read_lines
from components.datasets.hico import CLASSES, Hico, box_fault
from components.datasets.hico_situations import detections
from components.datasets.situation import Space

RARE = 10  # interactions with fewer training pairs are rare
OVERLAP = 0.5
_RECALLS = np.arange(0.0, 1.1, 0.1)


@dataclass(frozen=True, slots=True)
class Found:
    """Detections or true pairs, one a row."""

    image: np.ndarray  # [D] int
    hoi: np.ndarray  # [D] int, 1 to 600
    boxes: np.ndarray  # [D, 8] float: person x1, y1, x2, y2, then object
    score: np.ndarray  # [D] float, higher is surer
    silent: int = 0  # annotated images of which the file of detections says nothing


@dataclass(frozen=True, slots=True)
class HicoScores:
    """Per interaction, indexed by number - 1; NaN where the annotations have no true pair."""

    ap: np.ndarray  # [C]
    recall: np.ndarray  # [C] the highest reached
    pairs: np.ndarray  # [C] int, true pairs

    def mean(self, of: np.ndarray | None = None) -> dict[str, Any]:
        """{"map", "recall", "interactions"} over those with a true pair, or over those of a mask [C]."""
        there = self.pairs > 0 if of is None else (self.pairs > 0) & of
        if not there.any():
            return {"map": None, "recall": None, "interactions": 0}
        return {"map": float(self.ap[there].mean()), "recall": float(self.recall[there].mean()),
                "interactions": int(there.sum())}


def truth(annotations: Hico) -> Found:
    """The true pairs of annotations."""
    rows = [(i, pair) for i, image in enumerate(annotations.images) for pair in image.pairs]
    boxes = np.array([[*pair.person, *pair.thing] for _, pair in rows]).reshape(-1, 8)
    return Found(np.array([i for i, _ in rows], int), np.array([pair.hoi for _, pair in rows], int), boxes,
                 np.ones(len(rows)))


def read_detections(file: Path, annotations: Hico, space: Space | None = None) -> Found:
    """Detections from JSON Lines, read one by one into arrays.

    A line is {"image": name, "hois": [{"hoi_category_id": 1 to 600, "person": box, "object": box, "score": number}]}.
    With `space`, the lexicon of `hico_situations`, lines are situations as a run predicts them; images without a
    visible pair are not in such a run, so images may be missing.
    Raises UserError for images that are unknown, repeated or missing, and for faulty detections.
    """
    row = {image.name: i for i, image in enumerate(annotations.images)}
    lines: dict[str, int] = {}
    image, hoi, boxes, score = array("q"), array("q"), array("d"), array("d")
    for number, line in read_lines(file):
        name, found = _line(line, row, lines, f"{file} line {number}", space)
        lines[name] = number
        for place, one in enumerate(found):
            try:
                person, thing = one["person"], one["object"]
                if len(person) != 4 or len(thing) != 4 or one["hoi_category_id"].__class__ is not int:
                    raise ValueError
                boxes.extend(person)
                boxes.extend(thing)
                hoi.append(one["hoi_category_id"])
                score.append(one["score"])
            except (KeyError, TypeError, ValueError):
                raise _fault(one, f"{file} line {number}: {name}: hois[{place}]") from None
            image.append(row[name])
    missing = row.keys() - lines.keys()
    if missing and space is None:
        raise UserError(f"{min(missing)}: has no prediction ({len(missing)} such images)", where=str(file),
                        mend='write a line for every image, with "hois": [] where nothing was found')
    made = Found(np.array(image), np.array(hoi), np.array(boxes).reshape(-1, 8), np.array(score), len(missing))
    bad = ~((made.hoi >= 1) & (made.hoi <= CLASSES) & np.isfinite(made.boxes).all(1) & np.isfinite(made.score)
            & (made.boxes[:, [0, 1, 4, 5]] <= made.boxes[:, [2, 3, 6, 7]]).all(1))
    if bad.any():
        k = int(bad.argmax())
        name = annotations.images[made.image[k]].name
        one = {"hoi_category_id": int(made.hoi[k]), "score": float(made.score[k]), "person": made.boxes[k, :4].tolist(),
               "object": made.boxes[k, 4:].tolist()}
        raise _fault(one, f"{file} line {lines[name]}: {name}: hois")
    return made


def _line(line: Any, row: Mapping[str, int], lines: Mapping[str, int], where: str, space: Space | None
          ) -> tuple[str, list[Any]]:
    shape = 'a line is {"image": name, "hois": [{"hoi_category_id", "person", "object", "score"}]}'
    if not isinstance(line, dict) or not isinstance(line.get("image"), str):
        raise UserError("a prediction must be an object with the name of its image", where=where, mend=shape)
    name = line["image"]
    if name not in row:
        raise UserError("has no annotation", where=f"{where}: {name}",
                        mend=nearest(name, row) or "score annotated images only")
    if name in lines:
        raise UserError(f"predicted more than once, first in line {lines[name]}", where=f"{where}: {name}",
                        mend="write one line an image")
    if space is not None:
        try:
            return name, detections(line, space)
        except UserError as error:
            raise UserError(error.what, where=f"{where}: {name}", mend=error.mend) from None
    if not isinstance(line.get("hois"), list):
        raise UserError("'hois' must be a list of detections", where=f"{where}: {name}", mend=shape)
    return name, line["hois"]


def _fault(one: Any, where: str) -> UserError:
    """What is wrong with a detection."""
    if not isinstance(one, dict):
        return UserError("a detection must be an object", where=where)
    for key in ("hoi_category_id", "person", "object", "score"):
        if key not in one:
            return UserError(f"'{key}' is missing", where=where)
    for role in ("person", "object"):
        if fault := box_fault(one[role]):
            return UserError(fault[0], where=f"{where}: {role}", mend=fault[1])
    if type(one["hoi_category_id"]) is not int or not 1 <= one["hoi_category_id"] <= CLASSES:
        return UserError(f"must be a number from 1 to {CLASSES}, got {one['hoi_category_id']!r:.40}",
                         where=f"{where}: hoi_category_id")
    return UserError(f"must be a finite number, got {one['score']!r:.40}", where=f"{where}: score")


def keep_best(found: Found, per_image: int) -> Found:
    """An image's `per_image` detections of the highest scores (the earlier of equals); 0 keeps all."""
    if not per_image:
        return found
    order = np.lexsort((-found.score, found.image))
    rank = np.empty(len(order), int)
    rank[order] = _places(found.image[order])
    keep = rank < per_image
    return Found(found.image[keep], found.hoi[keep], found.boxes[keep], found.score[keep])


def score(detections: Found, true: Found) -> HicoScores:
    """Average precision and highest recall of every interaction."""
    right = _right(detections, true)
    pairs = np.bincount(true.hoi - 1, minlength=CLASSES)
    ap, recall = np.full(CLASSES, np.nan), np.full(CLASSES, np.nan)
    ap[pairs > 0] = recall[pairs > 0] = 0.0
    order = np.lexsort((-detections.score, detections.hoi))  # stable: equal scores stay in the order of the file
    hoi, right = detections.hoi[order], right[order]
    edges = np.flatnonzero(np.diff(hoi)) + 1
    for part in np.split(np.arange(len(hoi)), edges) if len(hoi) else ():
        c = hoi[part[0]] - 1
        if pairs[c]:
            hits = np.cumsum(right[part])
            reached, precision = hits / pairs[c], hits / np.arange(1, len(part) + 1)
            best = np.maximum.accumulate(precision[::-1])[::-1]  # the highest at this recall or beyond
            first = np.searchsorted(reached, _RECALLS)
            ap[c] = np.where(first < len(part), best[np.minimum(first, len(part) - 1)], 0.0).sum() / len(_RECALLS)
            recall[c] = reached[-1]
    return HicoScores(ap, recall, pairs)


def _right(detections: Found, true: Found) -> np.ndarray:
    """[D] bool: the detection is the surest of those whose best match is its true pair."""
    key, true_key = (f.image * (CLASSES + 1) + f.hoi for f in (detections, true))
    by_key = np.argsort(true_key, kind="stable")
    first = np.searchsorted(true_key[by_key], key, "left")
    count = np.searchsorted(true_key[by_key], key, "right") - first
    candidate = np.repeat(np.arange(len(key)), count)  # one row for each detection and true pair of the same key
    offset = np.arange(len(candidate)) - np.repeat(np.cumsum(count) - count, count)
    pair = by_key[first[candidate] + offset]
    overlap = np.minimum(*(_iou(detections.boxes[candidate][:, at], true.boxes[pair][:, at])
                           for at in (slice(0, 4), slice(4, 8))))
    best = np.lexsort((offset, -overlap, candidate))  # of equal matches the first true pair
    best = best[_places(candidate[best]) == 0]
    best = best[overlap[best] >= OVERLAP]
    surest = best[np.lexsort((candidate[best], -detections.score[candidate[best]], pair[best]))]
    surest = surest[_places(pair[surest]) == 0]
    right = np.zeros(len(key), bool)
    right[candidate[surest]] = True
    return right


def _places(keys: np.ndarray) -> np.ndarray:
    """[D] the place of each row in its run of equal keys."""
    starts = np.r_[True, keys[1:] != keys[:-1]] if len(keys) else np.zeros(0, bool)
    at = np.arange(len(keys))
    return at - np.maximum.accumulate(np.where(starts, at, 0)) if len(keys) else at


def _iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """[D] of boxes [D, 4], both ends counted."""
    sides = np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2]) + 1
    overlap = np.where((sides > 0).all(1), sides.prod(1), 0.0)
    area_a, area_b = ((box[:, 2:] - box[:, :2] + 1).prod(1) for box in (a, b))
    return overlap / (area_a + area_b - overlap)
