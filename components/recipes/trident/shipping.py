"""What of TRIDENT ships to the edge: pixels to vectors, words to pair vectors, tables of both, decoding constants."""

from pathlib import Path

import torch

from components.encoders import named
from components.encoders.checkpoint import EMBEDDED
from components.recipes.pictures import calibration
from components.recipes.protocol import ExportSpec, Graph, Stage
from components.recipes.trident.inference import Runner
from components.recipes.trident.model import ComposerGraph, EncoderGraph


def export(folder: Path, stage: Stage) -> ExportSpec:
    """See `components.recipes.protocol.Recipe.export`. Calibration images come from the training split."""
    runner, eyes, batch = Runner(folder, stage), named.get(EMBEDDED), {0: "batch"}
    train = runner.splits.train[:stage.config.edge.calibration]
    encoder = Graph("encoder", EncoderGraph(eyes.network, runner.student).eval(),
                    (torch.randn(2, 3, eyes.size, eyes.size),), ("image",), ("vector", "attribute", "object"),
                    {"image": batch}, "static", calibration(runner.dataset, train, eyes))
    words = torch.from_numpy(runner.tables["states"])
    decoder = Graph("decoder", ComposerGraph(runner.student).eval(), (words[:3], words[-3:]), ("attribute", "thing"),
                    ("pair",), {"attribute": batch, "thing": batch}, None)
    tables = runner.tables | {"pairs": runner.tables["pairs"][runner.candidates]}
    return ExportSpec("trident", (encoder, decoder), tables, runner.vocabulary(), runner.decoding(),
                      {"size": eyes.size, "mean": eyes.mean, "std": eyes.std}, text=None)
