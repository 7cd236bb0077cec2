"""The scorer of grounded situation recognition: the field's 14 numbers, in both conventions, every image counted once.

Settings: the true verb ranked first (`top1`), ranked among the first five (`top5`), or given (`gt`). Numbers: `verb`
(right verb), `value` (share of roles with a right noun), `value_all` (all nouns right), `grnd_value` and
`grnd_value_all` (right noun and right box, or rightly no box).

Conventions: `jsl` is the scorer of Pratt et al., Grounded Situation Recognition (arXiv 2003.12058): pixel areas count
both ends (+1), IoU > 0.5, a noun outside the vocabulary can never be right. `coformer` is the scorer of Cho et al.,
CoFormer (arXiv 2203.16518): plain areas, IoU >= 0.5, predicted boxes cut to the image, all nouns outside the vocabulary
are one noun `oov`. Legend: N images, K roles of all images (flat), A annotators.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from components.base.errors import UserError

Convention = Literal["jsl", "coformer"]
Average = Literal["verb", "image", "script"]

_ROLE_NUMBERS = ("value", "value_all", "grnd_value", "grnd_value_all")
NUMBERS = tuple(f"{s}_{n}" for s in ("top1", "top5") for n in ("verb", *_ROLE_NUMBERS)) + tuple(
    f"gt_{n}" for n in _ROLE_NUMBERS)
NOT_GROUNDED = [-1, -1, -1, -1]
ANNOTATORS = 3


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
            over_images = np.array([self.convention == "coformer" or n.endswith("_verb") for n in NUMBERS])
            values = np.where(over_images, by_image, by_verb)
        else:
            values = {"verb": by_verb, "image": by_image}[average]
        return dict(zip(NUMBERS, values.tolist(), strict=True))

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


def score(predictions: Sequence[Mapping[str, Any]], annotations: Mapping[str, Mapping[str, Any]],
          space: Mapping[str, Any], *, convention: Convention = "coformer", average: Average = "verb",
          vocabulary: set[str] | None = None) -> SituationScores:
    """Scores predictions (one per annotated image, in any order) against SWiG entries keyed by image name.

    A prediction needs "image", "verbs" (ranked) and "frames" with the true verb's frame; a role's box is pixels or None
    for 'not grounded', or is always given together with "exists", a logit that the convention cuts at 0. `vocabulary`
    is the set of nouns the model may say; without it nouns are compared as they are.
    Raises UserError for images that are missing, unknown or repeated, and for roles or boxes that do not fit.
    """
    if convention not in ("jsl", "coformer"):
        raise UserError(f"no convention '{convention}'", where="convention", mend="use jsl or coformer")
    if average not in ("verb", "image", "script"):
        raise UserError(f"no average '{average}'", where="average", mend="use verb, image or script")
    flat = _flatten(predictions, annotations, space)
    noun = _nouns_right(flat, convention, vocabulary)  # [K]
    said = flat.exists >= 0 if convention == "coformer" else flat.exists > 0  # [K] "grounded", says the prediction
    true = ~np.isnan(flat.true_box[:, 0])  # [K] grounded in truth
    with np.errstate(invalid="ignore"):
        overlap = _overlaps(flat, convention)
        plain = true & said & (_iou(flat.box, flat.true_box, ends=0, floor=1e-4) > 0.5)
    grounded = noun & np.where(true, said & overlap, ~said)

    n = len(flat.images)
    count = np.bincount(flat.image, minlength=n)
    hits = [np.bincount(flat.image, right, minlength=n) for right in (noun, grounded)]
    columns = [f(h) for h in hits for f in (lambda h: h / count, lambda h: (h == count).astype(float))]
    role_scores = np.stack(columns, -1)  # [N, 4]
    settings = [flat.rank < 1, flat.rank < 5]
    gated = [np.concatenate([gate[:, None], gate[:, None] * role_scores], -1) for gate in settings]
    outcomes = RoleOutcomes(flat.image, flat.role, noun, np.where(true, plain, np.nan))
    return SituationScores(convention, average, flat.images, flat.verbs,
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


@dataclass(frozen=True, slots=True)
class _Flat:
    images: tuple[str, ...]
    verbs: np.ndarray  # [N] str
    rank: np.ndarray  # [N] int, place of the true verb among the ranked, large where it is not ranked
    size: np.ndarray  # [K, 2] float, width and height of the role's image
    image: np.ndarray  # [K] int
    role: np.ndarray  # [K] str
    noun: np.ndarray  # [K] int, into `names`
    true_noun: np.ndarray  # [K, A] int, into `names`
    box: np.ndarray  # [K, 4] float pixels, NaN = none
    true_box: np.ndarray  # [K, 4] float pixels, NaN = none
    exists: np.ndarray  # [K] float logit
    names: list[str]


def _flatten(predictions: Sequence[Mapping[str, Any]], annotations: Mapping[str, Mapping[str, Any]],
             space: Mapping[str, Any]) -> _Flat:
    """Predictions and truth as one row per role; every mismatch between the two is a UserError."""
    _check_images(predictions, annotations)
    ids: dict[str, int] = {"": 0, "oov": 1}
    nowhere = [np.nan] * 4
    images, verbs, rank, sizes, counts = [], [], [], [], []
    role, noun, true_noun, box, true_box, exists = [], [], [], [], [], []
    for prediction in predictions:
        name = prediction["image"]
        truth = annotations[name]
        verb, frames, boxes = truth["verb"], truth["frames"], truth["bb"]
        order = _order(space, verb, name)
        frame = prediction["frames"].get(verb)
        if frame is None:
            raise UserError(f"no frame for the true verb '{verb}'", where=name, mend="decode the true verb as well")
        if not 1 <= len(frames) <= ANNOTATORS:
            raise UserError(f"{len(frames)} annotator frames", where=name, mend=f"give 1 to {ANNOTATORS}")
        ranked = prediction["verbs"]
        images.append(name)
        verbs.append(verb)
        rank.append(ranked.index(verb) if verb in ranked else 1 << 30)
        sizes.append((truth["width"], truth["height"]))
        counts.append(len(order))
        frames = [*frames, *frames[:1] * (ANNOTATORS - len(frames))]  # repeating a frame changes no outcome
        try:
            for r in order:
                guess, place = frame[r], boxes[r]
                given = guess["box"]
                role.append(r)
                noun.append(ids.setdefault(guess["noun"], len(ids)))
                true_noun.extend(ids.setdefault(f[r], len(ids)) for f in frames)
                box.append(nowhere if given is None else given)
                true_box.append(nowhere if list(place) == NOT_GROUNDED else place)
                exists.append(-np.inf if given is None else guess.get("exists", np.inf))
        except KeyError as missing:
            raise UserError(f"role or field {missing} of verb '{verb}' is missing", where=name,
                            mend="prediction and annotation must both hold every role of the verb") from None
    image = np.repeat(np.arange(len(images)), counts)
    flat = _Flat(tuple(images), np.array(verbs), np.array(rank), np.array(sizes, float)[image], image, np.array(role),
                 np.array(noun), np.array(true_noun).reshape(-1, ANNOTATORS), _boxes(box, images, image, role),
                 _boxes(true_box, images, image, role), np.array(exists, float), list(ids))
    if np.isnan(flat.exists).any():
        raise UserError("existence logit is not a number", where=images[image[np.isnan(flat.exists).argmax()]])
    return flat


def _check_images(predictions: Sequence[Mapping[str, Any]], annotations: Mapping[str, Any]) -> None:
    """Every annotated image is predicted exactly once, and nothing else is."""
    for row, prediction in enumerate(predictions):
        if lacking := {"image", "verbs", "frames"} - prediction.keys():
            raise UserError(f"prediction without '{min(lacking)}'", where=str(prediction.get("image", f"row {row}")))
    times = Counter(p["image"] for p in predictions)
    predicted = times.keys()
    if len(predicted) < len(predictions):
        raise UserError("predicted more than once", where=times.most_common(1)[0][0], mend="count every image once")
    if unknown := predicted - annotations.keys():
        raise UserError("has no annotation", where=min(unknown), mend="score annotated images only")
    if missing := annotations.keys() - predicted:
        raise UserError(f"has no prediction ({len(missing)} such images)", where=min(missing),
                        mend="predict every image")
    if not predicted:
        raise UserError("no image to score", where="predictions")


def _order(space: Mapping[str, Any], verb: str, image: str) -> Sequence[str]:
    """The verb's roles in the lexicon's order."""
    try:
        return space["verbs"][verb]["order"]
    except KeyError:
        raise UserError(f"verb '{verb}' is not in the lexicon", where=image,
                        mend="use the lexicon of the data") from None


def _boxes(rows: list[Sequence[float]], images: Sequence[str], image: np.ndarray, role: Sequence[str]) -> np.ndarray:
    """Boxes as [K, 4], checked: four finite numbers, the first corner not beyond the second."""
    odd = next((k for k, row in enumerate(rows) if len(row) != 4), None)
    if odd is None:
        boxes = np.array(rows, float).reshape(-1, 4)
        none = np.isnan(boxes).all(1)
        bad = ~none & ~(np.isfinite(boxes).all(1) & (boxes[:, :2] <= boxes[:, 2:]).all(1))
        if not bad.any():
            return boxes
        odd = int(bad.argmax())
    raise UserError(f"box {list(rows[odd])} of role '{role[odd]}' is not [x1, y1, x2, y2] with x1 <= x2, y1 <= y2",
                    where=images[image[odd]])


def _nouns_right(flat: _Flat, convention: Convention, vocabulary: set[str] | None) -> np.ndarray:
    """[K] the noun equals any annotator's; `` is a noun like others (the role is empty)."""
    noun, true = flat.noun, flat.true_noun
    if vocabulary is not None:
        known = np.array([i if n == "" or n in vocabulary else 1 for i, n in enumerate(flat.names)])  # 1 is `oov`
        noun = known[noun]
        true = known[true] if convention == "coformer" else true
    return (noun[:, None] == true).any(1)


def _overlaps(flat: _Flat, convention: Convention) -> np.ndarray:
    """[K] predicted and true box match by the convention's test; undefined (False) where one of them is missing."""
    if convention == "jsl":
        return _iou(np.maximum(flat.box, 0), flat.true_box, ends=1, floor=0) > 0.5
    limit = np.concatenate([flat.size, flat.size], -1)  # [K, 4]
    return _iou(np.clip(flat.box, 0, limit), flat.true_box, ends=0, floor=1e-4) >= 0.5


def _iou(a: np.ndarray, b: np.ndarray, *, ends: float, floor: float) -> np.ndarray:
    """[K] intersection over union of boxes [K, 4]; `ends` is added to every side, `floor` bounds the union below."""
    overlap = np.maximum(np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2]) + ends, 0).prod(1)
    area_a, area_b = ((box[:, 2:] - box[:, :2] + ends).prod(1) for box in (a, b))
    return overlap / np.maximum(area_a + area_b - overlap, floor)
