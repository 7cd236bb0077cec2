"""Does the exported graph compute what the torch module computes, at sizes it was not exported with."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from components.export.bundle import Session
from components.recipes.protocol import Graph

TOLERANCE = 1e-3  # of max(1, largest torch output): float32 sums in another order differ by about 1e-5 of it
BATCHES = (1, 2, 5)
OTHER_AXES = (1, 3, 4)  # sizes of all further dynamic axes, paired with the batches


def feeds_of(graph: Graph, sizes: Mapping[str, int], base: Mapping[str, np.ndarray] | None = None,
             ) -> dict[str, np.ndarray]:
    """Inputs for `graph` with the given size on each named dynamic axis, by repeating `base` (default: the example)."""
    base = base or {n: t.detach().cpu().numpy() for n, t in zip(graph.inputs, graph.example, strict=True)}
    feeds = {}
    for name in graph.inputs:
        array = np.asarray(base[name])
        for axis, label in graph.dynamic.get(name, {}).items():
            array = array.take(np.arange(sizes[label]) % array.shape[axis], axis)
        feeds[name] = np.ascontiguousarray(array)
    return feeds


def sizes_of(graph: Graph, batch: int, other: int) -> dict[str, int]:
    """One size for each named dynamic axis: `batch` for axis 0 of the first input, `other` for the rest."""
    labels = {label: None for axes in graph.dynamic.values() for label in axes.values()}
    batch_label = graph.dynamic.get(graph.inputs[0], {}).get(0)
    return {label: batch if label == batch_label else other for label in labels}


def torch_outputs(graph: Graph, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What the torch module itself returns, by output name."""
    with torch.inference_mode():
        out = graph.module.eval()(*(torch.from_numpy(feeds[name]) for name in graph.inputs))
    out = out if isinstance(out, tuple | list) else (out,)
    return {name: tensor.cpu().numpy() for name, tensor in zip(graph.outputs, out, strict=True)}


def parity(graph: Graph, session: Session) -> dict[str, Any]:
    """Compares torch and ONNX Runtime at several batch sizes and shapes.

    Returns {"tolerance", "passed", "max_abs", "max_rel", "runs": [{"sizes", "max_abs", "max_rel"}]}; `max_rel` is the
    largest difference over max(1, largest torch output). Outputs of another shape, or not finite in one but the other,
    count as infinitely far apart.
    """
    runs = []
    for batch, other in zip(BATCHES, OTHER_AXES, strict=True):
        sizes = sizes_of(graph, batch, other)
        feeds = feeds_of(graph, sizes)
        expected, found = torch_outputs(graph, feeds), session(feeds)
        distances = [distance(expected[name], found[name]) for name in graph.outputs]
        runs.append({"sizes": sizes, "max_abs": max(d[0] for d in distances), "max_rel": max(d[1] for d in distances)})
    worst = max(run["max_rel"] for run in runs)
    return {"tolerance": TOLERANCE, "passed": worst <= TOLERANCE, "max_abs": max(run["max_abs"] for run in runs),
            "max_rel": worst, "runs": runs}


def distance(expected: np.ndarray, found: np.ndarray) -> tuple[float, float]:
    """(largest absolute difference, the same over max(1, largest expected value))."""
    if expected.shape != found.shape:
        return float("inf"), float("inf")
    if expected.size == 0:
        return 0.0, 0.0
    same = expected == found  # equal infinities differ by nothing
    difference = np.where(same, 0.0, np.abs(np.where(same, 0.0, expected) - np.where(same, 0.0, found)))
    gap = float(difference.max())
    if not np.isfinite(gap):
        return float("inf"), float("inf")
    finite = np.abs(expected[np.isfinite(expected)])
    return gap, gap / max(1.0, float(finite.max(initial=0.0)))


def agreement(reference: Session, other: Session, feeds: list[dict[str, np.ndarray]]) -> dict[str, dict[str, float]]:
    """Per output of two graphs over samples: mean cosine over the last axis, and the largest absolute difference.

    For int8 beside fp32: rounding is expected, a change of direction is not.
    """
    cosines: dict[str, list[float]] = {}
    gaps: dict[str, float] = {}
    for feed in feeds:
        left, right = reference(feed), other(feed)
        for name, a in left.items():
            b = right[name]
            norms = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
            cosine = (a * b).sum(-1) / np.maximum(norms, 1e-12)
            cosines.setdefault(name, []).append(float(cosine.mean()))
            gaps[name] = max(gaps.get(name, 0.0), float(np.abs(a - b).max()))
    return {name: {"cosine": float(np.mean(values)), "max_abs": gaps[name]} for name, values in cosines.items()}
