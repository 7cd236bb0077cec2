"""How long one image takes and how large the files are: torch, ONNX Runtime fp32 and int8, measured side by side."""

import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from components.export.bundle import Bundle
from components.export.parity import feeds_of, sizes_of, torch_outputs
from components.export.preprocess import pixels
from components.recipes.protocol import ExportSpec, Graph

BATCHES = (1, 4)
ROUNDS, LEAST = 25, 2  # at most and at least so many rounds of a comparison
PHOTO = (480, 640)  # height and width of the image that the end-to-end figure starts from


def measure(runners: Mapping[str, Callable[[], Any]], *, seconds: float, rounds: int = ROUNDS,
            ) -> dict[str, dict[str, float]]:
    """{"name": {"median_ms", "p95_ms", "runs"}}: all runners take turns in each round, so that drift is shared.

    Each turn is one untimed call, which lets the threads and caches of the one before go, and one timed call.
    """
    times: dict[str, list[float]] = {name: [] for name in runners}
    deadline = time.monotonic() + seconds
    for done in range(rounds):
        if done >= LEAST and time.monotonic() > deadline:
            break
        for name, run in runners.items():
            run()
            started = time.perf_counter()
            run()
            times[name].append((time.perf_counter() - started) * 1e3)
    return {name: {"median_ms": round(float(np.median(t)), 3), "p95_ms": round(float(np.percentile(t, 95)), 3),
                   "runs": len(t)} for name, t in times.items()}


def latency(spec: ExportSpec, bundle: Bundle, seconds: float, threads: int | None = None) -> dict[str, Any]:
    """Times every graph at batch 1 and 4, and one photograph from uint8 pixels through all graphs ("image").

    Returns {"threads", "processor", "graphs": {graph: {"batch_1": {"torch", "fp32", "int8"}, ...}}, "image": {...}}.
    It takes about `seconds`, half of them for the image, which is what a budget looks at, and always a few rounds.
    `threads` (None: one per core) holds for torch and ONNX Runtime alike.
    """
    threads = threads or os.cpu_count() or 1
    sessions = {(g.name, p): bundle.session(g.name, p, threads) for g in spec.graphs for p in ("fp32", "int8")}
    graphs: dict[str, Any] = {}
    share = seconds / 2 / (len(spec.graphs) * len(BATCHES))
    with _torch_threads(threads):
        for graph in spec.graphs:
            graphs[graph.name] = {}
            for batch in BATCHES:
                feeds = feeds_of(graph, sizes_of(graph, batch, 6))
                graphs[graph.name][f"batch_{batch}"] = measure({
                    "torch": lambda g=graph, f=feeds: torch_outputs(g, f),
                    **{p: lambda g=graph, f=feeds, p=p: sessions[g.name, p](f) for p in ("fp32", "int8")},
                }, seconds=share)
        image = measure(_whole(spec, sessions), seconds=seconds / 2)
    return {"threads": threads, "processor": _processor(), "graphs": graphs, "image": image}


def _whole(spec: ExportSpec, sessions: Mapping[tuple[str, str], Any]) -> dict[str, Callable[[], None]]:
    """One photograph through preprocessing and every graph, per runtime."""
    photo = np.random.default_rng(0).integers(0, 256, (*PHOTO, 3), dtype=np.uint8)
    feeds = {g.name: feeds_of(g, sizes_of(g, 1, 6)) for g in spec.graphs}

    def once(run: Callable[[Graph, dict[str, np.ndarray]], Any]) -> None:
        image = pixels([photo], spec.preprocessing)
        for graph in spec.graphs:
            inputs = feeds[graph.name]
            run(graph, inputs | {n: image for n, a in inputs.items() if a.shape == image.shape})

    return {"torch": lambda: once(torch_outputs),
            **{p: lambda p=p: once(lambda graph, f: sessions[graph.name, p](f)) for p in ("fp32", "int8")}}


@contextmanager
def _torch_threads(threads: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _processor() -> str:
    """The processor's name, as the figures mean nothing without it."""
    try:
        with open("/proc/cpuinfo") as lines:
            return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def sizes(bundle: Bundle) -> dict[str, Any]:
    """Megabytes (10^6 bytes): of the graphs per precision, of the text encoder, and of all that a device needs."""
    size = {name: entry["bytes"] / 1e6 for name, entry in bundle.manifest["files"].items()}
    graphs = {p: sum(size[g["files"][p]] for g in bundle.manifest["graphs"].values()) for p in ("fp32", "int8")}
    text = sum(v for name, v in size.items() if name.startswith("text/"))
    tables = size["tables.safetensors"] + size["vocabulary.json"]
    shipped = graphs[bundle.manifest["precision"]] + text + tables
    values = {"graphs_fp32": graphs["fp32"], "graphs_int8": graphs["int8"], "text_encoder": text, "tables": tables,
              "shipped": shipped}
    return {name: round(value, 3) for name, value in values.items()}
