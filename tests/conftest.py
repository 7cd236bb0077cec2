"""Every test has its own state folder, and none talks to the outside."""

import os
import signal
import threading

if "PYTEST_XDIST_WORKER" in os.environ:  # OpenMP teams of several workers would wait for each other
    os.environ["OMP_NUM_THREADS"] = "1"

if threading.current_thread() is threading.main_thread():  # tests interrupt their children, who inherit it ignored
    signal.signal(signal.SIGINT, signal.default_int_handler)  # from a shell that runs pytest in the background

from pathlib import Path

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first, so that no worker begins a long one when the others are done."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(autouse=True, scope="session")
def no_home():
    """Nobody's state folder is touched, whatever the environment says."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("FOVEATE_HOME", "MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "PREFECT_API_URL"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory):
    """The folder of a tiny trained checkpoint by the name of its architecture, made once a session."""
    from functools import cache

    @cache
    def folder(architecture: str) -> Path:
        from tiny_checkpoints import make

        return make(architecture, tmp_path_factory.mktemp(architecture))

    return folder


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory, monkeypatch) -> Path:
    """The state folder of one test; one that a module's fixture has set for all of its tests stays."""
    if "FOVEATE_HOME" not in os.environ:
        monkeypatch.setenv("FOVEATE_HOME", str(tmp_path_factory.mktemp("home")))
    return Path(os.environ["FOVEATE_HOME"])


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    """A state folder whose tracking database is made once for a module: its first creation takes seconds."""
    from components.registry import tracking

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FOVEATE_HOME", str(tmp_path_factory.mktemp("registry")))
        tracking.connect()
        yield Path(os.environ["FOVEATE_HOME"])
