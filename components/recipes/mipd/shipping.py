"""What of MIPD ships to the edge: two graphs, text tables, the vocabulary, decoding constants."""

from collections.abc import Iterator

import numpy as np
import torch

from components.encoders import named
from components.encoders.checkpoint import EMBEDDED
from components.recipes.mipd.inference import Runner
from components.recipes.mipd.model import DecoderGraph, EncoderGraph
from components.recipes.pictures import calibration
from components.recipes.protocol import ExportSpec, Graph


def export(runner: Runner) -> ExportSpec:
    """See `components.recipes.protocol.Recipe.export`. Calibration images come from the training split."""
    eyes = named.get(runner.config.encoder.image)
    vocabulary, tables = runner.vocabulary(), runner.tables()
    roles = max(len(v["order"]) for v in vocabulary["verbs"].values())
    chosen = list(runner.splits.train)[:runner.config.edge.calibration]

    def filled() -> Iterator[dict[str, np.ndarray]]:
        at = {name: i for i, name in enumerate(vocabulary["roles"])}
        for name in chosen:
            verb = runner.dataset.labels[name]
            order = vocabulary["verbs"][verb]["order"] if verb else vocabulary["roles"][:roles]
            row = list(vocabulary["verbs"]).index(verb) if verb else 0
            encoded = runner.encode([name])
            yield {
                "memory": encoded["memory"],
                "verb": tables["verbs"][[row]],
                "roles": tables["roles"][[at[r] for r in order]][None],
                "present": np.ones((1, len(order)), bool),
                "whole": encoded["whole"],
            }

    width = runner.lexicon.width
    sizes = {name: array.shape[1:] for name, array in runner.encode(chosen[:1]).items()}
    batch = {0: "batch"}
    encoder = Graph(
        "encoder",
        EncoderGraph(eyes.network, runner.student).eval(),
        (torch.randn(2, 3, eyes.size, eyes.size),),
        ("image",),
        ("scene", "memory", "whole"),
        {"image": batch},
        "static" if eyes.name == EMBEDDED else "dynamic",  # convolutions, or a transformer
        calibration(runner.dataset, chosen, eyes),
    )
    decoder = Graph(
        "decoder",
        DecoderGraph(runner.student).eval(),
        (
            torch.randn(2, *sizes["memory"]),
            torch.randn(2, width),
            torch.randn(2, 3, width),
            torch.ones(2, 3, dtype=torch.bool),
            torch.randn(2, *sizes["whole"]),
        ),
        ("memory", "verb", "roles", "present", "whole"),
        ("noun", "box", "exists"),
        {
            "memory": batch,
            "verb": batch,
            "roles": {0: "batch", 1: "roles"},
            "present": {0: "batch", 1: "roles"},
            "whole": batch,
        },
        "dynamic",
        filled,
    )
    return ExportSpec(
        "mipd",
        (encoder, decoder),
        tables,
        vocabulary,
        runner.decoding(),
        {"size": eyes.size, "mean": eyes.mean, "std": eyes.std},
        runner.config.encoder.text,
    )
