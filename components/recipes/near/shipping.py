"""What of NeaR ships to the edge: one graph from pixels to a vector, and a vector for every name."""

from pathlib import Path

import torch

from components.base.errors import UserError
from components.datasets.splits import Splits
from components.datasets.store import Dataset
from components.encoders import named
from components.encoders.checkpoint import EMBEDDED
from components.recipes.near.inference import Namer
from components.recipes.near.model import EncoderGraph
from components.recipes.pictures import calibration
from components.recipes.protocol import ExportSpec, Graph, Stage


def export(folder: Path, stage: Stage) -> ExportSpec:
    """See `components.recipes.protocol.Recipe.export`. Calibration images come from the training split."""
    namer, dataset = Namer(folder), Dataset(stage.dataset)
    if len(namer.student.heads) != 1:
        raise UserError("two students that were trained for each other do not ship", where="distil.method.students",
                        mend="export a method of one student")
    eyes, train = named.get(EMBEDDED), Splits.load(stage.splits).train[:stage.config.edge.calibration]
    encoder = Graph("encoder", EncoderGraph(eyes.network, namer.student).eval(),
                    (torch.randn(2, 3, eyes.size, eyes.size),), ("image",), ("vector",), {"image": {0: "batch"}},
                    "static", calibration(dataset, train, eyes))
    return ExportSpec("near", (encoder,), namer.tables(), namer.vocabulary(), namer.decoding(),
                      {"size": eyes.size, "mean": eyes.mean, "std": eyes.std}, text=None)
