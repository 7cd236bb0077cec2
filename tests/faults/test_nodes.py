"""Two machines train as one: separate hosts, made of network namespaces; one is cut off in mid-run, and comes back."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from components.base.artifacts import code_version
from components.base.errors import UserError
from components.training import lending, machines, plain
from components.training.agent import Attempt
from components.training.launch import history

ROOT = Path(__file__).parents[2]
STEPS = 40
SPEC = {"task": "tiny_task:build", "arguments": {"steps": STEPS, "batch_size": 8, "pause": 0.05}, "batch_size": 8,
        "optimizer": {"lr": 0.01}, "checkpoint_every": 5, "seed": 3}
TRAIN = textwrap.dedent("""
    import json, sys
    from pathlib import Path
    from components.training.launch import train
    from components.training.machines import Machines
    with open(sys.argv[3], "w", buffering=1) as told:
        train(json.loads(sys.argv[1]), Path(sys.argv[2]), ranks=2, zero=1,
              machines=Machines(2, "10.77.0.1:29400", silence=20, wait=200),
              progress=lambda event: told.write(json.dumps(event) + "\\n"))
""")


class Host:
    """A network namespace with an address of its own: it ends with the process that holds it, which ends with ours."""

    def __init__(self, address: str):
        self.address = address
        self.holder = subprocess.Popen(["unshare", "--net", "cat"], stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        wait(lambda: self.holder.poll() is not None or self.inside(self.holder.pid) and self.space != _space("self"))

    @property
    def space(self) -> str:
        return _space(self.holder.pid)

    def inside(self, pid: int) -> bool:
        return _space(pid) == self.space

    def command(self, *words: str) -> list[str]:
        return ["nsenter", "--target", str(self.holder.pid), "--net", *words]

    def run(self, *words: str) -> None:
        subprocess.run(self.command(*words), check=True, capture_output=True)

    def pids(self) -> list[int]:
        found = [int(process.name) for process in Path("/proc").glob("[0-9]*")]
        return [pid for pid in found if pid != self.holder.pid and self.inside(pid)]

    def end(self) -> None:
        if self.holder.poll() is None:
            for pid in self.pids():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self.holder.communicate()


def _space(pid) -> str:
    try:
        return str(Path(f"/proc/{pid}/ns/net").readlink())
    except OSError:
        return ""


@pytest.fixture
def hosts():
    """Two hosts, 10.77.0.1 and 10.77.0.2, that reach each other and nothing else."""
    if os.geteuid() or not all(map(shutil.which, ("ip", "unshare", "nsenter"))):
        pytest.skip("network namespaces need root and the programs ip, unshare and nsenter")
    with contextlib.ExitStack() as ending:
        made = []
        for number in (1, 2):
            made.append(Host(f"10.77.0.{number}"))
            ending.callback(made[-1].end)
        if any(host.holder.poll() is not None for host in made):
            pytest.skip("network namespaces are not permitted here")
        one, other = (str(host.holder.pid) for host in made)
        subprocess.run(["ip", "link", "add", "name", "wire", "netns", one, "type", "veth", "peer", "name", "wire",
                        "netns", other], check=True)
        for host in made:
            host.run("ip", "address", "add", f"{host.address}/24", "dev", "wire")
            host.run("ip", "link", "set", "wire", "up")
            host.run("ip", "link", "set", "lo", "up")
        yield made


@pytest.mark.slow
def test_a_machine_that_is_cut_off_and_comes_back_is_trained_on_from_the_last_checkpoint(hosts, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "tests" / "model")
    out, told = tmp_path / "home" / "out", tmp_path / "told.jsonl"
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "model")])
    environment = os.environ | {"PYTHONPATH": path, "FOVEATE_HOME": str(tmp_path / "home"), "OMP_NUM_THREADS": "1"}

    def start(host, *words):
        return subprocess.Popen(host.command(sys.executable, "-c", *words), env=environment, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    one, other = hosts
    caller = start(one, TRAIN, json.dumps(SPEC), str(out), str(told))
    comer = start(other, "from flows.cli import main; main()", "join")
    wait(lambda: reached(out) > 11, caller)
    heard = {host.address: {a for pid in host.pids() for a in listening(pid)} for host in hosts}
    assert heard["10.77.0.1"] and all(found <= {address} for address, found in heard.items())

    other.run("ip", "link", "set", "wire", "down")
    wait(lambda: told.read_text().count("waiting for 2 machines") == 2, caller)
    assert reached(out) < STEPS - 1
    other.run("ip", "link", "set", "wire", "up")

    said, _ = caller.communicate(timeout=200)
    assert caller.returncode == 0, said
    comer.send_signal(signal.SIGINT)
    said, _ = comer.communicate(timeout=30)
    assert f"training {out} with 10.77.0.1:29400" in said
    events = [json.loads(line) for line in told.read_text().splitlines()]
    starts = [event["step"] for event in events if event["event"] == "start"]
    assert starts[0] == 0 and len(starts) > 1 and starts[-1] >= 10
    steps = history(out)
    assert [event["step"] for event in steps] == list(range(STEPS))
    assert [event["loss"] for event in steps] == pytest.approx(in_one_process(), rel=1e-4)
    assert not list(out.glob(".launch/*")) and not lending.called()


def in_one_process():
    """The losses of the same training where nothing can be lost."""
    import torch
    from tiny_task import build

    torch.manual_seed(SPEC["seed"])
    return plain.train(build(**SPEC["arguments"] | {"pause": 0.0}), SPEC)


def reached(out):
    return max((event["step"] for event in history(out)), default=-1)


def wait(condition, alive=None, seconds=200):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        assert alive is None or alive.poll() is None, alive.communicate()[0]
        time.sleep(0.1)


def listening(pid):
    """IPv4 addresses on which a process listens; ":" for one of IPv6."""
    process = Path(f"/proc/{pid}")
    with contextlib.suppress(OSError):
        owned = {str(f.readlink()) for f in (process / "fd").iterdir() if f.is_symlink()}
        rows = [line.split() for kind in ("tcp", "tcp6") for line in (process / "net" / kind).read_text().splitlines()]
        held = [row[1].split(":")[0] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in owned]
        return [".".join(str(b) for b in bytes.fromhex(a)[::-1]) if len(a) == 8 else ":" for a in held]
    return []


# The call, without training -------------------------------------------------------------------------------------


@pytest.mark.parametrize("variables, message", [
    ({"FOVEATE_NODES": "two"}, "FOVEATE_NODES: expected a number of machines, got 'two'"),
    ({"FOVEATE_NODES": "2"}, "FOVEATE_RENDEZVOUS: expected HOST:PORT, got ''"),
    ({"FOVEATE_NODES": "2", "FOVEATE_RENDEZVOUS": "10.0.0.1"}, "expected HOST:PORT, got '10.0.0.1'"),
    ({"FOVEATE_NODES": "2", "FOVEATE_RENDEZVOUS": "10.0.0.1:99999"}, "expected HOST:PORT"),
    ({"FOVEATE_NODES": "2", "FOVEATE_RENDEZVOUS": "10.0.0.1:1", "FOVEATE_SILENCE": "-1"}, "FOVEATE_SILENCE"),
])
def test_what_the_environment_asks_for_is_checked(monkeypatch, variables, message):
    for name in ("FOVEATE_NODES", "FOVEATE_RENDEZVOUS", "FOVEATE_SILENCE"):
        monkeypatch.delenv(name, raising=False)
    assert machines.wanted() == machines.Machines()
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=message):
        machines.wanted()


def test_an_address_of_another_machine_is_no_place_to_wait():
    with pytest.raises(UserError, match="cannot listen on 192.0.2.1:29400"), \
            machines.meeting(machines.Machines(2, "192.0.2.1:29400")):
        pass


def test_a_call_is_there_while_it_lasts_and_a_broken_one_is_none(monkeypatch, tmp_path):
    monkeypatch.setenv("FOVEATE_HOME", str(tmp_path))
    attempt = Attempt("a", "out", "10.0.0.1:29400", 2, 1, "cpu", 60.0, code_version("components"))
    with lending.calling(attempt):
        assert lending.called() == attempt
        (tmp_path / "training" / "call.json").write_text('{"key": "a"')
        assert lending.called() is None
    assert not (tmp_path / "training" / "call.json").exists()


def test_other_sources_are_not_trained_on(monkeypatch, tmp_path):
    """A machine with another Foveate would learn something else: it says so, once, and stays out."""
    monkeypatch.setenv("FOVEATE_HOME", str(tmp_path))
    monkeypatch.setattr(lending, "LOOK", 0.01)
    said, stop = [], threading.Event()
    with machines.meeting(machines.Machines()) as endpoint, \
            lending.calling(Attempt("a", str(tmp_path / "out"), endpoint, 2, 1, "cpu", 60.0, "other")):
        lender = threading.Thread(target=lending.lend, args=(said.append, stop))
        lender.start()
        wait(lambda: len(said) > 1)
        time.sleep(0.1)
        stop.set()
        lender.join()
    assert "runs other sources of Foveate" in said[-1] and len(said) == 2
    assert not (tmp_path / "out").exists()
