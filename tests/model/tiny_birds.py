"""Ten invented species as features, without a picture: what the tests of NeaR learn from."""

import numpy as np

from components.recipes.near.config import Align
from components.recipes.near.model import POOLED
from components.recipes.near.targets import Targets, targets_of

SPECIES = [f"{word} {kind}" for kind in ("Finch", "Crane") for word in ("Plain", "Capped", "Masked", "Giant", "Barred")]


def birds(each: int = 12, wrong: float = 0.3, seed: int = 0, k: int = 5) -> tuple[Targets, np.ndarray, list[str]]:
    """Targets with a share of wrong names, views [N, A, P] and the true names of N = 10 x `each` images."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(0, 1, (len(SPECIES), POOLED)).astype(np.float32)
    truth = np.repeat(np.arange(len(SPECIES)), each)
    views = centres[truth][:, None] + rng.normal(0, 3.0, (len(truth), 4, POOLED)).astype(np.float32)
    said = np.where(rng.random(len(truth)) < wrong, rng.integers(0, len(SPECIES), len(truth)), truth)
    targets = targets_of([f"{i:064x}" for i in range(len(truth))], [SPECIES[s] for s in said], views, Align(k=k))
    return targets, views, [SPECIES[t] for t in truth]
