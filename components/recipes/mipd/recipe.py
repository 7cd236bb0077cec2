"""MIPD as the pipeline sees it: the five steps of `components.recipes.protocol.Recipe`."""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from components.datasets.scenes.spec import DrawSpec
from components.datasets.schema import Sample
from components.datasets.splits import Splits, SplitSpec, scenes_spec
from components.datasets.store import Dataset
from components.recipes.common import Common
from components.recipes.mipd import rationales
from components.recipes.mipd.config import Align, Config, Distil
from components.recipes.protocol import (
    Baseline,
    ExportSpec,
    Gates,
    Progress,
    Record,
    Rejection,
    Source,
    Stage,
)
from components.recipes.settings import FAST_EDGE
from components.teachers import choice
from components.teachers.judge import Statement
from components.teachers.protocol import Answer, Question


class Mipd(Common):
    """Open-vocabulary situations; heavy imports wait until a step needs them."""

    name = "mipd"
    world = "scenes"
    teacher = "embedded"
    labels, label = "verbs", "verb"
    measure = "Share of test images whose verb is right, all names competing"
    headline = {
        "seen": "seen.top1_verb",
        "rare": "rare.top1_verb",
        "unseen": "unseen.top1_verb",
        "harmonic": "harmonic",
    }
    suite = "rationales"

    def config(self, *, fast: bool = False) -> Config:
        if not fast:
            return Config()
        return Config(
            draw=DrawSpec(total_train=220, dev_per_verb=1, test_per_verb=1, pseudo_per_verb=3, unseen_per_verb=3),
            align=Align(steps=30, composites=2),
            distil=Distil(epochs=2),
            evaluate=dataclasses.replace(Config().evaluate, bootstrap=200),
            edge=FAST_EDGE,
            bars=dataclasses.replace(Config().bars, harmonic=0.05),
        )

    def draw(self, config: Config, out: Path, progress: Progress) -> None:
        from components.datasets.draw import draw_scenes

        draw_scenes(out, config.draw, progress=progress)

    def ingest(self, source: Source, out: Path, progress: Progress) -> Sequence[str]:
        from components.datasets.ingest import ingest

        return ingest(source.folder, out, source.annotations, source.space, progress=progress).warnings

    def split(self, dataset: Dataset, config: Config, seed: int, drawn: bool) -> SplitSpec:
        return scenes_spec(seed, config.draw.dev_per_verb, config.draw.test_per_verb) if drawn else SplitSpec(seed)

    def questions(self, sample: Sample, config: Config) -> list[Question]:
        return rationales.questions(sample, config.ask.version, config.ask.gaze)

    def statement(self, question: Question, answer: Answer) -> Statement | str:
        return rationales.statement(question, answer)

    def repair(self, question: Question, answer: Answer, mended: Statement) -> Answer:
        return rationales.repaired(question, answer, mended)

    def accept(self, sample: Sample, answers: Sequence[Answer], config: Config) -> Record | Rejection:
        return rationales.accept(sample, answers)

    def quality_rows(self, record: Record, label: str) -> list[dict[str, Any]]:
        return rationales.rows(record, label)

    def arguments(self, stage: Stage) -> dict[str, Any]:
        from components.encoders.cache import dataset_features

        given = super().arguments(stage)
        return given | {"features": str(dataset_features(stage.dataset, encoder=stage.config.encoder.image)),
                        "targets": given["targets"] if stage.config.distil.teacher else None}

    def baselines(self, config: Config) -> dict[str, Baseline]:
        """The same student, data and budget without a teacher."""
        return {"labels-only": Baseline(dataclasses.replace(config, distil=config.distil.untaught()))}

    def compared_by(self, splits: Splits) -> Question:
        return choice.question([verb for verbs in splits.verbs.values() for verb in verbs])

    def predict(self, student: Path, stage: Stage, split: str) -> Iterator[dict[str, Any]]:
        from components.recipes.mipd.inference import predict

        return predict(self.module("inference").Runner(student, stage), split)

    def export(self, student: Path, stage: Stage) -> ExportSpec:
        from components.recipes.mipd.shipping import export

        return export(self.module("inference").Runner(student, stage))

    def gates(self, config: Config) -> Gates:
        bars = config.bars
        return Gates(
            headline="harmonic",
            minimum={"harmonic": bars.harmonic},
            protected={"unseen.top1_verb": bars.unseen_margin, "rare.top1_verb": bars.rare_margin},
            budgets=bars.budgets(),
            per_source={"top1_verb": bars.source_margin},
        )
