"""What DivideMix (arXiv 2002.07394) adds to splitting and refining: two students, mixing, a ramp.

Formulas as in its published code `Train_cifar.py`. Legend: A augmentations, N images, V names.
"""

import numpy as np

from components.recipes.near.refine import refine, sharpen


def co_refined(names: np.ndarray, predicted: np.ndarray, weight: np.ndarray, temperature: float = 0.5) -> np.ndarray:
    """[N, V] targets of clean images: w onehot(s) + (1 - w) mean of the student's own views [A, N, V], sharpened."""
    told = np.eye(predicted.shape[2])[names]
    return refine(told, predicted.mean(0), None, weight, np.ones(len(names), bool), temperature)


def co_guessed(predicted: np.ndarray, other: np.ndarray, temperature: float = 0.5) -> np.ndarray:
    """[N, V] targets of noisy images: the mean over the views [A, N, V] of both students, sharpened; names unused."""
    return sharpen(np.concatenate([predicted, other]).mean(0), temperature)


def mixing(shape: float, rng: np.random.Generator) -> float:
    """The share of the first of two mixed images, in 0.5..1: Beta(shape, shape), turned so that the first prevails."""
    drawn = rng.beta(shape, shape)
    return float(max(drawn, 1 - drawn))


def mixed(values: np.ndarray, other: np.ndarray, share: float) -> np.ndarray:
    """share x values + (1 - share) x other, for features and for targets alike."""
    return share * values + (1 - share) * other


def unlabelled_weight(epoch: float, warm_up: int, most: float = 25.0, ramp: int = 16) -> float:
    """The weight of the loss on noisy images: rises from 0 to `most` over `ramp` epochs after the warm-up."""
    return most * min(max((epoch - warm_up) / ramp, 0.0), 1.0)
