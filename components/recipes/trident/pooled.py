"""Frozen features of a dataset as the student takes them in, pooled once and kept: an epoch never meets the encoder."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from components.base.artifacts import code_version, produce, write_json
from components.datasets.store import Dataset
from components.encoders import image
from components.encoders.cache import FeatureCache, dataset_features
from components.recipes.trident.model import SIDE, Reduction

BATCH = 64


class Pooled:
    """Tokens float32 [N, T, C] and summaries [N, 2C] of a dataset's images, by sample id."""

    def __init__(self, folder: Path):
        self.tokens, self.summaries = (np.load(folder / f"{n}.npy", mmap_mode="r") for n in ("tokens", "summaries"))
        self._at = {name: i for i, name in enumerate(json.loads((folder / "ids.json").read_text()))}

    def rows(self, ids: Sequence[str]) -> tuple[Tensor, Tensor]:
        at = [self._at[name] for name in ids]
        return torch.from_numpy(self.tokens[at]), torch.from_numpy(self.summaries[at])


def pooled(dataset: Path) -> Pooled:
    """The pooled features of a whole dataset, computed at the first call."""
    data = Dataset(dataset)
    inputs = {"dataset": data.version, "encoder": image.REVISION,
              "code": code_version("components.recipes.trident.pooled", "components.recipes.trident.model")}

    def work(part: Path) -> None:
        features, reduction = FeatureCache(dataset_features(dataset)), Reduction(image.CHANNELS, 1)
        tokens = np.lib.format.open_memmap(part / "tokens.npy", "w+", np.float32,
                                           (len(data), SIDE * SIDE, image.CHANNELS))
        summaries = np.lib.format.open_memmap(part / "summaries.npy", "w+", np.float32, (len(data), 2 * image.CHANNELS))
        for start in range(0, len(data), BATCH):
            ids = data.ids[start:start + BATCH]
            found = reduction.raw(torch.from_numpy(features.rows(ids)).float())
            tokens[start:start + len(ids)], summaries[start:start + len(ids)] = (t.numpy() for t in found)
        for array in (tokens, summaries):
            array.flush()
        write_json(part / "ids.json", list(data.ids))

    return Pooled(produce("pooled", inputs, work)[0])
