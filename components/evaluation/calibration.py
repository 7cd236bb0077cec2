"""Calibration on tuning data only: the penalty on seen names, the temperature of confidences, and how well they hold.

Legend: N images, V verbs, P points of a curve, B bins.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

ENOUGH = (0, 3, 10, 30, 100)  # training images at which a verb pays half of the penalty on seen verbs


def choose_stacking(scores: np.ndarray, truth: np.ndarray, groups: Sequence[np.ndarray], pseudo: np.ndarray,
                    images: np.ndarray, rivals: np.ndarray, *, enough: Sequence[int] = ENOUGH, tries: int = 401,
                    ) -> tuple[float, np.ndarray]:
    """The penalty on the scores of seen verbs, and each verb's share of it [V]: calibrated stacking (Chao et al.,
    1605.04253), chosen so that seen and pseudo-unseen verbs balance best.

    `scores` [N, V] logits, `truth` [N] columns; `groups` of seen verbs and `pseudo` are masks [V], `rivals` [V] further
    names, without images here, that compete as well: few names against the seen ones would choose too high a penalty.
    All other columns are ignored. A verb with n training `images` [V] pays n / (n + m) of the penalty, as a verb with
    few has little bias to pay for; m, of `enough`, is chosen with the penalty, of `tries` up to the spread of the
    scores. What is maximised is the harmonic mean of seen and pseudo-unseen accuracy, per verb, where that of seen
    verbs is itself the harmonic mean over `groups`: rare verbs are few and would hardly count in a mean over all seen
    ones, and however many groups there are, seen and unseen weigh the same. Of the widest best interval of penalties
    the middle is taken. Raises ValueError for images of any other verb (unseen verbs may not tune) and where either
    side has no image.
    """
    scores, truth = np.asarray(scores, float), np.asarray(truth)
    seen, pseudo = np.any(np.asarray(groups, bool), 0), np.asarray(pseudo, bool)
    if (seen & pseudo).any():
        raise ValueError("a verb cannot be both seen and pseudo-unseen")
    if not (seen | pseudo)[truth].all():
        raise ValueError("tuning data holds images of verbs that are neither seen nor pseudo-unseen")
    if seen[truth].all() or not seen[truth].any():
        raise ValueError("tuning needs images of both seen and pseudo-unseen verbs")
    parts = [w for w in (_weights(truth, np.asarray(g, bool)[truth]) for g in groups) if w.any()]
    weights = np.stack([*parts, _weights(truth, pseudo[truth])])  # [groups + 1, N]
    counts = np.array([*[0.5 / len(parts)] * len(parts), 0.5])  # of each accuracy in the harmonic mean
    competing = np.where(seen | pseudo | rivals, scores, -np.inf)
    tried = np.linspace(0, np.ptp(scores[:, seen | pseudo | rivals]), tries)
    best: tuple[float, float, np.ndarray] | None = None
    for m in enough:
        share = np.round(seen * images / np.maximum(images + m, 1), 4)
        right = np.stack([weights @ ((competing - penalty * share).argmax(1) == truth) for penalty in tried])
        if not right.all(1).any():  # some group is never right: half of its least image stands for it
            right = np.maximum(right, [w[w > 0].min() / 2 for w in weights])
        with np.errstate(divide="ignore"):
            means = 1 / (counts / right).sum(1)  # [tries]
        if best is None or means.max() > best[0]:
            best = means.max(), _middle(tried, means), share
    return best[1:]


def _middle(tried: np.ndarray, means: np.ndarray) -> float:
    """Of the widest best interval the middle."""
    best = means >= means.max() - 1e-12
    runs = np.split(np.arange(len(tried)), np.flatnonzero(np.diff(best)) + 1)
    widest = max((r for r in runs if best[r[0]]), key=len)
    return float(tried[(widest[0] + widest[-1]) // 2])


def _weights(truth: np.ndarray, of_side: np.ndarray) -> np.ndarray:
    """[N] weights of the images of one side, the same for every verb, that sum to 1; 0 elsewhere."""
    each = of_side / np.bincount(truth)[truth]
    return each / max(each.sum(), 1e-12)


def ranked_hits(scores: np.ndarray, truth: np.ndarray, candidates: np.ndarray, k: int = 1) -> np.ndarray:
    """[N] bool: the true verb is among the best `k` when only `candidates` [V] (a mask) compete; ties go to the first.

    With all verbs as candidates this is generalised accuracy, with the unseen ones accuracy among unseen names.
    """
    ranked = np.argsort(-np.where(candidates, scores, -np.inf), axis=1, kind="stable")[:, :k]
    return ((ranked == np.asarray(truth)[:, None]) & np.asarray(candidates)[ranked]).any(1)


def fit_temperature(scores: np.ndarray, truth: np.ndarray) -> float:
    """The temperature T > 0 for which softmax(scores / T) has the least negative log likelihood, within [1e-3, 1e3].

    Guo et al., On Calibration of Modern Neural Networks (arXiv 1706.04599). The likelihood is convex in 1/T, so a
    golden-section search on log T finds it. Columns of -inf are names that do not compete.
    """
    rows = np.arange(len(truth))

    def loss(log_t: float) -> float:
        return float(-log_softmax(np.asarray(scores, float) / np.exp(log_t))[rows, truth].mean())

    return float(np.exp(_golden(loss, np.log(1e-3), np.log(1e3))))


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Log probabilities over the last axis, stable for large and -inf logits."""
    shifted = logits - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def _golden(f: Callable[[float], float], low: float, high: float, tolerance: float = 1e-5) -> float:
    """Where a function with one minimum is least (Kiefer 1953)."""
    ratio = (5**0.5 - 1) / 2
    a, b = high - ratio * (high - low), low + ratio * (high - low)
    at_a, at_b = f(a), f(b)
    while high - low > tolerance:
        if at_a <= at_b:
            high, b, at_b = b, a, at_a
            a = high - ratio * (high - low)
            at_a = f(a)
        else:
            low, a, at_a = a, b, at_b
            b = low + ratio * (high - low)
            at_b = f(b)
    return (low + high) / 2


@dataclass(frozen=True, slots=True)
class Reliability:
    """Confidence against accuracy in B equal bins of confidence; NaN in empty bins. `ece` is their weighted gap."""

    edges: np.ndarray  # [B + 1]
    confidence: np.ndarray  # [B] mean confidence
    accuracy: np.ndarray  # [B]
    count: np.ndarray  # [B] int
    ece: float


def reliability(confidence: np.ndarray, right: np.ndarray, bins: int = 10) -> Reliability:
    """Expected calibration error (Guo et al., arXiv 1706.04599) of confidences in 0..1 against hits, both [N]."""
    confidence, right = np.asarray(confidence, float), np.asarray(right, float)
    if confidence.size == 0 or not ((confidence >= 0) & (confidence <= 1)).all():
        raise ValueError("confidences must be probabilities, at least one")
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    count = np.bincount(place, minlength=bins)
    sums = [np.bincount(place, v, minlength=bins) for v in (confidence, right)]
    with np.errstate(invalid="ignore"):
        mean = [s / count for s in sums]
    ece = float(np.abs(sums[0] - sums[1]).sum() / len(confidence))
    return Reliability(np.linspace(0, 1, bins + 1), mean[0], mean[1], count, ece)
