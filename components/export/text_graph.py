"""A text encoder as one small ONNX graph, so that a device can embed names that nobody listed.

The network's vector at unit length, minus the centre, unit length again: the same arithmetic as
`components.encoders.text.TextEncoder.embed`, inside the graph. Encoders are frozen, so this is done once for each, and
for the embedded one once per environment; `python -m components.export.text_graph` does it ahead.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from components.base.artifacts import code_version, digest, produce, write_bytes, write_json
from components.base.errors import PipelineError
from components.encoders import text
from components.encoders.checkpoint import EMBEDDED
from components.encoders.tower import Tower
from components.export.bundle import Session
from components.export.onnx_graph import export_fp32, quantize, quiet
from components.recipes.protocol import Graph

FLOOR = 0.99  # least cosine between an int8 and a torch embedding of the same text
PROBES = (
    "surfing", "feeding a dog", "a person rides a bicycle on a street", "canoe", "broom", "someone is cooking",
    "a woman sweeps the kitchen floor with a broom", "teacher", "drinking water from a bottle", "mountain bike",
    "jumping over a fence", "a tool used to strike nails", "tattooing", "open-heart surgery", "pet grooming", "x",
)


class TextGraph(nn.Module):
    """Token ids to centred unit embeddings. N texts, L tokens, E = width of the encoder."""

    def __init__(self, network: nn.Module, centre: np.ndarray):
        super().__init__()
        self.network = network
        self.register_buffer("centre", torch.from_numpy(np.array(centre, np.float32)))  # [E]

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:  # [N, L], [N, L] -> [N, E]
        vectors = F.normalize(self.network(input_ids, attention_mask)[1], dim=-1)
        return F.normalize(vectors - self.centre, dim=-1)


def text_encoder(name: str = EMBEDDED) -> tuple[dict[str, Path], dict[str, Any]]:
    """The files that a bundle needs, {"tokenizer.json", "text.int8.onnx"}, and facts {"encoder", "cosine_min",
    "cosine_mean", "texts", "megabytes"}, of an encoder by its name (`components.encoders.text.get`).

    Raises PipelineError when an int8 embedding strays from torch's by more than `FLOOR`.
    """
    encoder = text.get(name)
    inputs = {"encoder": encoder.revision, "centre": digest([round(float(v), 7) for v in encoder.centre]),
              "code": code_version("components.export.text_graph", "components.export.onnx_graph", *text.CODE)}
    done, _ = produce("text-graph", inputs, lambda part: _make(encoder, part), shared=name == EMBEDDED)
    files = {name: done / name for name in ("tokenizer.json", "text.int8.onnx")}
    return files, json.loads((done / "facts.json").read_text())


def _make(encoder: text.TextEncoder, part: Path) -> None:
    with quiet():
        tower = encoder.load("eager")  # torch's fused attention has no ONNX form
    axes = {0: "texts"} if tower.one_length else {0: "texts", 1: "tokens"}
    graph = Graph("text", TextGraph(tower.network, encoder.centre).eval(), tower.tokens(PROBES),
                  ("input_ids", "attention_mask"), ("vector",), {"input_ids": axes, "attention_mask": axes},
                  quantize="dynamic")
    fp32 = part / "text.fp32.onnx"
    export_fp32(graph, fp32)
    quantize(graph, fp32, part / "text.int8.onnx")
    fp32.unlink()
    write_bytes(part / "tokenizer.json", tower.as_json().encode())
    write_json(part / "facts.json", {"encoder": encoder.revision} | _compare(graph, tower, part / "text.int8.onnx"))


def _compare(graph: Graph, tower: Tower, int8: Path) -> dict[str, Any]:
    """Cosines between torch and int8, each text embedded alone, as on the device."""
    session, cosines = Session(int8), []
    for probe in PROBES:
        feed = tower.tokens([probe])
        with torch.inference_mode():
            expected = graph.module(*feed).numpy()[0]
        found = session({name: t.numpy() for name, t in zip(graph.inputs, feed, strict=True)})["vector"][0]
        cosines.append(float(expected @ found))
    if min(cosines) < FLOOR:
        raise PipelineError(f"int8 text encoder: least cosine {min(cosines):.4f} to torch, below {FLOOR} "
                            f"(for {PROBES[int(np.argmin(cosines))]!r})")
    return {"cosine_min": min(cosines), "cosine_mean": float(np.mean(cosines)), "texts": len(cosines),
            "megabytes": int8.stat().st_size / 1e6}


if __name__ == "__main__":
    text_encoder()
