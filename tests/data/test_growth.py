"""Datasets that grow: what is new is added once, what was split stays, and what is refused changes nothing."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from components.base.errors import PipelineError, UserError
from components.base.home import home
from components.datasets import growth as merging
from components.datasets import versions
from components.datasets.schema import version_of
from components.datasets.splits import Splits, SplitSpec
from components.datasets.store import Dataset
from components.pipeline import growth

VERBS = ("running", "reading", "baking", "sailing", "digging", "waving", "lifting")
SPEC = SplitSpec(0, unseen=("running",), pseudo_unseen=("reading",), rare=(), dev=0.25, test=0.25)


def picture(seed: int, size: tuple[int, int] = (64, 48)) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)).resize(size)


def batch(folder: Path, seeds: range, verbs: tuple[str, ...] = VERBS, roles: tuple[str, ...] = ("agent",)) -> Path:
    """A source of one image a seed, verbs in turn."""
    (folder / "images").mkdir(parents=True)
    entries = {}
    for seed in seeds:
        picture(seed).save(folder / "images" / f"{seed}.png")
        entries[f"{seed}.png"] = {"verb": verbs[seed % len(verbs)], "width": 64, "height": 48,
                                  "bb": {role: [1, 2, 20, 30] for role in roles},
                                  "frames": [dict.fromkeys(roles, "man")] * 3}
    (folder / "annotations.json").write_text(json.dumps(entries))
    return folder


def splits_of(version: growth.Version) -> Splits:
    return Splits.load(version.folder / "splits.json")


@pytest.fixture(scope="module")
def grown(tmp_path_factory):
    """A dataset of two versions; the source of the second has repeats, a near duplicate, unseen verbs and a new one."""
    root = tmp_path_factory.mktemp("grown")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FOVEATE_HOME", str(root / "home"))
        first = growth.grow(batch(root / "one", range(56)), "photos", spec=SPEC)
        more = batch(root / "two", range(46, 100), (*VERBS, "juggling"))
        near = np.asarray(picture(3)).astype(int) + 2
        Image.fromarray(near.clip(0, 255).astype(np.uint8)).save(more / "images" / "99.png")  # image 3, brighter
        second = growth.grow(more, "photos")
        yield root, first, second


def test_what_is_new_is_added_and_the_rest_told(grown):
    _, first, second = grown
    assert first.grown and (first.newest.images, first.newest.added) == (56, 56)
    unseen = sum((*VERBS, "juggling")[seed % 8] == "running" for seed in range(56, 99))
    assert second.grown and (second.repeats, second.near, second.held_out) == (10, 1, unseen)
    assert second.newest.added == 54 - 10 - 1 - unseen and second.newest.images == 56 + second.newest.added
    assert "10 seen before" in second.told() and f"photos has {second.newest.images}" in second.told()
    Dataset(second.newest.folder).verify()


def test_the_test_split_is_frozen_and_the_rest_only_grows(grown):
    _, first, second = grown
    old, new = splits_of(first.newest), splits_of(second.newest)
    assert new.test == old.test and second.newest.test == first.newest.test
    assert set(old.train) < set(new.train) and set(old.dev) < set(new.dev)
    data = Dataset(second.newest.folder)
    added = [i for i in data.ids if i not in Dataset(first.newest.folder).labels]
    assert {data.labels[i] for i in added if i in new.dev} >= {"reading"}
    assert all(i in new.dev for i in added if data.labels[i] == "reading")
    assert set(added) == set(added) & {*new.train, *new.dev}
    assert "juggling" in new.verbs["rare"] and old.verbs["unseen"] == new.verbs["unseen"] == ("running",)
    assert version_of(data.samples(new.test, images=False)) == second.newest.test
    assert version_of(data.samples(new.test[1:], images=False)) != second.newest.test


def test_where_a_new_image_goes_does_not_depend_on_what_came_with_it(grown):
    _, first, second = grown
    old, data = splits_of(first.newest), Dataset(second.newest.folder)
    added = [i for i in data.ids if i not in Dataset(first.newest.folder).labels and data.labels[i] != "juggling"]
    at_once = set(merging.extend(old, data, added).train)
    one_by_one = {i for i in added if i in merging.extend(old, data, [i]).train}
    assert at_once - set(old.train) == one_by_one and 0 < len(one_by_one) < len(added)


def test_both_versions_are_kept_by_dvc_and_old_shards_are_shared(grown, tmp_path, monkeypatch):
    root, first, second = grown
    monkeypatch.setenv("FOVEATE_HOME", str(root / "home"))
    assert [v.revision for v in versions.list_versions("photos")] == [first.newest.revision, second.newest.revision]
    back = versions.checkout("photos", first.newest.revision, tmp_path / "back")
    assert Dataset(back).version == first.newest.version
    assert Splits.load(back / "splits.json") == splits_of(first.newest)
    shard = "shards/00000.parquet"
    assert (first.newest.folder / shard).stat().st_ino == (second.newest.folder / shard).stat().st_ino


def test_the_same_again_does_nothing(grown, monkeypatch):
    root, _, second = grown
    monkeypatch.setenv("FOVEATE_HOME", str(root / "home"))
    for source in ("one", "two"):
        again = growth.grow(root / source, "photos")
        assert not again.grown and again.newest == second.newest and "nothing new" in again.told()
    assert len(growth.history("photos")) == 2 and growth.names() == ["photos"]


def test_what_is_refused_changes_nothing(grown, tmp_path, monkeypatch):
    root, _, second = grown
    monkeypatch.setenv("FOVEATE_HOME", str(root / "home"))

    def everything() -> dict[str, str]:
        places = [home() / name for name in ("datasets", "versions/photos.dvc")]
        return {str(p): versions.file_digest(p) for place in places for p in [place, *place.rglob("*")] if p.is_file()}

    before = everything()
    broken = batch(tmp_path / "broken", range(200, 206))
    (broken / "images" / "203.png").write_bytes(b"not an image")
    with pytest.raises(UserError, match=r"(?s)1 faulty image.*203\.png"):
        growth.grow(broken, "photos")
    tiny = batch(tmp_path / "tiny", range(210, 214))
    entries = json.loads((tiny / "annotations.json").read_text())
    for name in entries:
        picture(int(name[:3]), (20, 16)).save(tiny / "images" / name)
        entries[name] |= {"width": 20, "height": 16, "bb": {"agent": [1, 2, 9, 9]}}
    (tiny / "annotations.json").write_text(json.dumps(entries))
    with pytest.raises(PipelineError, match="(?s)quality gate on dataset failed.*32 to 20000 pixels"):
        growth.grow(tiny, "photos")
    with pytest.raises(UserError, match="'baking' has the roles agent, tool here"):
        growth.grow(batch(tmp_path / "roles", range(220, 227), roles=("agent", "tool")), "photos")
    with pytest.raises(UserError, match="cannot name a dataset"):
        growth.grow(root / "one", "../photos")
    with pytest.raises(UserError, match="did you mean 'photos'"):
        growth.newest("photo")
    assert everything() == before and growth.newest("photos") == second.newest


def test_a_kill_before_the_last_write_is_mended_by_the_next(grown, tmp_path, monkeypatch):
    monkeypatch.setenv("FOVEATE_HOME", str(tmp_path / "home"))
    source = batch(tmp_path / "one", range(30))
    with monkeypatch.context() as patch:
        patch.setattr(growth, "write_json", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            growth.grow(source, "photos", spec=SPEC)
    assert growth.history("photos") == []
    assert growth.grow(source, "photos", spec=SPEC).grown and len(versions.list_versions("photos")) == 1


def test_a_folder_may_bring_its_own_splits(tmp_path):
    source = batch(tmp_path / "one", range(28))
    names = {verb: tuple(f"{s}.png" for s in range(28) if VERBS[s % 7] == verb) for verb in VERBS}
    own = Splits(0, {"common": VERBS[1:], "rare": (), "pseudo_unseen": (), "unseen": VERBS[:1]},
                 tuple(n for v in VERBS[1:] for n in names[v][1:]), tuple(names[v][0] for v in VERBS[1:3]),
                 (*names[VERBS[0]], *(names[v][0] for v in VERBS[3:])))
    own.save(source / "splits.json")
    made = growth.grow(source, "divided").newest
    data = Dataset(made.folder)
    assert {data.names[i] for i in splits_of(made).test} == set(own.test)
