"""How sure the student is: constants fitted on the tuning split, and how well they hold on the split that is scored.

A name "fits" an image where the image's own verb is among those that compete. Every labelled image is an example of
both: as it is, and once more with its own name withheld.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from components.evaluation import situation
from components.evaluation.calibration import reliability
from components.evaluation.confidence import aurc, fit_logistic, risk_coverage, told_apart
from components.recipes.mipd.decode import area, confidence, logit

KEPT = 0.9  # of the tuning images with a name that fits: the bar of abstention turns the others down
POINTS = 21  # of the risk-coverage curve that is kept


def withheld(logits: np.ndarray, own: np.ndarray) -> np.ndarray:
    """The best logit of each image [N, V] without its own verb's column (-1: it has none among them).  # [N]"""
    rest = logits.copy()
    there = np.flatnonzero(own >= 0)
    rest[there, own[there]] = -np.inf
    return rest.max(1)


def fit_verbs(logits: np.ndarray, own: np.ndarray) -> dict[str, Any]:
    """Constants of "fits", from the tuning images' calibrated logits [N, V] and the columns [N] of their own verbs.

    The evidence is the best logit, as it does not depend on how many names compete: the best of few names always has a
    high probability. The bar below which no verb fits leaves `KEPT` of the tuning images.
    """
    fits, misses = logits.max(1), withheld(logits, own)
    weights = fit_logistic(np.concatenate([fits, misses])[:, None], np.arange(2 * len(fits)) < len(fits))
    return {"fits": weights, "abstain_below": float(confidence(weights, np.quantile(fits, 1 - KEPT)))}


@dataclass(frozen=True, slots=True)
class Roles:
    """Confidence and truth of all roles, the true verb given: nouns [K], and of those with a predicted box [J]."""

    noun: np.ndarray
    noun_right: np.ndarray
    box: np.ndarray
    box_right: np.ndarray
    of_box: np.ndarray  # [J] the confidence of the noun in the box
    area: np.ndarray  # [J] of the box, as a share of the image


def roles_of(predictions: Sequence[Mapping[str, Any]], scores: situation.SituationScores,
             truth: Mapping[str, Mapping[str, Any]]) -> Roles:
    """What predictions say of the roles of each image's true verb, beside what their scores found.

    `truth` holds the annotations by image. A box is right where its IoU with the true one exceeds 0.5; one where the
    truth has none is wrong.
    """
    of, roles = {p["image"]: p["frames"] for p in predictions}, scores.roles
    said = [of[scores.images[i]][scores.verbs[i]][role] for i, role in zip(roles.image, roles.role, strict=True)]
    boxed = np.array([s["box"] is not None for s in said], bool)
    boxes = [(s, truth[scores.images[i]]) for s, i in zip(said, roles.image, strict=True) if s["box"] is not None]
    return Roles(np.array([s["score"] for s in said]), roles.noun,
                 np.array([s["box_score"] for s, _ in boxes], float), roles.box[boxed] == 1,
                 np.array([s["score"] for s, _ in boxes]),
                 np.array([area(s["box"], (entry["width"], entry["height"])) for s, entry in boxes]))


def fit_roles(found: Roles) -> dict[str, Any]:
    """Constants of the roles' confidences, from predictions that were made without any.

    A box is likelier to be right the larger it is, and the surer its noun; that a role has one at all says little.
    """
    out = {"noun_right": fit_logistic(logit(found.noun)[:, None], found.noun_right)}
    if len(found.box):
        evidence = np.stack([np.log(found.area), logit(found.of_box)], 1)
        out["box_right"] = fit_logistic(evidence, found.box_right)
    return out


def _shown(metrics: Mapping[str, float], bins: Mapping[str, Any],
           slices: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The tables of the written report, as the fields of `components.evaluation.report.Table`."""
    yield {"title": "How honest its confidence is", "columns": ["", "cases", "calibration error, points"],
           "rows": [[kind, int(found.count.sum()), 100 * found.ece] for kind, found in bins.items()],
           "note": f"Area under the risk-coverage curve of verbs: {metrics['aurc']:.3f}; the best order of the same "
                   f"predictions would give {metrics['aurc.best']:.3f}."}
    rows = [[name, *(100 * metrics[f"{name}.{number}"] for number in ("fits_kept", "misfits_found"))]
            for name in slices if f"{name}.fits_kept" in metrics]
    if rows:
        yield {"title": "Does any verb fit?", "rows": rows,
               "columns": ["", "kept where the image's verb competes, %", "turned down where it does not, %"]}


def measure(predictions: Sequence[Mapping[str, Any]], scores: situation.SituationScores,
            truth: Mapping[str, Mapping[str, Any]],
            slices: Mapping[str, np.ndarray]) -> tuple[dict[str, float], dict[str, Any]]:
    """(metrics, tables) of how far confidences hold; `slices` {name: mask [N]} over the images of `scores`."""
    of = {p["image"]: p for p in predictions}
    each = [of[name] for name in scores.images]
    right, verb = scores.values("top1_verb"), np.array([p["scores"][0] for p in each])
    roles, fits = roles_of(predictions, scores, truth), np.array([p["fits"] for p in each])
    kept = np.array([p["confident"] for p in each])
    kinds = {"verb": (verb, right), "noun": (roles.noun, roles.noun_right), "box": (roles.box, roles.box_right)}
    bins = {kind: reliability(*pair) for kind, pair in kinds.items() if len(pair[0]) and np.isfinite(pair[0]).all()}
    metrics = {f"{kind}.calibration_error": found.ece for kind, found in bins.items()}
    metrics |= {"aurc": aurc(verb, right), "aurc.best": aurc(right, right)}
    for name, mask in slices.items():
        own = np.array(["withheld" in p for p in each]) & mask
        if own.any():
            alone = [p["withheld"] for p, there in zip(each, own, strict=True) if there]
            metrics[f"{name}.fits_kept"] = float(kept[own].mean())
            metrics[f"{name}.misfits_found"] = 1 - float(np.mean([w["confident"] for w in alone]))
            metrics[f"{name}.fits_auroc"] = told_apart(fits[own], np.array([w["fits"] for w in alone]))
    places = np.linspace(0, len(right) - 1, min(POINTS, len(right))).astype(int)
    curve = {name: values[places].tolist() for name, values in
             zip(("coverage", "risk"), risk_coverage(verb, right), strict=True)}
    tables = {"shown": list(_shown(metrics, bins, slices)), "risk_coverage": curve | {"covered": float(kept.mean()),
                                        "wrong": float(1 - right[kept].mean()) if kept.any() else None},
              "confidence": {kind: {"count": found.count.tolist(), "said": np.nan_to_num(found.confidence).tolist(),
                                    "right": np.nan_to_num(found.accuracy).tolist()} for kind, found in bins.items()}}
    return metrics, tables
