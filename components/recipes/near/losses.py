"""The losses on soft targets, as tensors. Legend: B images, V names."""

import math

from torch import Tensor
from torch.nn import functional as F


def soft_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """-sum_c q(c) log p(c), the mean over B; both [B, V]. With a one-hot target it is plain cross-entropy."""
    return F.cross_entropy(logits, target)


def each_loss(logits: Tensor, target: Tensor) -> Tensor:
    """[B] the same without the mean: what images are split by."""
    return F.cross_entropy(logits, target, reduction="none")


def evenness(logits: Tensor) -> Tensor:
    """KL(uniform || mean prediction): keeps the student from giving all images one name (DivideMix, eq. 11)."""
    mean = F.softmax(logits, 1).mean(0)
    size = logits.shape[1]
    return (-math.log(size) - mean.clamp_min(1e-12).log()).mean()


def confidence_penalty(logits: Tensor) -> Tensor:
    """sum_c p log p, the mean over B: negative entropy, which warm-up adds so that noise is not learnt too
    surely (DivideMix, eq. 2, and JoAPR)."""
    log_p = F.log_softmax(logits, 1)
    return (log_p.exp() * log_p).sum(1).mean()


def squared(logits: Tensor, target: Tensor) -> Tensor:
    """[B] mean squared error of each image's probabilities: DivideMix's gentler loss on noisy images (eq. 10)."""
    return F.mse_loss(F.softmax(logits, 1), target, reduction="none").mean(1)
