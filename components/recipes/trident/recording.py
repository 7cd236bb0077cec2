"""The recorded teacher of the drawn pairs, in the form in which any teacher's answers are kept."""

import json
from dataclasses import asdict
from pathlib import Path

from components.base.artifacts import replacing
from components.datasets.pairs import answers
from components.datasets.store import Dataset
from components.recipes.trident import looks
from components.recipes.trident.config import Config


def record(dataset: Dataset, config: Config, out: Path) -> None:
    """Writes one answer for every image; those of held-out images are never asked for."""
    who = {"backend": "recorded", "name": answers.TEACHER, "revision": f"seed {config.draw.seed}"}
    with replacing(out) as stream:
        for sample in dataset.samples(images=False):
            (question,) = looks.questions(sample, config.ask.version)
            said = answers.looks(sample, tuple(dataset.space["pairs"][sample.label]), config.draw.seed)
            line = {"image": sample.id, "question": asdict(question), "decoding": {}, "teacher": who,
                    "text": json.dumps({"look": said}), **answers.cost(sample)}
            stream.write(json.dumps(line).encode() + b"\n")
