"""The recorded teacher of the drawn birds, in the form in which any teacher's answers are kept."""

import json
from dataclasses import asdict
from pathlib import Path

from components.base.artifacts import replacing
from components.datasets.species import answers
from components.datasets.store import Dataset
from components.recipes.near import naming
from components.recipes.near.config import Config


def record(dataset: Dataset, config: Config, out: Path) -> None:
    """Writes one answer for every image, the held-out ones too, so that the teacher can be compared with."""
    samples = list(dataset.samples(images=False))
    said = answers.record(samples, config.ask.regime, config.draw.seed)
    with replacing(out) as stream:
        for sample, answer in zip(samples, said, strict=True):
            text = json.dumps({"names": answer["labels"], "response": answer["response"]})
            (question,) = naming.questions(sample, config.ask.version, 1.0)
            who = {"backend": "recorded", "name": answer["teacher"], "revision": f"seed {config.draw.seed}"}
            line = {"image": sample.id, "question": asdict(question), "decoding": {}, "text": text, "teacher": who,
                    **{key: answer[key] for key in ("seconds", "tokens_in", "tokens_out")}}
            stream.write(json.dumps(line).encode() + b"\n")
