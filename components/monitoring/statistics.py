"""Two-sample tests: whether two sets of vectors, words or numbers come from one distribution, with valid p-values.

Permutation tests are exact for exchangeable samples of any size: with no difference, p <= a happens in at most a share
a of all cases (Phipson and Smyth, arXiv 1603.05766: the sample itself counts as one permutation).
"""

from collections.abc import Sequence

import numpy as np
from scipy.stats import ks_2samp

_CHUNK = 250  # permutations at a time: bounds memory


def mmd(a: np.ndarray, b: np.ndarray, permutations: int, seed: int = 0) -> tuple[float, float]:
    """(statistic, p) of the maximum mean discrepancy of vectors a [N, D] and b [M, D] (Gretton et al., JMLR 13, 2012).

    A Gaussian kernel whose width is the median distance; the statistic is the biased estimate, the square root of
    eq. 5, p by permuting who belongs to which sample.
    """
    x = np.concatenate([a, b]).astype(np.float64)
    square = (x * x).sum(1)
    distance = np.maximum(square[:, None] + square[None] - 2 * x @ x.T, 0)
    width = np.median(distance[np.triu_indices(len(x), 1)])
    kernel = np.exp(-distance / width) if width > 0 else np.ones_like(distance)
    rng, n, total = np.random.default_rng(seed), len(a), len(x)

    def statistics(weights: np.ndarray) -> np.ndarray:  # [N + M, P] -> [P]
        return np.einsum("ip,ip->p", weights, kernel @ weights)

    own = np.where(np.arange(total) < n, 1 / n, -1 / (total - n))
    observed = statistics(own[:, None])[0]
    above = 0
    for start in range(0, permutations, _CHUNK):
        drawn = rng.permuted(np.tile(own, (min(_CHUNK, permutations - start), 1)), axis=1)
        above += int((statistics(drawn.T) >= observed - 1e-12).sum())
    return float(np.sqrt(max(observed, 0))), (above + 1) / (permutations + 1)


def categories(a: Sequence, b: Sequence, permutations: int, seed: int = 0) -> tuple[float, float]:
    """(statistic, p) of Pearson's chi-square of homogeneity of two lists of words, p by permutation.

    By permutation, as most words of an open vocabulary are too rare for the chi-square distribution.
    """
    _, code = np.unique([*map(str, a), *map(str, b)], return_inverse=True)
    rng, n, total = np.random.default_rng(seed), len(a), len(code)
    count = np.bincount(code)
    expected = count * n / total  # of the first sample; the second's share of the statistic follows from it
    scale = 1 / expected + 1 / (count - expected)

    def statistic(codes: np.ndarray) -> float:
        return float((((np.bincount(codes[:n], minlength=len(count)) - expected) ** 2) * scale).sum())

    observed = statistic(code)
    above = sum(statistic(rng.permutation(code)) >= observed - 1e-9 for _ in range(permutations))
    return observed, (above + 1) / (permutations + 1)


def numbers(a: Sequence[float], b: Sequence[float]) -> tuple[float, float]:
    """(statistic, p) of the two-sample Kolmogorov-Smirnov test; with ties it errs on the side of no difference."""
    found = ks_2samp(a, b, method="asymp")
    return float(found.statistic), float(found.pvalue)


def stability(a: Sequence, b: Sequence) -> float:
    """The population stability index of two lists of words: above 0.25 is commonly called a large shift.

    Half a count is added to every word on each side, so that a word only one of them knows does not make it infinite.
    """
    words = sorted({*map(str, a), *map(str, b)})
    p, q = (np.array([list(map(str, of)).count(w) + 0.5 for w in words]) for of in (a, b))
    p, q = p / p.sum(), q / q.sum()
    return float(((q - p) * np.log(q / p)).sum())


def holm(values: Sequence[float]) -> list[float]:
    """p-values adjusted by Holm's step-down (1979): the chance of any false alarm among them stays at the level."""
    order = np.argsort(values)
    steps = np.array(values)[order] * (len(values) - np.arange(len(values)))
    adjusted = np.empty(len(values))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return adjusted.tolist()
