"""The teacher's own pair accuracy on a split, as what a student is compared with."""

from collections.abc import Iterable

import numpy as np

from components.datasets.pairs.wording import spoken
from components.datasets.splits import Splits
from components.datasets.store import Dataset
from components.evaluation.situation import harmonic
from components.recipes.pictures import view
from components.recipes.protocol import Stage
from components.teachers.protocol import Teacher

BATCH = 64


def texts(labels: Iterable[str]) -> list[str]:
    """Pairs as they are put to a teacher."""
    return [f"a {' '.join(map(spoken, label.split()))}" for label in labels]


def reference(teacher: Teacher, stage: Stage, split: str) -> dict[str, float]:
    """Top-1 of the teacher on seen and unseen pairs when those of training and test compete. May raise NotOffered."""
    dataset, splits = Dataset(stage.dataset), Splits.load(stage.splits)
    ids = [i for i in getattr(splits, split) if dataset.labels[i]]
    names = candidates(splits)
    views = [view(dataset, i) for i in ids]
    best = [int(row) for start in range(0, len(views), BATCH)
            for row in teacher.score(views[start:start + BATCH], texts(names)).argmax(1)]
    right = np.array([names[b] == dataset.labels[i] for b, i in zip(best, ids, strict=True)], float)
    unseen = np.isin([dataset.labels[i] for i in ids], splits.verbs["unseen"])
    sides = {"seen": right[~unseen], "unseen": right[unseen]}
    out = {f"{side}.top1": float(values.mean()) for side, values in sides.items() if len(values)}
    return out | ({"harmonic": harmonic(*out.values())} if len(out) == 2 else {})


def candidates(splits: Splits) -> list[str]:
    """The pairs of training and of test."""
    return sorted(label for group, labels in splits.verbs.items() if group != "pseudo_unseen" for label in labels)
