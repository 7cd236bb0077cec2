"""The student: a small cosine classifier over names, on the pooled features of the frozen image encoder.

Shapes: B images, T tokens, C = 592 channels, P = 2C pooled features, W width, V names, H heads (1, DivideMix 2).
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from components.encoders.image import CHANNELS, GridEncoder

POOLED = 2 * CHANNELS


def pool(tokens: Tensor) -> Tensor:
    """Mean and maximum over the picture: how much there is, and the most.  # [..., T, C] -> [..., P]"""
    return torch.cat([tokens.mean(-2), tokens.amax(-2)], -1)


class Head(nn.Module):
    """Pooled features to a unit vector in which names are directions."""

    def __init__(self, width: int, names: int):
        super().__init__()
        self.adapt = nn.Linear(POOLED, width)
        self.names = nn.Parameter(torch.randn(names, width) / width**0.5)
        self.log_scale = nn.Parameter(torch.tensor([2.5]))  # one number in a row: the engine sends no bare scalars

    def vector(self, standard: Tensor) -> Tensor:  # [B, P] -> [B, W] unit
        return F.normalize(self.adapt(standard), dim=-1)

    def forward(self, standard: Tensor) -> Tensor:  # [B, P] -> [B, V] logits
        return self.log_scale.exp() * self.vector(standard) @ F.normalize(self.names, dim=-1).T


class Student(nn.Module):
    """`heads` classifiers side by side; features are standardised by constants of the training images."""

    def __init__(self, width: int, names: int, heads: int = 1):
        super().__init__()
        self.register_buffer("mean", torch.zeros(POOLED))
        self.register_buffer("spread", torch.ones(POOLED))
        self.heads = nn.ModuleList(Head(width, names) for _ in range(heads))

    def fit(self, pooled: np.ndarray) -> None:
        """Takes the constants of standardising from the training images [N, P]."""
        self.mean.copy_(torch.from_numpy(pooled.mean(0)))
        self.spread.copy_(torch.from_numpy(pooled.std(0) + 1e-3))

    def standard(self, pooled: Tensor) -> Tensor:
        return (pooled - self.mean) / self.spread

    def forward(self, pooled: Tensor) -> Tensor:  # [B, P] -> [H, B, V] logits
        standard = self.standard(pooled)
        return torch.stack([head(standard) for head in self.heads])


class EncoderGraph(nn.Module):
    """What ships: pixels to the first head's vector."""

    def __init__(self, encoder: GridEncoder, student: Student):
        super().__init__()
        self.encoder, self.student = encoder, student

    def forward(self, pixels: Tensor) -> Tensor:  # [B, 3, S, S] -> [B, W] unit
        return self.student.heads[0].vector(self.student.standard(pool(self.encoder(pixels))))
