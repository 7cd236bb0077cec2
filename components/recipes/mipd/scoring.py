"""Scores predicted situations: seen, rare and unseen verbs, their harmonic mean, roles and boxes, with intervals."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from components.datasets.splits import Splits
from components.datasets.store import Dataset
from components.evaluation import bootstrap, situation
from components.recipes.mipd import certainty
from components.recipes.protocol import Report, Stage

SLICES = ("seen", "common", "rare", "unseen")
PROTOCOL = {
    "names of unseen verbs": "never in training; known as text when the penalty is chosen, and at test",
    "images of unseen verbs": "never in training or tuning",
    "boxes and rationales of unseen verbs": "never in training or tuning",
    "verb given": "only in the columns that say so (true verb given)",
    "candidates at test": "all seen and unseen verbs together; 'among unseen' ('among seen'): those names alone",
    "tuning": "penalty, confidences, bar of abstention: on held-out images of seen verbs and of pseudo-unseen verbs",
}


def protocol(dataset: Dataset, splits: Splits, stage: Stage) -> dict[str, str]:
    """Under which conditions figures came about: what of unseen verbs was known, on which data, at what cost."""
    training, calibrated = stage.config.distil, stage.config.evaluate.calibrate
    return PROTOCOL | ({} if calibrated else {"tuning": "none: seen verbs pay no penalty"}) | {
        "data": f"{dataset.name}, version {dataset.version[:12]}; splits {splits.sha256[:12]}",
        "seed": str(stage.seed),
        "budget": f"{len(splits.train):,} training images, {training.epochs} epochs in batches of "
                  f"{training.batch_size}",
    }


def groups(splits: Splits) -> dict[str, set[str]]:
    """Verbs of each slice; "seen" is common and rare together."""
    verbs = {name: set(names) for name, names in splits.verbs.items()}
    return {
        "seen": verbs["common"] | verbs["rare"],
        "common": verbs["common"],
        "rare": verbs["rare"],
        "unseen": verbs["unseen"],
    }


def score(predictions: Sequence[dict[str, Any]], stage: Stage, split: str) -> Report:
    """See `components.recipes.protocol.Recipe.score`."""
    dataset, splits = Dataset(stage.dataset), Splits.load(stage.splits)
    settings = stage.config.evaluate
    truth = {s.name: s.annotation for s in dataset.samples(getattr(splits, split), images=False) if s.annotation}
    if not truth:  # unlabelled images: there is nothing to score, and so nothing that could be promoted
        return Report({}, {}, {}, protocol(dataset, splits, stage))
    predictions = [p for p in predictions if p["image"] in truth]
    scores = situation.score(predictions, truth, dataset.space, convention=settings.convention, average="verb")
    of = {p["image"]: p for p in predictions}
    verbs = groups(splits)
    masks = {name: np.isin(scores.verbs, list(verbs[name])) for name in SLICES}
    metrics: dict[str, float] = {}
    intervals: dict[str, list[float]] = {}

    def record(name: str, values: np.ndarray, of_verbs: np.ndarray) -> None:
        mean, *bounds = bootstrap.interval(values, groups=of_verbs, n=settings.bootstrap)
        metrics[name], intervals[name] = float(mean), [float(b) for b in bounds]

    for name, mask in masks.items():
        if mask.any():
            for number in situation.NUMBERS:
                record(f"{name}.{number}", scores.values(number)[mask], scores.verbs[mask])
            record_roles(metrics, name, scores.select(mask))
    for name in ("seen", "unseen"):
        if masks[name].any():
            pairs = zip(np.array(scores.images)[masks[name]], scores.verbs[masks[name]], strict=True)
            hits = np.array([float(of[i][f"among_{name}"][:1] == [v]) for i, v in pairs])
            record(f"{name}.among_{name}_top1", hits, scores.verbs[masks[name]])
    if masks["seen"].any() and masks["unseen"].any():
        sides = [scores.values("top1_verb")[masks[s]] for s in ("seen", "unseen")]
        kinds = [scores.verbs[masks[s]] for s in ("seen", "unseen")]
        mean, *bounds = bootstrap.harmonic_interval(
            *sides, seen_groups=kinds[0], unseen_groups=kinds[1], n=settings.bootstrap
        )
        metrics["harmonic"], intervals["harmonic"] = float(mean), [float(b) for b in bounds]
    held, told = certainty.measure(predictions, scores, truth, {name: masks[name] for name in ("seen", "unseen")})
    metrics |= held
    per_sample = {
        number: dict(zip(scores.images, scores.values(number).tolist(), strict=True))
        for number in ("top1_verb", "top1_value", "top1_grnd_value")
    }
    for name, mask in masks.items():
        per_sample[f"{name}.top1_verb"] = {i: per_sample["top1_verb"][i] for i in np.array(scores.images)[mask]}
    if "harmonic" in metrics:  # no image has a harmonic mean of its own: its two halves are compared
        per_sample |= {f"harmonic.{side}": per_sample[f"{side}.top1_verb"] for side in ("seen", "unseen")}
    drawn = tables(scores, of, splits) | told
    return Report(metrics, intervals, per_sample, protocol(dataset, splits, stage), drawn)


def record_roles(metrics: dict[str, float], name: str, scores: situation.SituationScores) -> None:
    """Nouns and boxes of each role with the true verb given; tools and items together are what is hard."""
    by_role = situation.role_accuracy(scores)
    for role, found in by_role.items():
        metrics[f"{name}.noun.{role}"] = found["noun"]
        if found["grounded"]:
            metrics[f"{name}.box.{role}"] = found["box"]
    small = np.isin(scores.roles.role, ("tool", "item")) & ~np.isnan(scores.roles.box)
    if small.any():
        metrics[f"{name}.box.tool_and_item"] = float(scores.roles.box[small].mean())


def tables(
    scores: situation.SituationScores, predictions: dict[str, dict], splits: Splits
) -> dict[str, Any]:
    """What plots are drawn from."""
    right = scores.values("top1_verb")
    per_verb = {
        str(v): {
            "group": splits.group(v),
            "top1": float(right[scores.verbs == v].mean()),
            "count": int((scores.verbs == v).sum()),
        }
        for v in np.unique(scores.verbs)
    }
    return {
        "labels": per_verb,
        "confusion": {"truth": scores.verbs.tolist(), "predicted": [predictions[i]["verbs"][0] for i in scores.images]},
        "reliability": {
            "images": list(scores.images),
            "confidence": [predictions[i]["scores"][0] for i in scores.images],
            "right": right.tolist(),
        },
    }
