"""The trained student at work on a dataset: loads it, names the images of a split from their cached features."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from components.base.config import from_dict
from components.base.errors import UserError
from components.datasets.splits import Splits
from components.datasets.store import Dataset
from components.encoders.cache import FeatureCache, dataset_features
from components.recipes.near.config import Config
from components.recipes.near.decode import decode
from components.recipes.near.model import Student
from components.recipes.near.views import pooled_views
from components.recipes.protocol import Stage

BATCH = 256
ABSTAIN = 0.2  # below this probability the student says that it is unsure
PREFIX = "student."


class Namer:
    """A trained student with its vocabulary, as it ships."""

    def __init__(self, folder: Path):
        try:
            self.card = json.loads((folder / "config.json").read_text("utf-8"))
            config: Config = from_dict(Config, self.card["config"])
            student = Student(config.student.width, len(self.card["vocabulary"]), self.card["students"])
            weights = load_file(folder / "student.safetensors")
            student.load_state_dict({k.removeprefix(PREFIX): v for k, v in weights.items() if k.startswith(PREFIX)})
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise UserError(f"not a trained student ({error})", where=str(folder),
                            mend="train it again: foveate distil --recipe near") from error
        self.student = student.eval().requires_grad_(False)

    def vocabulary(self) -> dict[str, Any]:
        """What ships as vocabulary.json: every name, with the number of training images that the teacher gave it."""
        counts = dict.fromkeys(self.card["vocabulary"], 0)
        for decision in self.card["audit"]:
            counts[decision["old"]] += 1
        return {"names": {name: {"images": count} for name, count in counts.items()}}

    def tables(self) -> dict[str, np.ndarray]:
        """Unit rows [V, W] in the vocabulary's order; those of two students side by side."""
        rows = [torch.nn.functional.normalize(head.names, dim=-1) for head in self.student.heads]
        return {"names": torch.cat(rows, 1).numpy()}

    def decoding(self) -> dict[str, Any]:
        """The scale of logits: of two students, whose vectors lie side by side, the mean of their logits."""
        scales = [float(head.log_scale.exp()) for head in self.student.heads]
        return {"scale": float(np.mean(scales)), "abstain_below": ABSTAIN}

    @torch.inference_mode()
    def vectors(self, pooled: np.ndarray) -> np.ndarray:
        """[B, P] to [B, W] (of two students, scaled to their share, side by side)."""
        standard = self.student.standard(torch.from_numpy(pooled))
        scales = torch.stack([head.log_scale.exp() for head in self.student.heads])
        parts = [head.vector(standard) * s / scales.sum() for head, s in zip(self.student.heads, scales, strict=True)]
        return torch.cat(parts, -1).numpy()


def predict(folder: Path, stage: Stage, split: str) -> Iterator[dict[str, Any]]:
    """See `components.recipes.protocol.Recipe.predict`."""
    namer, dataset = Namer(folder), Dataset(stage.dataset)
    features, ids = FeatureCache(dataset_features(stage.dataset)), list(getattr(Splits.load(stage.splits), split))
    tables, vocabulary, decoding = namer.tables(), namer.vocabulary(), namer.decoding()
    for start in range(0, len(ids), BATCH):
        batch = ids[start:start + BATCH]
        vectors = namer.vectors(pooled_views(features, batch, 1, 0)[:, 0])
        made = decode(lambda done: {"vector": done}, None, tables, vocabulary, decoding, vectors, [])
        for name, prediction in zip(batch, made, strict=True):
            yield {"image": dataset.names[name], "id": name, **prediction}
