"""The words of a dataset of pairs as rows: attributes, objects, auxiliary words; with the states that stand for them.

A word that is both attribute and object has a row as either. Pairs are rows too: (attribute, object).
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from components.datasets.pairs.wording import words_of
from components.datasets.store import Dataset
from components.encoders import text


@dataclass(frozen=True, eq=False)
class Words:
    """A attributes, then O objects, then auxiliary words: W rows of `states` float32 [W, H].

    `labels` are the training pairs' names and `pairs` int [P, 2] the rows of their words as training reads them; `also`
    float32 [P, W] weighs the auxiliary words of each (a row sums to 1, or to 0 where there are none).
    """

    attributes: tuple[str, ...]
    objects: tuple[str, ...]
    auxiliary: tuple[str, ...]
    labels: tuple[str, ...]
    pairs: np.ndarray
    states: np.ndarray
    also: np.ndarray

    @classmethod
    def of(cls, dataset: Dataset, targets: Path | None, rows: str = "own") -> "Words":
        """The words of a dataset: with what the teacher said of them (`targets`), or known to the text encoder alone.

        `rows` "object": an attribute that is an object too is read at the object's row (a fault of the released code).
        """
        attributes, objects = words_of(dataset.space)
        labels = tuple(dataset.space["pair_sets"]["train"])
        said: dict[str, Any] = {"auxiliary": [], "also": {}}
        if targets:
            said = json.loads((targets / "words.json").read_text())
        auxiliary = tuple(said["auxiliary"])
        states = np.load(targets / "states.npy") if targets else text.table([*attributes, *objects])
        at = {a: i for i, a in enumerate(attributes)}
        things = {o: len(attributes) + i for i, o in enumerate(objects)}
        read = at | {a: things[a] for a in attributes if a in things} if rows == "object" else at
        pairs = np.array([[read[a], things[o]] for a, o in map(dataset.space["pairs"].get, labels)])
        extra = at | {w: len(attributes) + len(objects) + i for i, w in enumerate(auxiliary)}
        also = np.zeros((len(labels), len(states)), np.float32)
        for row, name in enumerate(labels):
            for word, weight in said["also"].get(name, {}).items():
                also[row, extra[word]] = weight
        return cls(attributes, objects, auxiliary, labels, pairs, states.astype(np.float32), also)

    def rows_of(self, attribute: str, thing: str) -> tuple[int, int]:
        """The rows of a pair's words, wherever a pair is scored."""
        return self.attributes.index(attribute), len(self.attributes) + self.objects.index(thing)

    def plain(self) -> dict[str, Any]:
        """All but the numbers, as JSON beside a student."""
        return {"attributes": list(self.attributes), "objects": list(self.objects), "auxiliary": list(self.auxiliary),
                "labels": list(self.labels), "state_width": int(self.states.shape[1])}

    @classmethod
    def blank(cls, plain: dict[str, Any]) -> "Words":
        """The words of a stored student, their numbers still to be loaded."""
        names = [tuple(plain[k]) for k in ("attributes", "objects", "auxiliary", "labels")]
        count = sum(map(len, names[:3]))
        return cls(*names, np.zeros((len(names[3]), 2), np.int64), np.zeros((count, plain["state_width"]), np.float32),
                   np.zeros((len(names[3]), count), np.float32))
