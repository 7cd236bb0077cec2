"""The released MIPD as the pipeline sees it: questions, scores, gates and bundle of `mipd`, its own alignment and
student."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from components.recipes.mipd.recipe import Mipd
from components.recipes.mipd_released.config import Config, Distil
from components.recipes.protocol import ExportSpec, Stage
from components.teachers.protocol import Teacher


class MipdReleased(Mipd):
    """See `components.recipes.mipd_released.config.Faults` for what was mended."""

    name = "mipd-released"
    task = "components.recipes.mipd_released.task:build"

    def config(self, *, fast: bool = False) -> Config:
        ours = super().config(fast=fast)
        shared = {name: getattr(ours, name) for name in ("draw", "ask", "spend", "evaluate", "bars")}
        return Config(**shared, distil=dataclasses.replace(Distil(), epochs=ours.distil.epochs))

    def align(self, stage: Stage, teacher: Teacher, out: Path) -> dict[str, float]:
        from components.recipes.mipd_released.targets import align

        return align(stage, teacher, out)

    def predict(self, student: Path, stage: Stage, split: str) -> Iterator[dict[str, Any]]:
        from components.recipes.mipd.inference import predict
        from components.recipes.mipd_released.inference import Runner

        return predict(Runner(student, stage), split)

    def export(self, student: Path, stage: Stage) -> ExportSpec:
        from components.recipes.mipd.shipping import export
        from components.recipes.mipd_released.inference import Runner

        return export(Runner(student, stage))
