"""Two evaluated models side by side: what they score on the same images, what changed, and how sure that is."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from components.evaluation import bootstrap

DRAWS = 1000
SMALLEST = 5  # images a label: where there are fewer, resampling within labels would look too certain
Scores = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What is known of one model version.

    `metrics` {name: value}; `per_sample` {metric: {image: score}} for the paired comparison; `edge` the measured
    "parity", "int8_loss", "latency_ms" and "size_mb"; `quality` {suite: passed}, of which "dataset" and "predictions"
    must be there. A metric that is a harmonic mean has no score per image: it is compared by its two parts,
    `per_sample["<metric>.seen"]` and `per_sample["<metric>.unseen"]`. `test` is the digest of the test images with
    their annotations; `labels` {image: label} makes means over labels, as metrics are; `sources` {image: source}.
    """

    metrics: Mapping[str, float]
    per_sample: Mapping[str, Scores] = field(default_factory=dict)
    edge: Mapping[str, float] = field(default_factory=dict)
    quality: Mapping[str, bool] = field(default_factory=dict)
    test: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Change:
    """A metric of the champion and of the candidate on the same images, and the difference, candidate less champion.

    Each is (value, low, high): percentile bootstrap at 95 %, the same images resampled for both.
    """

    metric: str
    images: int
    before: bootstrap.Interval
    after: bootstrap.Interval
    gain: bootstrap.Interval


def change(metric: str, candidate: Evaluation, champion: Evaluation, *, images: set[str] | None = None,
           seed: int = 0) -> Change | str:
    """How a metric changed, on all images or on some; or in words why that cannot be said."""
    halves = [metric] if metric in candidate.per_sample else [f"{metric}.seen", f"{metric}.unseen"]
    draws, points, total = [], [], 0
    for half, name in enumerate(halves):
        scores = (champion.per_sample.get(name, {}), candidate.per_sample.get(name, {}))
        for who, of in zip(("candidate", "champion"), reversed(scores), strict=True):
            bad = next((image for image, score in of.items() if not math.isfinite(score)), None)
            if not of or bad is not None:
                return f"the {who} has " + (f"a non-finite {name} for {bad}" if of else f"no {name} per image")
        if scores[0].keys() != scores[1].keys():
            return f"{name} was scored on other images ({len(scores[0])} and {len(scores[1])})"
        chosen = sorted(scores[0].keys() & images if images is not None else scores[0].keys())
        if not chosen:
            return f"no image has a {name}"
        values = np.array([[of[image] for of in scores] for image in chosen], float)  # [N, 2]
        groups = _groups(chosen, candidate.labels)
        draws.append(bootstrap.resampled_means(values, groups=groups, n=DRAWS, seed=seed + half))
        points.append(bootstrap.means(values, groups=groups))
        total += len(chosen)
    drawn = draws[0] if len(halves) == 1 else bootstrap.harmonic_means(*draws)  # [DRAWS, 2]
    point = points[0] if len(halves) == 1 else bootstrap.harmonic_means(*points)  # [2]
    before, after = (_interval(point[i], drawn[:, i]) for i in (0, 1))
    return Change(metric, total, before, after, _interval(point[1] - point[0], drawn[:, 1] - drawn[:, 0]))


def changes(candidate: Evaluation, champion: Evaluation, headline: str, seed: int = 0) -> list[Change]:
    """The headline first, then all that has a score per image and can be compared; empty on other test images."""
    if candidate.test != champion.test:
        return []
    names = [headline, *(m for m in candidate.per_sample if m != headline and not m.startswith(f"{headline}."))]
    found = [change(name, candidate, champion, seed=seed) for name in names]
    return [one for one in found if isinstance(one, Change)]


def sources(evaluation: Evaluation) -> dict[str, set[str]]:
    """The images of each source, where there are several."""
    out: dict[str, set[str]] = {}
    for image, source in evaluation.sources.items():
        out.setdefault(source, set()).add(image)
    return dict(sorted(out.items())) if len(out) > 1 else {}


def _groups(images: list[str], labels: Mapping[str, str]) -> np.ndarray | None:
    """The label of each image, or None where they are unknown or have too few images each."""
    if not all(image in labels for image in images):
        return None
    groups = np.array([labels[image] for image in images])
    return groups if len(groups) >= SMALLEST * len(set(groups)) else None


def _interval(point: float, draws: np.ndarray) -> bootstrap.Interval:
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(point), float(low), float(high)
