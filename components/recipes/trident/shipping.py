"""What of TRIDENT ships to the edge: pixels to vectors, words to pair vectors, tables of both, decoding constants."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from components.datasets.images import fit, load_image
from components.encoders import image
from components.recipes.protocol import ExportSpec, Graph, Stage
from components.recipes.trident.inference import Runner
from components.recipes.trident.model import ComposerGraph, EncoderGraph

CALIBRATION_IMAGES = 64


def export(folder: Path, stage: Stage) -> ExportSpec:
    """See `components.recipes.protocol.Recipe.export`. Calibration images come from the training split."""
    runner = Runner(folder, stage)
    chosen = list(runner.splits.train)[:CALIBRATION_IMAGES]
    states = runner.tables["states"]

    def pictures() -> Iterator[dict[str, np.ndarray]]:
        for sample in runner.dataset.samples(chosen):
            shown = fit(load_image(sample.image, sample.name), image.SIZE)
            yield {"image": image.pixels(shown[None]).contiguous().numpy()}

    batch = {0: "batch"}
    encoder = Graph("encoder", EncoderGraph(image.grid_encoder(), runner.student).eval(),
                    (torch.randn(2, 3, image.SIZE, image.SIZE),), ("image",), ("vector", "attribute", "object"),
                    {"image": batch}, "static", pictures)
    words = torch.from_numpy(states)
    decoder = Graph("decoder", ComposerGraph(runner.student).eval(), (words[:3], words[-3:]), ("attribute", "thing"),
                    ("pair",), {"attribute": batch, "thing": batch}, None)
    tables = runner.tables | {"pairs": runner.tables["pairs"][runner.candidates]}
    return ExportSpec("trident", (encoder, decoder), tables, runner.vocabulary(), runner.decoding(),
                      {"size": image.SIZE, "mean": image.MEAN, "std": image.STD}, text=None)
