"""The trained student at work on a dataset: scores pairs, chooses its constants on validation, predicts a split."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch.nn import functional as F

from components.base.config import from_dict
from components.base.errors import UserError
from components.datasets.pairs.wording import spoken
from components.datasets.splits import Splits
from components.datasets.store import Dataset
from components.encoders import image
from components.evaluation import calibration, composition
from components.recipes.protocol import Stage
from components.recipes.trident.config import Config
from components.recipes.trident.decode import log_softmax, pair_scores
from components.recipes.trident.model import Student
from components.recipes.trident.pooled import pooled
from components.recipes.trident.vocabulary import Words

BATCH = 256
TOP = 5
METRIC = "area under the seen-unseen curve on validation"


def load_student(folder: Path) -> tuple[Student, Words, Config]:
    """The student of a training folder (student.safetensors, config.json).

    Masks that were lost are drawn anew, from another seed than in training, as in any other process.
    """
    try:
        told = json.loads((folder / "config.json").read_text())
        settings, words = from_dict(Config, told["config"]), Words.blank(told["words"])
        torch.manual_seed(told["seed"] + 1_000_003)
        student = Student(settings.student, words, image.CHANNELS)
        student.load_state_dict(load_file(folder / "student.safetensors"))
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise UserError(
            f"not a trained student ({error})", where=str(folder), mend="train it again: foveate distil"
        ) from error
    return student.eval().requires_grad_(False), words, settings


class Runner:
    """A student over one dataset, whose pairs are columns: all that any of its sets holds, by name."""

    def __init__(self, folder: Path, stage: Stage):
        self.student, self.words, self.config = load_student(folder)
        self.dataset, self.splits = Dataset(stage.dataset), Splits.load(stage.splits)
        space = self.dataset.space
        self.pairs: list[str] = sorted(space["pairs"])
        rows = np.array([self.words.rows_of(*space["pairs"][p]) for p in self.pairs])  # [P, 2]
        self.parts = rows - [0, len(self.words.attributes)]  # [P, 2] index of attribute, of object
        self.seen = np.isin(self.pairs, space["pair_sets"]["train"])
        self.of_set = {name: np.isin(self.pairs, space["pair_sets"][name]) for name in space["pair_sets"]}
        self.column = {name: i for i, name in enumerate(self.pairs)}
        self.scale = 1 / self.config.distil.temperature
        with torch.inference_mode():
            words = F.normalize(self.student.word_vectors(), dim=-1).numpy()
            vectors = F.normalize(self.student.pair_vectors(torch.from_numpy(rows)), dim=-1).numpy()
        a, o = len(self.words.attributes), len(self.words.objects)
        self.tables = {"pairs": vectors, "attributes": words[:a], "objects": words[a:a + o],
                       "states": self.student.states.numpy()[:a + o]}

    @torch.inference_mode()
    def look(self, ids: Sequence[str]) -> dict[str, np.ndarray]:
        """Unit vectors [N, D] of images: as composition, attribute and object."""
        source, parts = pooled(self.dataset.path), []
        for start in range(0, len(ids), BATCH):
            tokens, summaries = source.rows(ids[start:start + BATCH])
            reduce = self.student.reduction
            parts.append(self.student.look((tokens - reduce.token_centre) @ reduce.token_basis,
                                           (summaries - reduce.summary_centre) @ reduce.summary_basis))
        return {name: torch.cat(of).numpy()
                for name, of in zip(("vector", "attribute", "object"), zip(*parts, strict=True), strict=True)}

    def scores(self, seen: dict[str, np.ndarray], primitives: float) -> np.ndarray:
        """Scores [N, P] without bias."""
        return pair_scores(seen, self.tables["pairs"], self.parts, self.tables, self.scale, primitives)

    def labels(self, ids: Sequence[str]) -> np.ndarray:
        return np.array([self.column[self.dataset.labels[i]] for i in ids])

    def ranked(self, scores: np.ndarray, labels: np.ndarray, of: str) -> composition.Ranked:
        """The images ranked among the pairs of a set and of training."""
        unseen = np.flatnonzero(self.of_set[of] & ~self.seen)
        return composition.rank([scores.astype(np.float64)], labels, self.seen, [unseen], 1)[0]

    def decoding(self) -> dict[str, Any]:
        """Constants of decoding, chosen on validation only: the weight of primitives by area, then the bias by harmonic
        mean, then the temperature. Validation without images of both kinds chooses nothing.
        """
        choice = self.config.select
        constants = {"scale": self.scale, "primitives": choice.primitives[0], "bias": 0.0, "temperature": 1.0,
                     "abstain_below": 0.2, "selected_by": "nothing"}
        ids = list(self.splits.dev)
        labels = self.labels(ids)
        if not len(ids) or self.seen[labels].all() or not self.seen[labels].any():
            return constants
        looked = self.look(ids)
        steps = {w: composition.Steps(self.ranked(self.scores(looked, w), labels, "val"), "exact")
                 for w in choice.primitives}
        found = {w: s.curve().numbers() for w, s in steps.items()}
        best = max(found, key=lambda w: found[w]["auc"])
        constants |= {"primitives": best, "selected_by": METRIC, "validation_auc": found[best]["auc"]}
        if choice.calibrate:
            constants["bias"] = float(np.clip(found[best]["bias"], -1e3, 1e3))
        scores = self.scores(looked, best) + constants["bias"] * ~self.seen
        compete = self.seen | self.of_set["val"]
        constants["temperature"] = float(calibration.fit_temperature(np.where(compete, scores, -np.inf), labels))
        return constants

    def vocabulary(self) -> dict[str, Any]:
        """What ships as vocabulary.json: the pairs that compete in their order, and the words."""
        return {"pairs": {p: {"parts": [int(v) for v in self.parts[i]], "group": "seen" if self.seen[i] else "unseen",
                              "abstract": f"a {' '.join(map(spoken, self.dataset.space['pairs'][p]))}"}
                          for i, p in enumerate(self.pairs) if self.candidates[i]},
                "attributes": list(self.words.attributes), "objects": list(self.words.objects)}

    @property
    def candidates(self) -> np.ndarray:
        """[P] the pairs that compete at test: those of test and of training."""
        return self.seen | self.of_set["test"]


def predict(folder: Path, stage: Stage, split: str) -> Iterator[dict[str, Any]]:
    """See `components.recipes.protocol.Recipe.predict`. "curve" holds what scoring needs of all pairs, without bias:
    the true pair's score, and score and name of the best other seen and unseen one."""
    runner = Runner(folder, stage)
    constants = runner.decoding()  # before anything of the split is looked at
    ids = list(getattr(runner.splits, split))
    looked = runner.look(ids)
    scores, labels = runner.scores(looked, constants["primitives"]), runner.labels(ids)
    compete = runner.candidates if split == "test" else runner.seen | runner.of_set["val"]
    ranked = runner.ranked(scores, labels, "test" if split == "test" else "val")
    chance = np.exp(log_softmax(np.where(compete, (scores + constants["bias"] * ~runner.seen)
                                         / constants["temperature"], -np.inf)))
    order = np.argsort(-chance, 1, kind="stable")[:, :TOP]
    for i, name in enumerate(ids):
        best = [runner.pairs[p] for p in order[i]]
        yield {"image": runner.dataset.names[name], "id": name, "pairs": best,
               "scores": [round(float(chance[i, p]), 4) for p in order[i]],
               "confident": bool(chance[i, order[i, 0]] >= constants["abstain_below"]),
               "curve": {"truth": float(ranked.truth[i]), **{
                   side: [float(values[i, 0]), runner.pairs[at[i, 0]] if at[i, 0] >= 0 else ""] for side, values, at in
                   (("seen", ranked.seen_best, ranked.seen_pair), ("unseen", ranked.unseen_best, ranked.unseen_pair))}},
               "selected_by": constants["selected_by"]}
