"""The local stack, whole: begun once, refused twice, retraining by an event, and not to be stopped by any one death."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import yaml
from PIL import Image

from components.pipeline import growth, retraining
from flows import deployments, stack, supervisor

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-c", "from flows.cli import main; main()")
EVENT = "foveate.dataset.versioned"
QUIET = 8  # seconds of debounce: long enough to kill something in it
pytestmark = pytest.mark.slow


class Stack:
    """A state folder with its commands; the deployments are those of prefect.yaml, small, and without schedules."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW", "PREFECT"))}
        self.environment |= {"FOVEATE_HOME": str(folder / "home"), "PYTHONPATH": str(ROOT)}
        declared = yaml.safe_load(deployments.FILE.read_text())
        for one in declared["deployments"]:
            one.pop("schedules", None)
        small = {d["name"]: d["parameters"] for d in declared["deployments"]}
        small["retraining"] |= {"until": "ingest", "quiet_seconds": QUIET, "cooldown_seconds": 0}
        small["watch-folder"] |= {"dataset": "photos", "settled_seconds": 0}
        self.file = folder / "small.yaml"
        self.file.write_text(yaml.safe_dump(declared))

    def call(self, *arguments: str) -> tuple[int, str]:
        done = subprocess.run([*COMMAND, *arguments], env=self.environment, cwd=self.folder, capture_output=True,
                              text=True, timeout=1200)
        return done.returncode, done.stdout + done.stderr

    def running(self) -> list[str]:
        """Command lines of the processes that work in this state folder."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("FOVEATE_HOME") == self.environment["FOVEATE_HOME"]:
                    found.append(" ".join(process.cmdline()))
            except (psutil.Error, OSError):
                continue  # it has ended, or is not ours to read
        return [line for line in found if line]


def pictures(folder: Path, seeds: range) -> Path:
    folder.mkdir(parents=True)
    for seed in seeds:
        coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), np.uint8)
        Image.fromarray(coarse).resize((64, 48)).save(folder / f"{seed}.png")
    return folder


def runs(deployment: str = "retraining") -> list[dict]:
    """Runs of a deployment, the oldest first."""
    return stack.call("/flow_runs/filter", {"sort": "EXPECTED_START_TIME_ASC",
                                            "deployments": {"name": {"any_": [deployment]}}})


def outcomes() -> list[tuple[str, str]]:
    return [(a.version, a.outcome) for a in retraining.attempts("photos")]


def kill(*services: str) -> None:
    for service in services:
        os.kill(stack.described()["services"][service]["pid"], signal.SIGKILL)


def until(true, what: str, seconds: float = 600):
    """What `true()` returns as soon as it is something."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if found := true():
                return found
        except OSError:
            pass  # the server is away
        time.sleep(1)
    raise AssertionError(f"{what} in {seconds} s; runs: {[(r['state_name'], r['state']['message']) for r in runs()]}")


@pytest.fixture(scope="module")
def up(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        here = Stack(tmp_path_factory.mktemp("stack"))
        patch.setenv("FOVEATE_HOME", str(here.folder / "home"))
        try:
            code, out = here.call("up", "--deployments", str(here.file))
            assert code == 0, out
            here.told = out
            yield here
        finally:
            stack.down()


def test_it_says_where_it_is_and_listens_to_nobody_else(up):
    told = stack.described()
    for service, port in told["ports"].items():
        assert f"http://127.0.0.1:{port}" in up.told and stack.healthy(service, told["ports"])
    heard = [c.laddr.ip for named in told["services"].values()
             for p in [psutil.Process(named["pid"]), *psutil.Process(named["pid"]).children(recursive=True)]
             for c in p.net_connections() if c.status == psutil.CONN_LISTEN]
    assert heard and set(heard) == {"127.0.0.1"}


def test_a_second_stack_on_the_folder_is_refused(up):
    before = stack.described()
    code, out = up.call("up")
    assert code == 2 and "a stack runs on this state folder already" in out and "foveate down" in out
    assert stack.described() == before


def test_every_deployment_is_there_as_declared(up):
    found = {d["name"]: d for d in stack.call("/deployments/filter", {})}
    declared = deployments.read(up.file)
    assert set(found) == {d["name"] for d in declared} == {d["name"] for d in deployments.read()}
    for one in declared:
        there = found[one["name"]]
        assert there["tags"] == one["tags"] and there["work_pool_name"] == stack.POOL
        assert there["path"] is None, "workers would copy that folder"
        assert there["parameters"] == one["parameters"]
        assert set(one["parameters"]) <= set(there["parameter_openapi_schema"]["properties"])
        limit = (there["global_concurrency_limit"] or {}).get("limit")
        assert limit == one.get("concurrency_limit", {}).get("limit")
    assert found["retraining"]["concurrency_options"]["collision_strategy"] == "CANCEL_NEW"
    expected = {(t["name"], *t["expect"]) for d in declared for t in d.get("triggers", ())}
    assert {(a["name"], *a["trigger"]["expect"]) for a in stack.call("/automations/filter", {})} == expected


def test_new_data_is_retrained_on_once_though_server_and_worker_die_meanwhile(up):
    code, out = up.call("data", "ingest", str(pictures(up.folder / "one", range(12))), "--dataset", "photos")
    assert code == 0 and "told Prefect at http://127.0.0.1:" in out, out
    version = growth.newest("photos")
    (run,) = until(lambda: [r for r in runs() if r["state_name"] == "Running"], "no retraining began")
    assert run["parameters"]["dataset"] == "photos"
    until(supervisor.runs, "the flow did not say who it is")
    (event,) = until(lambda: stack.call("/events/filter", {"filter": {"event": {"name": [EVENT]}}})["events"],
                     "the event is not kept")
    stack.call("/events", [event, event])  # thrice in all
    before = stack.described()
    kill("prefect", "worker")  # while the flow waits for quiet
    until(lambda: runs()[0]["state_name"] == "Made", "the flow did not end well")
    now = until(lambda: (s := stack.described())["services"]["worker"]["restarts"] and s, "no worker again")
    assert now["ports"] == before["ports"] and now["services"]["prefect"]["restarts"] == 1
    assert now["services"]["mlflow"] == before["services"]["mlflow"]
    assert outcomes() == [(version.version, "made")]
    assert len(runs()) == 1


def test_what_comes_into_the_watched_folder_is_retrained_on_though_the_flow_is_killed(up):
    """With its worker, so that only the supervisor is left to tell."""
    source = pictures(up.folder / "home" / "inbox" / "two" / "images", range(10, 16))
    (watch,) = stack.call("/deployments/filter", {"deployments": {"name": {"any_": ["watch-folder"]}}})
    stack.call(f"/deployments/{watch['id']}/create_flow_run", {})
    known = {r["id"] for r in runs()}
    (run,) = until(lambda: [r for r in runs() if r["id"] not in known and r["state_name"] == "Running"],
                   "no retraining began")
    version = growth.newest("photos")
    assert version.added == 4 and source.is_dir()
    mark = until(lambda: [f for f in supervisor.runs() if f.stem == run["id"]], "the flow did not say who it is")[0]
    flow = supervisor.process_of(mark)
    kill("worker")
    for one in [*flow.children(recursive=True), flow]:
        one.kill()
    until(lambda: [r for r in runs() if r["id"] not in known | {run["id"]} and r["state_name"] == "Made"],
          "nothing took it up")
    assert next(r for r in runs() if r["id"] == run["id"])["state_type"] == "CRASHED"
    assert outcomes()[-1] == (version.version, "made") and not supervisor.runs()


def test_status_tells_all_and_down_leaves_nothing_running(up):
    code, out = up.call("status", "--json")
    told = json.loads(out)
    assert code == 0 and told["up"] and all(s["healthy"] for s in told["services"].values()), out
    assert told["services"]["prefect"]["restarts"] == 1 and told["runs"][0]["state"] == "Made"
    assert [d["version"] for d in told["datasets"]] == [growth.newest("photos").version]
    code, out = up.call("down")
    assert code == 0 and "down" in out and not stack.is_up()
    assert up.running() == []
    assert "no stack runs" in up.call("down")[1]
