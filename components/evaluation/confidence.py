"""How sure one may be: evidence to probabilities, and what abstaining from unsure predictions buys.

Legend: N predictions, K kinds of evidence. Evidence is any number that tells right from wrong.
"""

import numpy as np


def fit_logistic(evidence: np.ndarray, right: np.ndarray) -> list[float]:
    """Weights [K + 1] for which sigmoid(evidence @ w[:-1] + w[-1]) is the probability of being right.

    `evidence` is [N, K], `right` [N]. For one kind of evidence this is Platt scaling (Platt, Probabilistic Outputs for
    Support Vector Machines, 1999), whose smoothed targets are used for any number: few examples give no certainty.
    Found by Newton's method. Raises ValueError for no or non-finite evidence.
    """
    evidence, right = np.asarray(evidence, float), np.asarray(right, bool)
    if evidence.ndim != 2 or evidence.shape[:1] != right.shape or not right.size or not np.isfinite(evidence).all():
        raise ValueError(f"expected finite evidence [N, K], got {evidence.shape} and {right.shape}")
    good, bad = right.sum(), (~right).sum()
    target = np.where(right, (good + 1) / (good + 2), 1 / (bad + 2))
    mean, spread = evidence.mean(0), evidence.std(0)
    spread = np.where(spread > 1e-9 * (1 + np.abs(mean)), spread, np.inf)  # what never changes tells nothing
    x = np.concatenate([(evidence - mean) / spread, np.ones((len(evidence), 1))], 1)  # [N, K + 1]
    w = np.zeros(x.shape[1])
    for _ in range(100):
        p = 1 / (1 + np.exp(-x @ w))
        step = np.linalg.solve((x.T * (p * (1 - p))) @ x + 1e-9 * np.eye(len(w)), x.T @ (p - target))
        before = _loss(x, w, target)
        while _loss(x, w - step, target) > before + 1e-12 and np.abs(step).max() > 1e-12:
            step = step / 2
        w = w - step
        if np.abs(step).max() < 1e-9:
            break
    slopes = w[:-1] / spread
    return [*slopes.tolist(), float(w[-1] - slopes @ mean)]


def _loss(x: np.ndarray, w: np.ndarray, target: np.ndarray) -> float:
    """Cross-entropy of sigmoid(x @ w), stable for large logits."""
    z = x @ w
    return float((np.logaddexp(0, z) - target * z).sum())


def told_apart(fits: np.ndarray, misses: np.ndarray) -> float:
    """AUROC: the chance that one of `fits` has higher evidence than one of `misses`; ties count half."""
    ranked = np.sort(np.asarray(misses, float))
    below, upto = (np.searchsorted(ranked, fits, side) for side in ("left", "right"))
    return float((below + upto).mean() / 2 / len(ranked))


def risk_coverage(evidence: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(coverage, risk) [N] each: the share of wrong ones among the k surest predictions, for k = 1 .. N.

    El-Yaniv and Wiener, On the Foundations of Noise-free Selective Classification (2010). Of equal evidence the one
    that comes first counts as surer.
    """
    order = np.argsort(-np.asarray(evidence, float), kind="stable")
    count = np.arange(1, len(order) + 1)
    return count / len(order), np.cumsum(1.0 - np.asarray(right, float)[order]) / count


def aurc(evidence: np.ndarray, right: np.ndarray) -> float:
    """Area under the risk-coverage curve, 0 best: the mean risk over all coverages (Geifman et al., 1805.08206)."""
    return float(risk_coverage(evidence, right)[1].mean())
