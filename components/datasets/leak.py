"""Refuses a run in which anything of a held-out verb reaches training, and names what leaks."""

from collections.abc import Iterable
from typing import Any

from components.base.errors import PipelineError
from components.datasets.images import near_pairs
from components.datasets.splits import Splits
from components.datasets.store import Dataset

# Bits of 64 in which two perceptual hashes may differ and still be called one picture (or its mirror image).
NEAR = 3
LISTED = 50


def check_leaks(dataset: Dataset, splits: Splits, rationales: Iterable[tuple[str, Any]] = (),
                feature_ids: Iterable[str] = ()) -> None:
    """Raises PipelineError listing every leak by file name (the first 50 of them).

    Looked for: a training image, with its boxes, of an unseen or pseudo-unseen verb, and a dev image of an unseen one;
    the same image in two splits; a training image that looks like one of a held-out verb, mirrored or not; a rationale
    (sample id, text) or a training feature (sample id) of a sample outside train. 25,000 images take a few seconds.
    """
    leaks = [*_labels(dataset, splits), *_overlaps(dataset, splits), *_near(dataset, splits),
             *_foreign("rationale", dataset, splits, (id for id, _ in rationales)),
             *_foreign("feature", dataset, splits, feature_ids)]
    if leaks:
        lines = [f"  {leak}" for leak in leaks[:LISTED]]
        if len(leaks) > LISTED:
            lines.append(f"  and {len(leaks) - LISTED} more")
        raise PipelineError(f"{len(leaks)} leaks into training:\n" + "\n".join(lines))


def _labels(dataset: Dataset, splits: Splits) -> Iterable[str]:
    forbidden = {"train": splits.held_out(), "dev": frozenset(splits.verbs["unseen"])}
    for split, verbs in forbidden.items():
        for id in getattr(splits, split):
            label = dataset.labels.get(id)
            if id not in dataset.labels:
                yield f"{split}: sample {id} is not in the dataset"
            elif label in verbs:
                group = splits.group(label).replace("_", "-")
                yield f"{split}: image {dataset.names[id]} and its boxes are of the {group} verb '{label}'"


def _overlaps(dataset: Dataset, splits: Splits) -> Iterable[str]:
    owner: dict[str, str] = {}
    for split in ("train", "dev", "test"):
        for id in getattr(splits, split):
            if id in owner:
                yield f"image {dataset.names.get(id, id)} is in {owner[id]} and in {split}"
            owner[id] = split


def _near(dataset: Dataset, splits: Splits) -> Iterable[str]:
    held_out = splits.held_out()
    train_ids = set(splits.train)
    hashes = dataset.hashes()
    train = [id for id in splits.train if id in hashes and dataset.labels[id] not in held_out]
    other = [id for id, label in dataset.labels.items() if label in held_out and id not in train_ids]
    for i, j in near_pairs([hashes[id] for id in train], [hashes[id] for id in other], NEAR):
        yield (f"train: image {dataset.names[train[i]]} is a near duplicate of {dataset.names[other[j]]} "
               f"of the held-out verb '{dataset.labels[other[j]]}'")


def _foreign(kind: str, dataset: Dataset, splits: Splits, ids: Iterable[str]) -> Iterable[str]:
    train, held_out = set(splits.train), splits.held_out()
    for id in dict.fromkeys(ids):
        label = dataset.labels.get(id)
        if label in held_out:
            yield f"{kind} of {dataset.names[id]}, an image of the held-out verb '{label}'"
        elif id not in train:
            yield f"{kind} of {dataset.names.get(id, id)}, which is not a training image"
