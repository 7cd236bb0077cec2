"""The files of SWiG: an export reads back and ingests to the same dataset; the published rows pass the reader."""

import json
from pathlib import Path

import pytest

from components.base.errors import UserError
from components.datasets.draw import draw_scenes
from components.datasets.images import load_image
from components.datasets.ingest import ingest
from components.datasets.scenes.spec import DrawSpec
from components.datasets.schema import Sample
from components.datasets.situation import boxes, nouns
from components.datasets.splits import Splits, SplitSpec, make_splits, scenes_spec, split_dataset
from components.datasets.store import Dataset, DatasetWriter
from components.datasets.swig import export_swig, read_swig

PUBLISHED = Path(__file__).parents[2] / "../shared/data/swig"


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small draw in <folder>/dataset, its splits in <folder>/splits, exported to <folder>/swig."""
    folder = tmp_path_factory.mktemp("swig")
    draw_scenes(folder / "dataset", DrawSpec(1, 220, 1, 1, 1, 1))
    split_dataset(folder / "dataset", folder / "splits", scenes_spec(dev=1, test=1))
    export_swig(folder / "dataset", folder / "splits" / "splits.json", folder / "swig")
    return folder


def test_round_trip(drawn: Path) -> None:
    dataset, splits = Dataset(drawn / "dataset"), Splits.load(drawn / "splits" / "splits.json")
    found, space = read_swig(drawn / "swig")
    assert space == dataset.space
    assert {split: len(entries) for split, entries in found.items()} == {
        "train": len(splits.train), "dev": len(splits.dev), "test": len(splits.test)}
    for sample in dataset:
        split = next(s for s in ("train", "dev", "test") if sample.id in getattr(splits, s))
        assert found[split][sample.name] == sample.annotation
        assert (drawn / "swig" / "images" / sample.name).read_bytes() == sample.image
    assert len(list((drawn / "swig" / "images").iterdir())) == len(dataset)


def test_the_verb_is_told_by_the_file_name(drawn: Path) -> None:
    for entries in read_swig(drawn / "swig")[0].values():
        assert all(name.split("_")[0] == entry["verb"] for name, entry in entries.items())


def test_an_export_ingests_to_the_version_it_came_from(drawn: Path, tmp_path: Path) -> None:
    report = ingest(drawn / "swig", tmp_path / "again")
    samples = {s.id: (s.name, s.annotation) for s in Dataset(tmp_path / "again")}
    assert samples == {s.id: (s.name, s.annotation) for s in Dataset(drawn / "dataset")}
    assert report.version == Dataset(drawn / "dataset").version


def test_published_rows(tmp_path: Path) -> None:
    if not PUBLISHED.is_dir():
        pytest.skip("the published annotations are not here")
    rows = json.loads((PUBLISHED / "examples.json").read_text())
    space, drinking = rows["imsitu_space"], {"drinking_235.jpg": rows["annotations"]["drinking_235.jpg"]}
    (tmp_path / "train.json").write_text(json.dumps(drinking))
    (tmp_path / "imsitu_space.json").write_text(json.dumps(space))
    with pytest.raises(UserError, match=r"drinking_235\.jpg: frames\[1\]\.agent: unknown noun 'n10129825'"):
        read_swig(tmp_path)
    space["nouns"] |= {noun: {"gloss": [noun], "def": ""} for noun in rows["not_published"]["nouns"]}
    (tmp_path / "imsitu_space.json").write_text(json.dumps(space))
    entry = read_swig(tmp_path)[0]["train"]["drinking_235.jpg"]
    assert boxes(entry) == {"agent": (0, 1, 654, 512), "liquid": (128, 273, 293, 382),
                            "container": (111, 189, 324, 408), "place": None}
    assert nouns(entry, "agent") == ("n10787470", "n10129825", "n10787470") and nouns(entry, "place") == ("", "", "")
    (tmp_path / "train.json").write_text(json.dumps(rows["annotations"]))
    with pytest.raises(UserError, match=r"hitchhiking_238\.jpg: verb: unknown verb 'hitchhiking'"):
        read_swig(tmp_path)


def test_the_published_space_is_one(tmp_path: Path) -> None:
    if not PUBLISHED.is_dir():
        pytest.skip("the published space is not here")
    space = json.loads((PUBLISHED / "space.json").read_text())
    empty = [verb for verb, value in space["verbs"].items() if not value["order"]]
    for verb in empty:
        del space["verbs"][verb]
    (tmp_path / "imsitu_space.json").write_text(json.dumps(space))
    (tmp_path / "dev.json").write_text("{}")
    assert read_swig(tmp_path)[0] == {"dev": {}}


def small(path: Path, verb: str | None, space: dict | None) -> tuple[Path, Path]:
    """Three samples of one verb, all for training; the splits file beside."""
    with DatasetWriter(path / "d", "tiny", space) as writer:
        for number in range(3):
            entry = None if verb is None else {"verb": verb}
            writer.add(Sample(f"{number}", f"photo {number}.png", b"\x89PNG" + bytes([number]), 1, 1, "0" * 16, "test",
                              verb, entry))
    splits = make_splits(Dataset(path / "d").labels, SplitSpec(unseen=(), pseudo_unseen=(), dev=0, test=0))
    splits.save(path / "splits.json")
    return path / "d", path / "splits.json"


def test_names_of_a_users_photographs(tmp_path: Path) -> None:
    export_swig(*small(tmp_path, "feeding a dog", {}), tmp_path / "swig")
    names = sorted(f.name for f in (tmp_path / "swig" / "images").iterdir())
    assert names == [f"feeding a dog_{n}.png" for n in range(3)]


@pytest.mark.parametrize(("verb", "space", "words"), [
    ("feeding_a_dog", {}, r"photo 0\.png: the verb 'feeding_a_dog' cannot be told from a file name"),
    (None, {}, r"photo 0\.png: the sample has no annotation"),
    ("running", None, "the dataset has no annotations"),
])
def test_what_cannot_be_exported(verb: str | None, space: dict | None, words: str, tmp_path: Path) -> None:
    dataset, splits = small(tmp_path, verb, space)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError, match=words):
        export_swig(dataset, splits, tmp_path / "swig")
    assert sorted(tmp_path.rglob("*")) == before


def test_a_full_folder_is_left_alone(drawn: Path) -> None:
    with pytest.raises(UserError, match="the folder is not empty"):
        export_swig(drawn / "dataset", drawn / "splits" / "splits.json", drawn / "swig")
    with pytest.raises(UserError, match=r"there is no train\.json"):
        read_swig(drawn)


def test_images_decode(drawn: Path) -> None:
    dataset = Dataset(drawn / "dataset")
    for sample in dataset.samples(dataset.ids[:3]):
        assert load_image(sample.image).shape == (sample.height, sample.width, 3)
