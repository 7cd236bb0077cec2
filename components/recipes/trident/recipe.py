"""TRIDENT as the pipeline sees it: the steps of `components.recipes.protocol.Recipe`."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from components.datasets.pairs.pairing import PairsSpec
from components.datasets.schema import Sample
from components.datasets.splits import Splits
from components.datasets.store import Dataset
from components.recipes.common import Common
from components.recipes.protocol import (
    DRAWN,
    Baseline,
    Gates,
    Progress,
    Record,
    Rejection,
    Source,
)
from components.recipes.settings import FAST_EDGE
from components.recipes.trident import looks
from components.recipes.trident.config import Config
from components.teachers import choice
from components.teachers.judge import Statement
from components.teachers.protocol import Answer, Question


class Trident(Common):
    """Attribute-object pairs; heavy imports wait until a step needs them."""

    name = "trident"
    world = "pairs"
    teacher = DRAWN
    labels, label = "pairs", "pair"
    measure = "Share of test images whose pair is right at the bias chosen on validation; AUC over all biases"
    headline = {"seen": "seen.top1", "unseen": "unseen.top1", "harmonic": "harmonic", "AUC": "auc"}
    suite = "short"

    def config(self, *, fast: bool = False) -> Config:
        if not fast:
            return Config()
        whole = Config()
        return dataclasses.replace(
            whole, draw=PairsSpec(train=300, val=60, test=60),
            student=dataclasses.replace(whole.student, width=64),
            distil=dataclasses.replace(whole.distil, epochs=4, batch_size=32),
            evaluate=dataclasses.replace(whole.evaluate, bootstrap=200),
            edge=FAST_EDGE, bars=dataclasses.replace(whole.bars, auc=0.01))

    def draw(self, config: Config, out: Path, progress: Progress) -> None:
        from components.datasets.pairs.drawn import draw_pairs

        draw_pairs(out, config.draw, progress=progress)

    def ingest(self, source: Source, out: Path, progress: Progress) -> Sequence[str]:
        """A folder in the published layout (`components.datasets.pairs.layout`), which names its own pairs and sets."""
        from components.datasets.pairs.layout import ingest

        return ingest(source.folder, out, progress)

    def split(self, dataset: Dataset, config: Config, seed: int, drawn: bool) -> Splits:
        from components.datasets.pairs.splitting import split

        return split(dataset, seed)

    def questions(self, sample: Sample, config: Config) -> list[Question]:
        return looks.questions(sample, config.ask.version)

    def statement(self, question: Question, answer: Answer) -> Statement | str:
        return looks.statement(answer)

    def repair(self, question: Question, answer: Answer, mended: Statement) -> Answer:
        return looks.repaired(answer)

    def accept(self, sample: Sample, answers: Sequence[Answer], config: Config) -> Record | Rejection:
        return looks.accept(sample, answers)

    def quality_rows(self, record: Record, label: str) -> list[dict[str, Any]]:
        return looks.rows(record)

    def baselines(self, config: Config) -> dict[str, Baseline]:
        """The same student without a teacher: no auxiliary words, and word states of the text encoder."""
        return {"labels-only": Baseline(config)}

    def compared_by(self, splits: Splits) -> Question:
        from components.recipes.trident.reference import candidates, texts

        return choice.question(texts(candidates(splits)))

    def gates(self, config: Config) -> Gates:
        bars = config.bars
        return Gates(
            headline="auc", minimum={"auc": bars.auc}, protected={"unseen.top1": bars.unseen_margin},
            budgets=bars.budgets())
