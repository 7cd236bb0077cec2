"""Runs on a dataset that has grown: only what is new is encoded and asked about, and a failed one changes nothing."""

import json
from pathlib import Path

import numpy as np
import pytest

from components.base.artifacts import file_digest, write_json
from components.base.errors import PipelineError
from components.datasets.images import suffix
from components.datasets.scenes import lexicon, world
from components.datasets.splits import Splits, SplitSpec
from components.encoders import cache as encoding
from components.pipeline import features, growth, ingestion, rationales, retraining, spending
from components.pipeline.plan import Plan, make, plain
from components.recipes.protocol import Gates
from components.registry import models, promotion, tracking
from components.registry.decision import REQUIRED_QUALITY, Evaluation
from components.teachers.cache import AnswerCache


def seen_verbs() -> tuple[str, ...]:
    return tuple(v for v in lexicon.VERBS if v not in {*lexicon.UNSEEN, *lexicon.PSEUDO_UNSEEN})


def batch(folder: Path, verbs: tuple[str, ...], numbers: range) -> Path:
    """Drawn scenes of some verbs in the form of a user's folder."""
    (folder / "images").mkdir(parents=True)
    entries = {}
    for verb in verbs:
        for number in numbers:
            scene = world.draw(verb, number)
            content, (height, width) = world.encode(scene.image), scene.image.shape[:2]
            name = f"{verb}_{number}{suffix(content)}"
            (folder / "images" / name).write_bytes(content)
            entries[name] = {"verb": verb, "height": height, "width": width,
                             "bb": {r: [-1] * 4 for r in lexicon.space()["verbs"][verb]["order"]},
                             "frames": [dict(f) for f in scene.frames]}
    write_json(folder / "annotations.json", entries)
    write_json(folder / "space.json", lexicon.space())
    return folder


def asked(plan: Plan, run: str) -> tuple[dict[str, str], dict[str, int]]:
    """The pipeline up to the teacher's answers: folders, and the counts of the only shard."""
    data = ingestion.make_dataset(plan, run)
    split = ingestion.split(plan, run, data)
    seen = features.make_features(run, data)
    shard = rationales.ask_shard(plan, run, data, split, seen, 0)
    return ({"dataset": data, "splits": split, "features": seen, "answers": shard},
            json.loads((Path(shard) / "counts.json").read_text()))


@pytest.fixture(scope="module")
def grown(store, tmp_path_factory):
    """Two versions of a dataset and a run on each."""
    root = tmp_path_factory.mktemp("grown")
    spec = SplitSpec(0, unseen=(), pseudo_unseen=(), dev=0.2, test=0.2)
    versions, made = [], []
    for name, numbers in (("one", range(6)), ("two", range(4, 9))):
        versions.append(growth.grow(batch(root / name, seen_verbs()[:4], numbers), "scenery", spec=spec).newest)
        with tracking.run(name) as run:
            made.append(asked(make(dataset="scenery"), run.id))
    return versions, made


def test_a_run_takes_the_newest_version_with_its_own_splits(grown):
    versions, made = grown
    for version, (folders, _) in zip(versions, made, strict=True):
        assert folders["dataset"] == str(version.folder)
        given, used = (Splits.load(Path(f) / "splits.json") for f in (version.folder, folders["splits"]))
        assert given == used
    assert versions[0].test == versions[1].test and versions[1].images > versions[0].images


def test_only_new_images_go_to_the_teacher(grown):
    versions, ((_, first), (_, second)) = grown
    old, new = (Splits.load(v.folder / "splits.json").train for v in versions)
    assert (first["samples"], first["cached"]) == (len(old), 0)
    assert second["samples"] == len(new) and second["cached"] == first["asked"]
    assert second["asked"] * len(old) == first["asked"] * (len(new) - len(old))


def test_blocks_of_features_are_linked_from_the_former_version(tmp_path, monkeypatch):
    monkeypatch.setattr(encoding, "BLOCK", 2)
    calls = []

    def encode(images):
        calls.append(len(images))
        return images.reshape(len(images), 1, -1).astype(np.float16)

    def features_of(name: str, ids: str) -> encoding.FeatureCache:
        out = tmp_path / name
        out.mkdir()
        linked = encoding.reuse(out, list(ids), "r")
        encoding.write_features(((i, np.full((1, 1, 3), ord(i), np.uint8)) for i in ids), encode, out, revision="r")
        calls.append(f"linked {linked}")
        return encoding.FeatureCache(out)

    features_of("old", "abc")
    grown = features_of("new", "abcde")
    assert calls == [2, 1, "linked 0", 2, 1, "linked 1"]
    assert [float(v) for v in grown.rows("edcba")[:, 0, 0]] == [ord(c) for c in "edcba"]
    (tmp_path / "new" / "00000.npy").unlink()
    (tmp_path / "new" / "00000.npy").write_bytes(b"spoilt")
    assert features_of("third", "abx").rows("a")[0, 0, 0] == ord("a"), "a damaged block is not taken over"


def test_a_failed_retraining_leaves_champion_cache_and_datasets_as_they_were(grown, tmp_path):
    name, bundle = models.model_name("left"), tmp_path / "bundle"
    bundle.mkdir()
    (bundle / "manifest.json").write_text("{}")
    with tracking.run("register") as run:
        scores = Evaluation({"top1": 0.5}, quality=dict.fromkeys(REQUIRED_QUALITY, True))
        version = models.register("left", bundle, scores, run, teacher="t", code="c", datasets={})
    assert promotion.promote(name, version.number, Gates("top1", {}, {}, {})).promoted
    growth.grow(batch(tmp_path / "three", seen_verbs()[4:5], range(3)), "scenery")

    def present() -> tuple:
        files = {str(p): file_digest(p) for p in growth.newest("scenery").folder.parent.rglob("*") if p.is_file()}
        return files, AnswerCache().stats().answers, models.champion(name)

    def work(_version: growth.Version) -> retraining.Made:
        with tracking.run("failing") as run:
            spending.limit(plan, run.id, 0, None)
            asked(plan, run.id)
        return retraining.Made("promoted", "never")

    before, plan = present(), make(dataset="scenery")
    with pytest.raises(PipelineError, match="requests"):
        retraining.retrain("scenery", lambda v: retraining.key_of(plain(plan), v, "promote"), work,
                           retraining.Policy(0, 0))
    assert present() == before
    assert [a.outcome for a in retraining.attempts("scenery")] == ["failed"]
