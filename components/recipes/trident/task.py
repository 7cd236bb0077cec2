"""The student's training task: each image with a partner of its attribute and one of its object."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from components.base.config import as_dict, from_dict
from components.base.errors import UserError
from components.datasets.splits import Splits
from components.datasets.store import Dataset
from components.encoders import image
from components.recipes.trident import losses
from components.recipes.trident.config import Config
from components.recipes.trident.model import Student
from components.recipes.trident.pooled import pooled
from components.recipes.trident.vocabulary import Words


def build(dataset: str, splits: str, targets: str | None, config: dict[str, Any], seed: int) -> "TridentTask":
    """The task named in the spec of a training run; all arguments are plain JSON."""
    return TridentTask(Path(dataset), Path(splits), Path(targets) if targets else None, from_dict(Config, config), seed)


class TridentTask:
    """See `components.training.task.Task`."""

    def __init__(self, dataset: Path, splits: Path, targets: Path | None, config: Config, seed: int):
        torch.manual_seed(seed)
        self.config, self.settings, self.seed = config, config.distil, seed
        data = Dataset(dataset)
        self.words = Words.of(data, targets, self.settings.rows)
        row = {label: i for i, label in enumerate(self.words.labels)}
        self.ids = tuple(i for i in Splits.load(splits).train if data.labels[i] in row)
        if len(self.ids) < self.settings.batch_size:
            raise UserError(f"{len(self.ids)} training images are no batch of {self.settings.batch_size}",
                            where="distil.batch_size", mend="lower it, or give more images")
        self.pair = torch.tensor([row[data.labels[i]] for i in self.ids])  # [N]
        self.model = Student(config.student, self.words, image.CHANNELS)
        self.source = pooled(dataset)
        tokens, summaries = self.source.rows(self.ids)
        self.model.reduction.fit(tokens.flatten(0, 1), summaries)
        with torch.no_grad():
            reduce = self.model.reduction
            self.tokens = (tokens - reduce.token_centre) @ reduce.token_basis  # [N, T, D]
            self.summary = (summaries - reduce.summary_centre) @ reduce.summary_basis  # [N, D]
        counts = torch.bincount(self.pair, minlength=len(row)).float()
        self.log_prior = torch.log(counts.clamp(min=1) / counts.sum())
        self.partners = [_partners(self.words.pairs, self.pair.numpy(), column) for column in (0, 1)]
        self.per_epoch = len(self.ids) // self.settings.batch_size
        self.steps = self.settings.epochs * self.per_epoch

    def batch(self, step: int, rank: int, world: int) -> tuple[dict[str, Tensor], Sequence[str]]:
        """Main images, partners of the same attribute, partners of the same object: 3B rows of everything."""
        epoch, place = divmod(step, self.per_epoch)
        order = torch.randperm(len(self.ids), generator=torch.Generator().manual_seed(self.seed * 1000 + epoch))
        size = self.settings.batch_size
        main = order[place * size:(place + 1) * size]
        drawn = np.random.default_rng([self.seed, step]).random((2, size))
        groups = [main, *(self._drawn(main, self.partners[i], drawn[i]) for i in (0, 1))]
        rows = torch.stack(groups)[:, rank::world].flatten()
        has = rows >= 0
        rows = torch.where(has, rows, len(self.ids) - 1)  # what stands for a missing partner: the last image
        pair = self.pair[rows]
        words = torch.from_numpy(self.words.pairs)[pair]
        return {"tokens": self.tokens[rows], "summary": self.summary[rows], "pair": pair, "has": has,
                "counts": has if self.settings.missing == "none" else torch.ones_like(has),
                "attribute": words[:, 0], "object": words[:, 1], "also": torch.from_numpy(self.words.also)[pair],
                }, [self.ids[i] for i in groups[0][rank::world]]

    def _drawn(self, main: Tensor, partners: list[np.ndarray], drawn: np.ndarray) -> Tensor:
        """A partner of each main image, uniformly; -1 where it has none."""
        found = [partners[self.pair[i]] for i in main]
        return torch.tensor([int(p[int(u * len(p))]) if len(p) else -1 for p, u in zip(found, drawn, strict=True)])

    def loss(self, model: torch.nn.Module, batch: Mapping[str, Tensor], step: int) -> dict[str, Tensor]:
        prior = self.log_prior.to(batch["also"].device)
        return losses.total(model(batch["tokens"], batch["summary"]), dict(batch), prior, self.settings)

    def artifacts(self) -> dict[str, Any]:
        return {"config": as_dict(self.config), "seed": self.seed, "words": self.words.plain(),
                "parameters": sum(p.numel() for p in self.model.parameters())}


def _partners(pairs: np.ndarray, pair: np.ndarray, column: int) -> list[np.ndarray]:
    """For each training pair the rows of images that share its word of a column and not the other one."""
    of = pairs[pair]  # [N, 2]
    return [np.flatnonzero((of[:, column] == p[column]) & (of[:, 1 - column] != p[1 - column])) for p in pairs]
