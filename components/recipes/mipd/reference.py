"""The teacher's own verb accuracy on a split, as the ceiling that a student is compared with."""

import numpy as np

from components.datasets.splits import Splits
from components.datasets.store import Dataset
from components.evaluation.situation import harmonic
from components.recipes.mipd.scoring import groups
from components.recipes.pictures import view
from components.recipes.protocol import Stage
from components.teachers.protocol import Teacher


def reference(teacher: Teacher, stage: Stage, split: str) -> dict[str, float]:
    """Top-1 of the teacher on seen, rare and unseen verbs when all names compete, asked with the verbs' names only."""
    dataset, splits = Dataset(stage.dataset), Splits.load(stage.splits)
    ids = [i for i in getattr(splits, split) if dataset.labels[i]]
    slices = groups(splits)
    names = sorted(slices["seen"] | slices["unseen"])
    if not names:
        return {}
    chosen = [names[i] for start in range(0, len(ids), 128)
              for i in teacher.score([view(dataset, i) for i in ids[start:start + 128]], names).argmax(1)]
    truth = np.array([dataset.labels[i] for i in ids])
    right = np.array(chosen) == truth
    out = {f"{name}.top1_verb": float(np.mean([right[truth == v].mean() for v in sorted(verbs & set(truth))]))
           for name, verbs in slices.items() if verbs & set(truth)}
    if {"seen.top1_verb", "unseen.top1_verb"} <= out.keys():
        out["harmonic"] = harmonic(out["seen.top1_verb"], out["unseen.top1_verb"])
    return out
