"""NeaR as the pipeline sees it: the steps of `components.recipes.protocol.Recipe`."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from components.datasets.schema import Sample
from components.datasets.splits import Splits, SplitSpec
from components.datasets.store import Dataset
from components.recipes.common import Common
from components.recipes.near import naming
from components.recipes.near.config import Config
from components.recipes.near.methods import Method
from components.recipes.protocol import (
    DRAWN,
    Baseline,
    Gates,
    Progress,
    Record,
    Rejection,
    Source,
    Stage,
)
from components.recipes.settings import FAST_EDGE
from components.teachers.judge import Statement
from components.teachers.protocol import Answer, Question


class Near(Common):
    """Names without a vocabulary; heavy imports wait until a step needs them."""

    name = "near"
    world = "birds"
    teacher = DRAWN
    labels, label = "names", "species"
    measure = "Agreement of names with true classes on test images, names and classes assigned one to one"
    headline = {"clusters": "cluster_accuracy", "rare": "rare.cluster_accuracy", "meaning": "semantic_accuracy",
                "NMI": "nmi", "ARI": "ari"}
    suite = "short"
    blind = True

    def config(self, *, fast: bool = False) -> Config:
        if not fast:
            return Config()
        whole = Config()
        return dataclasses.replace(
            whole, draw=dataclasses.replace(whole.draw, each=5, few=4),
            distil=dataclasses.replace(whole.distil, epochs=15),
            evaluate=dataclasses.replace(whole.evaluate, test=2, bootstrap=200),
            edge=FAST_EDGE, bars=dataclasses.replace(whole.bars, clusters=0.1))

    def draw(self, config: Config, out: Path, progress: Progress) -> None:
        from components.datasets.species.world import draw_dataset

        draw_dataset(out, config.draw, progress=progress)

    def ingest(self, source: Source, out: Path, progress: Progress) -> Sequence[str]:
        """A folder of images; `annotations`, if there are any, are JSON lines that name each image's true class."""
        from components.datasets.ingest import ingest_classes

        return ingest_classes(source.folder, out, source.annotations, progress=progress).warnings

    def split(self, dataset: Dataset, config: Config, seed: int, drawn: bool) -> SplitSpec:
        from components.datasets.species.catalogue import RARE

        if drawn:
            return SplitSpec(seed, (), (), RARE, dev=0, test=config.evaluate.test)
        return SplitSpec(seed, (), (), dev=0, test=0.2)

    def questions(self, sample: Sample, config: Config) -> list[Question]:
        return naming.questions(sample, config.ask.version, config.ask.share)

    def statement(self, question: Question, answer: Answer) -> Statement | str:
        return naming.statement(answer)

    def repair(self, question: Question, answer: Answer, mended: Statement) -> Answer:
        return naming.repaired(answer)

    def accept(self, sample: Sample, answers: Sequence[Answer], config: Config) -> Record | Rejection:
        return naming.accept(sample, answers)

    def quality_rows(self, record: Record, label: str) -> list[dict[str, Any]]:
        return naming.rows(record)

    def arguments(self, stage: Stage) -> dict[str, Any]:
        """Features and the teacher's names only: labels do not come near training."""
        from components.encoders.cache import dataset_features

        return {"features": str(dataset_features(stage.dataset)), "targets": str(stage.targets)}

    def baselines(self, config: Config) -> dict[str, Baseline]:
        """The same student on the teacher's names as they are; the other baselines are `distil.method.name`."""
        plain = dataclasses.replace(config.distil, method=Method("plain"))
        return {"plain": Baseline(dataclasses.replace(config, distil=plain), taught=True)}

    def compared_by(self, splits: Splits) -> None:
        """A paid teacher is not asked about test images."""

    def right(self, predicted: Sequence[str], truth: Sequence[str | None]) -> float:
        from components.evaluation.clustering import cluster_accuracy

        pairs = [(a, b) for a, b in zip(predicted, truth, strict=True) if b]
        return cluster_accuracy(*zip(*pairs, strict=True)) if pairs else 0.0

    def gates(self, config: Config) -> Gates:
        bars = config.bars
        return Gates(
            headline="cluster_accuracy", minimum={"cluster_accuracy": bars.clusters},
            protected={"rare.cluster_accuracy": bars.rare_margin},
            budgets=bars.budgets())
