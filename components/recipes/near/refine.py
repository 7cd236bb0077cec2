"""Refining targets while the student trains: its own prediction, kept to an image's candidates, corrects the teacher.

DivideMix's co-refinement (arXiv 2002.07394, eq. 3 and 4) with a projection onto the candidates; without it the rule is
DivideMix's, bit for bit. Legend: N images, V names.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np


def sharpen(target: np.ndarray, temperature: float = 0.5) -> np.ndarray:
    """[N, V] target^(1/T), summing to one; T = 1 changes nothing, lower is sharper (eq. 4)."""
    if temperature == 1:
        return target
    powered = (target / target.max(1, keepdims=True)) ** (1 / temperature)  # scaled first: small ones do not vanish
    return powered / powered.sum(1, keepdims=True)


def project(predicted: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """[N, V] predictions with no mass outside `allowed` (bool), summing to one; as they are where all is allowed.

    A prediction with no mass inside becomes uniform over what is allowed.
    """
    inside = np.where(allowed, predicted, 0)
    mass = inside.sum(1, keepdims=True)
    spread = np.where(mass > 0, inside / np.where(mass > 0, mass, 1), allowed / allowed.sum(1, keepdims=True))
    return np.where(allowed.all(1, keepdims=True), predicted, spread)


def refine(told: np.ndarray, predicted: np.ndarray, allowed: np.ndarray | None, weight: np.ndarray,
           clean: np.ndarray, temperature: float = 0.5) -> np.ndarray:
    """[N, V] new targets: clean ones w q + (1 - w) Proj(p), noisy ones Proj(p), both sharpened (eq. 3, 4).

    `told` [N, V] are the first targets q (one-hot on the teacher's name: DivideMix), `predicted` [N, V] the student's,
    `allowed` [N, V] the candidates (None: everything, DivideMix), `weight` [N] in 0..1, `clean` [N] bool.
    """
    guess = predicted if allowed is None else project(predicted, allowed)
    trust = np.where(clean, weight, 0.0)[:, None]
    return sharpen(trust * told + (1 - trust) * guess, temperature)


def audit(images: Sequence[str], vocabulary: Sequence[str], losses: np.ndarray, weight: np.ndarray, clean: np.ndarray,
          old: np.ndarray, new: np.ndarray) -> list[dict[str, Any]]:
    """What was decided about each image, one record each: loss, weight, clean, best name before and after."""
    return [{"image": image, "loss": float(losses[i]), "weight": float(weight[i]), "clean": bool(clean[i]),
             "old": vocabulary[old[i].argmax()], "new": vocabulary[new[i].argmax()], "share": float(new[i].max())}
            for i, image in enumerate(images)]
