"""TRIDENT's student: all of it is trained and saved, what is chosen is chosen on validation, what is scored ships."""

import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny_pairs
import torch
from safetensors.torch import load_file

from components import recipes
from components.base.errors import UserError
from components.datasets.images import fit, load_image
from components.datasets.splits import Splits
from components.datasets.store import Dataset
from components.encoders import image
from components.export.bundle import Session
from components.export.onnx_graph import export_fp32
from components.export.parity import parity
from components.recipes.trident import inference, scoring
from components.recipes.trident.config import released
from components.recipes.trident.decode import decode
from components.recipes.trident.model import ComposerGraph
from components.recipes.trident.vocabulary import Words
from components.registry.decision import Evaluation, decide

CONFIG = tiny_pairs.CONFIG
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def stage(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FOVEATE_HOME", str(tmp_path_factory.mktemp("home")))
        yield tiny_pairs.make(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def student(stage, tmp_path_factory):
    return tiny_pairs.train(stage, CONFIG, tmp_path_factory.mktemp("out") / "student")


@pytest.fixture(scope="module")
def lost(stage, tmp_path_factory):
    return tiny_pairs.train(stage, released(CONFIG), tmp_path_factory.mktemp("out") / "released")[0]


def scores(folder, stage, ids):
    runner = inference.Runner(folder, stage)
    return runner.scores(runner.look(ids), 0.5)


def test_training_lowers_the_loss(student):
    history = student[1]
    assert np.mean(history[-3:]) < .8 * np.mean(history[:3])


def test_every_parameter_learns_and_nothing_else_does(stage):
    task = tiny_pairs.task(stage, CONFIG)
    batch, names = task.batch(0, 0, 1)
    sum(task.loss(task.model, batch, 0).values()).backward()
    for name, parameter in task.model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name
    assert not any("grid" in name for name, _ in task.model.named_parameters())  # the tower is no part of it
    assert len(names) == CONFIG.distil.batch_size and len(batch["tokens"]) == 3 * len(names)


def test_a_student_loaded_in_another_process_gives_the_same_bits(student, stage):
    folder, ids = student[0], list(Splits.load(stage.splits).test) + list(Splits.load(stage.splits).train)[:60]
    here = scores(folder, stage, ids)
    script = ("import sys; sys.path[:0] = ['tests/model']\n"
              "import json, numpy as np, tiny_pairs\nfrom pathlib import Path\n"
              "from components.recipes.protocol import Stage\nfrom components.recipes.trident.inference import Runner\n"
              "folder, data, splits, ids, out = sys.argv[1:]\n"
              "runner = Runner(Path(folder), Stage(Path(data), Path(splits), tiny_pairs.CONFIG, 2))\n"
              "np.save(out, runner.scores(runner.look(json.loads(ids)), 0.5))\n")
    out = stage.dataset.parent / "again.npy"
    done = subprocess.run([sys.executable, "-c", script, folder, stage.dataset, stage.splits, json.dumps(ids), out],
                          cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-1500:]
    assert len(ids) >= 100 and np.array_equal(here, np.load(out))


def test_masks_are_saved_and_as_released_they_are_lost(student, lost, stage):
    assert {"local.masks.weight", "local.masks.bias"} <= load_file(student[0] / "student.safetensors").keys()
    assert not any("masks" in name for name in load_file(lost / "student.safetensors"))
    trained = tiny_pairs.task(stage, released(CONFIG)).model
    before = trained.local.lost[0].weight.clone()
    assert not any(p is trained.local.lost[0].weight for p in trained.parameters())
    loaded = inference.load_student(lost)[0]
    assert not torch.equal(before, loaded.local.lost[0].weight)
    again = inference.load_student(lost)[0]
    assert torch.equal(again.local.lost[0].weight, loaded.local.lost[0].weight)


def test_lost_masks_ship_as_they_were_found(lost, stage, tmp_path):
    """They are no parameters of the graph, so they have to be constants of it."""
    of = dataclasses.replace(stage, config=released(CONFIG))
    graph = recipes.get("trident-released").export(lost, of).graphs[0]
    export_fp32(graph, tmp_path / "encoder.onnx")
    assert parity(graph, Session(tmp_path / "encoder.onnx"))["passed"]


def test_cached_features_change_no_score(student, stage):
    runner, data = inference.Runner(student[0], stage), Dataset(stage.dataset)
    ids = list(data.ids)[:64]  # the batch in which they were encoded
    pictures = np.stack([fit(load_image(data.image(i)), image.SIZE) for i in ids])
    with torch.inference_mode():
        grid = torch.from_numpy(image.features(pictures)).float()
        fresh = runner.student.look(*runner.student.reduction(grid))
    fresh = dict(zip(("vector", "attribute", "object"), (v.numpy() for v in fresh), strict=True))
    assert abs(runner.scores(fresh, 0.5) - runner.scores(runner.look(ids), 0.5)).max() < 1e-5 * runner.scale
    ids = ids[:12]
    again = np.stack([runner.look([i])["vector"][0] for i in ids])
    assert abs(again - runner.look(ids)["vector"]).max() < 1e-5


def test_partners_share_one_word_and_not_the_other(stage):
    task = tiny_pairs.task(stage, CONFIG)
    words = task.words.pairs
    for step in range(4):
        batch, _ = task.batch(step, 0, 1)
        (main, same_attribute, same_object), has = batch["pair"].chunk(3), batch["has"].chunk(3)
        a, o = words[main].T
        for rows, have, column in ((same_attribute, has[1], 0), (same_object, has[2], 1)):
            found = words[rows]
            same, other = (found[:, 0], found[:, 1]) if column == 0 else (found[:, 1], found[:, 0])
            mine, not_mine = (a, o) if column == 0 else (o, a)
            assert (same == mine)[have].all() and (other != not_mine)[have].all()
        again, _ = task.batch(step, 0, 1)
        assert all(torch.equal(batch[k], again[k]) for k in batch)
        halves = [task.batch(step, rank, 2)[0]["pair"].chunk(3) for rank in (0, 1)]
        assert sorted(torch.cat([h[0] for h in halves]).tolist()) == sorted(main.tolist())


def test_a_missing_partner_counts_nowhere_but_as_released(stage):
    task = tiny_pairs.task(stage, CONFIG)
    task.partners[0] = [p[:0] for p in task.partners[0]]
    batch, _ = task.batch(0, 0, 1)
    size = CONFIG.distil.batch_size
    assert not batch["counts"][size:2 * size].any()
    terms = task.loss(task.model, batch, 0)
    assert all(t.isfinite() for t in terms.values())
    old = tiny_pairs.task(stage, released(CONFIG))
    old.partners[0] = [p[:0] for p in old.partners[0]]
    batch, _ = old.batch(0, 0, 1)
    assert batch["counts"].all() and not batch["has"][size:2 * size].any()
    assert (batch["pair"][size:2 * size] == old.pair[-1]).all()


def test_a_word_of_both_kinds_has_two_rows_and_is_read_where_it_was_trained(stage):
    data = Dataset(stage.dataset)
    data.__dict__["space"] = {"pairs": {"glass jar": ["glass", "jar"], "wet glass": ["wet", "glass"]},
                              "pair_sets": {"train": ["glass jar", "wet glass"]}}
    own, old = (Words.of(data, None, rows) for rows in ("own", "object"))
    assert own.attributes == ("glass", "wet") and own.objects == ("glass", "jar")
    trained = dict(zip(own.labels, own.pairs.tolist(), strict=True))
    assert tuple(trained["glass jar"]) == own.rows_of("glass", "jar") == (0, 3)
    assert dict(zip(old.labels, old.pairs.tolist(), strict=True))["glass jar"] == [2, 3]


def test_constants_are_chosen_without_a_look_at_test(student, stage, tmp_path):
    runner = inference.Runner(student[0], stage)
    chosen = runner.decoding()
    assert chosen["selected_by"] == inference.METRIC and chosen["primitives"] in CONFIG.select.primitives
    folder = tmp_path / "splits.json"
    parts = dataclasses.replace(runner.splits, test=runner.splits.test[:1])
    parts.save(folder)
    other = inference.Runner(student[0], dataclasses.replace(stage, splits=folder))
    assert other.decoding() == chosen


def test_predictions_are_scored_and_what_ships_says_the_same(student, stage):
    predictions = list(inference.predict(student[0], stage, "test"))
    report = scoring.score(predictions, stage, "test")
    assert {"auc", "best_hm", "seen.top1", "unseen.top1", "harmonic"} <= report.metrics.keys()
    assert report.protocol["selected by"] == inference.METRIC
    assert np.mean(list(report.per_sample["auc"].values())) == pytest.approx(report.metrics["auc"], abs=.01)
    runner = inference.Runner(student[0], stage)
    tables = runner.tables | {"pairs": runner.tables["pairs"][runner.candidates]}
    composer = ComposerGraph(runner.student)

    def compose(inputs):
        with torch.inference_mode():
            return {"pair": composer(*(torch.from_numpy(inputs[k]) for k in ("attribute", "thing"))).numpy()}

    ids = [p["id"] for p in predictions]
    arguments = (runner.look, compose, tables, runner.vocabulary(), runner.decoding(), ids, [(48, 48)] * len(ids))
    shipped = decode(*arguments)
    assert [p["pairs"] for p in shipped] == [p["pairs"] for p in predictions]
    named = decode(*arguments, among=list(runner.vocabulary()["pairs"]))
    assert [p["pairs"][0] for p in named] == [p["pairs"][0] for p in predictions]
    assert decode(*arguments, among=["Wet mug"])[0]["pairs"] == ["wet mug"]
    with pytest.raises(UserError, match="no attribute and object"):
        decode(*arguments, among=["wet planet"])


def test_a_student_that_loses_unseen_pairs_is_rejected_though_its_area_is_larger(student, stage):
    recipe = recipes.get("trident")
    report = recipe.score(list(inference.predict(student[0], stage, "test")), stage, "test")
    edge = {"parity": 1e-6, "int8_loss": 0.0, "latency_ms": 9.0, "size_mb": 9.0}
    passed = dict.fromkeys(("dataset", "rationales", "predictions"), True)
    champion = Evaluation(report.metrics | {"unseen.top1": 0.5}, report.per_sample, edge, passed)
    larger = {"auc": {image: share + 0.2 for image, share in report.per_sample["auc"].items()}}

    def judged(unseen):
        metrics = champion.metrics | {"auc": report.metrics["auc"] + 0.2, "unseen.top1": unseen}
        gates = recipe.gates(dataclasses.replace(CONFIG, bars=dataclasses.replace(CONFIG.bars, auc=0.0)))
        return decide(Evaluation(metrics, report.per_sample | larger, edge, passed), champion, gates)

    assert judged(0.5).promote
    assert [r.check for r in judged(0.4).failed] == ["protected.unseen.top1"]


def test_a_damaged_student_is_one_clear_error(student, tmp_path):
    shutil.copytree(student[0], tmp_path / "student")
    (tmp_path / "student" / "config.json").write_text("{}")
    with pytest.raises(UserError, match="not a trained student"):
        inference.load_student(tmp_path / "student")


def test_what_the_teacher_said_is_kept_with_how_words_were_read(stage):
    told = json.loads((stage.targets / "words.json").read_text())
    states = np.load(stage.targets / "states.npy")
    assert told["states"]["prompt"] == "{word}" and "mean" in told["states"]["pooling"] and told["states"]["eyes"]
    assert len(states) == 28 + len(told["auxiliary"]) and states.shape[1] == told["states"]["width"]
    for label, words in told["also"].items():
        assert 1 <= len(words) <= 3 and sum(words.values()) == pytest.approx(1)
        assert label.split()[0] not in words
