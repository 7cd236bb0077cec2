"""The student's training task: batches from cached features and targets, and the recipe's losses."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from components.base.config import as_dict, from_dict
from components.base.errors import UserError
from components.base.home import home
from components.datasets.splits import Splits
from components.datasets.store import Dataset
from components.encoders import geometry, image, text
from components.encoders.cache import FeatureCache
from components.recipes.mipd import losses
from components.recipes.mipd.config import Config
from components.recipes.mipd.data import Lexicon, Situations
from components.recipes.mipd.model import Student
from components.recipes.mipd.targets import load_meta
from components.teachers.sight import inside_cells


def build(
    dataset: str, splits: str, features: str, targets: str | None, config: dict[str, Any], seed: int
) -> "MipdTask":
    """The task named in the spec of a training run; all arguments are plain JSON."""
    return MipdTask(
        Path(dataset), Path(splits), Path(features), Path(targets) if targets else None, from_dict(Config, config), seed
    )


class SituationTask:
    """What every way of training a student on situations has in common: samples, cached features, order, names."""

    model: torch.nn.Module

    def __init__(self, dataset: Path, splits: Path, features: Path, config: Any, seed: int):
        torch.manual_seed(seed)
        self.config, self.settings, self.seed = config, config.distil, seed
        data, split = Dataset(dataset), Splits.load(splits)
        self.language = text.get(config.encoder.text)
        self.lexicon = Lexicon.of(data.space, self.language)
        self.train = split.train
        self.samples = Situations.of(data, list(split.train), self.lexicon)
        self.features = FeatureCache(features)
        names = {*split.verbs["common"], *split.verbs["rare"]}
        self.seen = torch.tensor([i for i, v in enumerate(self.lexicon.verbs) if v in names], dtype=torch.long)
        self.place_among_seen = torch.full((len(self.lexicon.verbs) + 1,), -1)  # the last: no annotation
        self.place_among_seen[self.seen] = torch.arange(len(self.seen))
        self.per_epoch = max(1, len(self.samples.ids) // self.settings.batch_size)
        self.steps = self.settings.epochs * self.per_epoch

    def rows(self, step: int, rank: int, world: int) -> Tensor:
        """This rank's rows of the training samples: an epoch is one permutation drawn from the seed."""
        epoch, place = divmod(step, self.per_epoch)
        order = torch.randperm(len(self.samples.ids), generator=torch.Generator().manual_seed(self.seed * 1000 + epoch))
        size = self.settings.batch_size
        return order[place * size : (place + 1) * size][rank::world]

    def artifacts(self) -> dict[str, Any]:
        return {
            "config": as_dict(self.config),
            "seed": self.seed,
            "verbs": list(self.lexicon.verbs),
            "parameters": sum(p.numel() for p in self.model.parameters()),
        }


class MipdTask(SituationTask):
    """See `components.training.task.Task`."""

    def __init__(self, dataset: Path, splits: Path, features: Path, targets: Path | None, config: Config, seed: int):
        super().__init__(dataset, splits, features, config, seed)
        self.teacher = Targets(targets, self.train, seed, self.settings.shuffle) if self.settings.teacher else None
        self.model = begin(config, self.features.shape[-1], self.lexicon.width)
        self.tables = losses.Tables(
            self.lexicon.verb_vectors,
            self.lexicon.noun_vectors,
            self.seen,
            self._log_prior(),
            self.teacher.region_scale if self.teacher else 0.0,
        )

    def _log_prior(self) -> Tensor:
        counts = torch.bincount(self.samples.verb.clamp(min=0), minlength=len(self.lexicon.verbs))[self.seen].float()
        return torch.log(counts.clamp(min=1) / counts.sum().clamp(min=1))

    def batch(self, step: int, rank: int, world: int) -> tuple[dict[str, Tensor], Sequence[str]]:
        rows = self.rows(step, rank, world)
        rng = np.random.default_rng([self.seed, step])
        flip, s = bool(rng.random() < 0.5), self.samples
        told = torch.from_numpy(rng.random((self.settings.batch_size,)) >= self.settings.verb_dropout)[rank::world][
            : len(rows)
        ]
        ids = [s.ids[i] for i in rows]
        features = torch.from_numpy(self.features.rows(ids)).float()
        role, box = s.role[rows], s.box[rows]
        batch = {
            "verb": self.lexicon.verb_vectors[s.verb[rows]] * told[:, None],
            "verb_seen": self.place_among_seen[s.verb[rows]],
            "roles": self.lexicon.role_vectors[role.clamp(min=0)],
            "present": role >= 0,
            "noun": s.noun[rows],
            "grounded": s.grounded[rows],
        }
        if self.teacher:
            targets, partners, cells = self.teacher.batch(rows, step // self.per_epoch)
            others = torch.from_numpy(self.features.rows(partners)).float()
            batch |= targets | {"composites": _mix(features[: len(cells)], others, cells)}
        if flip:
            features, box = image.mirror(features), geometry.mirror(box)
            if self.teacher:
                batch["composites"], batch["dense"] = (image.mirror(batch[k]) for k in ("composites", "dense"))
        return batch | {"features": features, "box": box}, ids

    def loss(self, model: torch.nn.Module, batch: Mapping[str, Tensor], step: int) -> dict[str, Tensor]:
        out = model(
            batch["features"],
            batch["verb"],
            batch["roles"],
            batch["present"],
            batch["box"],
            batch.get("composites") if self.settings.composites else None,
            self.teacher is not None,
        )
        terms = losses.supervised(out, batch, self.tables, self.settings.smoothing, self.settings.prior)
        if self.settings.label_text:
            terms |= losses.label_text(out, batch, self.tables)
        if self.teacher:
            terms |= losses.distilled(*losses.taught(out, batch), self.tables)
        return losses.weighted(terms, self.settings.terms)


def begin(config: Config, channels: int, width: int) -> Student:
    """The student to train, which sees `channels` a token and reads words as vectors of `width`: a new one, or with the
    weights of that of `distil.start`.

    Raises UserError where there is no trained student of that name, of the sizes wanted and with the same encoders.
    """
    if not (name := config.distil.start):
        return Student(config.student, channels, width)
    from components.recipes.mipd.inference import load_student

    student, trained = load_student(home() / "store" / "student-distilled" / name)
    if (trained.student, trained.encoder) != (config.student, config.encoder):
        raise UserError("has other sizes or other encoders than the student to train", where=f"distil.start={name}",
                        mend="start anew, or train the same architecture")
    return student.train().requires_grad_(True)


class Taught:
    """What the teacher gave, by row of training samples; `shuffle` gives every image another's, the control that
    destroys content."""

    arrays_named: tuple[str, ...]

    def __init__(self, folder: Path, train: Sequence[str], seed: int, shuffle: bool):
        self.ids: list[str] = json.loads((folder / "ids.json").read_text())
        at = {name: i for i, name in enumerate(self.ids)}
        self.row = np.array([at.get(name, -1) for name in train])  # -1: its rationale was rejected
        self.giver = np.arange(len(self.ids))
        if shuffle:
            self.giver = np.random.default_rng([seed, 77]).permutation(self.giver)
        self.arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in self.arrays_named}


class Targets(Taught):
    """The targets of `align`, with the scale at which cosines of instances and nouns are probabilities."""

    arrays_named = ("dense", "scene", "instance", "composite", "partner", "cells")

    def __init__(self, folder: Path, train: Sequence[str], seed: int, shuffle: bool):
        super().__init__(folder, train, seed, shuffle)
        self.region_scale: float = load_meta(folder)["region_scale"]

    def batch(self, rows: Tensor, epoch: int) -> tuple[dict[str, Tensor], list[str], np.ndarray]:
        """Targets of a batch; with whom and where this epoch's composites are made, for the first half of its images
        (half the cost of composites, and every image has its turn)."""
        own = self.row[rows.numpy()]
        half = own[: (len(own) + 1) // 2]
        giver, turn = self.giver[own], epoch % self.arrays["composite"].shape[1]
        get = {
            name: torch.from_numpy(np.asarray(a[giver], np.float32))
            for name, a in self.arrays.items()
            if name in ("dense", "scene", "instance")
        }
        mixed = torch.from_numpy(np.asarray(self.arrays["composite"][self.giver[half], turn], np.float32))
        partner = [self.ids[i] for i in self.arrays["partner"][half, turn]]
        return (
            get | {"composite_scene": mixed, "taught": torch.from_numpy(own >= 0)},
            partner,
            self.arrays["cells"][half, turn],
        )


def _mix(features: Tensor, others: Tensor, cells: np.ndarray) -> Tensor:
    """Grid features with each row's rectangle of cells taken from another image.  # [B, T, C]"""
    mixed = features.clone()
    for row, rectangle in enumerate(cells):
        inside = inside_cells(tuple(rectangle))
        mixed[row, inside] = others[row, inside]
    return mixed
