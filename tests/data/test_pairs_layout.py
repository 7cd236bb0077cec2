"""The published layout of pairs: read exactly, faults named with file and line, and no pickle ever carried out."""

import contextlib
import io
import json
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from components.base.errors import UserError
from components.datasets.pairs.layout import SPLIT, ingest, read_items, read_pairs
from components.datasets.pairs.splitting import split
from components.datasets.pairs.torch_lists import read_list
from components.datasets.store import Dataset

PAIRS = {"train": ["Faux.Fur Boots.Mid-Calf", "wet dog", "dry wind_farm"], "val": ["wet dog", "dry dog"],
         "test": ["wet wind_farm", "dry wind_farm"]}
SHARED = Path(__file__).parents[3] / "shared" / "data" / "composition"


@pytest.fixture
def root(tmp_path) -> Path:
    """A folder in the published layout: two images a pair of each set, and records without a set."""
    rng, records = np.random.default_rng(0), []
    (tmp_path / SPLIT).mkdir()
    for name, pairs in PAIRS.items():
        (tmp_path / SPLIT / f"{name}_pairs.txt").write_text("\n".join(pairs) + "\n")
        for pair in pairs:
            for i in range(2):
                attribute, thing = pair.split()
                path = tmp_path / "images" / pair.replace(" ", "_") / f"{name}{i}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(rng.integers(0, 255, (40, 40, 3), np.uint8)).save(path)
                image = f"{path.parent.name}/{path.name}"
                records.append({"image": image, "attr": attribute, "obj": thing, "set": name})
    records += [{"image": "x.jpg", "attr": "NA", "obj": "dog", "set": "train"},
                {"image": "y.jpg", "attr": "wet", "obj": "dog", "set": "NA"}]
    torch.save(records, tmp_path / f"metadata_{SPLIT}.t7", _use_new_zipfile_serialization=False)
    return tmp_path


def test_a_published_folder_becomes_a_dataset_with_its_splits(root, tmp_path):
    warnings = ingest(root, tmp_path / "dataset")
    assert warnings == ["2 records without attribute or set were passed over"]
    data = Dataset(tmp_path / "dataset")
    assert len(data) == 14 and data.space["pairs"]["Faux.Fur Boots.Mid-Calf"] == ["Faux.Fur", "Boots.Mid-Calf"]
    splits = split(data)
    assert [len(getattr(splits, s)) for s in ("train", "dev", "test")] == [6, 4, 4]
    assert splits.verbs["pseudo_unseen"] == ("dry dog",) and splits.verbs["unseen"] == ("wet wind_farm",)


@pytest.mark.parametrize("new", [True, False])
def test_both_forms_of_torch_are_read(tmp_path, new):
    value = [{"image": "a/ä.jpg", "attr": "wet", "n": [1, -5, 2**40, 1.5, None, True, ("x", "y")], "e": {}}] * 2
    torch.save(value, tmp_path / "list.t7", _use_new_zipfile_serialization=new)
    assert read_list(tmp_path / "list.t7") == value


class Evil:
    def __reduce__(self):
        return os.mkdir, (os.environ["EVIL"],)


@pytest.mark.parametrize("new", [True, False])
def test_code_in_a_pickle_is_refused_and_not_run(tmp_path, monkeypatch, new):
    monkeypatch.setenv("EVIL", str(tmp_path / "evil"))
    torch.save([{"image": "a", "attr": Evil()}], tmp_path / "list.t7", _use_new_zipfile_serialization=new)
    with pytest.raises(UserError, match="nothing of it was run") as error:
        read_list(tmp_path / "list.t7")
    assert "metadata.json" in error.value.mend and not (tmp_path / "evil").exists()


@pytest.mark.parametrize("content", [b"", b"hello", pickle.dumps([1]), b"\x80\x02].", b"\x80\x02a.", b"\x80\x04e."])
def test_other_files_are_one_clear_error(tmp_path, content):
    (tmp_path / "list.t7").write_bytes(content)
    with pytest.raises(UserError, match="torch|plain data"):
        read_list(tmp_path / "list.t7")


def test_a_tensor_and_a_dictionary_are_refused(tmp_path):
    torch.save({"a": 1}, tmp_path / "d.t7")
    with pytest.raises(UserError, match="holds a dict"):
        read_list(tmp_path / "d.t7")
    torch.save([torch.zeros(2)], tmp_path / "t.t7")
    with pytest.raises(UserError, match="is not plain data"):
        read_list(tmp_path / "t.t7")
    with zipfile.ZipFile(tmp_path / "z.t7", "w") as archive:
        archive.writestr("other", b"x")
    with pytest.raises(UserError, match="no data.pkl"):
        read_list(tmp_path / "z.t7")


def test_random_bytes_never_do_anything_else(tmp_path):
    """A good file with bytes changed gives a list or a UserError, never another error."""
    torch.save([{"image": "a", "attr": "b"}] * 3, tmp_path / "list.t7", _use_new_zipfile_serialization=False)
    good, rng = (tmp_path / "list.t7").read_bytes(), np.random.default_rng(0)
    for _ in range(300):
        bad = bytearray(good)
        for at in rng.integers(0, len(good), 3):
            bad[at] = rng.integers(256)
        (tmp_path / "bad.t7").write_bytes(bytes(bad))
        with contextlib.suppress(UserError):
            assert isinstance(read_list(tmp_path / "bad.t7"), list)


def test_vaw_writes_pairs_with_a_plus(root):
    (root / SPLIT / "val_pairs.txt").write_text("light blue+hot dog\n")
    assert read_pairs(root)["val"] == [("light_blue", "hot_dog")]


@pytest.mark.parametrize(("line", "error"), [("wet", "no pair"), ("a b c", "no pair"), ("wet dog", "in line 2")])
def test_a_bad_line_is_named(root, line, error):
    with open(root / SPLIT / "train_pairs.txt", "a") as file:
        file.write(line + "\n")
    with pytest.raises(UserError, match=error) as found:
        read_pairs(root)
    assert found.value.where.endswith("train_pairs.txt: line 4")


@pytest.mark.parametrize(("change", "error"), [
    ({"set": "dev"}, "set 'dev'"), ({"attr": "dry"}, "is not in train_pairs.txt"),
    ({"image": "../../x.jpg"}, "outside"), ({"obj": 3}, "needs the texts"), ({"image": "none.jpg"}, "cannot be read")])
def test_a_bad_record_is_named_and_nothing_is_written(root, tmp_path, change, error):
    record = {"image": "wet_dog/train0.png", "attr": "wet", "obj": "dog", "set": "train"} | change
    (root / "metadata.json").write_text(json.dumps([record]))
    with pytest.raises(UserError, match=error) as found:
        ingest(root, tmp_path / "out")
    assert "record 0" in found.value.where or "none.jpg" in found.value.where
    assert not (tmp_path / "out").exists()


def test_json_may_stand_for_the_metadata(root):
    saved = read_items(root, read_pairs(root))
    items = read_list(root / f"metadata_{SPLIT}.t7")
    (root / "metadata.json").write_text(json.dumps(items))
    (root / f"metadata_{SPLIT}.t7").unlink()
    assert read_items(root, read_pairs(root)) == saved


@pytest.mark.skipif(not SHARED.is_dir(), reason="the published pair lists are not beside the repository")
@pytest.mark.parametrize("name", ["ut-zappos", "mit-states"])
def test_the_published_lists_have_their_numbers(name):
    expected = json.loads((SHARED / "expected.json").read_text())[name]
    pairs = read_pairs(SHARED / name)
    train = set(pairs["train"])
    assert len(train) == expected["train"]
    for part in ("val", "test"):
        assert len(set(pairs[part]) & train) == expected[f"{part}_seen"]
        assert len(set(pairs[part]) - train) == expected[f"{part}_unseen"]
    assert len({p for group in pairs.values() for p in group}) == expected["closed_world_pairs"]


@pytest.mark.skipif(not SHARED.is_dir(), reason="the published pair lists are not beside the repository")
def test_a_training_pair_that_is_missing_is_noticed(tmp_path):
    (tmp_path / SPLIT).mkdir()
    for part in ("train", "val", "test"):
        text = (SHARED / "ut-zappos" / SPLIT / f"{part}_pairs.txt").read_text()
        (tmp_path / SPLIT / f"{part}_pairs.txt").write_text(text if part != "train" else text.split("\n", 1)[1])
    with pytest.raises(UserError, match="82 training pairs, UT-Zappos has 83"):
        read_pairs(tmp_path)


def test_a_zip_of_any_size_is_not_read_into_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("components.datasets.pairs.torch_lists.MOST", 1000)
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("list/data.pkl", b"\x00" * 100_000)
    (tmp_path / "bomb.t7").write_bytes(sink.getvalue())
    with pytest.raises(UserError, match="at most 1 GB"):
        read_list(tmp_path / "bomb.t7")
