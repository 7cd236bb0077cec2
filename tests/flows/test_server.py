"""A server of ours listens on loopback only, and ends with its parent, however that ends."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request

import pytest
from prefect import flow
from prefect.settings import PREFECT_API_URL, temporary_settings

from components.base.errors import PipelineError
from flows import server


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat") as stat:
        return stat.read().rpartition(")")[2].split()[0] != "Z"


def _child(health: str = "/") -> server.Child:
    port = server.free_port()
    return server.Child("files", ["http.server", str(port), "--bind", "127.0.0.1"], port, health, {})


def test_a_child_is_waited_for_and_stopped():
    child = _child()
    child.wait()
    assert child.address.startswith("http://127.0.0.1:")
    child.stop()
    assert not _alive(child.process.pid)


def test_a_server_that_dies_at_its_start_names_its_log():
    child = server.Child("broken", ["no_such_module"], server.free_port(), "/", {})
    with pytest.raises(PipelineError, match=r"broken server stopped at its start; its log is .*broken\.log"):
        child.wait()


def test_a_server_that_never_answers_is_stopped(monkeypatch):
    monkeypatch.setattr(server, "START_SECONDS", 2)
    child = _child(health="/no-such-page")
    with pytest.raises(PipelineError, match="did not answer in 2 s"):
        child.wait()
    assert not _alive(child.process.pid)


def test_a_child_does_not_outlive_a_parent_that_is_killed():
    script = ("import sys; sys.path.insert(0, '.')\nfrom tests.flows.test_server import _child\nimport time\n"
              "c = _child(); c.wait(); print(c.process.pid, flush=True); time.sleep(60)\n")
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        pid = int(parent.stdout.readline())
        assert _alive(pid)
        parent.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 10
    while _alive(pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not _alive(pid)


def test_what_is_imported_in_a_thread_stays_the_module_that_it_began_as():
    code = ("import importlib, sys\n"
            f"for name in {server.AHEAD!r}:\n"
            "    importlib.import_module(name)\n"
            "    top = sys.modules[name.split('.')[0]]\n"
            "    assert type(top).__module__ == 'builtins', name\n")
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.fixture(scope="module")
def prefect(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FOVEATE_HOME", str(tmp_path_factory.mktemp("home")))
        child = server.prefect_child()
    try:
        child.wait()
        yield child.address
    finally:
        child.stop()


def test_prefects_pages_ask_the_server_that_serves_them(prefect):
    with urllib.request.urlopen(f"{prefect}/ui-settings", timeout=30) as answer:
        assert json.load(answer)["api_url"] == f"{prefect}/api"


def test_flows_send_heartbeats_except_to_the_server_of_one_run(prefect):
    @flow(persist_result=False)
    def beating():
        return any("heartbeat" in repr(vars(thread).get("_args")) for thread in threading.enumerate())

    with temporary_settings({PREFECT_API_URL: f"{prefect}/api"}):
        assert beating()
        with server._no_heartbeats():
            assert not beating()
        assert beating()
        server._say_goodbye()
