"""Targets to a student, trained by DeepSpeed under torchrun; and the baselines that it is compared with."""

import os
import threading
from pathlib import Path
from typing import Any

from components import recipes
from components.base.config import as_dict
from components.datasets.store import Dataset
from components.pipeline.plan import Plan
from components.pipeline.steps import encoders, recipe_code, stage_of, step
from components.recipes.protocol import Baseline
from components.training import launch

STUDENT = "distilled"

stopping = threading.Event()  # set, it ends all training of this process


def variants(plan: Plan, dataset: str) -> tuple[str, ...]:
    """Which students to train, the distilled one last; without labels there is nothing to compare it by."""
    labelled = any(Dataset(Path(dataset)).labels.values())
    return (*(recipes.get(plan.recipe).baselines(plan.config()) if labelled else ()), STUDENT)


def side_by_side(plan: Plan, students: int) -> int:
    """How many of the students to train at once. Small steps gain little from a second core, so two students on a core
    each are done sooner than one after the other on both; a GPU is given to one at a time.
    """
    return min(students, os.cpu_count() or 1) if plan.config().distil.device == "cpu" else 1


def distil(plan: Plan, run: str, dataset: str, splits: str, targets: str, variant: str, at_once: int = 1) -> str:
    """The folder of student.safetensors and config.json of a variant, trained under the same budget as the other.

    `at_once` students share the processor's cores.
    """
    recipe = recipes.get(plan.recipe)
    of = (recipe.baselines(plan.config()) | {STUDENT: Baseline(plan.config(), taught=True)})[variant]
    config, stage = of.config, stage_of(plan, dataset, splits, targets=targets if of.taught else None, config=of.config)
    with step(run, f"student {variant}") as here:
        def tell(event: dict[str, Any]) -> None:
            if event.get("event") == "step":
                here.line.advance(event["step"] + 1, event["steps"], f"loss {event['loss']:.3f}")

        def work(part: Path) -> None:
            launch.train(recipe.training_task(stage), part, **launch_options(config), progress=tell,
                         threads=max(1, (os.cpu_count() or 1) // at_once), stop=stopping)

        settings = {name: group for name, group in as_dict(config).items() if name in ("student", "distil")}
        inputs = {"dataset": Dataset(Path(dataset)).version, "splits": Path(splits).name, "seed": plan.seed,
                  "encoders": encoders(config, "image", "text"),
                  "targets": stage.targets.name if stage.targets else None, "settings": settings}
        path = here.produce(inputs, work, *recipe_code(plan), "components.training", "components.encoders")
        steps = launch.history(path)
        here.run.log_history({e["step"]: {"loss": e["loss"], "learning_rate": e["lr"], **e.get("terms", {})}
                              for e in steps[:: max(1, len(steps) // 100)]})
        here.says(f"{len(steps):,} steps, loss {steps[-1]['loss']:.3f}")
    return str(path)


def launch_options(config: Any) -> dict[str, Any]:
    """How a recipe's settings want training started."""
    return {name: getattr(config.distil, name) for name in ("ranks", "zero", "precision", "device")}
