"""Rationales and the teacher's features to the targets of training."""

import json
from pathlib import Path

from components import recipes
from components.base.artifacts import write_json
from components.datasets.store import Dataset
from components.pipeline.plan import Plan
from components.pipeline.steps import encoders, recipe_code, stage_of, step
from components.pipeline.teaching import teacher


def align(plan: Plan, run: str, dataset: str, splits: str, features: str, rationales: str) -> str:
    """The folder of the targets."""
    recipe = recipes.get(plan.recipe)
    with step(run, "teacher alignment") as here:
        def work(part: Path) -> None:
            stage = stage_of(plan, dataset, splits, rationales=rationales)
            write_json(part / "figures.json", recipe.align(stage, teacher(plan.teacher, features), part))

        inputs = {"dataset": Dataset(Path(dataset)).version, "splits": Path(splits).name, "seed": plan.seed,
                  "rationales": Path(rationales).name, "eyes": teacher(plan.teacher, features).eyes,
                  "encoders": encoders(plan.config(), "text"), "settings": plan.groups("align")}
        path = here.produce(inputs, work, *recipe_code(plan), "components.encoders")
        figures = json.loads((path / "figures.json").read_text())
        here.run.log_metrics(figures)
        here.says(", ".join(f"{k} {v:.3f}" for k, v in list(figures.items())[:3]))
    return str(path)
