"""The answer cache under faults: damaged entries, damaged files, many writers, a kill in the middle, no room."""

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from components.base.errors import UserError
from components.teachers.cache import AnswerCache
from components.teachers.protocol import Answer

ROOT = Path(__file__).parents[2]

WRITER = textwrap.dedent("""
    import sys, itertools
    from pathlib import Path
    from components.teachers.cache import AnswerCache
    from components.teachers.protocol import Answer
    path, name, parts = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    cache = AnswerCache(path)
    for part in itertools.islice(itertools.count(), parts or None):
        cache.put_many({f"{name}-{part}-{n}": Answer(f"{name} {part} {n}") for n in range(16)}, name)
""")


@pytest.fixture
def cache(tmp_path):
    return AnswerCache(tmp_path / "answers.sqlite")


def writer(cache, name, parts):
    return subprocess.Popen([sys.executable, "-c", WRITER, str(cache.path), name, str(parts)],
                            env=os.environ | {"PYTHONPATH": str(ROOT)})


@pytest.mark.parametrize("column", ["text", "seconds", "tokens_in", "run", "checksum"])
def test_a_damaged_entry_counts_as_missing_until_it_is_asked_again(cache, column):
    cache.put_many({"a": Answer("one"), "b": Answer("two")}, "run")
    with sqlite3.connect(cache.path) as db:
        db.execute(f"UPDATE answers SET {column} = '7' WHERE key = 'a'")
    db.close()
    with pytest.warns(UserWarning, match=r"1 damaged answer\(s\), first a: asked again"):
        assert cache.get_many(["a", "b"]) == {"b": Answer("two")}
    assert cache.stats().damaged == 1
    assert cache.verify() == ["a"]
    cache.put_many({"a": Answer("one")}, "run-2")
    assert cache.get_many(["a"]) == {"a": Answer("one")} and cache.verify() == []


def test_a_file_that_is_no_database_is_named_with_what_to_do(tmp_path):
    path = tmp_path / "answers.sqlite"
    path.write_bytes(b"this was a database once" * 100)
    with pytest.raises(UserError, match="move it away") as raised:
        AnswerCache(path)
    assert raised.value.where == str(path)
    assert path.exists()  # it may hold paid answers: it is the user's to remove


def test_torn_pages_are_found(cache):
    cache.put_many({f"{n:05}": Answer("x" * 50) for n in range(2000)}, "run")
    with open(cache.path, "r+b") as stream:
        stream.seek(4096)
        stream.write(os.urandom(cache.path.stat().st_size - 4096))
    with pytest.raises(UserError, match="damaged"):
        cache.verify()
    with pytest.raises(UserError, match="damaged"):
        cache.get_many(["00001", "01999"])


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be used") as raised:
        AnswerCache(tmp_path / "file" / "answers.sqlite")
    assert "answers.sqlite" in raised.value.where


def test_a_full_disk_keeps_what_was_there(cache, monkeypatch):
    cache.put_many({"a": Answer("one")}, "run")
    connect = sqlite3.connect

    def small(*arguments, **named):  # the real engine, with a limit that makes it report a full disk
        db = connect(*arguments, **named)
        db.execute("PRAGMA max_page_count=10")
        return db

    monkeypatch.setattr(sqlite3, "connect", small)
    with pytest.raises(UserError, match="full"):
        cache.put_many({f"b{n}": Answer("x" * 1000) for n in range(200)}, "run")
    monkeypatch.undo()
    assert cache.stats().answers == 1 and cache.verify() == []


def test_many_writers_and_a_reader_at_once(cache):
    writers = [writer(cache, f"w{n}", 25) for n in range(4)]
    while any(w.poll() is None for w in writers):
        cache.stats()  # reading is never refused
        time.sleep(0.02)
    assert [w.returncode for w in writers] == [0] * 4
    assert cache.stats().runs == {f"w{n}": 400 for n in range(4)}
    assert cache.verify() == []


def test_a_killed_writer_loses_one_batch_at_most(cache):
    running = writer(cache, "w", 0)
    while cache.stats().answers < 64:
        assert running.poll() is None
        time.sleep(0.01)
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    stats = cache.stats()
    assert stats.answers >= 64 and stats.answers % 16 == 0  # whole batches only
    assert cache.verify() == []
    cache.put_many({"after": Answer("works")}, "run")
