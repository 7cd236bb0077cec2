"""Adds images to a dataset that is there: repeats fall away, and what was split before stays where it is.

The test split is that of the first version for good, so that every later student is examined on the same images. New
images of seen and of new labels go to train, or to dev by as large a share as dev has already; those of pseudo-unseen
labels go to dev; those of unseen labels are left out, as training may know nothing of them.
"""

import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from components.base.errors import UserError
from components.datasets.images import near_pairs
from components.datasets.situation import Space
from components.datasets.splits import GROUPS, Splits
from components.datasets.store import Dataset, DatasetWriter

NEAR = 3  # bits between the perceptual hashes of near duplicates, see leak.py
RARE_BELOW = 6  # training images of a new label, below which it is rare, as in `SplitSpec`


@dataclass(frozen=True, slots=True)
class Choice:
    """Which new images (ids) are taken, and how many are not: near duplicates, of unseen labels, without a label."""

    taken: tuple[str, ...]
    near: int = 0
    held_out: int = 0
    unlabelled: int = 0


def choose(fresh: Dataset, former: Dataset | None = None, splits: Splits | None = None) -> Choice:
    """The images of `fresh` worth adding to `former`: they look like none that is there and like no earlier new one."""
    hashes = fresh.hashes()
    ids = [i for i in fresh.ids if former is None or i not in former.labels]
    near: set[str] = set()
    mine = [hashes[i] for i in ids]
    if former is not None:
        near = {ids[i] for i, _ in near_pairs(mine, list(former.hashes().values()), NEAR)}
    for first, second in near_pairs(mine, mine, NEAR):
        if first < second and ids[first] not in near:
            near.add(ids[second])
    unseen = set(splits.verbs["unseen"]) if splits else set()
    labelled = former is not None and any(former.labels.values())
    rest = [i for i in ids if i not in near]
    held_out = {i for i in rest if fresh.labels[i] in unseen}
    bare = {i for i in rest if labelled and fresh.labels[i] is None}
    return Choice(tuple(i for i in rest if i not in held_out | bare), len(near), len(held_out), len(bare))


def merge(out: Path, name: str, fresh: Dataset, taken: Sequence[str], former: Dataset | None = None) -> Dataset:
    """Writes the dataset `name` to the folder `out`: all of `former`, then the taken images of `fresh`.

    Raises UserError where both have a verb with other roles.
    """
    space = fresh.space if former is None else merged_space(former.space, fresh.space)
    used = set(former.names.values()) if former else set()
    with DatasetWriter(out, name, space, after=former) as writer:
        for sample in fresh.samples(taken):
            if sample.name in used:
                sample = dataclasses.replace(sample, name=f"{sample.id[:12]}/{sample.name}")
            used.add(sample.name)
            writer.add(sample)
    return Dataset(out)


def merged_space(former: Space | None, fresh: Space | None) -> Space | None:
    """All verbs and nouns of both lexica; raises UserError where a verb of both has other roles."""
    if former is None or fresh is None:
        return former or fresh
    for verb in sorted(former["verbs"].keys() & fresh["verbs"].keys()):
        old, new = (space["verbs"][verb]["order"] for space in (former, fresh))
        if set(old) != set(new):
            raise UserError(f"verb '{verb}' has the roles {', '.join(new)} here, and {', '.join(old)} in the dataset",
                            where="space", mend="use the roles of the dataset, or another name for the verb")
    return former | {kind: former[kind] | {name: told for name, told in fresh[kind].items() if name not in former[kind]}
                     for kind in ("nouns", "verbs")}


def extend(splits: Splits, data: Dataset, new: Sequence[str]) -> Splits:
    """The splits with the new samples of `data` in train and dev; test and the groups of known labels stay.

    Where a sample goes depends on its id and the seed alone, so the order in which images arrive does not matter.
    """
    held_out, labels = splits.held_out(), data.labels
    seen = [sum(labels[i] not in held_out for i in ids) for ids in (splits.train, splits.dev)]
    share = seen[1] / max(sum(seen), 1)
    verbs = {group: list(splits.verbs[group]) for group in GROUPS}
    train, dev = list(splits.train), list(splits.dev)
    for label in dict.fromkeys(sorted((labels[i] for i in new), key=str)):
        mine = sorted(i for i in new if labels[i] == label)
        aside = mine if label in held_out else [i for i in mine if _lot(splits.seed, i) < share]
        strange = label is not None and label not in {verb for group in GROUPS for verb in verbs[group]}
        if strange and len(aside) == len(mine):
            aside = aside[1:]  # a new label is trained on
        train += [i for i in mine if i not in set(aside)]
        dev += aside
        if strange:
            verbs["rare" if len(mine) - len(aside) < RARE_BELOW else "common"].append(label)
    groups = {group: tuple(known) for group, known in verbs.items()}
    return Splits(splits.seed, groups, tuple(train), tuple(dev), splits.test)


def _lot(seed: int, id: str) -> float:
    """A number in 0..1 that is the same wherever and whenever it is drawn."""
    return int.from_bytes(hashlib.sha256(f"{seed}/grown/{id}".encode()).digest()[:8]) / 2**64
