"""The local stack: Prefect, MLflow and a worker over one state folder; begun, asked after and ended from here.

`flows.supervisor` keeps them running, detached from whoever started it, and holds the lock that says that it does.
`<home>/stack/stack.json` names its processes and ports. Everything listens on 127.0.0.1.
"""

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from components.base.artifacts import write_json
from components.base.errors import PipelineError, UserError
from components.base.home import home, state
from flows.server import free_port

POOL = "foveate"
HEALTH = {"prefect": "/api/health", "mlflow": "/health"}
PATIENCE = 600  # seconds for the start of three servers on a busy machine
STOP_SECONDS = 180
BUSY_TRIES = 20
END_SECONDS = 30.0  # that a process has to end when asked: training writes its last lines


def described() -> dict[str, Any]:
    """The state file, {} where there is none: {"supervisor": process, "services": {name: process}, "ports": {name}}."""
    file = home() / "stack" / "stack.json"
    return json.loads(file.read_text("utf-8")) if file.exists() else {}


def record(told: dict[str, Any]) -> None:
    write_json(state("stack") / "stack.json", told)


def is_up() -> bool:
    """Whether a supervisor holds the lock of this state folder."""
    if not (home() / "locks" / "stack.lock").exists():
        return False
    with open(home() / "locks" / "stack.lock") as stream:
        return not _take(stream.fileno(), fcntl.LOCK_SH)


def _take(lock: int, how: int) -> bool:
    try:
        fcntl.flock(lock, how | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False


@contextmanager
def _alone() -> Iterator[int]:
    """Holds the lock of this state folder; yields its descriptor, by which a child goes on holding it."""
    with open(state("locks") / "stack.lock", "a") as stream:
        for _ in range(10):  # whoever asks whether a stack is up holds it for a moment
            if _take(stream.fileno(), fcntl.LOCK_EX):
                yield stream.fileno()
                return
            time.sleep(0.05)
    raise UserError("a stack runs on this state folder already", where=str(home()),
                    mend="`foveate status` shows it, `foveate down` ends it")


def up(prefect_port: int | None = None, mlflow_port: int | None = None) -> None:
    """Starts the stack and returns when it answers; raises UserError where one runs on this folder already.

    Ports are those given, else those of the last time, else free ones.
    """
    log = state("logs") / "stack.log"
    with _alone() as lock, open(log, "ab") as stream:
        end(_left())  # of a supervisor that was killed
        ports = {"prefect": _port("prefect", prefect_port), "mlflow": _port("mlflow", mlflow_port)}
        started = subprocess.Popen([sys.executable, "-m", "flows.supervisor", json.dumps(ports)], cwd=home(),
                                   stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, start_new_session=True,
                                   pass_fds=[lock],
                                   env=os.environ | {"FOVEATE_HOME": str(home()), "PYTHONPATH": python_path()})
    deadline = time.monotonic() + PATIENCE
    while not all(healthy(name, ports) for name in HEALTH) or not worker_online(ports):
        if started.poll() is not None:
            raise PipelineError(f"the stack stopped at its start; its log is {log}")
        if time.monotonic() > deadline:
            down()
            raise PipelineError(f"the stack did not answer in {PATIENCE} s; its logs are in {log.parent}")
        time.sleep(0.3)


def _port(service: str, given: int | None) -> int:
    """A port that nobody listens on; raises UserError where the given one is taken."""
    wanted = given or described().get("ports", {}).get(service)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with suppress(OSError):
            probe.bind(("127.0.0.1", wanted or 0))
            return probe.getsockname()[1]
    if given:
        raise UserError("somebody listens there already", where=f"--{service}-port {given}", mend="give another port")
    return free_port()


def python_path() -> str:
    """Where the sources of a checkout are, for processes that start elsewhere."""
    root = str(Path(__file__).parents[1])
    return os.pathsep.join(dict.fromkeys(filter(None, [root, *os.environ.get("PYTHONPATH", "").split(os.pathsep)])))


def down() -> bool:
    """Ends the stack and the flows that its worker runs (begun again, they go on); whether there was anything to end.

    Raises PipelineError where it does not end.
    """
    if not is_up():
        left = _left()
        end(left)
        return bool(left)
    deadline = time.monotonic() + STOP_SECONDS
    asked = None
    while is_up():
        supervisor = described().get("supervisor")
        if supervisor != asked and alive(supervisor):
            os.kill(int(supervisor["pid"]), signal.SIGTERM)
            asked = supervisor
        if time.monotonic() > deadline:
            raise PipelineError(f"the stack does not end; its log is {state('logs') / 'stack.log'}")
        time.sleep(0.2)
    return True


def process(pid: int) -> dict[str, float]:
    """A process as the state file names it: a pid alone may be another's by tomorrow."""
    return {"pid": pid, "created": psutil.Process(pid).create_time()}


def alive(named: dict[str, float] | None) -> bool:
    try:
        found = psutil.Process(int(named["pid"])) if named else None
        return bool(found) and abs(found.create_time() - named["created"]) < 1 and found.status() != "zombie"
    except psutil.NoSuchProcess:
        return False


def _left() -> list[psutil.Process]:
    """Servers and worker that still run, though their supervisor does not."""
    return [psutil.Process(int(s["pid"])) for s in described().get("services", {}).values() if alive(s)]


def end(processes: list[psutil.Process]) -> None:
    """Ends processes with all that they started: asked first, then made to."""
    tree = []
    for one in processes:
        with suppress(psutil.NoSuchProcess):
            tree += [one, *one.children(recursive=True)]
    for one in processes:
        with suppress(psutil.NoSuchProcess):
            one.terminate()
    _, left = psutil.wait_procs(tree, timeout=END_SECONDS)
    for one in left:
        with suppress(psutil.NoSuchProcess):
            one.kill()
    psutil.wait_procs(left, timeout=END_SECONDS)


def address(service: str) -> str:
    return f"http://127.0.0.1:{described()['ports'][service]}"


def healthy(service: str, ports: dict[str, int]) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{ports[service]}{HEALTH[service]}", timeout=5) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False


def worker_online(ports: dict[str, int]) -> bool:
    try:
        return any(w["status"] == "ONLINE" for w in call(f"/work_pools/{POOL}/workers/filter", {}, ports))
    except (urllib.error.URLError, OSError):
        return False


def call(path: str, body: Any, ports: dict[str, int] | None = None, method: str = "POST") -> Any:
    """Asks the stack's Prefect server, again where its database is busy; raises URLError where it does not answer."""
    port = (ports or described()["ports"])["prefect"]
    request = urllib.request.Request(f"http://127.0.0.1:{port}/api{path}", json.dumps(body).encode(),
                                     {"Content-Type": "application/json"}, method=method)
    for left in reversed(range(BUSY_TRIES)):
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            if error.code != 503 or not left:
                raise
            time.sleep(1)
    raise AssertionError
