"""Every test has its own state folder, and none talks to the outside."""

import pytest


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory, monkeypatch):
    """The state folder of one test; a test that sets FOVEATE_HOME itself wins."""
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("FOVEATE_HOME", str(home))
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "PREFECT_API_URL"):
        monkeypatch.delenv(name, raising=False)
    return home
