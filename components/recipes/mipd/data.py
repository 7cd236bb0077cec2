"""Annotations and rationales of a dataset as tensors, in the order of sample ids; text tables by name.

Shapes: N samples, R roles at most in an annotation, E text space.
"""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from components.datasets.store import Dataset
from components.encoders import geometry
from components.encoders.text import TextEncoder

NOTHING = "nothing"


@dataclass(frozen=True)
class Lexicon:
    """Words of a dataset's space, each with its text vector: verbs, roles, nouns ("" is the empty noun)."""

    space: dict[str, Any]
    verbs: tuple[str, ...]
    roles: tuple[str, ...]
    nouns: tuple[str, ...]
    verb_vectors: Tensor  # [V, E]
    role_vectors: Tensor  # [roles, E]
    noun_vectors: Tensor  # [nouns, E]

    @classmethod
    def of(cls, space: dict[str, Any], language: TextEncoder) -> "Lexicon":
        verbs = tuple(space["verbs"])
        roles = tuple(dict.fromkeys(r for v in space["verbs"].values() for r in v["order"]))
        nouns = ("", *(n for n in space["nouns"] if n))
        embed = [torch.from_numpy(language.table(words)) for words in
                 (verbs, roles, [noun_name(space, n) for n in nouns])]
        return cls(space, verbs, roles, nouns, *embed)

    @property
    def width(self) -> int:
        """E."""
        return self.verb_vectors.shape[-1]


def noun_name(space: dict[str, Any], synset: str) -> str:
    """The readable name of a noun: the first word of its gloss."""
    return space["nouns"][synset]["gloss"][0] if synset else NOTHING


@dataclass(frozen=True)
class Situations:
    """Annotations of N samples. `noun` is the annotators' most frequent one; -1 and False fill what is not there:
    roles that a verb does not have, and all of a sample without annotation."""

    ids: tuple[str, ...]
    verb: Tensor  # [N]
    role: Tensor  # [N, R]
    noun: Tensor  # [N, R]
    box: Tensor  # [N, R, 4]
    grounded: Tensor  # [N, R] bool

    @classmethod
    def of(cls, dataset: Dataset, ids: list[str], lexicon: Lexicon) -> "Situations":
        most = max(len(v["order"]) for v in lexicon.space["verbs"].values())
        verb = torch.full((len(ids),), -1)
        role, noun = (torch.full((len(ids), most), -1) for _ in range(2))
        box, grounded = torch.zeros(len(ids), most, 4), torch.zeros(len(ids), most, dtype=torch.bool)
        at = {name: {w: i for i, w in enumerate(getattr(lexicon, name))} for name in ("verbs", "roles", "nouns")}
        row = {name: i for i, name in enumerate(ids)}
        for sample in dataset.samples(ids, images=False):
            i, entry = row[sample.id], sample.annotation
            if entry is None:
                continue
            verb[i] = at["verbs"][entry["verb"]]
            size = torch.tensor([entry["width"], entry["height"]] * 2)
            for k, name in enumerate(lexicon.space["verbs"][entry["verb"]]["order"]):
                role[i, k] = at["roles"][name]
                noun[i, k] = at["nouns"].get(majority([f.get(name, "") for f in entry["frames"]]), 0)
                corners = entry["bb"].get(name, [-1] * 4)
                if min(corners) >= 0:
                    box[i, k] = geometry.from_corners(torch.tensor(corners) / size)
                    grounded[i, k] = True
        return cls(tuple(ids), verb, role, noun, box, grounded)


def majority(nouns: list[str]) -> str:
    """What most annotators said; of a tie, what the first of them said."""
    return Counter(nouns).most_common(1)[0][0]


def read_rationales(folder: Path) -> dict[str, dict[str, Any]]:
    """The accepted rationales by sample id."""
    with open(Path(folder) / "rationales.jsonl", encoding="utf-8") as lines:
        records = map(json.loads, lines)
        return {r["sample"]: r["content"] for r in records}


def as_tensors(folder: Path) -> dict[str, Tensor]:
    """Every `.npy` below a folder, memory-mapped where large, by name."""
    return {p.stem: torch.from_numpy(np.load(p, mmap_mode="c")) for p in sorted(Path(folder).glob("*.npy"))}
