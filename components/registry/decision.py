"""Decides whether a candidate replaces the champion: a pure function of two evaluations whose every reason is kept."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from components.evaluation import bootstrap
from components.recipes.protocol import Gates

REQUIRED_QUALITY = ("dataset", "predictions")
OVERLAP = 0.5  # of the smaller test set; with fewer common images two models are not compared on the same thing
DRAWS = 1000
Scores = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What is known of one model version.

    `metrics` {name: value}; `per_sample` {metric: {image: score}} for the paired comparison; `edge` the measured
    "parity", "int8_loss", "latency_ms" and "size_mb"; `quality` {suite: passed}, of which "dataset" and "predictions"
    must be there. A headline that is a harmonic mean has no score per image: it is compared by its two parts,
    `per_sample["<headline>.seen"]` and `per_sample["<headline>.unseen"]`.
    """

    metrics: Mapping[str, float]
    per_sample: Mapping[str, Scores] = field(default_factory=dict)
    edge: Mapping[str, float] = field(default_factory=dict)
    quality: Mapping[str, bool] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing looked at: its `value` beside the `bar` it was held against (None where there is no number)."""

    check: str
    passed: bool
    value: float | None
    bar: float | None
    text: str


@dataclass(frozen=True, slots=True)
class Decision:
    """Promote or not. `reasons` holds everything that was looked at, passed or failed."""

    promote: bool
    reasons: tuple[Reason, ...]

    @property
    def failed(self) -> tuple[Reason, ...]:
        return tuple(r for r in self.reasons if not r.passed)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Decision":
        return cls(values["promote"], tuple(Reason(**r) for r in values["reasons"]))


def decide(candidate: Evaluation, champion: Evaluation | None, gates: Gates, seed: int = 0) -> Decision:
    """Promotes the candidate if nothing speaks against it; looks at everything in any case.

    Always: quality gates passed, minimum bars reached, edge budgets kept. Against a champion also: the headline is
    better on the images that both scored, the lower end of the paired bootstrap interval (95 %) of the difference lies
    above -margin, where the margin is `gates.protected[headline]` or 0, and no protected metric falls by more than its
    margin. A missing or non-finite number fails its check. Both evaluations should be on the same test set; protected
    metrics are compared as reported. `higher_is_better` speaks of the headline alone. Pure; `seed` draws the bootstrap.
    """
    reasons = [*_quality(candidate), *_minimum(candidate, gates), *_budgets(candidate, gates)]
    if champion is None:
        reasons.append(Reason("champion", True, None, None, "no champion yet: minimum bars and budgets decide"))
    else:
        reasons += _headline(candidate, champion, gates, seed)
        reasons += _protected(candidate, champion, gates)
    return Decision(all(r.passed for r in reasons), tuple(reasons))


def _quality(candidate: Evaluation) -> list[Reason]:
    reasons = []
    for suite in dict.fromkeys([*REQUIRED_QUALITY, *sorted(candidate.quality)]):
        passed = candidate.quality.get(suite)
        word = "was not run" if passed is None else "passed" if passed else "failed"
        reasons.append(Reason(f"quality.{suite}", passed is True, None, None, f"the quality gate on {suite} {word}"))
    return reasons


def _minimum(candidate: Evaluation, gates: Gates) -> list[Reason]:
    return [_bounded(f"minimum.{metric}", metric, _finite(candidate.metrics, metric), bar, at_least=True)
            for metric, bar in gates.minimum.items()]


def _budgets(candidate: Evaluation, gates: Gates) -> list[Reason]:
    return [_bounded(f"budget.{name}", name, _finite(candidate.edge, name), limit, at_least=False)
            for name, limit in gates.budgets.items()]


def _bounded(check: str, name: str, value: float | None, bar: float, *, at_least: bool) -> Reason:
    """A number against the bar that it must reach, or the limit that it must keep."""
    if value is None:
        return _missing(check, name, bar)
    good = value >= bar if at_least else value <= bar
    words = ("reaches", "is below", "bar") if at_least else ("keeps", "exceeds", "limit")
    return Reason(check, good, value, bar, f"{name} {value:.4g} {words[0 if good else 1]} the {words[2]} {bar:.4g}")


def _protected(candidate: Evaluation, champion: Evaluation, gates: Gates) -> list[Reason]:
    reasons = []
    for metric, margin in gates.protected.items():
        if metric == gates.headline:
            continue  # its margin is that of the paired comparison
        check, new, old = f"protected.{metric}", _finite(candidate.metrics, metric), _finite(champion.metrics, metric)
        if new is None:
            reasons.append(_missing(check, metric, None))
        elif old is None:
            reasons.append(Reason(check, False, new, None, f"the champion has no {metric}: evaluate it again"))
        else:
            good = new >= old - margin
            word = "stays within" if good else "falls by more than"
            reasons.append(Reason(check, good, new, old - margin,
                                  f"{metric} {new:.4g} (champion {old:.4g}) {word} {margin:.4g}"))
    return reasons


def _headline(candidate: Evaluation, champion: Evaluation, gates: Gates, seed: int) -> list[Reason]:
    name, margin = gates.headline, gates.protected.get(gates.headline, 0.0)
    parts = [name] if name in candidate.per_sample else [f"{name}.seen", f"{name}.unseen"]
    pairs, notes = [], []
    for part in parts:
        pair, note = _common(part, candidate, champion)
        notes += note
        if pair is None:
            return notes
        pairs.append(pair)
    sign = 1.0 if gates.higher_is_better else -1.0
    if len(pairs) == 1:
        difference, low, high = bootstrap.paired(*pairs[0], n=DRAWS, seed=seed)
    else:
        difference, low, high = _paired_harmonic(pairs[0], pairs[1], seed)
    if not gates.higher_is_better:
        difference, low, high = -difference, -high, -low
    span = f"{sign * difference:+.4g} (the gain lies in {low:+.4g} to {high:+.4g}, 95 %)"
    better, safe = difference > 0, low > -margin
    return [*notes,
            Reason("headline.better", better, difference, 0.0,
                   f"{name} differs from the champion's by {span}: {'better' if better else 'not better'}"),
            Reason("headline.not_worse", safe, low, -margin,
                   f"the lower end {low:+.4g} of the gain in {name} {'is' if safe else 'is not'} above {-margin:.4g}")]


def _common(metric: str, candidate: Evaluation,
            champion: Evaluation) -> tuple[tuple[np.ndarray, np.ndarray] | None, list[Reason]]:
    """Both models' finite scores on the images that both scored, or None, with what must be said about the images."""
    new, old = candidate.per_sample.get(metric, {}), champion.per_sample.get(metric, {})
    for who, scores in (("candidate", new), ("champion", old)):
        bad = next((image for image, score in scores.items() if not math.isfinite(score)), None)
        if not scores or bad is not None:
            what = f"a non-finite {metric} for {bad}" if scores else f"no {metric} per image"
            return None, [Reason(f"headline.{metric}", False, None, None, f"the {who} has {what}: not comparable")]
    both = sorted(new.keys() & old.keys())
    if len(both) < OVERLAP * min(len(new), len(old)):
        text = f"only {len(both)} images were scored by both ({len(new)} and {len(old)}): evaluate the champion again"
        return None, [Reason(f"images.{metric}", False, len(both), None, text)]
    notes = []
    if new.keys() != old.keys():
        text = f"the test sets differ ({len(new)} and {len(old)} images): {metric} compared on {len(both)} common ones"
        notes.append(Reason(f"images.{metric}", True, len(both), None, text))
    return (np.array([new[i] for i in both], float), np.array([old[i] for i in both], float)), notes


def _paired_harmonic(seen: tuple[np.ndarray, np.ndarray], unseen: tuple[np.ndarray, np.ndarray],
                     seed: int) -> tuple[float, float, float]:
    """The difference of harmonic means 2SU/(S+U) with its percentile interval, images resampled for both together."""
    rng = np.random.default_rng(seed)
    means = []  # of candidate and champion on seen, then on unseen images: the point, then the draws
    for pair in (seen, unseen):
        values = np.stack(pair)  # [2, N]
        draws = [values[:, rng.integers(values.shape[1], size=values.shape[1])].mean(1) for _ in range(DRAWS)]
        means.append(np.stack([values.mean(1), *draws]))  # [1 + DRAWS, 2]
    s, u = means
    harmonic = 2 * s * u / np.where(s + u == 0, 1, s + u)
    difference = harmonic[:, 0] - harmonic[:, 1]
    low, high = np.quantile(difference[1:], [0.025, 0.975])
    return float(difference[0]), float(low), float(high)


def _finite(values: Mapping[str, float], name: str) -> float | None:
    value = values.get(name)
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _missing(check: str, name: str, bar: float | None) -> Reason:
    return Reason(check, False, None, bar, f"{name} is missing or not a finite number")
