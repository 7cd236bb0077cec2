"""The teacher that a drawn world brings along: its answers, recorded once the world is drawn."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from components import recipes
from components.base.artifacts import code_version, produce
from components.datasets.store import Dataset
from components.pipeline.plan import Plan
from components.pipeline.steps import recipe_code
from components.recipes.protocol import DRAWN

FILE = "answers.jsonl"


def settle(plan: Plan, made: Mapping[str, str]) -> Plan:
    """The plan with a recording in place of DRAWN; `made` holds the dataset. Any other plan is as it was."""
    if plan.teacher != DRAWN:
        return plan
    data = Dataset(Path(made["dataset"]))
    inputs = {"dataset": data.version, "settings": plan.groups("draw", "ask"),
              "code": code_version(*recipe_code(plan), "components.datasets")}
    path, _ = produce("recording", inputs,
                      lambda part: recipes.get(plan.recipe).record(data, plan.config(), part / FILE))
    return dataclasses.replace(plan, teacher=f"recorded:{path / FILE}")
