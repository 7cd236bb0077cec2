"""A handful of drawn scenes as a dataset, and what the embedded teacher says of them: the learning path, small."""

import dataclasses
import json
from pathlib import Path

from components.datasets.scenes.lexicon import PSEUDO_UNSEEN, UNSEEN, space
from components.datasets.scenes.world import draw, encode
from components.datasets.schema import Sample, sample_id
from components.datasets.splits import Splits
from components.datasets.store import Dataset, DatasetWriter
from components.encoders.cache import FeatureCache, dataset_features
from components.recipes import get
from components.recipes.pictures import view
from components.recipes.protocol import Record, Stage
from components.teachers.embedded import EmbeddedTeacher

SEEN = ("running", "riding", "eating", "sweeping")
HELD = (UNSEEN[0], PSEUDO_UNSEEN[0])


def write(folder: Path, labelled: bool) -> Dataset:
    """Four images each of four seen verbs, one unseen and one pseudo-unseen."""
    with DatasetWriter(folder, "few", space()) as writer:
        for verb in (*SEEN, *HELD):
            for index in range(4):
                scene = draw(verb, index)
                image = encode(scene.image)
                order = space()["verbs"][verb]["order"]
                entry = {
                    "verb": verb,
                    "height": 192,
                    "width": 192,
                    "frames": [dict(f) for f in scene.frames],
                    "bb": {r: list(scene.boxes.get(r) or (-1, -1, -1, -1)) for r in order},
                }
                name, size, seen = f"{verb}_{index}.jpg", (192, 192), (verb, entry) if labelled else (None, None)
                writer.add(Sample(sample_id(image), name, image, *size, "0" * 16, "test", *seen))
    return Dataset(folder)


def stage(root: Path, labelled: bool) -> tuple[Stage, EmbeddedTeacher]:
    """Splits and rationales of such a dataset below `root`, and who was asked; of the last image nothing is known."""
    data = write(root / "data", labelled)
    ids = {verb: [i for i in data.ids if data.names[i].startswith(verb)] for verb in (*SEEN, *HELD)}
    verbs = {"common": SEEN, "rare": (), "pseudo_unseen": (PSEUDO_UNSEEN[0],), "unseen": (UNSEEN[0],)}
    verbs = verbs if labelled else dict.fromkeys(verbs, ())
    train = tuple(i for v in SEEN for i in ids[v][:3])
    dev, test = [ids[v][3] for v in SEEN] + ids[PSEUDO_UNSEEN[0]], [*ids[UNSEEN[0]], ids[SEEN[0]][3]]
    splits = Splits(0, verbs, train, tuple(dev), tuple(test))
    splits.save(root / "splits.json")
    recipe = get("mipd")
    config = recipe.config(fast=True)
    config = dataclasses.replace(
        config,
        align=dataclasses.replace(config.align, steps=4, batch_size=6, composites=2),
        distil=dataclasses.replace(config.distil, batch_size=4, epochs=2),
    )
    teacher, lines = EmbeddedTeacher(FeatureCache(dataset_features(data.path))), []
    for sample in data.samples(splits.train):
        asked = recipe.questions(sample, config)
        said = recipe.accept(sample, teacher.answer([view(data, sample.id)] * len(asked), asked), config)
        assert isinstance(said, Record)
        lines.append(json.dumps({"sample": said.sample, "content": said.content}))
    (root / "rationales").mkdir()
    (root / "rationales" / "rationales.jsonl").write_text("\n".join(lines[:-1]) + "\n")
    return Stage(data.path, root / "splits.json", config, 0, root / "rationales"), teacher
