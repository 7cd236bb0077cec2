"""From a dataset to targets to batches: the whole learning path of MIPD on a handful of drawn scenes."""

import dataclasses
import json

import few_scenes
import numpy as np
import pytest
import torch

from components import teachers
from components.base.config import as_dict
from components.base.errors import PipelineError
from components.datasets.scenes.lexicon import RARE
from components.datasets.splits import Splits
from components.datasets.store import Dataset
from components.encoders.cache import FeatureCache, dataset_features
from components.recipes import get
from components.recipes.mipd.task import build
from components.recipes.pictures import view
from components.recipes.protocol import Stage
from components.teachers.embedded import EmbeddedTeacher


@pytest.fixture(scope="module", params=[True, False], ids=["annotated", "without annotations"])
def stage(request, tmp_path_factory) -> Stage:
    """Four seen verbs, one unseen, one pseudo-unseen; rationales and targets from the embedded teacher."""
    root = tmp_path_factory.mktemp("task")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FOVEATE_HOME", str(root / "home"))
        made, teacher = few_scenes.stage(root, request.param)
        (root / "targets").mkdir()
        figures = get("mipd").align(made, teacher, root / "targets")
        assert figures["samples"] == 11 and figures["samples_left_out"] == 1
        yield dataclasses.replace(made, targets=root / "targets")


def recorded(stage: Stage, folder):
    """The embedded teacher's answers as a recording: a teacher that talks like it, and sees in a space of its own."""
    data, splits, recipe = Dataset(stage.dataset), Splits.load(stage.splits), get("mipd")
    features, lines = FeatureCache(dataset_features(stage.dataset)), []
    spoke = EmbeddedTeacher(features)
    for sample in data.samples(splits.train):
        asked = recipe.questions(sample, stage.config)
        for question, answer in zip(asked, spoke.answer([view(data, sample.id)] * len(asked), asked), strict=True):
            lines.append({"image": sample.id, "question": dataclasses.asdict(question), "text": answer.text,
                          "teacher": dataclasses.asdict(spoke.identity), "decoding": {}})
    path = folder / "answers.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in lines))
    return teachers.get(f"recorded:{path}", features)


def test_a_teacher_of_another_width_teaches_too(stage, tmp_path):
    teacher = recorded(stage, tmp_path)
    assert teacher.grid([view(Dataset(stage.dataset), Splits.load(stage.splits).train[0])]).shape == (1, 145, 592)
    targets = tmp_path / "targets"
    targets.mkdir()
    get("mipd").align(stage, teacher, targets)
    arrays = {name: np.load(targets / f"{name}.npy").astype(np.float32) for name in ("scene", "dense", "composite")}
    for name, array in arrays.items():
        assert array.shape[-1] == 384 and np.allclose(np.linalg.norm(array, axis=-1), 1, atol=1e-2), name
    one = task(dataclasses.replace(stage, targets=targets))
    batch, _ = one.batch(0, 0, 1)
    assert all(torch.isfinite(v).all() for v in one.loss(one.model, batch, 0).values())


def test_a_teacher_of_other_cells_is_named(stage, tmp_path):
    class Coarse(EmbeddedTeacher):
        def grid(self, images):
            return super().grid(images)[:, :50]

    with pytest.raises(PipelineError, match="sees 49 cells instead of 144"):
        get("mipd").align(stage, Coarse(), tmp_path)


def task(stage: Stage, **changes):
    config = dataclasses.replace(stage.config, distil=dataclasses.replace(stage.config.distil, **changes))
    spec = get("mipd").training_task(dataclasses.replace(stage, config=config))
    json.dumps(spec)
    return build(**spec["arguments"])


@pytest.fixture(autouse=True)
def same_home(stage, monkeypatch):
    monkeypatch.setenv("FOVEATE_HOME", str(stage.dataset.parent / "home"))


def test_a_batch_depends_on_the_step_alone_and_ranks_share_it(stage):
    one = task(stage)
    first, names = one.batch(1, 0, 1)
    again, same = task(stage).batch(1, 0, 1)
    assert names == same and all(torch.equal(first[k], again[k]) for k in first)
    halves = [one.batch(1, rank, 2) for rank in (0, 1)]
    assert sorted(halves[0][1] + halves[1][1]) == sorted(names)
    assert not torch.equal(one.batch(0, 0, 1)[0]["features"], first["features"])


def test_every_loss_is_finite_and_gradients_flow(stage):
    one = task(stage)
    batch, _ = one.batch(0, 0, 1)
    terms = one.loss(one.model, batch, 0)
    assert all(torch.isfinite(v).all() for v in terms.values()), terms
    assert {"scene", "dense", "dense_nouns"} <= set(terms)
    assert ("verb" in terms) == bool(one.tables.seen.numel())
    sum(terms.values()).backward()
    assert one.model.encoder.scene[0].weight.grad.abs().sum() > 0


def test_without_a_teacher_no_target_is_read(stage):
    one = task(stage, teacher=False)
    batch, _ = one.batch(0, 0, 1)
    assert not {"scene", "dense", "composites", "taught"} & set(batch)


def test_shuffling_gives_every_image_the_signals_of_another(stage):
    straight, mixed = task(stage), task(stage, shuffle=True)
    rows = straight.rows(0, 0, 1)
    assert not torch.equal(straight.teacher.batch(rows, 0)[0]["scene"], mixed.teacher.batch(rows, 0)[0]["scene"])
    assert sorted(mixed.teacher.giver) == list(range(11))


def test_composites_change_from_epoch_to_epoch(stage):
    one = task(stage)
    rows = torch.arange(4)
    first, second = (one.teacher.batch(rows, epoch)[0]["composite_scene"] for epoch in (0, 1))
    assert not torch.equal(first, second)


def test_no_held_out_image_is_near_the_batches(stage):
    one, splits = task(stage), Splits.load(stage.splits)
    used = {name for step in range(one.steps) for name in one.batch(step, 0, 1)[1]} | set(one.teacher.ids)
    assert used <= set(splits.train) and not used & ({*splits.dev} | {*splits.test})
    assert not set(RARE) & set(few_scenes.SEEN)  # the fixture's verbs are common ones


def test_features_are_resumed_block_by_block_and_damage_is_found(stage, tmp_path):
    from components.base.errors import UserError
    from components.encoders.cache import write_features

    items = [(f"i{n}", np.full((4, 4, 3), n % 256, np.uint8)) for n in range(600)]
    calls = []

    def encode_few(batch):
        calls.append(len(batch))
        if sum(calls) > 300:
            raise KeyboardInterrupt
        return batch.reshape(len(batch), 1, -1).astype(np.float16)

    with pytest.raises(KeyboardInterrupt):
        write_features(iter(items), encode_few, tmp_path, revision="r")
    seen: list[int] = []
    write_features(
        iter(items),
        lambda b: seen.append(len(b)) or b.reshape(len(b), 1, -1).astype(np.float16),
        tmp_path,
        revision="r",
    )
    assert sum(seen) == 600 - 256  # the finished block is not done again
    cache = FeatureCache(tmp_path)
    assert [int(v) for v in cache.rows(["i599", "i0", "i255", "i256"])[:, 0, 0]] == [599 % 256, 0, 255, 0]
    block = tmp_path / "00001.npy"
    block.write_bytes(block.read_bytes()[:-1] + b"x")
    with pytest.raises(UserError, match="00001.npy"):
        cache.verify()


def test_the_whole_configuration_travels_as_json(stage):
    assert json.loads(json.dumps(as_dict(stage.config))) == as_dict(stage.config)


@pytest.fixture(scope="module")
def released(stage, tmp_path_factory) -> Stage:
    """The same for the released method: its own targets, from the same rationales."""
    recipe, out = get("mipd-released"), tmp_path_factory.mktemp("released")
    config = recipe.config(fast=True)
    config = dataclasses.replace(config, distil=dataclasses.replace(config.distil, batch_size=4, epochs=2))
    given = dataclasses.replace(stage, config=config, targets=out)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FOVEATE_HOME", str(stage.dataset.parent / "home"))
        figures = recipe.align(given, teachers.get("embedded"), out)
    assert figures["samples"] == 12 - figures["samples_left_out"]
    return given


def released_task(stage: Stage, **changes):
    from components.recipes.mipd_released.task import build as build_released

    config = dataclasses.replace(stage.config, distil=dataclasses.replace(stage.config.distil, **changes))
    return build_released(**get("mipd-released").training_task(dataclasses.replace(stage, config=config))["arguments"])


@pytest.mark.parametrize("faulty", [False, True])
def test_the_released_method_learns_and_predicts(released, faulty, tmp_path):
    """With and without its faults: three steps, then its own student is loaded again and frames what it sees."""
    from safetensors.torch import save_file

    from components.recipes.mipd_released.config import Faults

    faults = Faults(**{f.name: faulty for f in dataclasses.fields(Faults)})
    one = released_task(released, faults=faults)
    optimizer = torch.optim.AdamW([p for p in one.model.parameters() if p.requires_grad], 1e-3)
    for step in range(3):
        batch, _ = one.batch(step, 0, 1)
        terms = one.loss(one.model, batch, step)
        assert all(torch.isfinite(v).all() for v in terms.values()), terms
        optimizer.zero_grad()
        sum(terms.values()).backward()
        optimizer.step()
    assert ("verb" in terms) == bool(one.seen.numel())
    save_file({k: v.contiguous() for k, v in one.model.state_dict().items()}, tmp_path / "student.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(one.artifacts()))
    made = list(get("mipd-released").predict(tmp_path, released, "test"))
    known = one.lexicon.space["nouns"]
    assert len(made) == len(Splits.load(released.splits).test)
    assert all(role["noun"] in known for p in made for frame in p["frames"].values() for role in frame.values())
    report = get("mipd-released").score(made, released, "test")
    assert bool(report.metrics) == bool(one.seen.numel())
    assert Dataset(released.dataset).version[:12] in report.protocol["data"] and report.protocol["seed"] == "0"
    assert report.protocol["budget"] == "12 training images, 2 epochs in batches of 4"


def test_names_of_unseen_verbs_compete_only_by_a_fault(released):
    from components.recipes.mipd_released.config import Faults

    faulty = released_task(released, faults=Faults(unseen_as_negatives=True, synsets_read=True))
    honest = released_task(released)
    assert len(faulty.competing) == len(faulty.lexicon.verbs) and torch.equal(honest.competing, honest.seen)
    assert torch.equal(honest.nouns, honest.lexicon.noun_vectors) and not torch.equal(faulty.nouns, honest.nouns)


def test_a_switched_off_composite_changes_what_is_learnt(stage):
    one, without = task(stage), task(stage, composites=False)
    torch.manual_seed(0)
    without.model.load_state_dict(one.model.state_dict())
    batch, _ = one.batch(0, 0, 1)
    both = [t.loss(t.model.eval(), batch, 0) for t in (one, without)]
    assert both[0]["scene"] > both[1]["scene"] and torch.equal(both[0]["dense"], both[1]["dense"])
