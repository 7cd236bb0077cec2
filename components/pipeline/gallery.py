"""What a stakeholder looks at: bars, confusion and calibration drawn from predictions, and predictions on images."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from components.datasets.images import load_image
from components.datasets.splits import Splits
from components.datasets.store import Dataset
from components.evaluation import pictures, plots
from components.evaluation.calibration import reliability
from components.pipeline import evaluation
from components.pipeline.plan import Plan
from components.pipeline.steps import step

GROUP = {"common": "seen", "rare": "rare", "unseen": "unseen"}
SHOWN = 6  # right and wrong predictions, each
TITLES = {"headline.png": "Seen, rare and unseen", "verbs.png": "Verb by verb",
          "confusion.png": "Which verb is taken for which", "calibration.png": "Is the confidence honest?",
          "right.jpg": "Right", "wrong.jpg": "Wrong", "unjudged.jpg": "What it sees in unlabelled images"}


def draw(plan: Plan, run: str, dataset: str, splits: str, scores: Mapping[str, str], teacher: str) -> str:
    """The folder of plots and pictures; `scores` {variant: folder of its scores}, the last one is the student's."""
    data, made = Dataset(Path(dataset)), Splits.load(Path(splits) / "splits.json")
    with step(run, "plots and pictures") as here:
        def work(part: Path) -> None:
            kinds = {verb: kind for name, kind in GROUP.items() for verb in made.verbs[name]}
            by_variant = {variant: evaluation.predictions(folder) for variant, folder in scores.items()}
            student = list(by_variant)[-1]
            labelled = {v: [p for p in found if data.labels[p["id"]]] for v, found in by_variant.items()}
            if not labelled[student]:
                _pictures(data, by_variant[student], part / "unjudged.jpg")
                return
            by_variant = labelled
            plots.headline(evaluation.rows(scores, teacher), part / "headline.png")
            per_verb = {variant: _per_verb(found, data) for variant, found in by_variant.items()}
            plots.verb_bars(per_verb[student], kinds, part / "verbs.png", baseline=per_verb.get("labels-only"))
            verbs = sorted(set(kinds) | {p["verbs"][0] for p in by_variant[student]})
            at, matrix = {v: i for i, v in enumerate(verbs)}, np.zeros((len(verbs), len(verbs)))
            for one in by_variant[student]:
                matrix[at[data.labels[one["id"]]], at[one["verbs"][0]]] += 1
            plots.confusion(matrix, verbs, kinds, part / "confusion.png")
            bins = reliability(np.array([p["scores"][0] for p in by_variant[student]]),
                               np.array([_right(p, data) for p in by_variant[student]]))
            plots.reliability_diagram(bins, part / "calibration.png")
            for name, right in (("right.jpg", True), ("wrong.jpg", False)):
                _pictures(data, [p for p in by_variant[student] if _right(p, data) == right], part / name)

        inputs = {"scores": {k: Path(v).name for k, v in scores.items()}, "teacher": Path(teacher).name}
        path = here.produce(inputs, work, "components.evaluation", "components.pipeline.gallery")
        here.run.log_folder(path, "pictures")
        here.says(f"{sum(1 for p in path.iterdir() if p.name in TITLES)} pictures")
    return str(path)


def _right(prediction: Mapping[str, Any], data: Dataset) -> bool:
    return prediction["verbs"][0] == data.labels[prediction["id"]]


def _per_verb(found: list[dict[str, Any]], data: Dataset) -> dict[str, float]:
    hits: dict[str, list[bool]] = {}
    for one in found:
        hits.setdefault(data.labels[one["id"]], []).append(_right(one, data))
    return {verb: float(np.mean(values)) for verb, values in hits.items()}


def _pictures(data: Dataset, found: list[dict[str, Any]], out: Path) -> None:
    """Some predictions, evenly over the split, drawn on their images; no file where there is none."""
    if not found:
        return
    chosen = [found[i] for i in np.linspace(0, len(found) - 1, min(SHOWN, len(found))).astype(int)]
    names = {synset: entry["gloss"][0] for synset, entry in data.space["nouns"].items()}
    items = []
    for one in chosen:
        sample = data.get(one["id"])
        items.append(pictures.overlay(load_image(sample.image, sample.name), one, sample.annotation, names))
    pictures.gallery(items, 2).convert("RGB").save(out, quality=88)
