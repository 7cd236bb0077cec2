"""The student's training task: views of named images, targets that are renewed each epoch, the method's losses.

Shapes: N training images, A views, P pooled features, V names, B images of a batch, H students.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from components.base.config import as_dict, from_dict
from components.encoders.cache import FeatureCache
from components.recipes.near import losses
from components.recipes.near.beliefs import Beliefs
from components.recipes.near.candidates import candidate_sets, candidate_targets, uniform_targets
from components.recipes.near.config import Config
from components.recipes.near.divide_mix import mixing, unlabelled_weight
from components.recipes.near.methods import resolve
from components.recipes.near.model import Student
from components.recipes.near.targets import Targets
from components.recipes.near.views import pooled_views

JUDGED = 2  # views by which names are judged: the whole image and its mirror image


def build(features: str, targets: str, config: dict[str, Any], seed: int) -> "NearTask":
    """The task named in the spec of a training run; all arguments are plain JSON."""
    settings, found = from_dict(Config, config), Targets.load(Path(targets))
    views = pooled_views(FeatureCache(Path(features)), found.images, settings.distil.views, seed)
    return NearTask(found, views, settings, seed)


class Learner(nn.Module):
    """The student with the beliefs that it learns from: what a checkpoint holds."""

    def __init__(self, student: Student, beliefs: Beliefs):
        super().__init__()
        self.student, self.beliefs = student, beliefs

    def forward(self, pooled: Tensor) -> Tensor:
        return self.student(pooled)


class NearTask:
    """See `components.training.task.Task`. `views` [N, A, P] are pooled features of the images of `targets`."""

    def __init__(self, targets: Targets, views: np.ndarray, config: Config, seed: int):
        torch.manual_seed(seed)
        self.config, self.seed = config, seed
        self.settings, self.method = config.distil, resolve(config.distil.method)
        self.targets = targets = targets if self.method.divide else targets.undivided()
        self.views = torch.from_numpy(views)
        k = targets.near.shape[1] if self.method.candidates else 0
        near, cosine = targets.near[:, :k], targets.cosine[:, :k]
        allowed = candidate_sets(targets.names, near, len(targets.vocabulary))
        first = uniform_targets(allowed) if self.method.uniform else candidate_targets(
            targets.names, near, cosine, len(targets.vocabulary), own=self.method.own,
            temperature=self.method.temperature, support=self.method.support)
        student = Student(config.student.width, len(targets.vocabulary), self.method.students)
        student.fit(views[:, 0])
        self.model = Learner(student, Beliefs(first, targets.names, allowed, self.method))
        self.per_epoch = max(1, len(views) // self.settings.batch_size)
        self.steps = self.settings.epochs * self.per_epoch

    def batch(self, step: int, rank: int, world: int) -> tuple[dict[str, Tensor], Sequence[str]]:
        epoch, place = divmod(step, self.per_epoch)
        order = torch.randperm(len(self.views), generator=torch.Generator().manual_seed(self.seed * 1000 + epoch))
        size = self.settings.batch_size
        rows = order[place * size:(place + 1) * size][rank::world]
        rng = np.random.default_rng([self.seed, step])
        pick = torch.from_numpy(rng.integers(self.views.shape[1], size=(self.method.students, size)))[:, rank::world]
        shown = self.views[rows[None], pick[:, :len(rows)]]  # [H, B, P]: every student sees a view of its own
        return {"rows": rows, "pooled": shown}, [self.targets.images[i] for i in rows]

    def loss(self, model: nn.Module, batch: Mapping[str, Tensor], step: int) -> dict[str, Tensor]:
        epoch, place = divmod(step, self.per_epoch)
        beliefs = self.model.beliefs
        if place == 0 and epoch >= self.method.warm_up:
            beliefs.renew(self.predicted(model))
        rows, shown = batch["rows"], batch["pooled"]
        aim, clean = beliefs.target[:, rows], beliefs.clean[:, rows]  # [H, B, V], [H, B]
        if self.method.mixing:
            share = mixing(self.method.mixing, np.random.default_rng([self.seed, step, 1]))
            other = torch.randperm(len(rows))
            shown, aim = (share * x + (1 - share) * x[:, other] for x in (shown, aim))
        logits = torch.stack([model(x)[h] for h, x in enumerate(shown)])  # [H, B, V]
        terms: dict[str, Tensor] = {}
        for h, own in enumerate(logits):
            for name, value in self._terms(own, aim[h], clean[h], epoch + place / self.per_epoch).items():
                terms[name] = terms.get(name, 0) + value
        return terms

    def _terms(self, logits: Tensor, aim: Tensor, clean: Tensor, epoch: float) -> dict[str, Tensor]:
        """The losses of one student: logits, aim [B, V], clean [B]."""
        method, each = self.method, losses.each_loss(logits, aim)
        warm = epoch < method.warm_up
        if method.unlabelled and not warm:
            weight = unlabelled_weight(epoch, method.warm_up, method.unlabelled)
            noisy = losses.squared(logits, aim)
            terms = {"named": (each * clean).sum() / max(1, int(clean.sum())),
                     "unnamed": weight * (noisy * ~clean).sum() / max(1, int((~clean).sum()))}
        else:
            terms = {"named": each.mean()}
        if method.evenness and not warm:
            terms["evenness"] = method.evenness * losses.evenness(logits)
        if method.penalty and warm:
            terms["penalty"] = method.penalty * losses.confidence_penalty(logits)
        return terms

    @torch.no_grad()
    def predicted(self, model: nn.Module) -> np.ndarray:
        """Probabilities [H, A, N, V] of all training images under the views by which names are judged."""
        device = self.model.student.mean.device
        views = [model(self.views[:, a].to(device)).softmax(-1) for a in range(min(JUDGED, self.views.shape[1]))]
        return torch.stack(views, 1).double().cpu().numpy()

    def artifacts(self) -> dict[str, Any]:
        vocabulary = self.targets.vocabulary
        return {"config": as_dict(self.config), "seed": self.seed, "vocabulary": vocabulary,
                "students": self.method.students,
                "parameters": sum(p.numel() for p in self.model.parameters()),
                "audit": self.model.beliefs.audit(self.targets.images, vocabulary)}
