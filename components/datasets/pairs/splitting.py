"""The splits of a dataset of pairs: an image is of the set that its record names; pairs fall into groups by set."""

from collections import Counter

from components.datasets.splits import GROUPS, Splits, shuffled
from components.datasets.store import Dataset

RARE_BELOW = 10  # training images


def split(dataset: Dataset, seed: int = 0) -> Splits:
    """Training, validation ("dev") and test images as their sets say.

    Pairs of validation alone are pseudo-unseen, pairs of test alone unseen; a pair of both and not of training is
    unseen, and its validation images belong to no split.
    """
    sets, space = {image: name for name, images in dataset.space["sets"].items() for image in images}, dataset.space
    train, val, test = (set(space["pair_sets"][name]) for name in ("train", "val", "test"))
    unseen, pseudo = test - train, val - train - test
    parts: dict[str, list[str]] = {"train": [], "val": [], "test": []}
    for id in dataset.ids:
        name = sets[dataset.names[id]]
        if name != "val" or dataset.labels[id] not in unseen:
            parts[name].append(id)
    images = Counter(dataset.labels[i] for i in parts["train"])
    rare = {label for label in train if images[label] < RARE_BELOW}
    groups = dict(zip(GROUPS, (sorted(train - rare), sorted(rare), sorted(pseudo), sorted(unseen)), strict=True))
    return Splits(seed, {group: tuple(labels) for group, labels in groups.items()},
                  *(tuple(shuffled(parts[name], seed, "")) for name in ("train", "val", "test")))
