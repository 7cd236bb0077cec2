"""What is believed of every training image's name: targets, and which names are clean, renewed once an epoch.

Written in buffers of a module, so that a checkpoint holds them and a killed run goes on with the same beliefs.

Shapes: H students, N training images in the order of the targets, A views, V names.
"""

from typing import Any

import numpy as np
import torch
from torch import nn

from components.recipes.near import joapr
from components.recipes.near.divide_mix import co_guessed
from components.recipes.near.methods import Method
from components.recipes.near.refine import audit, refine
from components.recipes.near.split import Split, scale, split

EPOCHS = 5  # whose losses are averaged


class Beliefs(nn.Module):
    """`first` [N, V] are the first targets, `names` [N] the teacher's, `allowed` [N, V] the candidates (bool)."""

    def __init__(self, first: np.ndarray, names: np.ndarray, allowed: np.ndarray, method: Method):
        super().__init__()
        self.names, self.allowed, self.method = names, allowed, method
        many, each = method.students, len(first)
        self.register_buffer("target", torch.from_numpy(first).float().repeat(many, 1, 1))
        self.register_buffer("first", torch.from_numpy(first).float())
        self.register_buffer("weight", torch.ones(many, each))
        self.register_buffer("loss", torch.zeros(many, each))
        self.register_buffer("clean", torch.ones(many, each, dtype=torch.bool))
        self.register_buffer("history", torch.zeros(many, EPOCHS, each))
        self.register_buffer("epochs", torch.zeros((), dtype=torch.long))
        self.register_buffer("theta", torch.full((many,), method.threshold))

    def renew(self, probability: np.ndarray) -> None:
        """Splits and refines by the students' present predictions on views of all images, [H, A, N, V]."""
        if self.method.split == "none":
            return
        splits = [self._split(h, probability[h].mean(0)) for h in range(len(probability))]
        for h, own in enumerate(probability):
            judge = len(probability) - 1 - h  # two students split for each other
            clean, weight = self._decide(judge, splits[judge], probability[judge].mean(0))
            if len(probability) == 2:
                new = np.where(clean[:, None], self._refined(own, weight, clean), co_guessed(own, probability[judge],
                                                                                            self.method.sharpen))
            else:
                new = self._refined(own, weight, clean)
            self.target[h] = torch.from_numpy(new)
            self.weight[h], self.clean[h] = torch.from_numpy(weight), torch.from_numpy(clean)
        self.epochs += 1

    def _split(self, h: int, predicted: np.ndarray) -> Split:
        log = np.log(np.clip(predicted, 1e-12, 1))
        losses = -(self.first.cpu().numpy() * log).sum(1)
        if self.method.split == "joapr":
            losses = losses - (predicted * log).sum(1)
        done = int(self.epochs)
        earlier = self.history[h, :min(done, EPOCHS - 1)].cpu().numpy() if self.method.history else None
        found = split(losses, earlier)
        self.loss[h] = torch.from_numpy(losses)
        self.history[h] = self.history[h].roll(1, 0)
        self.history[h, 0] = torch.from_numpy(scale(losses))
        return found

    def _decide(self, h: int, found: Split, predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(clean [N] bool, weight [N])"""
        if self.method.split == "joapr":
            clean, theta = joapr.clean(found, float(self.theta[h]))
            self.theta[h] = theta
            confidence = predicted[np.arange(len(predicted)), self.names] if self.epochs > 0 else None
            return clean, joapr.weights(found, confidence)
        if self.method.split == "mixture":
            return found.clean(self.method.threshold), found.weight
        lowest = self.method.share if self.method.split == "share" else 1.0
        return found.scaled <= np.quantile(found.scaled, lowest), np.ones_like(found.scaled)

    def _refined(self, views: np.ndarray, weight: np.ndarray, clean: np.ndarray) -> np.ndarray:
        allowed = self.allowed if self.method.project else None
        return refine(self.first.cpu().numpy(), views.mean(0), allowed, weight, clean, self.method.sharpen)

    def audit(self, images: list[str], vocabulary: list[str]) -> list[dict[str, Any]]:
        """What was decided last about each image's name, by the first student."""
        told = (getattr(self, n)[0].cpu().numpy() for n in ("loss", "weight", "clean"))
        given = np.eye(len(vocabulary))[self.names]
        return audit(images, vocabulary, *told, given, self.target[0].cpu().numpy())
