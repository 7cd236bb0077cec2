"""What recipes do alike: their steps are found in their folders by name, and training is told in one form.

A step is a function of the module that is named for it; a recipe that is built on another has the other's where its own
folder holds none. Modules are imported when a step is needed: the command line names recipes and imports no torch.
"""

import importlib
import importlib.util
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from components import recipes
from components.base.config import as_dict
from components.datasets.store import Dataset
from components.recipes.protocol import ExportSpec, Report, Stage
from components.teachers.protocol import Teacher


class Common:
    """The steps of `components.recipes.protocol.Recipe` that lie in a recipe's folder."""

    name: str
    blind = False

    def record(self, dataset: Dataset, config: Any, out: Path) -> None:
        self.module("recording").record(dataset, config, out)

    def align(self, stage: Stage, teacher: Teacher, out: Path) -> dict[str, float]:
        return self.module("targets").align(stage, teacher, out)

    def predict(self, student: Path, stage: Stage, split: str) -> Iterator[dict[str, Any]]:
        return self.module("inference").predict(student, stage, split)

    def score(self, predictions: Sequence[dict[str, Any]], stage: Stage, split: str) -> Report:
        return self.module("scoring").score(predictions, stage, split)

    def reference(self, teacher: Teacher, stage: Stage, split: str) -> dict[str, float]:
        return self.module("reference").reference(teacher, stage, split)

    def export(self, student: Path, stage: Stage) -> ExportSpec:
        return self.module("shipping").export(student, stage)

    def right(self, predicted: Sequence[str], truth: Sequence[str | None]) -> float:
        return sum(a == b for a, b in zip(predicted, truth, strict=True)) / max(1, len(truth))

    def training_task(self, stage: Stage) -> dict[str, Any]:
        settings = stage.config.distil
        return {
            "task": f"{self._find('task')}:build",
            "arguments": self.arguments(stage) | {"config": as_dict(stage.config), "seed": stage.seed},
            "optimizer": {"lr": settings.learning_rate, "weight_decay": settings.weight_decay, "warmup": 0.1,
                          "schedule": "onecycle", "clip": 1.0},
            "batch_size": settings.batch_size,
            "checkpoint_every": settings.checkpoint_every,
            "seed": stage.seed,
            "ema": settings.ema,
        }

    def arguments(self, stage: Stage) -> dict[str, Any]:
        """What the task is built from, beside settings and seed."""
        return {"dataset": str(stage.dataset), "splits": str(stage.splits),
                "targets": str(stage.targets) if stage.targets else None}

    def module(self, name: str) -> ModuleType:
        """A module of the recipe's folder, or of the recipe's that it is built on."""
        return importlib.import_module(self._find(name))

    def _find(self, name: str) -> str:
        known = (f"{package}.{name}" for package in recipes.packages(self.name))
        return next(module for module in known if importlib.util.find_spec(module))
