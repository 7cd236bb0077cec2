"""What of NeaR ships to the edge: one graph from pixels to a vector, and a vector for every name."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from components.base.errors import UserError
from components.datasets.images import fit, load_image
from components.datasets.splits import Splits
from components.datasets.store import Dataset
from components.encoders import image
from components.recipes.near.inference import Namer
from components.recipes.near.model import EncoderGraph
from components.recipes.protocol import ExportSpec, Graph, Stage

CALIBRATION_IMAGES = 64


def export(folder: Path, stage: Stage) -> ExportSpec:
    """See `components.recipes.protocol.Recipe.export`. Calibration images come from the training split."""
    namer, dataset = Namer(folder), Dataset(stage.dataset)
    if len(namer.student.heads) != 1:
        raise UserError("two students that were trained for each other do not ship", where="distil.method.students",
                        mend="export a method of one student")
    chosen = list(Splits.load(stage.splits).train)[:CALIBRATION_IMAGES]

    def pictures() -> Iterator[dict[str, np.ndarray]]:
        for sample in dataset.samples(chosen):
            shown = fit(load_image(sample.image, sample.name), image.SIZE)
            yield {"image": image.pixels(shown[None]).contiguous().numpy()}

    encoder = Graph("encoder", EncoderGraph(image.grid_encoder(), namer.student).eval(),
                    (torch.randn(2, 3, image.SIZE, image.SIZE),), ("image",), ("vector",), {"image": {0: "batch"}},
                    "static", pictures)
    return ExportSpec("near", (encoder,), namer.tables(), namer.vocabulary(), namer.decoding(),
                      {"size": image.SIZE, "mean": image.MEAN, "std": image.STD}, text=None)
