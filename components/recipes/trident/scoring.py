"""Scores predicted pairs: the seen-unseen curve and its area, accuracy at the shipped bias, words, with intervals."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from components.datasets.splits import Splits
from components.datasets.store import Dataset
from components.evaluation import bootstrap, composition
from components.evaluation.calibration import reliability
from components.recipes.protocol import Report, Stage

PROTOCOL = {
    "images of unseen pairs": "never in training; of those of validation the constants are chosen, test is never seen",
    "names of unseen pairs": "known at test only; both words of each are in training",
    "candidates at test": "the pairs of test and of training; pairs of validation alone are no candidates",
    "curve": "exact: every bias at which an image turns; averages are per image; a tie is an error",
    "top1": "at the bias that was chosen on validation, the one that ships",
}


def score(predictions: Sequence[dict[str, Any]], stage: Stage, split: str) -> Report:
    """See `components.recipes.protocol.Recipe.score`. Images without a label have no score."""
    dataset, splits = Dataset(stage.dataset), Splits.load(stage.splits)
    labelled = [p for p in predictions if dataset.labels[p["id"]]]
    if not labelled:
        return Report({}, {}, {}, PROTOCOL)
    names = [p["image"] for p in labelled]
    truth = [dataset.labels[p["id"]] for p in labelled]
    words = dataset.space["pairs"]
    unseen = ~np.isin(truth, dataset.space["pair_sets"]["train"])
    rare = np.isin(truth, splits.verbs["rare"])
    hit = {"top1": [p["pairs"][0] == t for p, t in zip(labelled, truth, strict=True)]}
    for column, kind in enumerate(("attribute", "object")):
        hit[kind] = [words[p["pairs"][0]][column] == words[t][column] for p, t in zip(labelled, truth, strict=True)]
    right = {kind: np.array(values, float) for kind, values in hit.items()}
    metrics, intervals, per_sample = {}, {}, {}
    settings = stage.config.evaluate

    def record(name: str, values: np.ndarray, of: np.ndarray) -> None:
        if of.any():
            mean, *bounds = bootstrap.interval(values[of], n=settings.bootstrap)
            metrics[name], intervals[name] = float(mean), [float(b) for b in bounds]
            per_sample[name] = {n: float(v) for n, v, here in zip(names, values, of, strict=True) if here}

    everything = np.ones_like(unseen)
    for group, of in (("seen", ~unseen), ("unseen", unseen), ("rare", rare)):
        record(f"{group}.top1", right["top1"], of)
    for kind in ("attribute", "object", "top1"):
        record(f"all.{kind}", right[kind], everything)
    if unseen.any() and not unseen.all():
        mean, *bounds = bootstrap.harmonic_interval(right["top1"][~unseen], right["top1"][unseen], n=settings.bootstrap)
        metrics["harmonic"], intervals["harmonic"] = float(mean), [float(b) for b in bounds]
        steps = composition.Steps(ranked(labelled, truth, dataset), settings.mode)
        found = steps.curve().numbers()
        metrics |= {name: found[name] for name in composition.NUMBERS}
        intervals |= composition.intervals(steps, n=settings.bootstrap)
        per_sample["auc"] = dict(zip(names, composition.shares(steps).tolist(), strict=True))
    metrics["calibration_error"] = reliability(np.array([p["scores"][0] for p in labelled]), right["top1"]).ece
    selected = {p["selected_by"] for p in labelled}
    return Report(metrics, intervals, per_sample, PROTOCOL | {"selected by": ", ".join(sorted(selected))},
                  tables(labelled, truth, right["top1"], splits))


def tables(predictions: Sequence[dict[str, Any]], truth: Sequence[str], right: np.ndarray,
           splits: Splits) -> dict[str, Any]:
    """What plots are drawn from."""
    of = np.array(truth)
    return {
        "labels": {str(pair): {"group": splits.group(pair), "top1": float(right[of == pair].mean()),
                               "count": int((of == pair).sum())} for pair in np.unique(of)},
        "confusion": {"truth": list(truth), "predicted": [p["pairs"][0] for p in predictions]},
        "reliability": {"images": [p["image"] for p in predictions],
                        "confidence": [p["scores"][0] for p in predictions], "right": right.tolist()},
    }


def ranked(predictions: Sequence[dict[str, Any]], truth: Sequence[str], dataset: Dataset) -> composition.Ranked:
    """The curve's input, read back from predictions."""
    column = {name: i for i, name in enumerate(sorted(dataset.space["pairs"]))} | {"": -1}
    seen = set(dataset.space["pair_sets"]["train"])
    sides = {side: [p["curve"][side] for p in predictions] for side in ("seen", "unseen")}
    best = {side: (np.array([[value] for value, _ in of]), np.array([[column[name]] for _, name in of]))
            for side, of in sides.items()}
    return composition.Ranked(np.array([p["curve"]["truth"] for p in predictions]),
                              np.array([column[t] for t in truth]),
                              np.array([t not in seen for t in truth]), *best["seen"], *best["unseen"])
