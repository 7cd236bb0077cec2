"""Learning from noisy names: every method trains, beliefs are saved, wrong names are found and mended."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from tiny_birds import birds

from components.base.config import override
from components.base.errors import UserError
from components.evaluation.clustering import cluster_accuracy
from components.recipes.near.config import Config
from components.recipes.near.inference import Namer
from components.recipes.near.methods import PRESETS, Method, resolve
from components.recipes.near.model import Student
from components.recipes.near.split import auroc
from components.recipes.near.task import NearTask

SETTINGS = override(override(override(Config(), "distil.epochs=8"), "distil.method.warm_up=3"), "student.width=32")


def trained(task: NearTask, start: int = 0, rate: float = 3e-3) -> NearTask:
    """The task after its steps, on a plain loop."""
    optimizer = torch.optim.AdamW(task.model.parameters(), rate)
    for step in range(start, task.steps):
        torch.manual_seed(step)
        batch, _ = task.batch(step, 0, 1)
        loss = sum(task.loss(task.model, batch, step).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return task


def task_of(name: str = "near", seed: int = 0, **changes) -> tuple[NearTask, list[str]]:
    targets, views, truth = birds()
    method = dataclasses.replace(SETTINGS.distil.method, name=name, **changes)
    if name != "near":  # as many epochs of warm-up as the others
        method = Method(name)
    config = dataclasses.replace(SETTINGS, distil=dataclasses.replace(SETTINGS.distil, method=method))
    return NearTask(targets, views, config, seed), truth


def named(task: NearTask) -> np.ndarray:
    """The name of each training image, by the mean of the students."""
    codes = task.predicted(task.model).mean((0, 1)).argmax(1)
    return np.array(task.targets.vocabulary)[codes]


@pytest.fixture(scope="module")
def ours() -> tuple[NearTask, list[str]]:
    task, truth = task_of()
    return trained(task), truth


def test_wrong_names_are_mended(ours):
    task, truth = ours
    told = cluster_accuracy(np.array(task.targets.vocabulary)[task.targets.names], truth)
    assert told < 0.8 and cluster_accuracy(named(task), truth) > told + 0.05


def test_weights_tell_clean_names_from_wrong_ones(ours):
    task, truth = ours
    right = np.array([task.targets.vocabulary[c] == t for c, t in zip(task.targets.names, truth, strict=True)])
    assert auroc(task.model.beliefs.weight[0].numpy(), right) > 0.8


def test_targets_stay_among_the_candidates(ours):
    beliefs = ours[0].model.beliefs
    target = beliefs.target[0].numpy()
    assert (target[~beliefs.allowed] == 0).all() and np.allclose(target.sum(1), 1, atol=1e-5)


def test_every_decision_is_written_down(ours):
    task, _ = ours
    decisions = task.artifacts()["audit"]
    assert [d["image"] for d in decisions] == task.targets.images
    assert set(decisions[0]) == {"image", "loss", "weight", "clean", "old", "new", "share"}
    assert any(d["old"] != d["new"] for d in decisions) and not all(d["clean"] for d in decisions)


@pytest.mark.parametrize("name", PRESETS)
def test_every_baseline_trains(name):
    task, _ = task_of(name)
    task.steps = 12 * task.per_epoch
    before = task.model.beliefs.target.clone()
    trained(task)
    assert all(torch.isfinite(p).all() for p in task.model.parameters())
    assert len(task.model.student.heads) == resolve(Method(name)).students
    assert torch.equal(task.model.beliefs.target, before) == (name == "plain")


def test_plain_learns_from_the_names_as_they_are():
    task, _ = task_of("plain")
    assert torch.equal(task.model.beliefs.target[0].argmax(1), torch.from_numpy(task.targets.names))
    assert (task.model.beliefs.target.sum(-1) == 1).all() and (task.model.beliefs.target.amax(-1) == 1).all()


def test_no_parameter_is_a_bare_scalar():
    """The training engine sends parameters between processes as bytes, which a tensor of no dimension cannot be."""
    assert all(p.ndim for p in Student(8, 3).parameters())


def test_a_resumed_run_repeats_an_uninterrupted_one(ours):
    whole, _ = task_of()
    trained(whole)
    assert torch.equal(whole.model.beliefs.target, ours[0].model.beliefs.target)
    half, _ = task_of()
    steps = half.steps
    half.steps = 5 * half.per_epoch + 1
    trained(half)
    again, _ = task_of()
    again.model.load_state_dict(half.model.state_dict())
    assert torch.equal(again.model.beliefs.weight, half.model.beliefs.weight) and int(again.model.beliefs.epochs) == 3
    assert again.steps == steps


def test_a_batch_depends_on_its_step_alone_and_ranks_share_it():
    task, _ = task_of("divide-mix")
    one, names = task.batch(7, 0, 1)
    again, _ = task.batch(7, 0, 1)
    assert all(torch.equal(one[k], again[k]) for k in one)
    parts = [task.batch(7, rank, 2) for rank in range(2)]
    assert sorted(parts[0][1] + parts[1][1]) == sorted(names) and not set(parts[0][1]) & set(parts[1][1])


def saved(task: NearTask, folder):
    save_file({k: v.contiguous() for k, v in task.model.state_dict().items()}, folder / "student.safetensors")
    (folder / "config.json").write_text(json.dumps(task.artifacts()))
    return folder


@pytest.mark.parametrize("name", ["near", "divide-mix"])
def test_what_ships_names_as_the_student_does(ours, name, tmp_path):
    task = ours[0] if name == "near" else trained(task_of(name)[0])
    namer = Namer(saved(task, tmp_path))
    logits = namer.decoding()["scale"] * namer.vectors(task.views[:, 0].numpy()) @ namer.tables()["names"].T
    with torch.no_grad():
        expected = task.model(task.views[:, 0]).mean(0).numpy()
    np.testing.assert_allclose(logits, expected, atol=1e-3)


def test_a_folder_that_is_no_student_is_told(tmp_path):
    with pytest.raises(UserError, match="not a trained student"):
        Namer(tmp_path)
