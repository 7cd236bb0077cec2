"""Telling clean names from noisy ones by the loss of each image: a mixture of two Gaussians.

As DivideMix (arXiv 2002.07394, section 3.1 and its code): losses scaled to 0..1, two components, ten steps of EM, the
posterior of the one with the lower mean. Beyond it: images in any order give the same split, and where one Gaussian
describes the losses better than two (by BIC), or all losses are equal, every image is clean.
"""

from dataclasses import dataclass

import numpy as np
from sklearn.metrics import roc_auc_score
from sklearn.mixture import GaussianMixture

_TWO = {"max_iter": 10, "tol": 1e-2, "reg_covar": 5e-4, "random_state": 0}


@dataclass(frozen=True, slots=True)
class Split:
    """`scaled` losses [N] in 0..1, `weight` [N] the probability of being clean, and the two Gaussians (None where one
    was enough): means, standard deviations and shares [2], the cleaner one first."""

    scaled: np.ndarray
    weight: np.ndarray
    gaussians: tuple[np.ndarray, np.ndarray, np.ndarray] | None

    def clean(self, threshold: float = 0.5) -> np.ndarray:
        """[N] bool, weight above the threshold."""
        return self.weight > threshold


def scale(losses: np.ndarray) -> np.ndarray:
    """Losses [N] on 0..1, zero where all are equal. Raises ValueError for none or for one that is not finite."""
    losses = np.asarray(losses, np.float64)
    if losses.ndim != 1 or not losses.size or not np.isfinite(losses).all():
        raise ValueError(f"expected a row of finite losses, got shape {losses.shape}")
    spread = losses.max() - losses.min()
    return (losses - losses.min()) / spread if spread > 0 else np.zeros_like(losses)


def split(losses: np.ndarray, history: np.ndarray | None = None) -> Split:
    """Splits images by their losses [N]; with `history` [epochs, N] of earlier scaled ones, by the mean of the last 5.

    That mean is what DivideMix uses where much is noisy: single epochs swing.
    """
    scaled = scale(losses)
    if history is not None and len(history):
        scaled = np.vstack([history, scaled])[-5:].mean(0)
    column = np.sort(scaled)[:, None]  # sorted: the start of EM depends on the order
    if len(column) < 4 or column[0] == column[-1]:
        return Split(scaled, np.ones_like(scaled), None)
    one = GaussianMixture(1, reg_covar=_TWO["reg_covar"], random_state=0).fit(column)
    two = GaussianMixture(2, **_TWO).fit(column)
    if one.bic(column) <= two.bic(column):
        return Split(scaled, np.ones_like(scaled), None)
    order = two.means_[:, 0].argsort(kind="stable")
    weight = two.predict_proba(scaled[:, None])[:, order[0]]
    return Split(scaled, weight, (two.means_[order, 0], np.sqrt(two.covariances_[order, 0, 0]), two.weights_[order]))


def auroc(weight: np.ndarray, clean: np.ndarray) -> float:
    """How well weights [N] order truly clean images before noisy ones: 0.5 is chance. Needs some of both."""
    return float(roc_auc_score(clean, weight))
