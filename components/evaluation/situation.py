"""The scorer of grounded situation recognition: the field's 14 numbers, in both conventions, every image counted once.

Settings: the true verb ranked first (`top1`), ranked among the first five (`top5`), or given (`gt`). Numbers: `verb`
(right verb), `value` (share of roles with a right noun), `value_all` (all nouns right), `grnd_value` and
`grnd_value_all` (right noun and right box, or rightly no box).

Conventions: `jsl` is the scorer of Pratt et al., Grounded Situation Recognition (arXiv 2003.12058): pixel areas count
both ends (+1), IoU > 0.5, a noun outside the vocabulary can never be right. `coformer` is the scorer of Cho et al.,
CoFormer (arXiv 2203.16518): plain areas, IoU >= 0.5, predicted boxes cut to the image, all nouns outside the vocabulary
are one noun `oov`. Legend: N images, K roles of all images (flat).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from components.base.errors import UserError
from components.evaluation.situation_rows import OOV, Collector, Rows

Convention = Literal["jsl", "coformer"]
Average = Literal["verb", "image", "script"]
CONVENTIONS, AVERAGES = get_args(Convention), get_args(Average)

_ROLE_NUMBERS = ("value", "value_all", "grnd_value", "grnd_value_all")
NUMBERS = tuple(f"{s}_{n}" for s in ("top1", "top5") for n in ("verb", *_ROLE_NUMBERS)) + tuple(
    f"gt_{n}" for n in _ROLE_NUMBERS)


@dataclass(frozen=True, slots=True)
class RoleOutcomes:
    """One row per role of every image, the true verb given.

    `noun` is right or wrong; `box` is 1.0 where plain IoU with the true box exceeds 0.5 whatever the noun, 0.0 where it
    does not or no box was given, NaN where the truth has no box.
    """

    image: np.ndarray  # [K] int, row in `SituationScores.images`
    role: np.ndarray  # [K] str
    noun: np.ndarray  # [K] bool
    box: np.ndarray  # [K] float


@dataclass(frozen=True, slots=True)
class SituationScores:
    """Per-image outcomes and how they are averaged; all scores lie in 0..1.

    `average`: `verb` is the mean over verbs of the mean over a verb's images, as in the original imSitu scorer and the
    right headline where verbs have unequal counts; `image` the mean over images, as CoFormer's script; `script` what
    the convention's own script does (jsl: verb accuracy over images, all else over verbs; coformer: all over images).
    """

    convention: Convention
    average: Average
    images: tuple[str, ...]
    verbs: np.ndarray  # [N] str, the true verbs
    per_image: np.ndarray  # [N, 14] float, columns as in NUMBERS
    roles: RoleOutcomes

    def averaged(self, average: Average) -> dict[str, float]:
        """The 14 numbers under another way of averaging."""
        by_image = self.per_image.mean(0)
        _, verb, count = np.unique(self.verbs, return_inverse=True, return_counts=True)
        sums = np.stack([np.bincount(verb, column) for column in self.per_image.T], -1)  # [V, 14]
        by_verb = (sums / count[:, None]).mean(0)
        if average == "script":
            values = np.where(self.over_images, by_image, by_verb)
        else:
            values = {"verb": by_verb, "image": by_image}[average]
        return dict(zip(NUMBERS, values.tolist(), strict=True))

    @property
    def over_images(self) -> np.ndarray:
        """[14] which numbers the convention's own script averages over images, not over verbs."""
        return np.array([self.convention == "coformer" or n.endswith("_verb") for n in NUMBERS])

    @property
    def numbers(self) -> dict[str, float]:
        """The 14 numbers."""
        return self.averaged(self.average)

    @property
    def mean(self) -> float:
        """imSitu's `mean`: the average of the 8 numbers that need no box."""
        return float(np.mean([v for k, v in self.numbers.items() if "grnd" not in k]))

    def values(self, number: str) -> np.ndarray:
        """One number for every image, [N], in the order of `images`."""
        return self.per_image[:, NUMBERS.index(number)]

    def by_verb(self, number: str) -> dict[str, float]:
        """One number averaged over the images of each verb."""
        verbs, code, count = np.unique(self.verbs, return_inverse=True, return_counts=True)
        return dict(zip(verbs.tolist(), (np.bincount(code, self.values(number)) / count).tolist(), strict=True))

    def select(self, keep: np.ndarray) -> "SituationScores":
        """The scores of the images where `keep` [N] is true."""
        row = np.cumsum(keep) - 1
        of = keep[self.roles.image]
        roles = RoleOutcomes(row[self.roles.image[of]], self.roles.role[of], self.roles.noun[of], self.roles.box[of])
        images = tuple(name for name, kept in zip(self.images, keep, strict=True) if kept)
        return SituationScores(self.convention, self.average, images, self.verbs[keep], self.per_image[keep], roles)


def score(predictions: Iterable[Mapping[str, Any]], annotations: Mapping[str, Mapping[str, Any]],
          space: Mapping[str, Any], *, convention: Convention = "coformer", average: Average = "verb",
          vocabulary: set[str] | None = None) -> SituationScores:
    """Scores predictions (one per annotated image, in any order) against SWiG entries keyed by image name.

    A prediction needs "image", "verbs" (ranked) and "frames" with the true verb's frame; a role's box is pixels or None
    for 'not grounded', or is always given together with "exists", a logit that the convention cuts at 0. `vocabulary`
    is the set of nouns the model may say; without it nouns are compared as they are.
    Raises UserError for images that are missing, unknown or repeated, and for roles or boxes that do not fit.
    """
    collector = Collector(annotations, space)
    for prediction in predictions:
        collector.add(prediction)
    return score_rows(collector.rows(), convention=convention, average=average, vocabulary=vocabulary)


def score_rows(rows: Rows, *, convention: Convention = "coformer", average: Average = "verb",
               vocabulary: set[str] | None = None) -> SituationScores:
    """The scores of collected rows, see `score`; numbers with boxes are NaN where the annotations have none."""
    if convention not in CONVENTIONS:
        raise UserError(f"no convention '{convention}'", where="convention", mend="use jsl or coformer")
    if average not in AVERAGES:
        raise UserError(f"no average '{average}'", where="average", mend="use verb, image or script")
    noun = _nouns_right(rows, convention, vocabulary)  # [K]
    said = rows.exists >= 0 if convention == "coformer" else rows.exists > 0  # [K] "grounded", says the prediction
    true = ~np.isnan(rows.true_box[:, 0])  # [K] grounded in truth
    with np.errstate(invalid="ignore"):
        overlap = _overlaps(rows, convention)
        plain = true & said & (_iou(rows.box, rows.true_box, ends=0, floor=1e-4) > 0.5)
    grounded = noun & np.where(true, said & overlap, ~said)

    n = len(rows.images)
    count = np.bincount(rows.image, minlength=n)
    hits = [np.bincount(rows.image, right, minlength=n) for right in (noun, grounded)]
    columns = [f(h) for h in hits for f in (lambda h: h / count, lambda h: (h == count).astype(float))]
    role_scores = np.stack(columns, -1)  # [N, 4]
    if not rows.boxed:
        role_scores[:, 2:] = np.nan
    settings = [rows.rank < 1, rows.rank < 5]
    gated = [np.concatenate([gate[:, None], gate[:, None] * role_scores], -1) for gate in settings]
    outcomes = RoleOutcomes(rows.image, rows.role, noun, np.where(true, plain, np.nan))
    return SituationScores(convention, average, rows.images, rows.verbs,
                           np.concatenate([*gated, role_scores], -1), outcomes)


def slices(scores: SituationScores, groups: Mapping[str, set[str]]) -> dict[str, SituationScores]:
    """Scores of the images whose true verb belongs to each group; a group without images is left out."""
    masks = {name: np.isin(scores.verbs, list(verbs)) for name, verbs in groups.items()}
    return {name: scores.select(keep) for name, keep in masks.items() if keep.any()}


def harmonic(seen: float, unseen: float) -> float:
    """2SU/(S+U), high only if both are; 0 where both are 0."""
    return 2 * seen * unseen / (seen + unseen) if seen + unseen else 0.0


def role_accuracy(scores: SituationScores) -> dict[str, dict[str, float]]:
    """Per role, the true verb given: {"count", "noun", "grounded", "box"}, most frequent role first.

    `noun` is the share of `count` roles with a right noun; `box` the share of the `grounded` roles (those with a true
    box) found with IoU > 0.5, NaN where none has a box.
    """
    out = {}
    names, code, count = np.unique(scores.roles.role, return_inverse=True, return_counts=True)
    boxed = ~np.isnan(scores.roles.box)
    nouns = np.bincount(code, scores.roles.noun, minlength=len(names))
    grounded = np.bincount(code, boxed, minlength=len(names))
    boxes = np.bincount(code, np.nan_to_num(scores.roles.box), minlength=len(names))
    for i in np.argsort(-count, kind="stable"):
        out[str(names[i])] = {"count": int(count[i]), "noun": float(nouns[i] / count[i]), "grounded": int(grounded[i]),
                              "box": float(boxes[i] / grounded[i]) if grounded[i] else float("nan")}
    return out


def _nouns_right(rows: Rows, convention: Convention, vocabulary: set[str] | None) -> np.ndarray:
    """[K] the noun equals any annotator's; `` is a noun like others (the role is empty)."""
    noun, true = rows.noun, rows.true_noun
    if vocabulary is not None:
        known = np.array([i if n == "" or n in vocabulary else OOV for i, n in enumerate(rows.names)])
        noun = known[noun]
        true = known[true] if convention == "coformer" else true
    return (noun[:, None] == true).any(1)


def _overlaps(rows: Rows, convention: Convention) -> np.ndarray:
    """[K] predicted and true box match by the convention's test; undefined (False) where one of them is missing."""
    if convention == "jsl":
        return _iou(np.maximum(rows.box, 0), rows.true_box, ends=1, floor=0) > 0.5
    limit = np.concatenate([rows.size, rows.size], -1)  # [K, 4]
    return _iou(np.clip(rows.box, 0, limit), rows.true_box, ends=0, floor=1e-4) >= 0.5


def _iou(a: np.ndarray, b: np.ndarray, *, ends: float, floor: float) -> np.ndarray:
    """[K] intersection over union of boxes [K, 4]; `ends` is added to every side, `floor` bounds the union below."""
    overlap = np.maximum(np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2]) + ends, 0).prod(1)
    area_a, area_b = ((box[:, 2:] - box[:, :2] + ends).prod(1) for box in (a, b))
    return overlap / np.maximum(area_a + area_b - overlap, floor)
