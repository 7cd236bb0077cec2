"""Students and teacher on held-out images: predictions, their gate, scores with intervals, plots and pictures."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components import recipes
from components.base.artifacts import write_bytes, write_json
from components.datasets.splits import Splits
from components.datasets.store import Dataset
from components.pipeline import ingestion
from components.pipeline.plan import Plan
from components.pipeline.steps import recipe_code, stage_of, step
from components.pipeline.teaching import metered
from components.recipes.protocol import Report
from components.teachers.protocol import NotOffered

SPLIT = "test"


def predict(plan: Plan, run: str, dataset: str, splits: str, student: str, variant: str) -> str:
    """The folder of predictions.jsonl and report.json of one student on the test split."""
    recipe = recipes.get(plan.recipe)
    stage = stage_of(plan, dataset, splits)
    total = len(Splits.load(stage.splits).test)
    with step(run, f"scores {variant}") as here:
        def work(part: Path) -> None:
            predictions = []
            for done, one in enumerate(recipe.predict(Path(student), stage, SPLIT), 1):
                predictions.append(one)
                here.line.advance(done, total)
            text = "".join(json.dumps(p, ensure_ascii=False) + "\n" for p in predictions)
            write_bytes(part / "predictions.jsonl", text.encode())
            write_json(part / "report.json", dataclasses.asdict(recipe.score(predictions, stage, SPLIT)))

        inputs = {"student": Path(student).name, "splits": Path(splits).name, "settings": plan.groups("evaluate")}
        path = here.produce(inputs, work, *recipe_code(plan), "components.evaluation")
        found = report(path)
        here.run.log_metrics(found.metrics)
        here.run.log_figure(path / "report.json", "scores")
        here.run.set_tags({"mlflow.note.content": protocol_note(found)})
        here.run.log_dataset(Dataset(stage.dataset).name, Dataset(stage.dataset).version, context="evaluation")
        here.says(", ".join(f"{k} {100 * v:.1f}" for k, v in headline_of(plan, found).items()))
    return str(path)


def report(folder: str | Path) -> Report:
    """The report that was written into a folder of scores."""
    return Report(**json.loads((Path(folder) / "report.json").read_text("utf-8")))


def protocol_note(found: Report) -> str:
    """The protocol of a report as a Markdown list."""
    return "\n".join(f"- {question}: {answer}" for question, answer in found.protocol.items())


def predictions(folder: str | Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (Path(folder) / "predictions.jsonl").read_text("utf-8").splitlines()]


def headline_of(plan: Plan, found: Report) -> dict[str, float]:
    """The few figures that matter most to the recipe."""
    columns = recipes.get(plan.recipe).headline
    return {name: found.metrics[metric] for name, metric in columns.items() if metric in found.metrics}


def validate(plan: Plan, run: str, dataset: str, scores: str) -> str:
    """The folder of the predictions' quality result; raises PipelineError where an error-level check fails."""
    data = Dataset(Path(dataset))
    with step(run, "prediction gate") as here:
        def work(part: Path) -> None:
            from components.quality import frames, gate

            made = predictions(scores)
            sizes = {s.id: (s.width, s.height) for s in data.samples([p["id"] for p in made], images=False)}
            tables = frames.prediction_frame(made, data.space, sizes, recipes.get(plan.recipe).labels)
            gate.check("predictions", tables, part)

        path = here.produce({"scores": Path(scores).name}, work, "components.quality")
        ingestion.finish_gate(here, path)
    return str(path)


def score_teacher(plan: Plan, run: str, dataset: str, splits: str, features: str) -> str:
    """The folder of teacher.json: the teacher's own label accuracy on the test split, {} where it gives no scores."""
    recipe, asked = recipes.get(plan.recipe), metered(plan, run, Dataset(Path(dataset)), features)
    with step(run, "scores teacher") as here:
        def work(part: Path) -> None:
            try:
                found = recipe.reference(asked, stage_of(plan, dataset, splits), SPLIT)
            except NotOffered:
                found = {}  # a recording, say: there is no ceiling to compare with
            write_json(part / "teacher.json", found)

        inputs = {"splits": Path(splits).name, "teacher": dataclasses.asdict(asked.identity), "eyes": asked.eyes}
        path = here.produce(inputs, work, *recipe_code(plan), "components.teachers")
        found = json.loads((path / "teacher.json").read_text())
        here.run.log_metrics(found)
        figures = [f"{k} {100 * found[m]:.1f}" for k, m in recipe.headline.items() if m in found]
        here.says(", ".join(figures) or "no scores of its own")
    return str(path)


def scores_of(made: Mapping[str, str]) -> dict[str, str]:
    """{student: folder of its scores}, the distilled one last."""
    return {name.removeprefix("scores_"): folder for name, folder in made.items() if name.startswith("scores_")}


def rows(plan: Plan, scores: Mapping[str, str], teacher_scores: str) -> dict[str, dict[str, list[float]]]:
    """{model: {column of the headline: [mean, low, high]}} of every student, [mean] of the teacher."""
    columns, out = recipes.get(plan.recipe).headline, {}
    for variant, folder in scores.items():
        found = report(folder)
        out[variant] = {name: [value, *found.intervals.get(columns[name], ())]
                        for name, value in headline_of(plan, found).items()}
    found = json.loads((Path(teacher_scores) / "teacher.json").read_text())
    return out | {"teacher": {name: [found[metric]] for name, metric in columns.items() if metric in found}}
