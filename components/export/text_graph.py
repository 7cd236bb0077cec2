"""The sentence encoder as one small ONNX graph, so that a device can embed names that nobody listed.

Mean over word states, unit length, minus the centre, unit length again: the same arithmetic as
`components.encoders.text.embed`, inside the graph. The encoder is frozen, so this is done once per environment;
`python -m components.export.text_graph` does it ahead.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoModel, AutoTokenizer

from components.base.artifacts import code_version, digest, produce, write_json
from components.base.errors import PipelineError
from components.encoders import text
from components.export.bundle import Session
from components.export.onnx_graph import export_fp32, quantize, quiet
from components.recipes.protocol import Graph

FLOOR = 0.99  # least cosine between an int8 and a torch embedding of the same text
PROBES = (
    "surfing", "feeding a dog", "a person rides a bicycle on a street", "canoe", "broom", "someone is cooking",
    "a woman sweeps the kitchen floor with a broom", "teacher", "drinking water from a bottle", "mountain bike",
    "jumping over a fence", "a tool used to strike nails", "tattooing", "open-heart surgery", "pet grooming", "x",
)


class SentenceEncoder(nn.Module):
    """Token ids to centred unit embeddings. N texts, L tokens, E = width of the encoder."""

    def __init__(self, model: nn.Module, centre: np.ndarray):
        super().__init__()
        self.model = model
        self.register_buffer("centre", torch.from_numpy(np.array(centre, np.float32)))  # [E]

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:  # [N, L], [N, L] -> [N, E]
        states = self.model(input_ids=input_ids, attention_mask=attention_mask,
                            token_type_ids=torch.zeros_like(input_ids)).last_hidden_state  # [N, L, E]
        mask = attention_mask[..., None].to(states.dtype)
        mean = F.normalize((states * mask).sum(1) / mask.sum(1), dim=-1)
        return F.normalize(mean - self.centre, dim=-1)


def text_encoder(folder: Path | None = None, centre: np.ndarray | None = None,
                 ) -> tuple[dict[str, Path], dict[str, Any]]:
    """The files that a bundle needs, {"tokenizer.json", "text.int8.onnx"}, and facts {"cosine_min", "cosine_mean",
    "texts", "megabytes"}.

    `folder` holds a transformers checkpoint with its tokenizer.json, `centre` [E] is subtracted; by default those of
    `components.encoders.text`. Raises PipelineError when an int8 embedding strays from torch's by more than `FLOOR`.
    """
    frozen = folder is None and centre is None
    folder = folder or text.model_folder()
    centre = text.centre() if centre is None else centre
    inputs = {"weights": text.WEIGHTS[2] if folder == text.model_folder() else str(folder.resolve()),
              "centre": digest([round(float(v), 7) for v in centre]),
              "code": code_version("components.export.text_graph", "components.export.onnx_graph")}
    done, _ = produce("text-graph", inputs, lambda part: _make(folder, centre, part), shared=frozen)
    files = {name: done / name for name in ("tokenizer.json", "text.int8.onnx")}
    return files, json.loads((done / "facts.json").read_text())


def _make(folder: Path, centre: np.ndarray, part: Path) -> None:
    with quiet():
        model = AutoModel.from_pretrained(folder, attn_implementation="eager").eval().requires_grad_(False)
        tokens = AutoTokenizer.from_pretrained(folder)(list(PROBES), padding=True, return_tensors="pt")
    example = (tokens["input_ids"], tokens["attention_mask"])
    axes = {0: "texts", 1: "tokens"}
    graph = Graph("text", SentenceEncoder(model, centre).eval(), example, ("input_ids", "attention_mask"),
                  ("vector",), {"input_ids": axes, "attention_mask": axes}, quantize="dynamic")
    fp32 = part / "text.fp32.onnx"
    export_fp32(graph, fp32)
    quantize(graph, fp32, part / "text.int8.onnx")
    fp32.unlink()
    shutil.copyfile(folder / "tokenizer.json", part / "tokenizer.json")
    write_json(part / "facts.json", _compare(graph, part / "text.int8.onnx"))


def _compare(graph: Graph, int8: Path) -> dict[str, Any]:
    """Cosines between torch and int8, each text embedded alone and unpadded, as on the device."""
    session = Session(int8)
    ids, masks = graph.example
    cosines = []
    for row in range(len(ids)):
        length = int(masks[row].sum())
        feed = (ids[row:row + 1, :length], masks[row:row + 1, :length])
        with torch.inference_mode():
            expected = graph.module(*feed).numpy()[0]
        found = session({"input_ids": feed[0].numpy(), "attention_mask": feed[1].numpy()})["vector"][0]
        cosines.append(float(expected @ found))
    if min(cosines) < FLOOR:
        raise PipelineError(f"int8 text encoder: least cosine {min(cosines):.4f} to torch, below {FLOOR} "
                            f"(for {PROBES[int(np.argmin(cosines))]!r})")
    return {"cosine_min": min(cosines), "cosine_mean": float(np.mean(cosines)), "texts": len(cosines),
            "megabytes": int8.stat().st_size / 1e6}


if __name__ == "__main__":
    text_encoder()
