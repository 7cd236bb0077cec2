"""Splits a dataset into train, dev and test by label, from counts and a seed: the same on every machine, and hashed.

Labels (verbs) fall into four groups: unseen ones are met only in test, pseudo-unseen ones only in dev (for tuning),
common and rare ones in all three.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.base.artifacts import digest, write_json
from components.base.errors import UserError, nearest
from components.datasets.store import Dataset

GROUPS = ("common", "rare", "pseudo_unseen", "unseen")


@dataclass(frozen=True, slots=True)
class SplitSpec:
    """How to split. `unseen`, `pseudo_unseen` and `rare` list labels; None draws them by share.

    `dev` and `test` are taken from every seen label (or from all images where there are no labels): below 1 a share of
    its images, from 1 on a count. Labels left with fewer than `rare_below` training images are rare if `rare` is None.
    """

    seed: int = 0
    unseen: tuple[str, ...] | None = None
    pseudo_unseen: tuple[str, ...] | None = None
    rare: tuple[str, ...] | None = None
    dev: float = 0.1
    test: float = 0.2
    unseen_share: float = 0.3
    pseudo_share: float = 0.15
    rare_below: int = 6


@dataclass(frozen=True, slots=True)
class Splits:
    """Sample ids of each split and the labels of each group."""

    seed: int
    verbs: dict[str, tuple[str, ...]]
    train: tuple[str, ...]
    dev: tuple[str, ...]
    test: tuple[str, ...]

    @property
    def sha256(self) -> str:
        return digest(self.content())

    def group(self, label: str) -> str:
        """The group of a label; raises KeyError for one that was not split."""
        return next(group for group, labels in self.verbs.items() if label in labels)

    def held_out(self) -> frozenset[str]:
        """The labels that training may know nothing of."""
        return frozenset(self.verbs["unseen"]) | frozenset(self.verbs["pseudo_unseen"])

    def by_id(self, names: Mapping[str, str], where: str) -> "Splits":
        """The same splits where samples are told by id: these are told by name, and `names` maps ids to names.

        Raises UserError for a name that no id has.
        """
        ids = {name: id for id, name in names.items()}
        parts = []
        for split in ("train", "dev", "test"):
            lost = [name for name in getattr(self, split) if name not in ids]
            if lost:
                raise UserError(f"'{lost[0]}' of {split} is no image of the dataset ({len(lost)} such images)",
                                where=where, mend="make the splits again with `foveate data split`")
            parts.append(tuple(ids[name] for name in getattr(self, split)))
        return Splits(self.seed, self.verbs, *parts)

    def content(self) -> dict[str, Any]:
        return {"seed": self.seed, "verbs": {group: list(self.verbs[group]) for group in GROUPS},
                "train": list(self.train), "dev": list(self.dev), "test": list(self.test)}

    def save(self, path: Path) -> None:
        """Writes splits.json."""
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, self.content() | {"sha256": self.sha256})

    @classmethod
    def load(cls, path: Path) -> "Splits":
        """Reads splits.json; raises UserError if it is not one or was altered after it was written."""
        mend = "make it again with `foveate data split`"
        try:
            content = json.loads(path.read_text("utf-8"))
            splits = cls(content["seed"], {group: tuple(content["verbs"][group]) for group in GROUPS},
                         *(tuple(content[key]) for key in ("train", "dev", "test")))
            stated = content["sha256"]
        except OSError as error:
            raise UserError(f"cannot be read ({error.strerror})", where=str(path), mend=mend) from error
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"not a splits file ({error})", where=str(path), mend=mend) from error
        if splits.sha256 != stated:
            raise UserError("the splits were altered: they do not have their sha256", where=str(path), mend=mend)
        return splits


def make_splits(labels: Mapping[str, str | None], spec: SplitSpec) -> Splits:
    """Splits sample ids by label. Samples without a label are left out, unless none has one: then images are drawn.

    Raises UserError for a label of the spec that the data do not have, one that is in two lists, and an empty train.
    """
    members: dict[str, list[str]] = defaultdict(list)
    for id, label in labels.items():
        if label is not None:
            members[label].append(id)
    check_lists(spec, members)
    if not members:
        train, dev, test = _cut(list(labels), spec, "")
        return _finish(spec, dict.fromkeys(GROUPS, ()), train, dev, test)
    unseen, pseudo = held_out_labels(sorted(members), spec)
    train, dev, test = [], [], []
    rare = set(spec.rare or ())
    for label in sorted(members):
        if label in unseen:
            test += members[label]
        elif label in pseudo:
            dev += members[label]
        else:
            parts = _cut(members[label], spec, label)
            if spec.rare is None and len(parts[0]) < spec.rare_below:
                rare.add(label)
            for split, part in zip((train, dev, test), parts, strict=True):
                split += part
    seen = [label for label in sorted(members) if label not in unseen | pseudo]
    groups = {"common": [v for v in seen if v not in rare], "rare": [v for v in seen if v in rare],
              "pseudo_unseen": sorted(pseudo), "unseen": sorted(unseen)}
    return _finish(spec, {group: tuple(verbs) for group, verbs in groups.items()}, train, dev, test)


def _finish(spec: SplitSpec, verbs: dict[str, tuple[str, ...]], *parts: list[str]) -> Splits:
    if not parts[0]:
        raise UserError("no image is left for training", where="splits", mend="lower dev and test, or add images")
    return Splits(spec.seed, verbs, *(tuple(shuffled(part, spec.seed, "")) for part in parts))


def check_lists(spec: SplitSpec, known: Collection[str]) -> None:
    """Raises UserError for a listed label that is unknown or in two lists, and for shares that are none."""
    owner: dict[str, str] = {}
    for field in ("unseen", "pseudo_unseen", "rare"):
        for verb in getattr(spec, field) or ():
            if verb not in known:
                raise UserError(f"unknown verb '{verb}'", where=f"splits: {field}",
                                mend=nearest(verb, known) or "no image of the dataset has this label")
            if verb in owner:
                raise UserError(f"verb '{verb}' is in {owner[verb]} already", where=f"splits: {field}",
                                mend="keep it in one list")
            owner[verb] = field
    for field in ("dev", "test", "unseen_share", "pseudo_share"):
        value = getattr(spec, field)
        if value < 0 or (value >= 1 and (field.endswith("share") or value != int(value))):
            raise UserError(f"must be a share below 1 or a whole count, got {value}", where=f"splits: {field}")


def held_out_labels(labels: list[str], spec: SplitSpec) -> tuple[set[str], set[str]]:
    """The unseen and the pseudo-unseen labels: those listed, else a seeded draw from what no list claims."""
    free = [v for v in labels if all(v not in (named or ()) for named in (spec.unseen, spec.pseudo_unseen, spec.rare))]
    order = shuffled(free, spec.seed, "verbs")
    unseen, pseudo = spec.unseen, spec.pseudo_unseen
    if unseen is None:
        count = round(spec.unseen_share * len(labels))
        unseen, order = order[:count], order[count:]
    if pseudo is None:
        pseudo = order[:round(spec.pseudo_share * len(labels))]
    return set(unseen), set(pseudo)


def _cut(ids: list[str], spec: SplitSpec, salt: str) -> tuple[list[str], list[str], list[str]]:
    """Train, dev and test of one label; at least one image is left for training where shares are asked for."""
    order = shuffled(ids, spec.seed, salt)
    test, dev = (int(v) if v >= 1 else min(round(v * len(ids)), max(len(ids) - 1, 0)) for v in (spec.test, spec.dev))
    dev = dev if spec.dev >= 1 else min(dev, max(len(ids) - test - 1, 0))
    return order[test + dev:], order[test:test + dev], order[:test]


def shuffled(items: list[str], seed: int, salt: str) -> list[str]:
    """Ordered by a keyed hash: independent of the order of `items` and of any random generator's version."""
    return sorted(items, key=lambda item: hashlib.sha256(f"{seed}/{salt}/{item}".encode()).digest())


def scenes_spec(seed: int = 0, dev: int = 8, test: int = 16) -> SplitSpec:
    """The spec of the embedded world: its lexicon says which verbs are unseen, pseudo-unseen and rare."""
    from components.datasets.scenes import lexicon  # the tables of the world are of no use to other datasets

    return SplitSpec(seed, tuple(lexicon.UNSEEN), tuple(lexicon.PSEUDO_UNSEEN), tuple(lexicon.RARE), dev, test)


def is_scenes(dataset: Dataset) -> bool:
    """Whether a dataset is a draw of the embedded world: it has exactly its verbs."""
    from components.datasets.scenes import lexicon

    return set(dataset.manifest["labels"]) == set(lexicon.VERBS)


def split_dataset(dataset: Path, out: Path, spec: SplitSpec) -> Splits:
    """Splits a dataset folder and writes `<out>/splits.json`."""
    splits = make_splits(Dataset(dataset).labels, spec)
    splits.save(out / "splits.json")
    return splits
