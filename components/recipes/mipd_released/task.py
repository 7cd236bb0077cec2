"""The released student's training task: batches from cached features and teacher states, and the released losses."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from components.base.config import from_dict
from components.recipes.mipd.losses import weighted
from components.recipes.mipd.task import SituationTask, Taught
from components.recipes.mipd_released import losses
from components.recipes.mipd_released.alignment import Alignment
from components.recipes.mipd_released.config import Config
from components.recipes.mipd_released.model import Pair, Student, Words


def build(
    dataset: str, splits: str, features: str, targets: str | None, config: dict[str, Any], seed: int
) -> "ReleasedTask":
    """The task named in the spec of a training run; all arguments are plain JSON."""
    return ReleasedTask(
        Path(dataset), Path(splits), Path(features), Path(targets) if targets else None, from_dict(Config, config), seed
    )


class Said(Taught):
    """See `components.recipes.mipd_released.targets`."""

    arrays_named = ("grid", "states", "length", "said")

    def batch(self, rows: Tensor) -> dict[str, Tensor]:
        own = self.row[rows.numpy()]
        found = {name: torch.from_numpy(np.asarray(a[self.giver[own]])) for name, a in self.arrays.items()}
        return {k: v.float() if k != "length" else v for k, v in found.items()} | {"taught": torch.from_numpy(own >= 0)}


class ReleasedTask(SituationTask):
    """See `components.training.task.Task`."""

    def __init__(self, dataset: Path, splits: Path, features: Path, targets: Path | None, config: Config, seed: int):
        super().__init__(dataset, splits, features, config, seed)
        self.faults, lexicon = self.settings.faults, self.lexicon
        self.teacher = Said(targets, self.train, seed, self.settings.shuffle) if self.settings.teacher else None
        words = Words(lexicon.verb_vectors, lexicon.role_vectors)
        student = Student(config.student, words, len(lexicon.nouns), self.faults, self.features.shape[-1])
        widths = [self.teacher.arrays[name].shape[-1] for name in ("grid", "states", "said")] if self.teacher else []
        self.model = Pair(student, Alignment(*widths, self.faults) if self.teacher else None)
        every = torch.arange(len(lexicon.verbs))
        self.competing = every if self.faults.unseen_as_negatives else self.seen
        self.nouns = lexicon.noun_vectors
        if self.faults.synsets_read:
            self.nouns = torch.from_numpy(self.language.table(lexicon.nouns))

    def batch(self, step: int, rank: int, world: int) -> tuple[dict[str, Tensor], Sequence[str]]:
        rows, s = self.rows(step, rank, world), self.samples
        ids = [s.ids[i] for i in rows]
        features, box = torch.from_numpy(self.features.rows(ids)).float(), s.box[rows]
        said = self.teacher.batch(rows) if self.teacher else {}
        if np.random.default_rng([self.seed, step]).random() < 0.5:
            alone = self.faults.boxes_flipped_alone
            features, box, grid = losses.flip(features, box, said.get("grid"), alone)
            said |= {"grid": grid} if self.teacher else {}
        answer = s.verb[rows] if self.faults.unseen_as_negatives else self.place_among_seen[s.verb[rows]]
        return said | {
            "features": features,
            "box": box,
            "verb": self.lexicon.verb_vectors[s.verb[rows]],
            "answer": answer,
            "roles": self.lexicon.role_vectors[s.role[rows].clamp(min=0)],
            "present": s.role[rows] >= 0,
            "noun": s.noun[rows],
            "grounded": s.grounded[rows],
        }, ids

    def loss(self, model: torch.nn.Module, batch: Mapping[str, Tensor], step: int) -> dict[str, Tensor]:
        taught = tuple(batch[k] for k in ("grid", "states", "length")) if self.teacher else None
        given = (batch[k] for k in ("features", "verb", "roles", "present", "box", "grounded"))
        with sdpa_kernel(SDPBackend.MATH):  # on CPU the fused kernel's backward is several times slower at these sizes
            out = model(*given, taught)
        verbs = self.lexicon.verb_vectors[self.competing]
        terms = losses.supervised(out, batch, verbs, self.nouns, self.settings)
        if self.teacher:
            terms |= losses.distilled(out, batch, self.faults)
        return weighted(terms, self.settings.terms)
