"""A small drawn world of pairs with its splits, what a teacher said, and a student trained on it for a moment."""

import json
from pathlib import Path

from safetensors.torch import save_file

from components.base.artifacts import write_json
from components.datasets.pairs.answers import looks
from components.datasets.pairs.drawn import draw_pairs
from components.datasets.pairs.pairing import PairsSpec
from components.datasets.pairs.splitting import split
from components.recipes.protocol import Record, Stage
from components.recipes.trident import looks as asked
from components.recipes.trident.config import Architecture, Config, Distil
from components.recipes.trident.targets import align
from components.recipes.trident.task import TridentTask
from components.teachers.protocol import Answer
from components.teachers.sight import BorrowedSight
from components.training import plain

SPEC = PairsSpec(2, 120, 40, 44, 48)
CONFIG = Config(draw=SPEC, student=Architecture(width=32, local=3, glob=2), distil=Distil(epochs=3, batch_size=24))


class Words(BorrowedSight):
    """The frozen text encoder as what a teacher knows of words."""


def make(folder: Path, config: Config = CONFIG) -> Stage:
    """The world below a folder, with rationales and targets."""
    data = draw_pairs(folder / "dataset", SPEC, workers=1)
    splits = split(data, 2)
    splits.save(folder / "splits.json")
    (folder / "said").mkdir()
    with open(folder / "said" / "rationales.jsonl", "w") as lines:
        for sample in data.samples(splits.train, images=False):
            pair = data.space["pairs"][sample.label]
            record = asked.accept(sample, [Answer(json.dumps({"look": looks(sample, pair)}))])
            if isinstance(record, Record):
                lines.write(json.dumps({"sample": record.sample, "content": record.content}) + "\n")
    stage = Stage(folder / "dataset", folder / "splits.json", config, 2, folder / "said", folder / "targets")
    (folder / "targets").mkdir()
    align(stage, Words(), folder / "targets")
    return stage


def task(stage: Stage, config: Config) -> TridentTask:
    return TridentTask(stage.dataset, stage.splits, stage.targets, config, stage.seed)


def train(stage: Stage, config: Config, out: Path) -> tuple[Path, list[float]]:
    """The folder of a trained student, and its losses."""
    made = task(stage, config)
    history = plain.train(made, {"task": "components.recipes.trident.task:build", "optimizer": {
        "lr": config.distil.learning_rate}, "batch_size": config.distil.batch_size})
    out.mkdir()
    save_file(made.model.state_dict(), out / "student.safetensors")
    write_json(out / "config.json", made.artifacts())
    return out, history
