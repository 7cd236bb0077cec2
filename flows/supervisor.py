"""Keeps the processes of the local stack running: `python -m flows.supervisor PORTS`, started by `flows.stack.up`.

It was handed the lock of the state folder and holds it as long as it lives. A process that dies is started again, at
its old port. Flows run in processes of their own, which outlive the worker and the servers, and find the server again
when it is back. Where the process of a flow was killed, Prefect is told, so that its place is free, and the event
`foveate.flow.killed` is sent, so that another can go on.
"""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import psutil

from components.base.home import home, state
from flows import stack
from flows.server import QUIET, mlflow_server, prefect_server

KILLED = "foveate.flow.killed"
LOOK = 0.5  # seconds between looks at the processes
REAP = 3.0  # seconds between looks for flows whose process is gone
PREFECT = {"PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
           "PREFECT_CLIENT_MAX_RETRIES": "7", "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false"}


class Service:
    """One process of the stack, and how often it had to be started again."""

    def __init__(self, name: str, arguments: list[str], environment: dict[str, str]):
        self.name, self.arguments, self.environment = name, arguments, environment
        self.restarts, self.wait_until, self.process, self.named = -1, 0.0, None, {}

    def keep(self) -> bool:
        """Starts it where it does not run, slower each time that it dies early; whether anything was started."""
        if self.runs() or time.monotonic() < self.wait_until:
            return False
        if self.process is not None:  # what it started may still hold its port; flows are sessions of their own
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
        self.restarts += 1
        self.wait_until = time.monotonic() + min(2.0 ** self.restarts, 30)
        with open(state("logs") / f"{self.name}.log", "ab") as log:
            self.process = subprocess.Popen([sys.executable, "-m", *self.arguments], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, start_new_session=True, cwd=state("stack"),
                                            env=_clean() | QUIET | PREFECT | self.environment)
        self.named = stack.process(self.process.pid) | {"restarts": self.restarts}
        return True

    def runs(self) -> bool:
        return self.process is not None and self.process.poll() is None


def _clean() -> dict[str, str]:
    """The environment without settings of other servers."""
    return {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")}


def services(ports: dict[str, int]) -> list[Service]:
    served, tracked = prefect_server(ports["prefect"]), mlflow_server(ports["mlflow"])
    at_work = {"PREFECT_HOME": str(state("prefect")), "PREFECT_API_URL": f"http://127.0.0.1:{ports['prefect']}/api",
               "PREFECT_WORKER_HEARTBEAT_SECONDS": "5", "PREFECT_WORKER_QUERY_SECONDS": "2"}
    return [Service("prefect", *served), Service("mlflow", *tracked),
            Service("worker", ["prefect", "worker", "start", "--pool", stack.POOL, "--type", "process", "--name",
                               "local"], at_work)]


def supervise(ports: dict[str, int]) -> None:
    """Until SIGTERM; then ends worker and flows first, so that the servers hear of it."""
    ending: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ending.append(1))
    kept, reaped = services(ports), 0.0
    try:
        while not ending:
            # The worker asks for its pool at its start, so the server must answer first.
            ready = [s for s in kept if s.name != "worker" or s.runs() or stack.healthy("prefect", ports)]
            started = [s.name for s in ready if s.keep()]
            if started:
                stack.record({"supervisor": stack.process(os.getpid()), "ports": ports,
                              "services": {s.name: s.named for s in kept if s.named}})
            if time.monotonic() > reaped + REAP:
                reap(ports)
                reaped = time.monotonic()
            time.sleep(LOOK)
    finally:
        flows = [p for file in runs() if (p := process_of(file))]
        living = {s.name: psutil.Process(s.process.pid) for s in kept if s.runs()}
        worker = [living.pop("worker")] if "worker" in living else []
        stack.end([*worker, *flows])
        reap(ports)
        stack.end([*living.values()])


def runs() -> list[Path]:
    """The files by which flows name their processes (`flows.jobs.told`)."""
    return sorted((home() / "stack" / "runs").glob("*.json"))


def process_of(file: Path) -> psutil.Process | None:
    """The process that works on a flow run, or None where it is gone."""
    try:
        named = json.loads(file.read_text("utf-8"))
        return psutil.Process(int(named["pid"])) if stack.alive(named) else None
    except (OSError, ValueError, psutil.NoSuchProcess):
        return None


def reap(ports: dict[str, int]) -> None:
    """Tells Prefect of flow runs whose process was killed."""
    for file in runs():
        if process_of(file):
            continue
        try:
            _crashed({"id": {"any_": [file.stem]}}, ports)
            stack.call("/events", [_killed(file)], ports)
        except (urllib.error.URLError, OSError):
            return  # the server is away: later
        file.unlink(missing_ok=True)


def _killed(file: Path) -> dict[str, Any]:
    """The event of a killed flow run, which the file names."""
    deployment = json.loads(file.read_text("utf-8")).get("deployment") or "none"
    about = {"prefect.resource.id": f"foveate.flow-run.{file.stem}", "prefect.resource.name": deployment}
    return {"event": KILLED, "id": str(uuid5(NAMESPACE_URL, f"{KILLED}/{file.stem}")), "resource": about,
            "occurred": datetime.now(UTC).isoformat()}


def _crashed(which: dict[str, Any], ports: dict[str, int]) -> None:
    """Sets flow runs that are called running to crashed, those that they started first."""
    said = {"type": "CRASHED", "name": "Crashed", "message": "its process was killed; run it again and it goes on"}
    under_way = which | {"state": {"type": {"any_": ["RUNNING", "PENDING"]}}}
    for run in stack.call("/flow_runs/filter", {"flow_runs": under_way}, ports):
        _crashed({"parent_flow_run_id": {"any_": [run["id"]]}}, ports)
        stack.call(f"/flow_runs/{run['id']}/set_state", {"state": said, "force": True}, ports)


if __name__ == "__main__":
    supervise(json.loads(sys.argv[1]))
