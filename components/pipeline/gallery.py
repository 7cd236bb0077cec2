"""What a stakeholder looks at: bars, confusion and calibration drawn from the scores, and predictions on images."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from components import recipes
from components.datasets.images import load_image
from components.datasets.store import Dataset
from components.evaluation import pictures, plots
from components.evaluation.calibration import reliability
from components.pipeline import evaluation
from components.pipeline.plan import Plan
from components.pipeline.steps import step
from components.recipes.protocol import Recipe

GROUP = {"common": "seen"}  # what a group of labels is called where it is shown
SHOWN = 6  # right and wrong predictions, each


def titles(recipe: Recipe) -> dict[str, str]:
    """{file: its title} of everything that may be drawn, in the order in which it is shown."""
    one = recipe.label
    return {"headline.png": ", ".join(recipe.headline).capitalize(), "labels.png": f"{one.capitalize()} by {one}",
            "confusion.png": f"Which {one} is taken for which", "calibration.png": "Is the confidence honest?",
            "right.jpg": "Right", "wrong.jpg": "Wrong", "unjudged.jpg": "What it sees in unlabelled images"}


def draw(plan: Plan, run: str, dataset: str, scores: Mapping[str, str], teacher: str) -> str:
    """The folder of plots and pictures; `scores` {variant: folder of its scores}, the last one is the student's."""
    data, recipe = Dataset(Path(dataset)), recipes.get(plan.recipe)
    with step(run, "plots and pictures") as here:
        def work(part: Path) -> None:
            tables = {variant: evaluation.report(folder).tables for variant, folder in scores.items()}
            student = list(tables)[-1]
            made = evaluation.predictions(scores[student])
            if not tables[student]:
                _pictures(recipe, data, made, part / "unjudged.jpg")
                return
            rows = {model: row for model, row in evaluation.rows(plan, scores, teacher).items() if row}
            plots.headline(rows, part / "headline.png", title=recipe.measure)
            _plots(recipe, tables, part)
            judged = tables[student]["reliability"]
            right = dict(zip(judged["images"], judged["right"], strict=True))
            notes = {label: f"{kind} {recipe.label}" for label, kind in _kinds(tables[student]).items()}
            notes = notes if len(set(notes.values())) > 1 else {}
            for name, wanted in (("right.jpg", True), ("wrong.jpg", False)):
                chosen = [p for p in made if p["image"] in right and bool(right[p["image"]]) == wanted]
                _pictures(recipe, data, chosen, part / name, wanted, notes)

        inputs = {"scores": {k: Path(v).name for k, v in scores.items()}, "teacher": Path(teacher).name}
        path = here.produce(inputs, work, "components.evaluation", "components.pipeline.gallery")
        here.run.log_folder(path, "pictures")
        here.says(f"{sum(1 for p in path.iterdir() if p.name in titles(recipe))} pictures")
    return str(path)


def _kinds(tables: Mapping[str, Any]) -> dict[str, str]:
    """{label: what the method knew of it: "seen", "rare", "unseen"}."""
    return {label: GROUP.get(found["group"], found["group"]) for label, found in tables["labels"].items()}


def _plots(recipe: Recipe, tables: Mapping[str, Mapping[str, Any]], out: Path) -> None:
    """Each label's accuracy beside the first baseline's, which label is taken for which, and calibration."""
    (first, *_), student = tables, list(tables)[-1]
    of = tables[student]
    kinds = _kinds(of)
    top1 = {name: {label: found["top1"] for label, found in tables[name]["labels"].items()}
            for name in (first, student)}
    plots.verb_bars(top1[student], kinds, out / "labels.png", title=f"Accuracy per {recipe.label}",
                    baseline=top1[first] if first != student else None, baseline_name=first)
    truth, predicted = of["confusion"]["truth"], of["confusion"]["predicted"]
    names = sorted({*kinds, *truth, *predicted})
    plots.confusion(plots.confusion_counts(truth, predicted, names), names, kinds, out / "confusion.png",
                    title=titles(recipe)["confusion.png"])
    judged = of["reliability"]
    plots.reliability_diagram(reliability(np.array(judged["confidence"]), np.array(judged["right"])),
                              out / "calibration.png")


def _pictures(recipe: Recipe, data: Dataset, found: Sequence[Mapping[str, Any]], out: Path,
              right: bool | None = None, notes: Mapping[str, str] | None = None) -> None:
    """Some predictions, evenly over the split, drawn on their images; `notes` {true label: what is said of it}. No file
    where there is none."""
    if not found:
        return
    chosen = [found[i] for i in np.linspace(0, len(found) - 1, min(SHOWN, len(found))).astype(int)]
    names = {synset: entry["gloss"][0] for synset, entry in (data.space or {"nouns": {}})["nouns"].items()}
    items = []
    for one in chosen:
        sample = data.get(one["id"])
        truth = sample.annotation or ({recipe.label: sample.label, "frames": []} if sample.label else None)
        items.append(pictures.overlay(load_image(sample.image, sample.name), one, truth, names,
                                      kind=(recipe.labels, recipe.label), right=right,
                                      note=(notes or {}).get((truth or {}).get(recipe.label), "")))
    pictures.gallery(items, 2).convert("RGB").save(out, quality=88)
