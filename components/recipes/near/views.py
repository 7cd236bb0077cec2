"""Views of an image without its pixels: cuts of the cached feature grid, mirrored or not, pooled as the student pools.

Shapes: N images, A views, P pooled features.
"""

from collections.abc import Sequence

import numpy as np
import torch

from components.encoders.cache import FeatureCache
from components.encoders.image import GRID, mirror
from components.recipes.near.model import POOLED, pool

BATCH = 64
SMALLEST = 8  # cells of a cut's side, of 12


def pooled_views(features: FeatureCache, ids: Sequence[str], count: int, seed: int) -> np.ndarray:
    """float32 [N, A, P]: the whole image, its mirror image, then random cuts of either, up to `count` = A."""
    out = np.empty((len(ids), count, POOLED), np.float32)
    rng = np.random.default_rng([seed, 5])
    for start in range(0, len(ids), BATCH):
        tokens = torch.from_numpy(features.rows(ids[start:start + BATCH])).float()
        both = (tokens, mirror(tokens))
        for view in range(count):
            grid = both[view % 2].unflatten(1, (GRID, GRID))  # [B, G, G, C]
            high, wide = (GRID, GRID) if view < 2 else rng.integers(SMALLEST, GRID + 1, 2)
            top, left = rng.integers(0, GRID + 1 - high), rng.integers(0, GRID + 1 - wide)
            out[start:start + len(tokens), view] = pool(grid[:, top:top + high, left:left + wide].flatten(1, 2)).numpy()
    return out
