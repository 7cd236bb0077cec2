"""The leak checker lets clean splits pass and names every picture, twin, rationale and feature that leaks."""

import dataclasses
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from components.base.errors import PipelineError
from components.datasets.images import perceptual_hash
from components.datasets.leak import check_leaks
from components.datasets.schema import Sample, sample_id
from components.datasets.splits import Splits, SplitSpec, make_splits
from components.datasets.store import Dataset, DatasetWriter

SPEC = SplitSpec(unseen=("rowing",), pseudo_unseen=("reading",), dev=2, test=2)


def picture(seed: int) -> Image.Image:
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)
    return Image.fromarray(coarse).resize((64, 64), Image.Resampling.BICUBIC)


def sample(image: Image.Image, name: str, label: str) -> Sample:
    stream = io.BytesIO()
    image.save(stream, "PNG")
    data = stream.getvalue()
    return Sample(sample_id(data), name, data, 64, 64, perceptual_hash(np.asarray(image)), "test", label)


def write(path: Path, extra: list[Sample] = []) -> Dataset:  # noqa: B006 - never changed
    with DatasetWriter(path, "tiny") as writer:
        for number in range(40):
            verb = ("running", "walking", "rowing", "reading")[number % 4]
            writer.add(sample(picture(number), f"{verb}_{number}.png", verb))
        for item in extra:
            writer.add(item)
    return Dataset(path)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return write(tmp_path_factory.mktemp("leak") / "d")


@pytest.fixture(scope="module")
def splits(dataset: Dataset) -> Splits:
    return make_splits(dataset.labels, SPEC)


def leaks(*arguments: object, **options: object) -> str:
    with pytest.raises(PipelineError) as caught:
        check_leaks(*arguments, **options)
    return str(caught.value)


def one(dataset: Dataset, splits: Splits, split: str, label: str) -> str:
    return next(id for id in getattr(splits, split) if dataset.labels[id] == label)


def test_clean_splits_pass(dataset: Dataset, splits: Splits) -> None:
    check_leaks(dataset, splits, ((id, "a man runs") for id in splits.train), splits.train)


@pytest.mark.parametrize(("label", "origin", "group"), [
    ("rowing", "test", "unseen"), ("reading", "dev", "pseudo-unseen")])
def test_a_held_out_image_in_train(dataset: Dataset, splits: Splits, label: str, origin: str, group: str) -> None:
    id = one(dataset, splits, origin, label)
    bad = dataclasses.replace(splits, train=(*splits.train, id))
    message = leaks(dataset, bad)
    assert f"train: image {dataset.names[id]} and its boxes are of the {group} verb '{label}'" in message
    assert f"image {dataset.names[id]} is in train and in {origin}" in message and message.startswith("2 leaks")


def test_an_unseen_image_in_dev(dataset: Dataset, splits: Splits) -> None:
    id = one(dataset, splits, "test", "rowing")
    bad = dataclasses.replace(splits, dev=(*splits.dev, id), test=tuple(i for i in splits.test if i != id))
    assert f"dev: image {dataset.names[id]}" in leaks(dataset, bad)


def test_an_image_in_two_splits(dataset: Dataset, splits: Splits) -> None:
    id = splits.train[0]
    message = leaks(dataset, dataclasses.replace(splits, test=(*splits.test, id)))
    assert f"image {dataset.names[id]} is in train and in test" in message


def test_a_sample_that_is_not_in_the_dataset(dataset: Dataset, splits: Splits) -> None:
    assert "train: sample strange is not in the dataset" in leaks(
        dataset, dataclasses.replace(splits, train=(*splits.train, "strange")))


@pytest.mark.parametrize("copy", ["smaller", "mirrored", "brighter"])
def test_a_near_duplicate_of_an_unseen_image_in_train(copy: str, tmp_path: Path) -> None:
    original = picture(2)  # rowing_2.png
    image = {"smaller": original.resize((48, 48)), "mirrored": original.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
             "brighter": original.point(lambda v: min(v + 3, 255))}[copy]
    twin = sample(image, f"{copy}.png", "running")
    dataset = write(tmp_path / "d", [twin])
    splits = make_splits(dataset.labels, SPEC)
    if twin.id not in splits.train:
        splits = dataclasses.replace(splits, train=(*splits.train, twin.id), dev=(), test=())
    assert f"train: image {copy}.png is a near duplicate of rowing_2.png of the held-out verb 'rowing'" in leaks(
        dataset, splits)


def test_rationales_and_features_of_other_samples(dataset: Dataset, splits: Splits) -> None:
    unseen, dev = one(dataset, splits, "test", "rowing"), one(dataset, splits, "dev", "running")
    message = leaks(dataset, splits, [(unseen, "rows a boat"), (dev, "runs"), (splits.train[0], "runs")], [unseen, dev])
    for kind in ("rationale", "feature"):
        assert f"{kind} of {dataset.names[unseen]}, an image of the held-out verb 'rowing'" in message
        assert f"{kind} of {dataset.names[dev]}, which is not a training image" in message
    assert message.startswith("4 leaks")


def test_only_the_first_fifty_are_listed(dataset: Dataset, splits: Splits) -> None:
    message = leaks(dataset, splits, [(f"strange {n}", "") for n in range(70)])
    assert message.startswith("70 leaks") and "strange 49," in message and "strange 50," not in message
    assert "and 20 more" in message


def test_full_size_has_no_false_alarm(tmp_path: Path) -> None:
    """25,000 images, a third of them of held-out verbs."""
    random = np.random.default_rng(0)
    path = tmp_path / "d"
    with DatasetWriter(path, "big", shard_rows=5_000) as writer:
        for number in range(25_000):
            data = number.to_bytes(4, "big")
            phash = random.bytes(8).hex()
            writer.add(Sample(sample_id(data), str(number), data, 1, 1, phash, "test", f"v{number % 30}"))
    dataset = Dataset(path)
    splits = make_splits(dataset.labels, SplitSpec())
    check_leaks(dataset, splits)
