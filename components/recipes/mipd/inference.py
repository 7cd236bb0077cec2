"""The trained student at work on a dataset: loads it, calibrates it on the tuning split, predicts a split.

Grid features come from the cache; everything after them is what ships.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file

from components.base.config import from_dict
from components.base.errors import UserError
from components.datasets.splits import Splits
from components.datasets.store import Dataset
from components.encoders import text
from components.encoders.cache import FeatureCache, dataset_features
from components.evaluation import calibration, situation
from components.recipes.mipd import certainty
from components.recipes.mipd.config import Config
from components.recipes.mipd.data import Lexicon, noun_name
from components.recipes.mipd.decode import confidence, decode, verb_logits
from components.recipes.mipd.model import Student
from components.recipes.protocol import Stage

BATCH = 64


def load_student(folder: Path) -> tuple[Student, Config]:
    """The student of a training folder (student.safetensors, config.json)."""
    try:
        settings = from_dict(Config, json.loads((folder / "config.json").read_text())["config"])
        weights = load_file(folder / "student.safetensors")
        channels, width = weights["encoder.local.weight"].shape[1], weights["decoder.verb.weight"].shape[1]
        student = Student(settings.student, channels, width)
        student.load_state_dict(weights)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise UserError(
            f"not a trained student ({error})", where=str(folder), mend="train it again: foveate distil"
        ) from error
    return student.eval().requires_grad_(False), settings


class Runner:
    """A student over one dataset's cached features, in the two calls that `decode` wants."""

    load = staticmethod(load_student)

    def __init__(self, folder: Path, stage: Stage):
        self.student, self.config = self.load(folder)
        self.calibrate = stage.config.evaluate.calibrate
        self.dataset, self.splits = Dataset(stage.dataset), Splits.load(stage.splits)
        self.features = FeatureCache(dataset_features(stage.dataset, encoder=self.config.encoder.image))
        self.lexicon = Lexicon.of(self.dataset.space, text.get(self.config.encoder.text))

    @torch.inference_mode()
    def encode(self, ids: Sequence[str]) -> dict[str, np.ndarray]:
        out = self.student.encoder(torch.from_numpy(self.features.rows(ids)).float())
        return {k: v.numpy() for k, v in zip(("scene", "memory", "whole"), out, strict=True)}

    @torch.inference_mode()
    def fill(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        tensors = {k: torch.from_numpy(np.ascontiguousarray(v)) for k, v in inputs.items()}
        out = self.student.decoder(**tensors)
        return {k: out[k].numpy() for k in ("noun", "box", "exists")}

    def scenes(self, ids: Sequence[str]) -> np.ndarray:
        """Scene vectors float32 [len(ids), E]."""
        return np.concatenate([self.encode(ids[i : i + BATCH])["scene"] for i in range(0, len(ids), BATCH)])

    def vocabulary(self) -> dict[str, Any]:
        """What ships as vocabulary.json; its orders are those of the text tables."""
        group = {v: g for g, verbs in self.splits.verbs.items() for v in verbs}
        space = self.dataset.space
        return {
            "verbs": {
                v: {
                    "order": list(space["verbs"][v]["order"]),
                    "abstract": space["verbs"][v]["abstract"],
                    "group": group.get(v, "unseen"),
                    "evidence": float(evidence),
                }
                for v, evidence in zip(self.lexicon.verbs, self.stacking[1], strict=True)
            },
            "roles": list(self.lexicon.roles),
            "nouns": {
                n: {"name": noun_name(space, n), "gloss": space["nouns"][n]["gloss"] if n else []}
                for n in self.lexicon.nouns
            },
        }

    def tables(self) -> dict[str, np.ndarray]:
        """The text tables that ship: float32 [V, E], [roles, E], [nouns, E]."""
        return {
            "verbs": self.lexicon.verb_vectors.numpy(),
            "roles": self.lexicon.role_vectors.numpy(),
            "nouns": self.lexicon.noun_vectors.numpy(),
        }

    def mask(self, *groups: str) -> np.ndarray:
        """Which verbs of the lexicon belong to any of the groups.  # [V] bool"""
        names = {v for g in groups for v in self.splits.verbs[g]}
        return np.array([v in names for v in self.lexicon.verbs])

    @cached_property
    def stacking(self) -> tuple[float, np.ndarray]:
        """The penalty on seen verbs and each verb's share of it [V], chosen on the tuning split only: held-out images
        of seen verbs against images of pseudo-unseen ones, with the unseen verbs' names (no image of theirs) competing
        as they will at test. Without such verbs (unlabelled or tiny data), or with `calibrate` off, there is none.
        """
        if not self.tunes:
            return 0.0, np.zeros(len(self.lexicon.verbs))
        logits, labels = self.tuning
        parts, pseudo = [self.mask("common"), self.mask("rare")], self.mask("pseudo_unseen")
        counted = Counter(self.dataset.labels[i] for i in self.splits.train)
        images = np.array([counted[v] for v in self.lexicon.verbs])
        return calibration.choose_stacking(logits, labels, parts, pseudo, images, self.mask("unseen"))

    @property
    def tunes(self) -> bool:
        """Whether there is something to calibrate on, and it is wanted."""
        labels = self.tuning[1]
        return self.calibrate and all(self.mask(*of)[labels].any() for of in (("common", "rare"), ("pseudo_unseen",)))

    @cached_property
    def tuning(self) -> tuple[np.ndarray, np.ndarray]:
        """Verb logits [N, V] of the labelled images of the tuning split, and their verbs [N]."""
        ids = [i for i in self.splits.dev if self.dataset.labels[i]]
        labels = np.array([self.lexicon.verbs.index(self.dataset.labels[i]) for i in ids], int)
        scenes = self.scenes(ids) if ids else np.zeros((0, self.tables()["verbs"].shape[1]))
        return float(self.student.log_scale_verb.exp()) * scenes @ self.tables()["verbs"].T, labels

    def decoding(self) -> dict[str, Any]:
        """Constants of decoding; the temperature is fitted on the tuning split after the penalty (without one: 1)."""
        penalty, evidence = self.stacking
        pseudo = self.mask("pseudo_unseen")
        temperature = 1.0
        if self.tunes:
            logits, labels = self.tuning
            shifted = np.where(self.mask(*self.splits.verbs), logits - penalty * evidence, -np.inf)
            temperature = float(calibration.fit_temperature(shifted, labels))
        constants = {
            "scale_verb": float(self.student.log_scale_verb.exp()),
            "scale_noun": float(self.student.log_scale_noun.exp()),
            "penalty": penalty,
            "temperature": temperature,
            "abstain_below": 0.2,
            "candidates": [v for v, p in zip(self.lexicon.verbs, pseudo, strict=True) if not p],
        }
        return constants | self._certainty(constants, shifted / temperature) if self.tunes else constants

    def _certainty(self, constants: dict[str, Any], logits: np.ndarray) -> dict[str, Any]:
        """Constants of confidence, and the bar below which no verb fits; from the calibrated logits of the tuning split
        and from what is predicted of its images without such constants."""
        ids = [i for i in self.splits.dev if self.dataset.labels[i]]
        made = list(predictions(self, ids, constants, top=1))
        truth = {s.name: s.annotation for s in self.dataset.samples(ids, images=False)}
        scores = situation.score(made, truth, self.dataset.space, convention="jsl", average="image")
        return certainty.fit_verbs(logits, self.tuning[1]) | certainty.fit_roles(
            certainty.roles_of(made, scores, truth))


def predict(runner: Runner, split: str) -> Iterator[dict[str, Any]]:
    """See `components.recipes.protocol.Recipe.predict`. Labelled images also get the true verb's frame, the best five
    where only unseen names compete (classical zero-shot) or only seen ones (closed set), without any penalty, and what
    is said of them where their own verb's name does not compete: {"withheld": {"fits", "confident"}}."""
    yield from predictions(runner, list(getattr(runner.splits, split)), runner.decoding())


def predictions(runner: Runner, ids: Sequence[str], constants: dict[str, Any],
                top: int = 5) -> Iterator[dict[str, Any]]:
    """Predictions of samples as `predict` gives them, with any constants of decoding."""
    vocabulary, tables = runner.vocabulary(), runner.tables()
    sizes = {s.id: (s.width, s.height) for s in runner.dataset.samples(ids, images=False)}
    alone = {"among_seen": np.flatnonzero(runner.mask("common", "rare")),
             "among_unseen": np.flatnonzero(runner.mask("unseen"))}
    for start in range(0, len(ids), BATCH):
        batch = ids[start : start + BATCH]
        labels = [runner.dataset.labels[i] for i in batch]
        encoded = runner.encode(batch)
        logits = encoded["scene"] @ tables["verbs"].T
        best = {name: rows[np.argsort(-logits[:, rows], 1, kind="stable")[:, :5]] for name, rows in alone.items()}
        withheld = _withheld(encoded["scene"], labels, vocabulary, tables, constants)
        made = decode(
            lambda _, done=encoded: done,
            runner.fill,
            tables,
            vocabulary,
            constants,
            batch,
            [sizes[i] for i in batch],
            top=top,
            also=[[label] if label else [] for label in labels],
        )
        for k, (i, prediction) in enumerate(zip(batch, made, strict=True)):
            yield {
                "image": runner.dataset.names[i],
                "id": i,
                **prediction,
                **{name: [runner.lexicon.verbs[v] for v in ranked[k]] for name, ranked in best.items()},
                **({"withheld": withheld[k]} if withheld[k] else {}),
            }


def _withheld(scene: np.ndarray, labels: Sequence[str], vocabulary: dict[str, Any], tables: dict[str, np.ndarray],
              constants: dict[str, Any]) -> list[dict | None]:
    """Whether any name fits where each image's own does not compete; None where it never does, or nobody can say."""
    if "fits" not in constants:
        return [None] * len(labels)
    names, listed = constants["candidates"], list(vocabulary["verbs"])
    own = np.array([names.index(label) if label in names else -1 for label in labels])
    evidence = np.array([vocabulary["verbs"][name]["evidence"] for name in names])
    logits = verb_logits(scene, tables["verbs"][[listed.index(name) for name in names]], evidence, constants)
    fits = confidence(constants["fits"], certainty.withheld(logits, own))
    return [{"fits": round(float(f), 4), "confident": bool(f >= constants["abstain_below"])} if column >= 0 else None
            for f, column in zip(fits, own, strict=True)]
