"""Calibration on tuning data only: the penalty on seen names, the temperature of confidences, and how well they hold.

Legend: N images, V verbs, P points of a curve, B bins.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class TradeOff:
    """Seen against unseen accuracy (0..1) as the penalty on seen names grows; `chosen` is the row of the best."""

    penalty: np.ndarray  # [P] ascending, in units of the scores
    seen: np.ndarray  # [P]
    unseen: np.ndarray  # [P]
    harmonic: np.ndarray  # [P]
    chosen: int


def choose_penalty(scores: np.ndarray, truth: np.ndarray, seen: np.ndarray, pseudo: np.ndarray, *,
                   average: str = "verb", evidence: np.ndarray | None = None) -> tuple[float, TradeOff]:
    """The constant to subtract from the scores of seen verbs so that seen and pseudo-unseen accuracy balance best.

    `scores` [N, V] logits, `truth` [N] columns, `seen` [V] and `pseudo` [V] masks of the verbs that compete; all other
    columns are ignored. Maximises the harmonic mean of the two accuracies, averaged per `verb` or per `image`; this is
    calibrated stacking (Chao et al., arXiv 1605.04253) solved exactly: accuracy changes only where the penalty passes
    an image's margin between its best seen and best pseudo-unseen name, so all intervals between margins are tried and
    the middle of the widest best one is taken. With `evidence` [V], 0..1, each seen verb pays its share of the penalty
    (a verb with few training images has little bias to pay for); 401 penalties are then tried. Raises ValueError for
    images of any other verb (unseen verbs may not tune) and where either side has no image.
    """
    scores, truth = np.asarray(scores, float), np.asarray(truth)
    seen, pseudo = np.asarray(seen, bool), np.asarray(pseudo, bool)
    if (seen & pseudo).any():
        raise ValueError("a verb cannot be both seen and pseudo-unseen")
    if not (seen | pseudo)[truth].all():
        raise ValueError("tuning data holds images of verbs that are neither seen nor pseudo-unseen")
    of_seen = seen[truth]  # [N]
    if of_seen.all() or not of_seen.any():
        raise ValueError("tuning needs images of both seen and pseudo-unseen verbs")
    weight = _weights(truth, of_seen, average)
    if evidence is not None:
        tried = np.linspace(0, np.ptp(scores[:, seen | pseudo]), 402)
        hits = [weight * (np.where(seen | pseudo, scores - p * evidence * seen, -np.inf).argmax(1) == truth)
                for p in (tried[:-1] + tried[1:]) / 2]
        return _best(tried, *(np.array([hit[side].sum() for hit in hits]) for side in (of_seen, ~of_seen)))
    best_seen, best_pseudo = (np.where(mask, scores, -np.inf) for mask in (seen, pseudo))
    margin = best_seen.max(1) - best_pseudo.max(1)  # [N] a seen name wins while the penalty is below this
    right = np.where(of_seen, best_seen.argmax(1), best_pseudo.argmax(1)) == truth  # [N] best of its own kind is true

    edges, place = np.unique(margin, return_inverse=True)  # [M]
    gain = [np.bincount(place, weight * right * side, minlength=len(edges)) for side in (of_seen, ~of_seen)]  # 2 x [M]
    seen_accuracy = np.concatenate([[gain[0].sum()], gain[0].sum() - np.cumsum(gain[0])]).clip(0)  # [M + 1]
    unseen_accuracy = np.concatenate([[0.0], np.cumsum(gain[1])])
    ends = np.concatenate([[edges[0] - 1], edges, [edges[-1] + 1]])
    return _best(ends, seen_accuracy, unseen_accuracy)


def _best(ends: np.ndarray, seen: np.ndarray, unseen: np.ndarray) -> tuple[float, TradeOff]:
    """The middle of the widest best interval of penalties, with the whole curve.  ends [P + 1], accuracies [P]"""
    penalty, total = (ends[:-1] + ends[1:]) / 2, seen + unseen
    harmonic = 2 * seen * unseen / np.where(total > 0, total, 1)
    runs = np.split(np.arange(len(penalty)), np.flatnonzero(np.diff(harmonic >= harmonic.max() - 1e-12)) + 1)
    tops = (r for r in runs if harmonic[r[0]] >= harmonic.max() - 1e-12)
    best = max(tops, key=lambda r: ends[r[-1] + 1] - ends[r[0]])
    chosen = int(best[len(best) // 2])
    return float((ends[best[0]] + ends[best[-1] + 1]) / 2), TradeOff(penalty, seen, unseen, harmonic, chosen)


def _weights(truth: np.ndarray, of_seen: np.ndarray, average: str) -> np.ndarray:
    """[N] weights that sum to 1 over the images of seen verbs, and to 1 over the others."""
    count = np.bincount(truth)
    each = {"verb": 1 / count[truth], "image": np.ones(len(truth))}[average]
    return each / np.where(of_seen, each[of_seen].sum(), each[~of_seen].sum())


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
