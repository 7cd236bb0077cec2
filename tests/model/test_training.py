"""Training behaves: it learns, and neither ranks, ZeRO stages, interruptions nor kills change what is learned."""

import copy
import json
import os
import threading
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_task import CLASSES, Quadrants, QuadrantTask, draw

from components.base.errors import PipelineError
from components.training.launch import history, train
from components.training.spec import learning_rate, plan_of

HERE = Path(__file__).parent
OPTIMIZER = {"lr": 0.01, "weight_decay": 0.05, "warmup": 0.25, "clip": 1.0}


@pytest.fixture(autouse=True)
def task_is_importable(monkeypatch, tmp_path):
    monkeypatch.setenv("PYTHONPATH", str(HERE))
    monkeypatch.setenv("FOVEATE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)  # not the repository: the ranks must find the packages all the same


def spec(steps, batch_size=16, checkpoint_every=4, ema=0.9, **arguments):
    return {"task": "tiny_task:build", "arguments": {"steps": steps, "batch_size": batch_size, **arguments},
            "optimizer": OPTIMIZER, "batch_size": batch_size, "checkpoint_every": checkpoint_every, "seed": 3,
            "ema": ema}


def plain_loop(asked):
    """The same training in plain torch: losses, gradient norms, and the averaged weights."""
    plan = plan_of(asked)
    torch.manual_seed(plan.spec.seed)
    task = QuadrantTask(**plan.spec.arguments)
    trained = {n: p for n, p in task.model.named_parameters() if p.requires_grad}
    optimizer = torch.optim.AdamW([
        {"params": [p for p in trained.values() if p.ndim > 1]},
        {"params": [p for p in trained.values() if p.ndim == 1], "weight_decay": 0.0},
    ], weight_decay=plan.spec.optimizer.weight_decay)
    average, losses, norms = {n: p.detach().clone() for n, p in trained.items()}, [], []
    for step in range(task.steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, task.steps, plan.spec.optimizer)
        loss = sum(task.loss(task.model, task.batch(step, 0, 1)[0], step).values())
        optimizer.zero_grad()
        loss.backward()
        norms.append(float(torch.nn.utils.clip_grad_norm_(trained.values(), plan.spec.optimizer.clip)))
        optimizer.step()
        decay = min(plan.spec.ema, (2 + step) / (11 + step))
        for name, parameter in trained.items():
            average[name].lerp_(parameter.detach(), 1 - decay)
        losses.append(float(loss.detach()))
    return losses, norms, average


@pytest.fixture(scope="module")
def stages(tmp_path_factory):
    """Every ZeRO stage on one rank, then on two, in one start each; the plain loop's results beside them."""
    folder = tmp_path_factory.mktemp("stages")
    asked = spec(8)
    outer = spec(1) | {"arguments": {"spec": asked, "folder": str(folder)}}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(HERE))
        train(outer | {"task": "tiny_task:leave_checkpoints"}, folder / "alone")
        train(outer | {"task": "tiny_task:every_stage"}, folder / "run", ranks=2)
    ranks = [json.loads((folder / f"rank{rank}.json").read_text()) for rank in (0, 1)]
    return folder, ranks, plain_loop(asked)


@pytest.mark.parametrize("zero", [0, 1, 2, 3])
def test_two_ranks_under_any_zero_stage_train_as_one_plain_loop_does(stages, zero):
    folder, (result, _), (losses, norms, average) = stages
    steps = result[str(zero)]["steps"]
    torch.testing.assert_close([s["loss"] for s in steps], losses, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close([s["norm"] for s in steps], norms, rtol=1e-3, atol=1e-5)
    tensors = load_file(folder / f"zero{zero}.safetensors")
    for name, value in average.items():
        torch.testing.assert_close(tensors[name], value, rtol=1e-3, atol=1e-4)
    assert tensors["batches"] == 8 and tensors["edges.weight"].shape == (4, 1, 3, 3)


@pytest.mark.parametrize("zero", [0, 1, 2, 3])
def test_a_resumed_run_ends_in_the_same_bits_on_two_ranks(stages, zero):
    assert stages[1][0][str(zero)]["resumed"]


@pytest.mark.parametrize("zero", [0, 1, 2, 3])
def test_two_ranks_go_on_from_the_checkpoint_of_one(stages, zero):
    folder, (result, _), (losses, _, average) = stages
    torch.testing.assert_close(result[str(zero)]["moved"], losses[4:], rtol=1e-4, atol=1e-5)
    tensors = load_file(folder / f"moved{zero}.safetensors")
    for name, value in average.items():
        torch.testing.assert_close(tensors[name], value, rtol=1e-3, atol=1e-4)
    assert tensors["batches"] == 8
    assert not (folder / f"left{zero}" / "universal").exists()


@pytest.mark.parametrize("zero", [0, 1, 2, 3])
def test_bf16_stays_near_fp32(stages, zero):
    losses = stages[1][0][str(zero)]["bf16"]
    torch.testing.assert_close(losses, stages[2][0], rtol=0.02, atol=0.01)
    assert losses != stages[2][0]


@pytest.mark.parametrize("zero", [0, 1, 2, 3])
def test_what_is_not_finite_stops_every_rank_with_the_same_message(stages, zero):
    one, other = (rank[str(zero)]["errors"] for rank in stages[1])
    assert one == other and len(one) == 2
    nan, infinite = one
    assert nan.startswith("step 1: loss term 'quadrant' is nan, loss term 'light' is nan; samples: sample-1-8, ")
    assert nan.endswith("not finite on input: sample-1-15")  # the rank without it has nothing to say
    assert infinite.startswith("step 1: the gradient is ") and "sample-1-0" in infinite


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    out = tmp_path_factory.mktemp("uninterrupted")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(HERE))
        return train(spec(40, checkpoint_every=5, dropout=0.2), out)


def test_it_learns_and_leaves_safetensors_alone(uninterrupted):
    losses = [event["loss"] for event in history(uninterrupted)]
    assert len(losses) == 40 and sum(losses[-5:]) < 0.5 * sum(losses[:5])
    model = Quadrants()
    model.load_state_dict(load_file(uninterrupted / "student.safetensors"))
    fresh = draw(10_000, 400)
    correct = model.eval()(fresh["image"])[:, :CLASSES].argmax(1) == fresh["label"]
    assert correct.float().mean() > 0.9  # chance is .25
    assert json.loads((uninterrupted / "config.json").read_text()) == {"size": 8, "classes": 4}
    assert not [f for f in uninterrupted.rglob("*") if f.suffix in (".pt", ".bin", ".pkl")]


def test_a_finished_run_is_not_trained_again(uninterrupted):
    before = (uninterrupted / "worker.log").stat().st_mtime_ns
    assert train(spec(40, checkpoint_every=5, dropout=0.2), uninterrupted) == uninterrupted
    assert (uninterrupted / "worker.log").stat().st_mtime_ns == before


def test_interrupted_killed_and_with_a_damaged_checkpoint_it_ends_in_the_same_bits(uninterrupted, tmp_path):
    out, armed = tmp_path / "out", tmp_path / "armed"
    asked = spec(40, checkpoint_every=5, dropout=0.2, pause=0.03, kill_at=27, armed=str(armed))

    stop = threading.Event()

    def interrupt(event):
        if event["event"] == "step" and event["step"] >= 7:
            stop.set()

    with pytest.raises(PipelineError, match="stopped"):
        train(asked, out, progress=interrupt, stop=stop)
    assert not left_running(out)

    armed.touch()
    with pytest.raises(PipelineError, match="killed by SIGKILL"):
        train(asked, out)
    newest = out / "checkpoints" / "step0000025"
    (file,) = newest.glob("*model_states.pt")
    os.truncate(file, file.stat().st_size // 2)

    told = []
    train(copy.deepcopy(asked), out, progress=told.append)
    assert told[0] == {"event": "note", "text": "checkpoint step0000025 is damaged: training resumes at step 20"}
    assert (told[1]["event"], told[1]["step"]) == ("start", 20)
    assert told[-1]["event"] == "done"
    assert (out / "student.safetensors").read_bytes() == (uninterrupted / "student.safetensors").read_bytes()
    assert [(e["step"], e["loss"]) for e in history(out)] == [(e["step"], e["loss"]) for e in history(uninterrupted)]


def left_running(out):
    """Processes that were started for this folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if str(out) in (process / "cmdline").read_text():
                found.append(int(process.name))
        except OSError:
            continue
    return found
