"""Generalised compositional zero-shot scores: seen against unseen attribute-object pairs over every bias between them.

score_b(p) = score(p) + b for unseen pairs p: Chao et al. (arXiv 1605.04253), Purushwalkam et al. (1905.05908).
An image is right at b if fewer than k other candidates score at least as much as its true pair: a tie is an error.
With the k best others of either side kept, all of the below is exact, however many pairs there are.

Two modes. `exact`: every b at which anything changes; accuracies are step functions and the area is taken through all
their corners. `reference`: the 20 to 39 biases of the public evaluators (Mancini et al., 2101.12609), each 1e-4 short
of where an unseen image becomes right, and b = 1000; somewhat lower. In float64, where b = 1000 loses no digits.

Legend: N images, P pairs, k the number of guesses. All scores lie in 0..1.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

Mode = Literal["exact", "reference"]
MODES: tuple[Mode, ...] = ("exact", "reference")
NUMBERS = ("auc", "best_hm", "best_seen", "best_unseen")
FAR = 1000.0  # the bias at which the public evaluators take unseen pairs to have won
_SHIFT, _POINTS = 1e-4, 20


@dataclass(frozen=True, slots=True)
class Ranked:
    """What decides about N images: the true pair's score and the k best other candidates on either side.

    Missing candidates score -inf and have pair -1; so does a true pair that is no candidate.
    """

    truth: np.ndarray  # [N] float64
    label: np.ndarray  # [N] int, the true pair
    unseen: np.ndarray  # [N] bool, whether the true pair is unseen
    seen_best: np.ndarray  # [N, k] float64, descending
    seen_pair: np.ndarray  # [N, k] int
    unseen_best: np.ndarray  # [N, k]
    unseen_pair: np.ndarray  # [N, k]


def rank(blocks: Iterable[np.ndarray], labels: np.ndarray, seen: np.ndarray, groups: Sequence[np.ndarray],
         k: int) -> list[Ranked]:
    """One pass over scores in blocks of rows [rows, P], which it overwrites.

    `seen` [P] bool marks seen pairs that are candidates; `groups` holds the indices of unseen candidates, in groups
    let in one after the other: the t-th result has those of groups[:t + 1]. Time and memory do not grow with t x P.
    """
    seen_columns = np.flatnonzero(seen)
    group_of = np.full(len(seen), len(groups))
    for t, group in enumerate(groups):
        group_of[group] = t
    parts: list[list[tuple[np.ndarray, ...]]] = [[] for _ in groups]
    start = 0
    for block in blocks:
        rows, label = np.arange(len(block)), labels[start:start + len(block)]
        truth = block[rows, label].astype(np.float64)
        block[rows, label] = -np.inf
        among_seen = _best(block, seen_columns, k)
        among_unseen = _best(block, np.array([], int), k)
        for t, group in enumerate(groups):
            among_unseen = _merge(among_unseen, _best(block, group, k), k)
            is_candidate = seen[label] | (group_of[label] <= t)
            parts[t].append((np.where(is_candidate, truth, -np.inf), label, *among_seen, *among_unseen))
        start += len(block)
    made = []
    for part in parts:
        truth, label, *best = (np.concatenate(column) for column in zip(*part, strict=True))
        made.append(Ranked(truth, label, ~seen[label], *best))
    return made


def _best(block: np.ndarray, columns: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k best of some columns, descending: scores and columns [rows, k], filled up with -inf and -1."""
    rows = np.arange(len(block))[:, None]
    of = block[:, columns]
    keep = min(k, len(columns))
    if keep == 1:
        at = of.argmax(1)[:, None]
    elif keep == len(columns):
        at = np.broadcast_to(np.arange(keep), (len(block), keep))
    else:
        at = np.argpartition(of, len(columns) - keep, axis=1)[:, len(columns) - keep:]
    values, pairs = of[rows, at].astype(np.float64), columns[at]
    values = np.pad(values, ((0, 0), (0, k - keep)), constant_values=-np.inf)
    pairs = np.where(np.isneginf(values), -1, np.pad(pairs, ((0, 0), (0, k - keep)), constant_values=-1))
    order = np.lexsort((pairs, -values), axis=1)
    return np.take_along_axis(values, order, 1), np.take_along_axis(pairs, order, 1)


def _merge(a: tuple[np.ndarray, np.ndarray], b: tuple[np.ndarray, np.ndarray],
           k: int) -> tuple[np.ndarray, np.ndarray]:
    values, pairs = (np.concatenate(both, 1) for both in zip(a, b, strict=True))
    order = np.argsort(-values, 1, kind="stable")[:, :k]
    return np.take_along_axis(values, order, 1), np.take_along_axis(pairs, order, 1)


def turning_points(ranked: Ranked) -> np.ndarray:
    """[N] the bias above which an unseen-labelled image is right, and below which a seen-labelled one is (strictly).

    With r others of its own side ahead, the true pair must beat the (k - r)-th of the other side. Never: +inf for
    unseen, -inf for seen; always: the other way round.
    """
    rows = np.arange(len(ranked.truth))
    k = ranked.seen_best.shape[1]
    own = np.where(ranked.unseen[:, None], ranked.unseen_best, ranked.seen_best)
    cross = np.where(ranked.unseen[:, None], ranked.seen_best, ranked.unseen_best)
    ahead = (own >= ranked.truth[:, None]).sum(1)
    never = (ahead >= k) | np.isneginf(ranked.truth)
    must_beat = cross[rows, k - 1 - np.minimum(ahead, k - 1)]
    margin = np.where(never, np.inf, must_beat - np.where(never, 0, ranked.truth))  # bias that is needed
    return np.where(ranked.unseen, margin, -margin)


@dataclass(frozen=True, slots=True)
class Curve:
    """Accuracy on seen- and on unseen-labelled images at rising biases; `bias` may hold +-inf at its ends."""

    seen: np.ndarray  # [T]
    unseen: np.ndarray  # [T]
    bias: np.ndarray  # [T]

    def numbers(self) -> dict[str, float]:
        """Area, best harmonic mean with its bias and both accuracies there, best seen, best unseen."""
        total = self.seen + self.unseen
        harmonic = 2 * self.seen * self.unseen / np.where(total == 0, 1, total)
        best = int(harmonic.argmax())
        return {"auc": float(np.trapezoid(self.seen, self.unseen)), "best_hm": float(harmonic[best]),
                "best_seen": float(self.seen.max()), "best_unseen": float(self.unseen.max()),
                "bias": float(self.bias[best]), "seen_at_best_hm": float(self.seen[best]),
                "unseen_at_best_hm": float(self.unseen[best])}


class Steps:
    """The turning points of all images, sorted once, from which a curve follows for any weights of the images."""

    def __init__(self, ranked: Ranked, mode: Mode):
        self.ranked, self.mode, self.unseen = ranked, mode, ranked.unseen
        self.point = turning_points(ranked)
        self.at = np.unique(self.point[np.isfinite(self.point)])  # [T]; between them are T + 1 intervals
        place = np.searchsorted(self.at, self.point)
        ends = np.where(self.point > 0, len(self.at) + 1, 0)
        self.step = np.where(np.isfinite(self.point), place + 1, ends)  # the interval in which right and wrong change

    def curve(self, weight: np.ndarray | None = None) -> Curve:
        """The curve with images weighted by `weight` [N] (None: equally); both sides need some weight."""
        weight = np.ones(len(self.step)) if weight is None else weight
        return self._exact(weight) if self.mode == "exact" else self._reference(weight)

    def _exact(self, weight: np.ndarray) -> Curve:
        n = len(self.at) + 2
        turned = [np.bincount(self.step[side], weight[side], n).cumsum()[:-1] for side in (self.unseen, ~self.unseen)]
        total = weight[~self.unseen].sum()
        unseen, seen = turned[0] / weight[self.unseen].sum(), (total - turned[1]) / total
        inner = (self.at[1:] + self.at[:-1]) / 2
        bias = np.concatenate([[-np.inf], inner, [np.inf]]) if len(self.at) else np.zeros(1)
        return Curve(np.clip(seen, 0, 1), np.clip(unseen, 0, 1), bias)

    def _reference(self, weight: np.ndarray) -> Curve:
        far = self.unseen & (self.point < FAR) & np.isfinite(self.ranked.seen_best[:, -1])
        short = (self.ranked.seen_best[far, -1] - self.ranked.truth[far]) - _SHIFT
        listed = np.repeat(short, weight[far].astype(int)) if (weight % 1 == 0).all() else short
        listed = np.sort(listed)
        bias = np.append(listed[::max(len(listed) // _POINTS, 1)], FAR)
        right = np.where(self.unseen, bias[:, None] > self.point, bias[:, None] < self.point) * weight  # [T, N]
        return Curve(right[:, ~self.unseen].sum(1) / weight[~self.unseen].sum(),
                     right[:, self.unseen].sum(1) / weight[self.unseen].sum(), bias)


def per_class(ranked: Ranked) -> np.ndarray:
    """Weights [N] under which every true pair counts alike."""
    _, code, count = np.unique(ranked.label, return_inverse=True, return_counts=True)
    return 1 / count[code]


def guesses(ranked: Ranked, bias: float) -> np.ndarray:
    """[N, k] the best pairs at a bias, best first; -1 where there are fewer. In a tie the true pair comes last."""
    k = ranked.seen_best.shape[1]
    values = np.concatenate([ranked.seen_best, ranked.unseen_best + bias,
                             (ranked.truth + bias * ranked.unseen)[:, None]], 1)
    truth = np.where(np.isneginf(ranked.truth), -1, ranked.label)[:, None]
    pairs = np.concatenate([ranked.seen_pair, ranked.unseen_pair, truth], 1)
    return np.take_along_axis(pairs, np.argsort(-values, 1, kind="stable")[:, :k], 1)


def primitives(ranked: Ranked, parts: np.ndarray, bias: float) -> dict[str, float]:
    """Share of images whose attribute, object, pair is among the k guesses; `parts` [P, 2] codes of both words."""
    guessed = guesses(ranked, bias)
    right = {"pair": guessed == ranked.label[:, None]}
    for column, name in enumerate(("attribute", "object")):
        right[name] = (parts[guessed, column] == parts[ranked.label, column][:, None]) & (guessed >= 0)
    return {f"{name}_accuracy": float(hit.any(1).mean()) for name, hit in right.items()}


def intervals(steps: Steps, n: int = 1000, seed: int = 0, level: float = 0.95) -> dict[str, list[float]]:
    """Percentile bootstrap intervals of the four numbers; images are resampled within seen- and within unseen-labelled.

    The same seed gives the same draws.
    """
    rng = np.random.default_rng(seed)
    sides = [np.flatnonzero(steps.unseen == value) for value in (False, True)]
    draws = np.zeros((n, len(NUMBERS)))
    for row in draws:
        weight = np.zeros(len(steps.step))
        for side in sides:
            weight[side] = np.bincount(rng.integers(0, len(side), len(side)), minlength=len(side))
        found = steps.curve(weight).numbers()
        row[:] = [found[name] for name in NUMBERS]
    bounds = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2], axis=0).T
    return {name: [float(b) for b in pair] for name, pair in zip(NUMBERS, bounds, strict=True)}


def shares(steps: Steps) -> np.ndarray:
    """[N] numbers whose mean is the exact area, one an image: what two models' areas are compared by, image by image.

    The area is the share of (seen, unseen) pairs of images that one bias makes both right: a two-sample statistic. An
    image's number is the area plus its own deviation, N / N_side times as large, so that resampling the numbers gives
    the statistic's own spread (its influence function; van der Vaart, Asymptotic Statistics, section 12.2).
    """
    below = np.sort(steps.point[~steps.unseen])  # seen images are right below these biases
    above = np.sort(steps.point[steps.unseen])  # unseen ones above these
    own = np.empty(len(steps.point))
    own[steps.unseen] = 1 - np.searchsorted(below, steps.point[steps.unseen], "right") / len(below)
    own[~steps.unseen] = np.searchsorted(above, steps.point[~steps.unseen], "left") / len(above)
    area = own[steps.unseen].mean()
    side = np.where(steps.unseen, len(above), len(below))
    return area + (own - area) * len(own) / side
