"""Stage outputs are named by their inputs, made once, resumed after a kill and never half-written."""

import errno
import json
import os
import threading
import time

import pytest

from components.base import artifacts
from components.base.home import home, state


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch):
    monkeypatch.setenv("FOVEATE_HOME", str(tmp_path / "home"))


def test_the_same_inputs_are_worked_once():
    calls = []

    def work(part):
        calls.append(part)
        (part / "out.txt").write_text("done")

    first, cached = artifacts.produce("stage", {"a": 1, "b": [2]}, work)
    again, cached_again = artifacts.produce("stage", {"b": [2], "a": 1}, work)
    other, _ = artifacts.produce("stage", {"a": 2, "b": [2]}, work)
    assert (cached, cached_again, len(calls)) == (False, True, 2)
    assert first == again != other
    assert (first / "out.txt").read_text() == "done"
    assert json.loads((first / "inputs.json").read_text()) == {"stage": "stage", "inputs": {"a": 1, "b": [2]}}


def test_a_failed_stage_is_not_an_output_and_resumes_in_its_own_work():
    def dies(part):
        (part / "step-1").write_text("kept")
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError, match="killed"):
        artifacts.produce("stage", {"a": 1}, dies)
    assert not list(state("store", "stage").glob("*/inputs.json"))

    seen = []
    done, cached = artifacts.produce("stage", {"a": 1}, lambda part: seen.extend(p.name for p in part.iterdir()))
    assert seen == ["step-1"] and not cached
    assert (done / "step-1").read_text() == "kept"
    assert not list(state("store", "stage").glob("*.part"))


def test_who_wants_what_is_being_made_waits_for_it():
    calls, done = [], []

    def work(part):
        calls.append(part)
        time.sleep(0.2)
        (part / "out.txt").write_text("done")

    threads = [threading.Thread(target=lambda: done.append(artifacts.produce("stage", {"a": 1}, work)))
               for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1
    assert sorted(cached for _, cached in done) == [False, True, True, True]
    assert {(path / "out.txt").read_text() for path, _ in done} == {"done"}


def test_a_full_disk_leaves_the_old_file_and_no_temporary(tmp_path, monkeypatch):
    target = tmp_path / "report.json"
    artifacts.write_json(target, {"old": True})

    def full(_descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        artifacts.write_json(target, {"new": True})
    assert json.loads(target.read_text()) == {"old": True}
    assert [p.name for p in tmp_path.iterdir()] == ["report.json"]


def test_digest_ignores_key_order_but_no_value():
    assert artifacts.digest({"a": 1, "b": 2}) == artifacts.digest({"b": 2, "a": 1})
    assert artifacts.digest({"a": 1}) != artifacts.digest({"a": 1.5})
    assert artifacts.digest([1, 2]) != artifacts.digest([2, 1])


def test_file_digest_is_sha256(tmp_path):
    (tmp_path / "f").write_bytes(b"abc")
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert artifacts.file_digest(tmp_path / "f") == expected


def test_code_version_follows_the_sources_it_names():
    base = artifacts.code_version("components.base")
    assert base == artifacts.code_version("components.base")
    assert base != artifacts.code_version("components.base.errors")
    assert artifacts.code_version("components.base.errors") != artifacts.code_version("components.base.home")


def test_asking_for_home_writes_nothing(tmp_path):
    assert home() == tmp_path / "home"
    assert not home().exists()
    assert state("a", "b").is_dir()
