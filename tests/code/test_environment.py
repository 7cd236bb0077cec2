"""The Python environment: what is made once in it, and what is relied on of a library beyond its interface."""

import inspect

import pytest
import sqlalchemy
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

from components.base import artifacts
from flows import databases, jobs


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
    monkeypatch.setattr(databases, "template", lambda name: tmp_path / f"template-{name}.db")
    folder = tmp_path / "prefect"
    folder.mkdir()
    for path, content in ((tmp_path / "template-prefect.db", template), (folder / "prefect.db", before)):
        if content:
            path.write_text(content)
    databases.lay_out("prefect", folder)
    found = {f.name: f.read_text() for f in folder.iterdir()}
    assert found == ({"prefect.db": after} if after else {})


def test_the_empty_databases_are_what_their_libraries_would_lay_out(tmp_path, monkeypatch):
    monkeypatch.setattr(databases, "environment", lambda: tmp_path)
    databases.main(["mlflow"])
    assert [f.name for f in tmp_path.iterdir()] == [databases.template("mlflow").name]
    folder = tmp_path / "mlflow"
    folder.mkdir()
    databases.lay_out("mlflow", folder)
    tables = {}
    for name, uri in (("ours", folder / "mlflow.db"), ("theirs", tmp_path / "fresh.db")):
        store = SqlAlchemyStore(f"sqlite:///{uri}", str(tmp_path / "artifacts"))  # raises where a migration is missing
        tables[name] = set(sqlalchemy.inspect(store.engine).get_table_names())
        assert [e.name for e in store.search_experiments()] == ["Default"]
        store.engine.dispose()
    assert tables["ours"] == tables["theirs"]


def test_prefect_still_reads_the_limit_that_jobs_raise():
    """It is private: a Prefect that renamed it would end long runs whose server is started again, without a word."""
    renewing = inspect.getsource(jobs._leases._renew_concurrency_lease_with_retries)
    assert "range(_RENEWAL_MAX_ATTEMPTS)" in renewing and jobs._leases._RENEWAL_MAX_ATTEMPTS == 60
