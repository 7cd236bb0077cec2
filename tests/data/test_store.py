"""A dataset gives back what was written, streams it, reads in Hugging Face `datasets`, and knows its own damage."""

import io
import json
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from components.base.errors import UserError
from components.datasets.images import perceptual_hash
from components.datasets.schema import Sample, sample_id
from components.datasets.store import GROUP_ROWS, Dataset, DatasetWriter

SPACE = {"nouns": {"n1": {"gloss": ["man"], "def": ""}},
         "verbs": {"running": {"abstract": "", "order": ["agent"], "roles": {"agent": {}}}}}


def make(number: int, label: str | None = "running", source: str = "test") -> Sample:
    """A tiny random sample; the bytes depend on `number` alone."""
    array = np.random.default_rng(number).integers(0, 256, (12, 16, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, "PNG")
    entry = None if label is None else {"verb": label, "height": 12, "width": 16, "bb": {"agent": [1, 2, 3, 4]},
                                        "frames": [{"agent": "n1"}] * 3}
    data = stream.getvalue()
    return Sample(sample_id(data), f"größe {number}.png", data, 16, 12, perceptual_hash(array), source, label, entry)


def write(path: Path, count: int, shard_rows: int = 100, **options) -> Dataset:
    with DatasetWriter(path, "tiny", SPACE, shard_rows) as writer:
        for number in range(count):
            writer.add(make(number, **options))
    return Dataset(path)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return write(tmp_path_factory.mktemp("store") / "tiny", 250)


def test_round_trip(dataset: Dataset) -> None:
    samples = [make(number) for number in range(250)]
    assert list(dataset) == samples
    assert len(dataset) == 250 and dataset.ids == tuple(s.id for s in samples)
    assert dataset.manifest["labels"] == {"running": 250} and dataset.space == SPACE
    assert [shard["rows"] for shard in dataset.manifest["shards"]] == [100, 100, 50]
    assert dataset.hashes() == {s.id: s.phash for s in samples}
    dataset.verify()


def test_access_to_single_samples(dataset: Dataset) -> None:
    wanted = [make(number) for number in (3, 99, 100, 249)]
    assert dataset.get(wanted[2].id) == wanted[2] and dataset.image(wanted[3].id) == wanted[3].image
    assert list(dataset.samples([s.id for s in reversed(wanted)])) == wanted
    assert [s.image for s in dataset.samples([wanted[0].id], images=False)] == [b""]
    assert list(dataset.samples([])) == []
    with pytest.raises(UserError, match="no sample"):
        dataset.get("0" * 64)


def test_unlabelled_samples(tmp_path: Path) -> None:
    dataset = write(tmp_path / "d", 3, label=None)
    assert dataset.manifest["labels"] == {} and [s.annotation for s in dataset] == [None] * 3


def test_version_is_of_content_only(tmp_path: Path) -> None:
    first = write(tmp_path / "a", 90)
    again = write(tmp_path / "elsewhere" / "b", 90)
    assert (first.path / "manifest.json").read_bytes() == (again.path / "manifest.json").read_bytes()
    assert [f.read_bytes() for f in first.shard_files()] == [f.read_bytes() for f in again.shard_files()]
    assert write(tmp_path / "c", 90, shard_rows=20, source="another").version == first.version
    assert write(tmp_path / "d", 89).version != first.version
    with DatasetWriter(tmp_path / "e", "tiny", None, 100) as writer:
        for number in range(90):
            writer.add(make(number))
    assert Dataset(tmp_path / "e").version != first.version


def test_streaming_does_not_gather(tmp_path: Path) -> None:
    """Reading and writing 60 MB of images holds a few of them at a time."""
    blob = np.random.default_rng(0).bytes(60_000)
    tracemalloc.start()
    with DatasetWriter(tmp_path / "big", "big", None, GROUP_ROWS) as writer:
        for number in range(1_000):
            data = number.to_bytes(4, "big") + blob
            writer.add(Sample(sample_id(data), str(number), data, 1, 1, "0" * 16, "test"))
    for sample in Dataset(tmp_path / "big"):
        assert len(sample.image) == 60_004
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 30e6


def test_hugging_face_datasets_reads_the_shards(dataset: Dataset, tmp_path: Path) -> None:
    code = f"""
import datasets
files = {[str(f) for f in dataset.shard_files()]!r}
rows = datasets.load_dataset("parquet", data_files=files, split="train", cache_dir={str(tmp_path)!r})
assert isinstance(rows.features["image"], datasets.Image), rows.features
assert len(rows) == 250 and rows[101]["image"].size == (16, 12) and rows[101]["label"] == "running"
print(rows[101]["id"])
streamed = datasets.load_dataset("parquet", data_files=files, split="train", streaming=True)
# To its end: Arrow reads ahead in threads that call into Python, and aborts one that outlives the interpreter.
assert sum(row["image"].size == (16, 12) for row in streamed) == 250
"""
    environment = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "HOME": str(tmp_path), "PATH": ""}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == make(101).id


def flip(file: Path, place: int) -> None:
    data = bytearray(file.read_bytes())
    data[place] ^= 0x40
    file.write_bytes(data)


def test_a_flipped_byte_of_an_image_names_shard_and_sample(tmp_path: Path) -> None:
    dataset = write(tmp_path / "d", 250)
    file, victim = dataset.shard_files()[1], make(142)
    flip(file, file.read_bytes().index(victim.image) + 30)
    with pytest.raises(UserError) as caught:
        dataset.verify()
    assert "00001.parquet" in str(caught.value) and f"sample {victim.name} is corrupt" in str(caught.value)
    assert "ingest" in caught.value.mend


def test_a_flipped_byte_anywhere_names_the_shard(tmp_path: Path) -> None:
    dataset = write(tmp_path / "d", 80)
    file = dataset.shard_files()[0]
    whole = file.read_bytes()
    for place in np.random.default_rng(1).integers(0, len(whole), 60).tolist() + [0, len(whole) - 1]:
        flip(file, place)
        with pytest.raises(UserError, match=r"00000\.parquet: the shard"):
            dataset.verify()
        file.write_bytes(whole)
    dataset.verify()
    file.unlink()
    with pytest.raises(UserError, match=r"00000\.parquet: the shard is missing"):
        dataset.verify()


def test_reading_a_destroyed_shard_names_it_and_its_samples(tmp_path: Path) -> None:
    dataset = write(tmp_path / "d", 70)
    dataset.shard_files()[0].write_bytes(b"no parquet")
    with pytest.raises(UserError, match=r"00000\.parquet: .*samples größe 0\.png to größe 63\.png are lost"):
        list(dataset)


def test_an_altered_manifest_or_space_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "d", 5).path
    file = path / "manifest.json"
    manifest = json.loads(file.read_text())
    for content, words in (("{", "cannot be read"), ("[]", "not the manifest of a dataset"),
                           (json.dumps(manifest | {"schema": 99}), "schema version 99"),
                           (json.dumps(manifest | {"version": "0" * 64}), "does not have the content|does not have")):
        file.write_text(content)
        with pytest.raises(UserError, match=words):
            Dataset(path)
    file.write_text(json.dumps(manifest))
    (path / "space.json").write_text("{}")
    with pytest.raises(UserError, match="the manifest or the space"):
        Dataset(path)
    (path / "space.json").write_text("{")
    with pytest.raises(UserError, match=r"space\.json: cannot be read"):
        Dataset(path)
    with pytest.raises(UserError, match=r"(?s)no manifest\.json.*data ingest"):
        Dataset(tmp_path / "nowhere")


def test_writing_over_an_older_dataset_replaces_it_whole_or_not_at_all(tmp_path: Path) -> None:
    old = write(tmp_path / "d", 150)
    (tmp_path / "d" / "note.txt").write_text("mine")

    def fail() -> None:
        with DatasetWriter(tmp_path / "d", "tiny", SPACE, 10) as writer:
            for number in range(15):
                writer.add(make(number))
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError):
        fail()
    assert Dataset(tmp_path / "d").version == old.version
    old.verify()
    new = write(tmp_path / "d", 20)
    new.verify()
    assert len(new) == 20 and sorted(p.name for p in (tmp_path / "d").iterdir()) == [
        "manifest.json", "note.txt", "shards", "space.json"]
    assert len(list((tmp_path / "d" / "shards").iterdir())) == 1


def test_a_foreign_manifest_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"name": "a web page"}')
    with pytest.raises(UserError, match="not the manifest of a dataset"):
        write(tmp_path, 1)
    assert (tmp_path / "manifest.json").read_text() == '{"name": "a web page"}'


def test_the_same_image_twice_is_refused(tmp_path: Path) -> None:
    def twice() -> None:
        with DatasetWriter(tmp_path / "d", "tiny") as writer:
            writer.add(make(1))
            writer.add(make(1))

    with pytest.raises(UserError, match=r"the same image as größe 1\.png"):
        twice()
    assert not (tmp_path / "d").exists()
