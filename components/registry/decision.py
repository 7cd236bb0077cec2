"""Decides whether a candidate replaces the champion: a pure function of two evaluations whose every reason is kept."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from components.base.text import line
from components.recipes.protocol import Gates
from components.registry.comparison import Evaluation, change, sources

REQUIRED_QUALITY = ("dataset", "predictions")
FEW = 30  # images: a source with fewer is not judged apart, as chance alone would decide


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

    Always: quality gates passed, minimum bars reached, edge budgets kept. Against a champion also: both were scored on
    the same test version; the headline is better there, and the lower end of the paired bootstrap interval (95 %) of
    the difference lies above -margin, where the margin is `gates.protected[headline]` or 0; no protected metric falls
    by more than its margin, as reported; no metric in `gates.per_source` falls by more than its margin on the images of
    any one source of at least 30 images. A missing or non-finite number fails its check. `higher_is_better` speaks of
    the headline alone. Pure; `seed` draws the bootstrap.
    """
    reasons = [*_quality(candidate), *_minimum(candidate, gates), *_budgets(candidate, gates)]
    if champion is None:
        reasons.append(Reason("champion", True, None, None, "no champion yet: minimum bars and budgets decide"))
    elif candidate.test != champion.test:
        text = (f"the test versions differ (champion {champion.test[:12] or 'unknown'}, "
                f"candidate {candidate.test[:12] or 'unknown'}): evaluate both on the same one")
        reasons.append(Reason("test", False, None, None, text))
    else:
        reasons += _headline(candidate, champion, gates, seed)
        reasons += _protected(candidate, champion, gates)
        reasons += _per_source(candidate, champion, gates, seed)
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
    found = change(name, candidate, champion, seed=seed)
    if isinstance(found, str):
        return [Reason("headline", False, None, None, f"{found}: not comparable")]
    difference, low, high = found.gain
    if not gates.higher_is_better:
        difference, low, high = -difference, -high, -low
    span = f"{found.gain[0]:+.4g} (the gain lies in {low:+.4g} to {high:+.4g}, 95 %)"
    floor = 0.0 - margin  # not -margin, which of 0.0 is shown as -0
    better, safe = difference > 0, low > floor
    return [Reason("headline.better", better, difference, 0.0,
                   f"{name} differs from the champion's by {span}: {'better' if better else 'not better'}"),
            Reason("headline.not_worse", safe, low, floor,
                   f"the lower end {low:+.4g} of the gain in {name} {'is' if safe else 'is not'} above {floor:.4g}")]


def _per_source(candidate: Evaluation, champion: Evaluation, gates: Gates, seed: int) -> list[Reason]:
    reasons = []
    for metric, margin in gates.per_source.items():
        for source, images in sources(candidate).items():
            check, where = f"source.{line(source, 60)}", f"on {len(images)} images from {line(source, 60)}"
            found = change(metric, candidate, champion, images=images, seed=seed)
            if isinstance(found, str):
                reasons.append(Reason(check, False, None, None, f"{found}: not comparable {where}"))
            elif found.images < FEW:
                reasons.append(Reason(check, True, None, None, f"{metric} {where} is not judged: fewer than {FEW}"))
            else:
                gain, good = found.gain[0], found.gain[0] >= -margin
                word = "stays within" if good else "falls by more than"
                reasons.append(Reason(check, good, gain, -margin, f"{metric} {where} {found.after[0]:.4g} "
                                      f"(champion {found.before[0]:.4g}) {word} {margin:.4g}"))
    return reasons


def _finite(values: Mapping[str, float], name: str) -> float | None:
    value = values.get(name)
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _missing(check: str, name: str, bar: float | None) -> Reason:
    return Reason(check, False, None, bar, f"{name} is missing or not a finite number")
