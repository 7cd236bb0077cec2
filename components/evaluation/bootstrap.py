"""Bootstrap intervals of means over images, of paired differences and of the harmonic mean of seen and unseen."""

import numpy as np

Interval = tuple[float, float, float]
_CHUNK = 1 << 21  # values drawn at a time, which bounds memory at a few tens of MB


def interval(values: np.ndarray, *, groups: np.ndarray | None = None, n: int = 1000, seed: int = 0,
             level: float = 0.95) -> Interval:
    """The mean of `values` [N] with its percentile bootstrap interval: (mean, low, high).

    Without `groups` images are resampled from all and averaged over images. With `groups` (the verb of each image, [N])
    they are resampled within each verb and averaged per verb, then over verbs: the average of the scorer's `verb`.
    The same seed gives the same draws, so intervals are reproducible. Raises ValueError for no or non-finite values.
    """
    strata = _Strata(_row(values), groups)
    return (float(strata.mean()[0]), *_percentiles(strata.resample(n, np.random.default_rng(seed))[:, 0], level))


def paired(a: np.ndarray, b: np.ndarray, *, groups: np.ndarray | None = None, n: int = 1000, seed: int = 0,
           level: float = 0.95) -> Interval:
    """The difference of means of `a` and `b` [N], the same images resampled for both: (difference, low, high).

    Much narrower than the difference of two intervals, as images that are easy for both cancel.
    """
    a, b = np.asarray(a, float), np.asarray(b, float)
    if a.shape != b.shape:
        raise ValueError(f"paired values differ in shape: {a.shape} and {b.shape}")
    return interval(a - b, groups=groups, n=n, seed=seed, level=level)


def harmonic_interval(seen: np.ndarray, unseen: np.ndarray, *, seen_groups: np.ndarray | None = None,
                      unseen_groups: np.ndarray | None = None, n: int = 1000, seed: int = 0,
                      level: float = 0.95) -> Interval:
    """The harmonic mean 2SU/(S+U) of two means with its interval; both sides are resampled independently."""
    rng = np.random.default_rng(seed)
    sides = _Strata(_row(seen), seen_groups), _Strata(_row(unseen), unseen_groups)
    draws = harmonic_means(*(side.resample(n, rng)[:, 0] for side in sides))
    point = harmonic_means(*(side.mean() for side in sides))
    return (float(point[0]), *_percentiles(draws, level))


def resampled_means(values: np.ndarray, *, groups: np.ndarray | None = None, n: int = 1000, seed: int = 0
                    ) -> np.ndarray:
    """[n, M] means of `n` resamples of the rows of `values` [N, M]: the same images are drawn for all M numbers.

    `groups` as in `interval`. A column that is not finite throughout gives no finite mean.
    """
    return _Strata(np.asarray(values, float), groups).resample(n, np.random.default_rng(seed))


def means(values: np.ndarray, *, groups: np.ndarray | None = None) -> np.ndarray:
    """[M] the means that `resampled_means` scatters around, averaged in the same way."""
    return _Strata(np.asarray(values, float), groups).mean()


def harmonic_means(seen: np.ndarray, unseen: np.ndarray) -> np.ndarray:
    """Harmonic means 2SU/(S+U) elementwise, 0 where both are 0."""
    total = seen + unseen
    return 2 * seen * unseen / np.where(total == 0, 1, total)


def _percentiles(draws: np.ndarray, level: float) -> tuple[float, float]:
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _row(values: np.ndarray) -> np.ndarray:
    """One number of every image as a column [N, 1]; raises ValueError for none and for what is not finite."""
    values = np.asarray(values, float)
    if values.ndim != 1 or not values.size or not np.isfinite(values).all():
        raise ValueError(f"expected a row of finite values, got shape {values.shape}")
    return values[:, None]


class _Strata:
    """Values [N, M] sorted by group, with the weight each row has in the mean over groups of means within groups."""

    def __init__(self, values: np.ndarray, groups: np.ndarray | None):
        groups = np.zeros(len(values)) if groups is None else np.asarray(groups)
        if groups.shape != values.shape[:1]:
            raise ValueError(f"{len(groups)} groups for {len(values)} values")
        _, code, count = np.unique(groups, return_inverse=True, return_counts=True)
        self.values = values[np.argsort(code, kind="stable")]  # [N, M]
        self.size = np.repeat(count, count)  # [N] images in the group of each place
        self.start = np.repeat(np.cumsum(count) - count, count)  # [N] where that group begins
        self.weight = 1 / (len(count) * self.size)  # [N]

    def mean(self) -> np.ndarray:
        """[M]"""
        return self.weight @ self.values

    def resample(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """[n, M] means of resamples; each place draws, with replacement, from its own group."""
        total = len(self.values)
        rows = max(1, _CHUNK // total)
        parts = []
        for begin in range(0, n, rows):
            uniform = rng.random((min(rows, n - begin), total))
            pick = self.start + (uniform * self.size).astype(np.intp)
            pick += total * np.arange(len(pick))[:, None]
            times = np.bincount(pick.ravel(), minlength=pick.size).reshape(pick.shape)  # each image was drawn
            parts.append((times * self.weight) @ self.values)
        return np.concatenate(parts)
