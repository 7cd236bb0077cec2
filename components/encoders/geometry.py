"""Boxes on the grid of tokens. Boxes are (centre x, centre y, width, height) in 0..1 unless a name says otherwise."""

import torch
from torch import Tensor

from components.encoders.image import GRID, TOKENS


def centres() -> Tensor:
    """(x, y) of each cell's centre in 0..1.  # [T, 2]"""
    at = (torch.arange(GRID) + 0.5) / GRID
    y, x = torch.meshgrid(at, at, indexing="ij")
    return torch.stack([x.flatten(), y.flatten()], -1)


def corners(box: Tensor) -> Tensor:
    """cxcywh to x1y1x2y2.  # [..., 4] -> [..., 4]"""
    middle, half = box[..., :2], box[..., 2:] / 2
    return torch.cat([middle - half, middle + half], -1)


def from_corners(box: Tensor) -> Tensor:
    """x1y1x2y2 to cxcywh.  # [..., 4] -> [..., 4]"""
    return torch.cat([(box[..., :2] + box[..., 2:]) / 2, box[..., 2:] - box[..., :2]], -1)


def coverage(box: Tensor) -> Tensor:
    """The share of each cell that a box covers, 0..1.  # [..., 4] -> [..., T]"""
    at, half = centres().to(box), 0.5 / GRID
    low, high = corners(box).split(2, -1)
    overlap = (torch.minimum(at + half, high[..., None, :]) - torch.maximum(at - half, low[..., None, :])).clamp(min=0)
    return overlap.prod(-1) * TOKENS


def share(box: Tensor) -> Tensor:
    """`coverage` as weights that sum to 1 over cells (all zero for an empty box).  # [..., 4] -> [..., T]"""
    covered = coverage(box)
    return covered / covered.sum(-1, keepdim=True).clamp(min=1e-4)


def mirror(box: Tensor) -> Tensor:
    """The boxes of the mirrored image.  # [..., 4] -> [..., 4]"""
    return torch.cat([1 - box[..., :1], box[..., 1:]], -1)


def iou(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Intersection over union, and its generalised form (Rezatofighi 2019, eq. 5), pair by pair.  # [...], [...]"""
    (al, ah), (bl, bh) = corners(a).split(2, -1), corners(b).split(2, -1)
    common = (torch.minimum(ah, bh) - torch.maximum(al, bl)).clamp(min=0).prod(-1)
    hull = (torch.maximum(ah, bh) - torch.minimum(al, bl)).prod(-1).clamp(min=1e-6)
    union = (a[..., 2:].prod(-1) + b[..., 2:].prod(-1) - common).clamp(min=1e-6)
    return common / union, common / union - (hull - union) / hull
