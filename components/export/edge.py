"""Edge export: a recipe's `ExportSpec` becomes a finished, measured bundle in one call."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import onnxruntime
import torch

from components.base.artifacts import write_bytes
from components.base.errors import PipelineError
from components.base.progress import Line
from components.export.bundle import Bundle, seal, write_contents, writing
from components.export.card import card
from components.export.latency import latency, sizes
from components.export.onnx_graph import calibration, export_fp32, has_vnni, quantize
from components.export.parity import agreement, parity
from components.export.text_graph import text_encoder
from components.recipes.protocol import ExportSpec, Graph

AGREEMENT_SAMPLES = 8


def export(spec: ExportSpec, out: Path, provenance: Mapping[str, Any], *, seconds: float,
           evaluate: Callable[[Path, str], float] | None = None, precision: str = "int8", threads: int | None = None,
           progress: Line | None = None) -> dict[str, Any]:
    """Writes the bundle `out` (replacing one that is there) and returns its facts, also kept in its manifest:

    "parity" (largest torch-to-ONNX difference over all graphs and shapes, relative to max(1, output)), "int8_loss"
    (metric of fp32 minus that of int8; None without `evaluate`), "latency_ms" (median of one photograph from pixels
    through all graphs at the shipped precision), "size_mb" (all that a device needs), and "details" of each.
    `evaluate(bundle folder, precision)` gives a metric, higher is better, on real held-out samples; it may open the
    folder with the predictor. Latency is measured for about `seconds`. `provenance` must be JSON-able. On an error
    nothing is left at `out`, or the former one.
    """
    provenance = json.loads(json.dumps(provenance))
    steps = iter(range(1, 2 * len(spec.graphs) + 6))

    def told(note: str) -> None:
        if progress:
            progress.advance(next(steps), 2 * len(spec.graphs) + 5, note)

    told("text encoder")
    text_files, text_facts = text_encoder(spec.text) if spec.text else ({}, {})
    with writing(Path(out)) as part:
        graphs = {}
        for graph in spec.graphs:
            told(f"{graph.name}: fp32")
            export_fp32(graph, part / f"{graph.name}.fp32.onnx")
            told(f"{graph.name}: int8")
            graphs[graph.name] = _describe(graph, _int8(graph, part))
        write_contents(part, spec.tables, spec.vocabulary, text_files)
        manifest = {"recipe": spec.recipe, "preprocessing": spec.preprocessing, "decoding": spec.decoding,
                    "graphs": graphs, "precision": precision, "facts": {}, "provenance": provenance}
        bundle = seal(part, manifest)
        told("parity")
        agreed = _parity(spec, bundle)
        told("latency")
        timed, megabytes = latency(spec, bundle, seconds, threads), sizes(bundle)
        told("accuracy of int8")
        scores = {p: float(evaluate(part, p)) for p in ("fp32", "int8")} if evaluate else None
        facts = {
            "parity": max(g["max_rel"] for g in agreed.values()),
            "int8_loss": scores["fp32"] - scores["int8"] if scores else None,
            "latency_ms": timed["image"][precision]["median_ms"],
            "size_mb": megabytes["shipped"],
            "details": {"parity": agreed, "int8": {"scores": scores, "agreement": _agreement(spec, bundle),
                                                   "reduced_range": not has_vnni()},
                        "latency": timed, "megabytes": megabytes, "text_encoder": text_facts,
                        "versions": {"torch": torch.__version__, "onnxruntime": onnxruntime.__version__}}}
        told("sealing")
        write_bytes(part / "MODEL_CARD.md", card(manifest | {"facts": facts}, spec.vocabulary).encode())
        seal(part, manifest | {"facts": facts})
    return facts


def _int8(graph: Graph, part: Path) -> str:
    """Quantises, and names the file that "int8" means for this graph: its fp32 file where it is not quantised."""
    if graph.quantize is None:
        return f"{graph.name}.fp32.onnx"
    if graph.quantize not in ("static", "dynamic"):
        raise PipelineError(f"graph '{graph.name}': quantize is {graph.quantize!r}, not 'static', 'dynamic' or None")
    quantize(graph, part / f"{graph.name}.fp32.onnx", part / f"{graph.name}.int8.onnx")
    return f"{graph.name}.int8.onnx"


def _describe(graph: Graph, int8: str) -> dict[str, Any]:
    axes = {n: {i: graph.dynamic.get(n, {}).get(i, d) for i, d in enumerate(t.shape)}
            for n, t in zip(graph.inputs, graph.example, strict=True)}
    return {"files": {"fp32": f"{graph.name}.fp32.onnx", "int8": int8}, "quantize": graph.quantize,
            "inputs": {n: list(shape.values()) for n, shape in axes.items()}, "outputs": list(graph.outputs)}


def _parity(spec: ExportSpec, bundle: Bundle) -> dict[str, Any]:
    return {graph.name: parity(graph, bundle.session(graph.name, "fp32")) for graph in spec.graphs}


def _agreement(spec: ExportSpec, bundle: Bundle) -> dict[str, Any]:
    """int8 beside fp32 on calibration samples, for the graphs that have some."""
    return {graph.name: agreement(bundle.session(graph.name, "fp32"), bundle.session(graph.name, "int8"),
                                  calibration(graph, AGREEMENT_SAMPLES))
            for graph in spec.graphs if graph.quantize and graph.calibration is not None}


