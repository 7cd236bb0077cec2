"""Holds a window of logged predictions against the reference of a student's test: four tests, one verdict."""

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from components.base.errors import UserError
from components.monitoring import statistics
from components.monitoring.log import embeddings

NAMES = {"embeddings": "What it sees", "verbs": "What it answers", "score": "How sure it is",
         "boxes": "How many boxes it finds"}
MOVED = 12  # verbs that are named, by how much their share changed


@dataclass(frozen=True, slots=True)
class Settings:
    """`alpha`: how often an unchanged stream may raise an alarm, per window; `window` newest predictions are looked at,
    `least` are needed; `permutations` bound how small a p-value can be (1 / (permutations + 1)).
    """

    alpha: float = 0.01
    window: int = 500
    least: int = 50
    permutations: int = 1000
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.alpha < 1:
            raise UserError(f"must lie between 0 and 1, got {self.alpha}", where="--alpha", mend="for example 0.01")
        if self.window < self.least:
            raise UserError(f"must be at least {self.least}, got {self.window}", where="--window",
                            mend="look at more predictions")


@dataclass(frozen=True, slots=True)
class Test:
    """One comparison: its statistic, p-value, the p-value adjusted for there being several, and whether it alarms."""

    name: str
    statistic: float
    p: float
    adjusted: float
    drift: bool


@dataclass(frozen=True, slots=True)
class Drift:
    """The verdict: "steady", "drift", or "too few" predictions to say.

    `stability` is the population stability index of the verbs; `verbs` those whose share of the answers changed most,
    as (verb, share in the reference, share in the window).
    """

    verdict: str
    predictions: int
    reference: int
    tests: tuple[Test, ...] = ()
    stability: float = 0.0
    verbs: tuple[tuple[str, float, float], ...] = ()
    first: str = ""
    last: str = ""

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def look(reference: pa.Table, window: pa.Table, settings: Settings = Settings()) -> Drift:
    """Whether `window` (rows of the prediction log) is drawn from what `reference` was drawn from.

    An alarm is raised if any of the four tests, adjusted by Holm, falls below `alpha`. Predictions are taken to be
    independent: frames of one video are not. Raises UserError for embeddings of another length than the reference's.
    """
    if len(window) < settings.least:
        return Drift("too few", len(window), len(reference))
    a, b = embeddings(reference), embeddings(window)
    if a.shape[1] != b.shape[1]:
        raise UserError(f"embeddings of {b.shape[1]} numbers, in the reference {a.shape[1]}", where="prediction log",
                        mend="log the predictions of the student that is monitored")
    columns = {name: (reference[name].to_pylist(), window[name].to_pylist()) for name in ("answer", "score", "boxes")}
    drawn = {"permutations": settings.permutations, "seed": settings.seed}
    found = {"embeddings": statistics.mmd(a, b, **drawn), "verbs": statistics.categories(*columns["answer"], **drawn),
             "score": statistics.numbers(*columns["score"]),
             "boxes": statistics.categories(*columns["boxes"], **drawn)}
    adjusted = statistics.holm([p for _, p in found.values()])
    tests = tuple(Test(name, value, p, q, q < settings.alpha)
                  for (name, (value, p)), q in zip(found.items(), adjusted, strict=True))
    times = window["at"].to_pylist()
    return Drift("drift" if any(t.drift for t in tests) else "steady", len(window), len(reference), tests,
                 statistics.stability(*columns["answer"]), _moved(*columns["answer"]),
                 min(times).isoformat(timespec="seconds"), max(times).isoformat(timespec="seconds"))


def strangest(reference: pa.Table, window: pa.Table, count: int) -> list[int]:
    """Rows of the window that are farthest from anything in the reference, farthest first."""
    a, b = embeddings(reference).astype(np.float64), embeddings(window).astype(np.float64)
    distance = (b * b).sum(1)[:, None] + (a * a).sum(1)[None] - 2 * b @ a.T
    return np.argsort(-distance.min(1), kind="stable")[:count].tolist()


def _moved(before: list[str], after: list[str]) -> tuple[tuple[str, float, float], ...]:
    old, new = Counter(before), Counter(after)
    shares = [(v, old[v] / len(before), new[v] / len(after)) for v in sorted(old.keys() | new.keys())]
    return tuple(sorted(shares, key=lambda s: -abs(s[2] - s[1]))[:MOVED])
