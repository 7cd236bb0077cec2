"""Where training images are compared: a space in which neighbours are more often alike, and names that cover two kinds.

Nothing here looks at a true class. Shapes: N images, A views, P pooled features, D = min(N, P) directions.
"""

from collections.abc import Sequence

import numpy as np
from sklearn.cluster import KMeans

FLOOR = 0.0085  # share of all variance, added to that of each direction, so that faint ones stay faint
LEAST = 4  # images that a kind must have
SECOND = " (2)"


def whitened(views: np.ndarray) -> np.ndarray:
    """float64 [N, D]: the mean of each image's views [N, A, P], standardised, its directions scaled to like variance.

    What pictures vary in most (light, background) tells kinds apart least; here it does not outweigh the rest.
    """
    mean = views.mean(1, dtype=np.float64)
    standard = (mean - mean.mean(0)) / (mean.std(0) + 1e-3)
    left, scale, _ = np.linalg.svd(standard, full_matrices=False)
    variance = scale**2 / len(views)
    return left * (scale / np.sqrt(variance + FLOOR * variance.sum()))


def divided(names: Sequence[str], space: np.ndarray, apart: float) -> list[str]:
    """The names, with "X (2)" for the smaller of two kinds that share the name X.

    Kinds are the halves of 2-means on unit rows of `space` [N, D]; a name is divided where both halves have LEAST
    images and the mean cosine within halves exceeds that between them by more than `apart` (0: no name is divided).
    """
    unit = space / np.maximum(np.linalg.norm(space, axis=1, keepdims=True), 1e-12)
    given, out = np.array(names, str), list(names)
    for name in np.unique(given) if apart else ():
        at = np.flatnonzero(given == name)
        if len(at) < 2 * LEAST:
            continue
        half = KMeans(2, n_init=5, random_state=0).fit(unit[at]).labels_ == 1
        if min(half.sum(), (~half).sum()) < LEAST:
            continue
        cosine, alike = unit[at] @ unit[at].T, half[:, None] == half
        within = cosine[alike & ~np.eye(len(at), dtype=bool)].mean()
        if within - cosine[~alike].mean() > apart:
            for row in at[half if half.sum() <= len(at) / 2 else ~half]:
                out[row] = f"{name}{SECOND}"
    return out
