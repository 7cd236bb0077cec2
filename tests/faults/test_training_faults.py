"""Training under faults: wrong settings, broken tasks, damaged checkpoints, and a launcher that is killed."""

import ipaddress
import json
import math
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import torch

from components.base.errors import PipelineError, UserError
from components.training import agent, checkpoints, worker
from components.training.launch import LostError, _alone, _prepare, _reason, _Tail, history, train
from components.training.machines import Machines
from components.training.spec import Optimizer, deepspeed_settings, learning_rate, plan_of

ROOT = Path(__file__).parents[2]
SPEC = {"task": "tiny_task:build", "arguments": {"steps": 6, "batch_size": 4}, "optimizer": {"lr": 0.01},
        "batch_size": 4}


def changed(**changes):
    return SPEC | changes


@pytest.fixture
def tasks(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "tests" / "model"))
    monkeypatch.syspath_prepend(ROOT / "tests" / "model")


# Settings -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec, how, message", [
    ({}, {}, "'task' is missing"),
    (changed(optimizer={}), {}, "'lr' is missing"),
    (changed(optimizer=0.1), {}, "expected settings"),
    (changed(bach_size=4), {}, "did you mean 'batch_size'"),
    (changed(task="tiny_task"), {}, "must be 'module:function'"),
    (changed(batch_size="many"), {}, "expected int"),
    (changed(batch_size=5), {"ranks": 2}, "multiple of the 2 rank"),
    (changed(batch_size=0), {}, "positive multiple"),
    (changed(checkpoint_every=0), {}, "at least 1"),
    (changed(ema=1.5), {}, "between 0 and 1"),
    (changed(optimizer={"lr": 0.0}), {}, "above 0"),
    (changed(optimizer={"lr": 0.1, "clip": -1.0}), {}, "above 0, or null"),
    (changed(optimizer={"lr": 0.1, "warmup": 10.0}), {}, "share of the steps"),
    (changed(optimizer={"lr": 0.1, "weight_decay": -1.0}), {}, "not be negative"),
    (changed(optimizer={"lr": 0.1, "schedule": "cosin"}), {}, "must be one of onecycle"),
    (SPEC, {"ranks": 0}, "at least 1"),
    (SPEC, {"threads": 0}, "at least 1"),
    (SPEC, {"machines": Machines(2, "10.0.0.1:29400")}, "1 must be a multiple of the 2 machines"),
    (SPEC, {"zero": 4}, "one of"),
    (SPEC, {"precision": "fp8"}, "one of"),
    (SPEC, {"device": "tpu"}, "one of"),
])
def test_a_wrong_setting_is_named_before_anything_starts(tmp_path, spec, how, message):
    with pytest.raises(UserError, match=message):
        train(spec, tmp_path / "out", **how)
    assert not (tmp_path / "out").exists()


def test_the_rate_rises_to_its_peak_and_falls_to_almost_nothing():
    optimizer = Optimizer(lr=0.5, warmup=0.25)
    rates = [learning_rate(step, 100, optimizer) for step in range(100)]
    assert rates[0] == pytest.approx(0.5 / 25) and rates[-1] == pytest.approx(0.5 / 10_000)
    assert max(rates) == rates[25] == 0.5
    assert rates[:26] == sorted(rates[:26]) and rates[25:] == sorted(rates[25:], reverse=True)


@pytest.mark.parametrize("warmup, steps", [(0.0, 1), (1.0, 1), (0.0, 5), (1.0, 5), (0.1, 2)])
def test_the_rate_is_sound_at_the_edges(warmup, steps):
    rates = [learning_rate(step, steps, Optimizer(lr=1.0, warmup=warmup)) for step in range(steps)]
    assert all(0 < rate <= 1 and math.isfinite(rate) for rate in rates)


@pytest.mark.parametrize("zero", [0, 1, 2, 3])
def test_the_templates_are_filled(zero):
    plan = plan_of(changed(batch_size=8, optimizer={"lr": 0.1, "clip": 2.0}), ranks=2, zero=zero, precision="bf16")
    filled = deepspeed_settings(plan)
    assert filled["zero_optimization"]["stage"] == zero
    assert (filled["train_batch_size"], filled["train_micro_batch_size_per_gpu"]) == (8, 4)
    assert filled.get("gradient_clipping") == (2.0 if zero else None)  # stage 0 is clipped by the loop
    assert filled["torch_autocast"]["dtype"] == "bfloat16"


# Tasks ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task, message", [
    ("no_such_module:build", "cannot import: No module named 'no_such_module'"),
    ("tiny_task:biuld", "no function 'biuld'.*\n.*did you mean 'build'"),
])
def test_a_task_that_is_not_there_is_named(tasks, task, message):
    with pytest.raises(UserError, match=message):
        worker.build(plan_of(changed(task=task)))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_gpu_is_said():
    with pytest.raises(UserError, match="no usable GPU"):
        worker.check_device("cuda")


def attempt(out, nodes=1):
    """An attempt whose ranks have begun."""
    made = agent.Attempt("a", str(out), "10.0.0.1:29400", nodes, 2, "cpu", 60.0, "")
    made.folder.mkdir(parents=True)
    (made.folder / "rank0").touch()
    (out / "worker.log").touch()
    return made


@pytest.mark.parametrize("error, kind, of_two, expected", [
    (UserError("no boxes", where="a.json", mend="add some"), UserError, UserError,
     "a.json: no boxes\n  mend: add some"),
    (PipelineError("step 3: loss term 'x' is nan"), PipelineError, PipelineError,
     "training stopped: step 3: loss term 'x' is nan"),
    (ValueError("the shard\nis gone"), PipelineError, LostError,
     "training stopped: ValueError: the shard (test_training"),
])
def test_the_first_reason_reaches_the_caller(tmp_path, error, kind, of_two, expected):
    """Of two machines one may have been lost: what says so is worth another attempt."""
    (tmp_path / "two").mkdir()
    one, two = attempt(tmp_path), attempt(tmp_path / "two", 2)
    for failure in (error, RuntimeError("connection closed by peer")):  # the second is what the other ranks then see
        try:
            raise failure
        except Exception as raised:
            worker.report(one.folder, raised)
            worker.report(two.folder, raised)
    for made, wanted in ((one, kind), (two, of_two)):
        reason = _reason(made, 1)
        assert type(reason) is wanted and str(reason).startswith(expected)


def test_machines_that_did_not_come_are_missed(tmp_path):
    made = attempt(tmp_path, 3)
    (made.folder / "rank0").unlink()
    assert "3 machines did not meet at 10.0.0.1:29400; run `foveate join`" in str(_reason(made, 1))


@pytest.mark.parametrize("log, expected", [
    ("  exitcode  : 1 (pid: 3)\n  exitcode  : -9 (pid: 4)", "killed by SIGKILL (out of memory?)"),
    ("  exitcode  : -15 (pid: 3)", "killed by SIGTERM"),
    ("nothing of use", "exit code 7 before it was done"),
])
def test_an_end_without_a_reason_is_read_from_the_log(tmp_path, log, expected):
    made = attempt(tmp_path)
    (tmp_path / "worker.log").write_text(log)
    reason = str(_reason(made, 7))
    assert expected in reason and str(tmp_path / "worker.log") in reason


def test_a_fault_in_one_rank_comes_back_as_its_own_words(tasks, tmp_path):
    spec = changed(arguments={"steps": 6, "batch_size": 4, "nan_at": 2})
    with pytest.raises(PipelineError, match="step 2: loss term 'quadrant' is nan.*input: sample-2-3") as raised:
        train(spec, tmp_path, ranks=2, zero=2)
    assert len(str(raised.value).splitlines()) == 2  # a reason and the log's place, no traceback
    assert (tmp_path / "worker.log").stat().st_size > 0
    assert not (tmp_path / "student.safetensors").exists() and not (tmp_path / "done.json").exists()
    assert [event["step"] for event in history(tmp_path)] == [0, 1]


# Checkpoints ----------------------------------------------------------------------------------------------------


def tag(folder, step, *, sealed=True):
    path = folder / checkpoints.tag_of(step)
    path.mkdir(parents=True)
    (path / "model.pt").write_bytes(os.urandom(1000))
    (path / "optimizer.pt").write_bytes(os.urandom(1000))
    if sealed:
        checkpoints.seal(path)
    return path


def test_the_newest_whole_checkpoint_is_taken(tmp_path):
    assert checkpoints.newest(tmp_path) == (0, [])
    tag(tmp_path, 5)
    os.truncate(tag(tmp_path, 10) / "model.pt", 500)
    (tag(tmp_path, 15) / "optimizer.pt").unlink()
    (tag(tmp_path, 20) / "seal.json").write_text("{")
    tag(tmp_path, 25, sealed=False)  # killed while it was being written
    flipped = tag(tmp_path, 30) / "model.pt"
    flipped.write_bytes(bytes([flipped.read_bytes()[0] ^ 1]) + flipped.read_bytes()[1:])
    assert checkpoints.newest(tmp_path) == (5, [checkpoints.tag_of(s) for s in (30, 25, 20, 15, 10)])
    assert [t.name for t in tmp_path.iterdir()] == ["step0000005"]


def test_two_checkpoints_are_kept(tmp_path):
    for step in (5, 10, 15):
        tag(tmp_path, step)
    checkpoints.prune(tmp_path)
    assert sorted(t.name for t in tmp_path.iterdir()) == ["step0000010", "step0000015"]


def test_checkpoints_of_another_plan_are_not_used(tmp_path):
    plan, other, told = plan_of(SPEC), plan_of(changed(seed=1)), []
    assert _prepare(tmp_path, plan, told.append) == 0
    tag(tmp_path / "checkpoints", 4)
    lines = [json.dumps({"event": "step", "step": s}) for s in range(6)]
    (tmp_path / "progress.jsonl").write_text("\n".join(lines) + '\n{"event": "st')  # cut by a kill
    assert _prepare(tmp_path, plan, told.append) == 4 and not told
    assert [event["step"] for event in history(tmp_path)] == [0, 1, 2, 3]
    assert _prepare(tmp_path, plan_of(SPEC, ranks=2), told.append) == 4 and not told  # takes the same steps
    assert _prepare(tmp_path, other, told.append) == 0
    assert "another plan" in told[0]["text"] and history(tmp_path) == []


# The launcher ---------------------------------------------------------------------------------------------------


def test_one_run_a_folder(tmp_path):
    with _alone(tmp_path), pytest.raises(UserError, match="another training run"):
        train(SPEC, tmp_path)


def test_lines_are_told_once_and_whole(tmp_path):
    path, told = tmp_path / "progress.jsonl", []
    path.write_text('{"old": 1}\n')
    tail = _Tail(path, told.append)
    for part in ('{"a": ', '1}\n{"b"', ': 2}\n', ""):
        with open(path, "a") as stream:
            stream.write(part)
        tail.read()
    assert told == [{"a": 1}, {"b": 2}]


def test_a_launch_that_ignores_signals_is_stopped_all_the_same(monkeypatch):
    stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(60)"
    launched = subprocess.Popen([sys.executable, "-c", stubborn], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                start_new_session=True)
    launched.stdout.read(1)
    monkeypatch.setattr("components.training.agent.PATIENCE", 0.2)
    agent.stop(launched)
    assert launched.returncode == -signal.SIGKILL
    launched.stdout.close()


LAUNCHER = textwrap.dedent("""
    import sys
    from pathlib import Path
    from components.training.launch import train
    train({"task": "tiny_task:build", "arguments": {"steps": 100000, "batch_size": 4, "pause": 0.01},
           "optimizer": {"lr": 0.01}, "batch_size": 4}, Path(sys.argv[1]), ranks=2)
""")


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="reads /proc")
def test_a_killed_launcher_leaves_nothing_running_and_nothing_listened_beyond_loopback(tasks, tmp_path):
    out = tmp_path / "out"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), os.environ["PYTHONPATH"]])}
    launcher = subprocess.Popen([sys.executable, "-c", LAUNCHER, str(out)], env=environment)
    try:
        wait(lambda: (out / "progress.jsonl").exists() and history(out), launcher)
        started = [pid for pid in pids() if str(out) in command_of(pid)]
        assert len(started) == 4  # the launcher, torchrun, two ranks
        assert all(is_loopback(address) for pid in started for address in listening(pid))
        assert any(listening(pid) for pid in started)  # the ranks do talk to each other: the check sees it
    finally:
        launcher.kill()
        launcher.wait()
    wait(lambda: not [pid for pid in started if str(out) in command_of(pid)])


def wait(condition, alive=None, seconds=90):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        assert alive is None or alive.poll() is None, "the launcher ended"
        time.sleep(0.1)


def pids():
    return [int(process.name) for process in Path("/proc").glob("[0-9]*")]


def command_of(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def listening(pid):
    """Addresses (hex, as the kernel writes them) on which a process listens."""
    process = Path(f"/proc/{pid}")
    owned = {str(f.readlink()) for f in (process / "fd").iterdir() if f.is_symlink()}
    rows = [line.split() for kind in ("tcp", "tcp6") for line in (process / "net" / kind).read_text().splitlines()]
    return [row[1].split(":")[0] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in owned]


def is_loopback(address):
    """Of an address as the kernel writes it: 32-bit words, least byte first."""
    words = b"".join(bytes.fromhex(address[i:i + 8])[::-1] for i in range(0, len(address), 8))
    found = ipaddress.ip_address(words)
    return (getattr(found, "ipv4_mapped", None) or found).is_loopback


def test_whoever_is_on_a_leash_ends_when_it_is_let_go(tmp_path):
    """Also in the first seconds, before there are ranks: torchrun would wait a minute for a launcher that is gone."""
    (tmp_path / "sleeper.py").write_text("import pathlib, time\npathlib.Path('began').touch()\ntime.sleep(600)\n")
    process = subprocess.Popen([sys.executable, "-m", *agent.leashed("sleeper")], stdin=subprocess.PIPE, cwd=tmp_path,
                               env=os.environ | {"PYTHONPATH": str(ROOT)})
    try:
        while not (tmp_path / "began").exists():
            assert process.poll() is None
            time.sleep(0.02)
        process.stdin.close()
        assert process.wait(20) == 1
    finally:
        process.kill()
