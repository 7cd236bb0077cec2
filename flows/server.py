"""A local Prefect server for the time of a run, and the browser pages of `foveate ui`; none outlives its parent."""

import importlib
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from components.base.errors import PipelineError
from components.base.home import state
from flows.databases import lay_out

START_SECONDS = 180  # a first start lays out the database, which takes half a minute on a slow machine
QUIET = {"DO_NOT_TRACK": "1", "PREFECT_SERVER_ANALYTICS_ENABLED": "false", "PREFECT_CLI_COLORS": "false",
         "PREFECT_LOGGING_LEVEL": "INFO", "PREFECT_RESULTS_DEFAULT_SERIALIZER": "json"}
# One run needs the services that record events and task states, not those that schedule deployments.
IDLE = {f"PREFECT_SERVER_SERVICES_{name}_ENABLED": "false" for name in
        ("SCHEDULER", "LATE_RUNS", "FOREMAN", "CANCELLATION_CLEANUP", "PAUSE_EXPIRATIONS", "TRIGGERS")}


class Child:
    """A server process on 127.0.0.1 that ends with this process, however this process ends."""

    def __init__(self, name: str, arguments: list[str], port: int, health: str, environment: dict[str, str]):
        self.name, self.address = name, f"http://127.0.0.1:{port}"
        self.health, self.log = self.address + health, state("logs") / f"{name}.log"
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "flows.server", str(os.getpid()), *arguments],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                env=os.environ | QUIET | environment)

    def wait(self) -> None:
        """Returns when the server answers; raises PipelineError with the place of its log when it does not."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise PipelineError(f"the {self.name} server stopped at its start; its log is {self.log}")
            try:
                with urllib.request.urlopen(self.health, timeout=2):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.2)
        self.stop()
        raise PipelineError(f"the {self.name} server did not answer in {START_SECONDS} s; its log is {self.log}")

    def stop(self) -> None:
        """Ends the server and all that it started: asked first, then made to."""
        self._signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=2)
        self._signal(signal.SIGKILL)
        self.process.wait()

    def _signal(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def prefect_server(port: int) -> tuple[list[str], dict[str, str]]:
    """Module arguments and environment of a Prefect server over the state folder's own database."""
    lay_out("prefect", state("prefect"))
    # Its pages ask the API at port 4200 unless they are told otherwise.
    environment = {"PREFECT_HOME": str(state("prefect")), "PREFECT_UI_API_URL": f"http://127.0.0.1:{port}/api"}
    return ["prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)], environment


def mlflow_server(port: int) -> tuple[list[str], dict[str, str]]:
    """The same of MLflow's pages over the state folder's tracking database (or MLFLOW_TRACKING_URI)."""
    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{state('mlflow') / 'mlflow.db'}"
    environment = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
                   "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # processes that nothing here needs
    return ["mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
            "--backend-store-uri", uri], environment


def prefect_child() -> Child:
    port = free_port()
    arguments, environment = prefect_server(port)
    return Child("prefect", arguments, port, "/api/health", IDLE | environment)


def mlflow_child() -> Child:
    port = free_port()
    arguments, environment = mlflow_server(port)
    return Child("mlflow", arguments, port, "/health", environment)


def api() -> str | None:
    """The Prefect server that is there already: PREFECT_API_URL, else that of the stack on this state folder."""
    from flows import stack

    return os.environ.get("PREFECT_API_URL") or (stack.address("prefect") + "/api" if stack.is_up() else None)


@contextmanager
def prefect_api() -> Iterator[None]:
    """Inside, Prefect is ready to run flows: on the server that is there (see `api`), else on one of our own.

    Import Prefect only inside: it reads its settings once. What is imported while the server starts costs no time.
    """
    os.environ.update(QUIET)
    if os.environ.get("PREFECT_API_URL"):
        yield
        return
    if found := api():
        os.environ |= {"PREFECT_API_URL": found, "PREFECT_HOME": str(state("prefect"))}
        try:
            yield
        finally:
            _say_goodbye()
            del os.environ["PREFECT_API_URL"]
        return
    os.environ["PREFECT_HOME"] = str(state("prefect"))
    child = prefect_child()
    os.environ["PREFECT_API_URL"] = child.address + "/api"
    if not os.environ.get("MLFLOW_TRACKING_URI"):
        lay_out("mlflow", state("mlflow"))
    try:
        import transformers  # noqa: F401 - the heavy imports, while the server starts; this one in no thread: see AHEAD

        import flows.pipeline  # noqa: F401
        threading.Thread(target=_import_ahead, daemon=True).start()
        child.wait()
        with _no_heartbeats():
            try:
                yield
            finally:
                _say_goodbye()
    finally:
        del os.environ["PREFECT_API_URL"]
        child.stop()


def wait_for_server() -> None:
    """Inside a flow: returns when its server answers. The client of a flow under way tries again for minutes, but the
    one by which Prefect begins a flow within it gives up at once.
    """
    from prefect.client.orchestration import get_client

    get_client(sync_client=True).hello()


# Libraries that take seconds to import and are needed minutes later: while the server starts, a core is idle. Only such
# as stay the module that they began as: one that puts another object in its place, as transformers does, hands its
# unfinished self to any other thread that imports it meanwhile.
AHEAD = ("mlflow.store.tracking.sqlalchemy_store", "great_expectations")


@contextmanager
def _no_heartbeats() -> Iterator[None]:
    """Inside, flows send no sign of life: this server ends with the run and would tell nobody, and each flow's end
    would wait for the thread that sends them, half a second on average."""
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        yield


def _import_ahead() -> None:
    for name in AHEAD:
        with suppress(ImportError):
            importlib.import_module(name)


def _say_goodbye() -> None:
    """Sends what Prefect still has to tell; once the server is gone, it would try for minutes at exit."""
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    for worker in (APILogWorker, EventsWorker):
        worker.drain_all(timeout=10)


def serve_pages(say: Callable[[str], None], *, open_browser: bool) -> None:
    """Serves MLflow and Prefect over what was run, until Ctrl-C; where the stack is up, says where it serves them."""
    from flows import stack

    if stack.is_up():
        say("\n".join(f"{name:8} {stack.address(name)}" for name in stack.HEALTH) + "\nthe stack serves them")
        return
    children = [mlflow_child(), prefect_child()]
    try:
        for child, shows in zip(children, ("runs, scores, pictures, models", "flows and tasks"), strict=True):
            child.wait()
            say(f"{child.name:8} {child.address}   {shows}")
        say("Ctrl-C stops both")
        if open_browser:
            for child in children:
                webbrowser.open(child.address)
        while all(child.process.poll() is None for child in children):
            time.sleep(0.5)
        raise PipelineError(f"a server stopped by itself; its log is in {state('logs')}")
    finally:
        for child in children:
            child.stop()


def _run_until_orphaned(parent: int, module: str, arguments: list[str]) -> None:
    """Runs `python -m module arguments` here, and ends this whole process group as soon as the parent is gone."""
    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os.killpg(os.getpgid(0), 9)

    threading.Thread(target=watch, daemon=True).start()
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _run_until_orphaned(int(sys.argv[1]), sys.argv[2], sys.argv[3:])
