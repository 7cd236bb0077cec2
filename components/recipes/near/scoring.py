"""Scores the names of held-out images against their true classes: by assignment, by meaning, by information.

The true classes are met here and nowhere else.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from components.datasets.names.spelling import normalise
from components.datasets.splits import Splits
from components.datasets.store import Dataset
from components.encoders import text
from components.evaluation import bootstrap, clustering
from components.evaluation.calibration import reliability
from components.recipes.protocol import Report, Stage

PROTOCOL = {
    "names of classes": "known to nobody; the vocabulary is what the teacher called the training images",
    "true classes": "met only in scoring",
    "teacher at test": "never asked by the student",
    "cluster accuracy": "names and classes assigned one to one so that most test images are right",
    "semantic accuracy": "mean cosine of the name and the true one as all-MiniLM-L6-v2 sees them, raw",
}
ENCODER = "all-MiniLM-L6-v2"
SLICES = ("common", "rare")


def measured(images: Sequence[str], names: Sequence[str], classes: Sequence[str]) -> clustering.NameScores:
    """All measures of names against true class names."""
    return clustering.score(images, names, classes, encode=text.raw, encoder=ENCODER)


def score(predictions: Sequence[dict[str, Any]], stage: Stage, split: str) -> Report:
    """See `components.recipes.protocol.Recipe.score`."""
    dataset, splits = Dataset(stage.dataset), Splits.load(stage.splits)
    judged = [p for p in predictions if dataset.labels[p["id"]]]
    if not judged:  # unlabelled images: there is nothing to score, and so nothing that could be promoted
        return Report({}, {}, {}, PROTOCOL)
    images, names = [p["image"] for p in judged], [p["names"][0] for p in judged]
    classes = [dataset.labels[p["id"]] for p in judged]
    found = measured(images, names, classes)
    groups = np.array([splits.group(c) for c in classes])
    metrics, intervals, per_sample = dict(found.numbers), {}, {}
    each = np.array(classes)
    masks = {"": np.ones(len(each), bool)} | {f"{g}.": groups == g for g in SLICES}
    for metric, values in found.per_image.items():
        for name, mask in masks.items():
            if mask.any():
                mean, *bounds = bootstrap.interval(values[mask], groups=each[mask] if name else None,
                                                   n=stage.config.evaluate.bootstrap)
                metrics[name + metric], intervals[name + metric] = float(mean), [float(b) for b in bounds]
                per_sample[name + metric] = {i: float(v) for i, v, m in zip(images, values, mask, strict=True) if m}
    right = found.per_image["cluster_accuracy"]
    confidence = np.array([p["scores"][0] for p in judged])
    metrics["calibration_error"] = reliability(confidence, right).ece
    assigned = clustering.assignment([normalise(n) for n in names], classes)
    tables = {
        "labels": {str(c): {"group": splits.group(c), "top1": float(right[each == c].mean()),
                            "count": int((each == c).sum())} for c in np.unique(each)},
        "confusion": {"truth": classes, "predicted": [assigned.get(normalise(n), "no species") for n in names]},
        "reliability": {"images": images, "confidence": confidence.tolist(), "right": right.tolist()},
    }
    return Report(metrics, intervals, per_sample, PROTOCOL, tables)
