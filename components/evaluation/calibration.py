"""Calibration on tuning data only: the penalty on seen names, the temperature of confidences, and how well they hold.

Legend: N images, V verbs, P points of a curve, B bins.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

ENOUGH = (0, 3, 10, 30, 100)  # training images at which a verb pays half of the penalty on seen verbs

def choose_penalty(scores: np.ndarray, truth: np.ndarray, seen: np.ndarray, pseudo: np.ndarray, *,
                   rivals: np.ndarray | None = None, evidence: np.ndarray | None = None, average: str = "verb",
                   tries: int = 401) -> float:
    """The constant to subtract from the scores of seen verbs so that seen and pseudo-unseen accuracy balance best.

    `scores` [N, V] logits, `truth` [N] columns, `seen` [V] and `pseudo` [V] masks of the verbs that compete; `rivals`
    [V] are further names, without images here, that compete as well; all other columns are ignored. Maximises the
    harmonic mean of both accuracies, averaged per `verb` or `image`: calibrated stacking (Chao et al., 1605.04253).
    The more names stand against the seen ones, the sooner one of them wins, so a penalty chosen against few is too high
    against many: give the names that will compete at test as `rivals`. With `evidence` [V], 0..1, each seen verb pays
    its share of the penalty (a verb with few training images has little bias to pay for). `tries` penalties up to the
    spread of the scores are tried; of the widest best interval the middle is taken. Raises ValueError for images of any
    other verb (unseen verbs may not tune) and where either side has no image.
    """
    tried, means = _balance(scores, truth, [seen], pseudo, rivals, evidence, average, tries)
    return _middle(tried, means)


def choose_stacking(scores: np.ndarray, truth: np.ndarray, groups: Sequence[np.ndarray], pseudo: np.ndarray,
                    images: np.ndarray, rivals: np.ndarray) -> tuple[float, np.ndarray]:
    """The penalty, and each verb's share of it [V], so that all `groups` of seen verbs and the pseudo-unseen balance.

    A verb with n training `images` [V] pays n / (n + m) of the penalty, and m is chosen with it (of `ENOUGH`). The
    harmonic mean is that of the accuracies of every group and of the pseudo-unseen verbs, so that no group pays for the
    others: rare verbs are few and hardly count in a mean over all seen ones. Else as `choose_penalty`.
    """
    best: tuple[float, float, np.ndarray] | None = None
    for enough in ENOUGH:
        evidence = np.round(images / np.maximum(images + enough, 1), 4)
        tried, means = _balance(scores, truth, groups, pseudo, rivals, evidence, "verb", 201)
        if best is None or means.max() > best[0]:
            best = means.max(), _middle(tried, means), evidence
    return best[1:]


def _middle(tried: np.ndarray, means: np.ndarray) -> float:
    """Of the widest best interval the middle."""
    best = means >= means.max() - 1e-12
    runs = np.split(np.arange(len(tried)), np.flatnonzero(np.diff(best)) + 1)
    widest = max((r for r in runs if best[r[0]]), key=len)
    return float(tried[(widest[0] + widest[-1]) // 2])


def _balance(scores: np.ndarray, truth: np.ndarray, groups: Sequence[np.ndarray], pseudo: np.ndarray,
             rivals: np.ndarray | None, evidence: np.ndarray | None, average: str, tries: int
             ) -> tuple[np.ndarray, np.ndarray]:
    """Penalties to try, and at each the harmonic mean of the accuracies of all groups and of the pseudo-unseen."""
    scores, truth = np.asarray(scores, float), np.asarray(truth)
    seen, pseudo = np.any(np.asarray(groups, bool), 0), np.asarray(pseudo, bool)
    if (seen & pseudo).any():
        raise ValueError("a verb cannot be both seen and pseudo-unseen")
    if not (seen | pseudo)[truth].all():
        raise ValueError("tuning data holds images of verbs that are neither seen nor pseudo-unseen")
    of_seen = seen[truth]  # [N]
    if of_seen.all() or not of_seen.any():
        raise ValueError("tuning needs images of both seen and pseudo-unseen verbs")
    sides = [np.asarray(g, bool)[truth] for g in (*groups, pseudo)]  # [N] each
    weights = np.stack([_weights(truth, side, average) for side in sides if side.any()])  # [groups + 1, N]
    compete = seen | pseudo if rivals is None else seen | pseudo | rivals
    share = seen * (1.0 if evidence is None else evidence)  # [V]
    tried = np.linspace(0, np.ptp(scores[:, compete]), tries)
    right = np.stack([weights @ (np.where(compete, scores - penalty * share, -np.inf).argmax(1) == truth)
                      for penalty in tried])  # [tries, groups + 1]
    if not right.all(1).any():  # some group is never right: half of its least image stands for it, so the others count
        right = np.maximum(right, [w[w > 0].min() / 2 for w in weights])
    with np.errstate(divide="ignore"):
        return tried, right.shape[1] / (1 / right).sum(1)


def _weights(truth: np.ndarray, of_side: np.ndarray, average: str) -> np.ndarray:
    """[N] weights that sum to 1 over the images of one side, and are 0 elsewhere."""
    count = np.bincount(truth)
    each = {"verb": 1 / count[truth], "image": np.ones(len(truth))}[average] * of_side
    return each / each.sum()


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
