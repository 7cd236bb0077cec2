"""What is made once per Python environment: an empty Prefect database, and outputs that follow from packages alone."""

import pytest

from components.base import artifacts
from flows import prefect_database


def made(shared: bool):
    return artifacts.produce("thing", {"a": 1}, lambda part: (part / "x").write_text("made"), shared=shared)


def test_what_is_shared_is_made_once_for_all_state_folders(tmp_path, monkeypatch):
    monkeypatch.setattr(artifacts, "environment", lambda: tmp_path / "environment")
    for home, there in (("one", False), ("two", True)):
        monkeypatch.setenv("FOVEATE_HOME", str(tmp_path / home))
        done, found = made(shared=True)
        assert (done.parent.parent, found) == (tmp_path / "environment", there)


def test_an_environment_that_cannot_be_written_leaves_it_to_the_state_folder(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(artifacts, "environment", lambda: tmp_path / "file")
    monkeypatch.setenv("FOVEATE_HOME", str(tmp_path / "home"))
    assert made(shared=True)[0].is_relative_to(tmp_path / "home" / "store")


@pytest.mark.parametrize(("template", "before", "after"), [
    ("laid out", None, "laid out"), ("laid out", "in use", "in use"), (None, None, None)])
def test_a_state_folder_without_a_database_starts_from_the_template(tmp_path, monkeypatch, template, before, after):
    monkeypatch.setattr(prefect_database, "template", lambda: tmp_path / "template.db")
    folder = tmp_path / "prefect"
    folder.mkdir()
    for path, content in ((tmp_path / "template.db", template), (folder / "prefect.db", before)):
        if content:
            path.write_text(content)
    prefect_database.lay_out(folder)
    found = {f.name: f.read_text() for f in folder.iterdir()}
    assert found == ({"prefect.db": after} if after else {})
