"""The teacher's names to what the student learns from: a vocabulary, each image's name in it, its nearest neighbours.

A targets folder holds `names.jsonl` (`components.datasets.names.files`, with the way back beside it), `vocabulary.json`
and `images.json` in the order of all rows, `names.npy` [N], `near.npy` and `cosine.npy` [N, k].
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from components.base.artifacts import write_json
from components.datasets.names import files
from components.datasets.names.consolidate import consolidate
from components.datasets.names.evidence import Answer
from components.datasets.splits import Splits
from components.encoders import text
from components.encoders.cache import FeatureCache, dataset_features
from components.recipes.near.candidates import candidate_sets, neighbours, with_text
from components.recipes.near.config import Align
from components.recipes.near.space import SECOND, divided, whitened
from components.recipes.near.views import pooled_views
from components.recipes.protocol import Stage
from components.teachers.protocol import Teacher


@dataclass(frozen=True)
class Targets:
    """N named images: their ids, the vocabulary, names as codes in it [N], neighbours [N, k] (-1: none) and cosines."""

    images: list[str]
    vocabulary: list[str]
    names: np.ndarray
    near: np.ndarray
    cosine: np.ndarray

    @classmethod
    def load(cls, folder: Path) -> "Targets":
        lists = [json.loads((folder / f"{n}.json").read_text("utf-8")) for n in ("images", "vocabulary")]
        return cls(*lists, *(np.load(folder / f"{n}.npy") for n in ("names", "near", "cosine")))

    def undivided(self) -> "Targets":
        """The same with names that were divided whole again."""
        whole = [name.removesuffix(SECOND) for name in self.vocabulary]
        vocabulary, code = np.unique(np.array(whole, str), return_inverse=True)
        return Targets(self.images, vocabulary.tolist(), code[self.names], self.near, self.cosine)

    def save(self, folder: Path) -> None:
        for name in ("images", "vocabulary"):
            write_json(folder / f"{name}.json", getattr(self, name))
        for name in ("names", "near", "cosine"):
            np.save(folder / f"{name}.npy", getattr(self, name))


def align(stage: Stage, _teacher: Teacher, out: Path) -> dict[str, float]:
    """Writes the targets of the named training images. The teacher has said all; true classes are not looked at."""
    labels = read_names(stage)
    made = consolidate(labels.answers, risk=stage.config.align.risk)
    files.write(out / "names.jsonl", labels, made)
    features = FeatureCache(dataset_features(stage.dataset))
    views = pooled_views(features, labels.images, stage.config.distil.views, stage.seed)
    targets = targets_of(list(labels.images), list(made.names), views, stage.config.align)
    targets.save(out)
    sizes = candidate_sets(targets.names, targets.near, len(targets.vocabulary)).sum(1)
    return {"names": len(targets.vocabulary), "candidates": float(sizes.mean()),
            "merged": len(set(labels.first)) - len(set(made.names)),
            "divided": len(targets.vocabulary) - len(set(made.names)), "images": len(targets.images)}


def read_names(stage: Stage) -> files.Labels:
    """What the teacher said of the training images, in the order of the split."""
    lines = (stage.rationales / "rationales.jsonl").read_text("utf-8").splitlines()
    said = {r["sample"]: r["content"] for r in map(json.loads, lines)}
    images = tuple(i for i in Splits.load(stage.splits).train if i in said)
    answers = tuple(Answer(said[i]["labels"][0], tuple(said[i]["labels"][1:]), said[i]["response"]) for i in images)
    return files.Labels(images, answers, sum(len(said[i]["labels"]) > 1 for i in images))


def targets_of(images: list[str], names: list[str], views: np.ndarray, settings: Align) -> Targets:
    """The targets of images with these names and pooled features of their views [N, A, P]."""
    whole = views[:, 0]
    space = whitened(views) if settings.space == "whitened" else (whole - whole.mean(0)) / (whole.std(0) + 1e-3)
    vocabulary, codes = np.unique(np.array(divided(names, space, settings.apart), str), return_inverse=True)
    if settings.space == "text":
        space = with_text(space, np.pad(text.embed(vocabulary.tolist()), ((0, 0), (0, space.shape[1] - text.WIDTH))),
                          codes)
    near, cosine = neighbours(space, settings.k, mutual=settings.mutual)
    return Targets(images, vocabulary.tolist(), codes, near, cosine)
