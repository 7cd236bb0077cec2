"""The answer cache under faults: damaged entries, damaged files, many writers, a kill in the middle, no room."""

import hashlib
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
import warnings
from pathlib import Path

import pytest

from components.base.errors import UserError
from components.teachers.cache import AnswerCache, Entry
from components.teachers.ledger import total
from components.teachers.protocol import Answer, Identity, Question

PATHS = os.environ | {"PYTHONPATH": f"{Path(__file__).parents[2]}:{Path(__file__).parent}"}
QUESTION = Question("colour", "Which colour is strongest?", "1", {"type": "object"})

WRITER = textwrap.dedent("""
    import sys, itertools
    from pathlib import Path
    from test_cache_faults import AnswerCache, entry
    folder, name, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    cache = AnswerCache(folder)
    for n in itertools.islice(itertools.count(), count or None):
        cache.pay(entry(f"{name}-{n}", name), dollars=0.5)
""")


def entry(image: str, run: str = "run", text: str = "red") -> Entry:
    return Entry(hashlib.sha256(image.encode()).hexdigest(), QUESTION, Identity("embedded", "colours", "1"), {},
                 Answer(text, 0.5, 3, 1), run, 1_700_000_000)


@pytest.fixture
def cache(tmp_path):
    return AnswerCache(tmp_path / "answers")


def writer(cache, name, count):
    return subprocess.Popen([sys.executable, "-c", WRITER, str(cache.folder), name, str(count)],
                            env=PATHS)


def change(cache, one: Entry, sql: str, *values) -> None:
    """Alters the file that holds `one`, as a fault of the disk would."""
    with sqlite3.connect(cache.folder / f"{one.image[0]}.sqlite") as db:
        assert db.execute(sql, values).rowcount > 0
    db.close()


@pytest.mark.parametrize("column", ["form", "source", "run", "asked", "seconds", "tokens_in", "tokens_out", "body",
                                    "checksum"])
def test_a_damaged_entry_counts_as_missing_until_it_is_asked_again(cache, column):
    a, b = entry("a"), entry("b")
    cache.add([a, b])
    change(cache, a, f"UPDATE answers SET {column} = '7' WHERE key = ?", a.key)
    with pytest.warns(UserWarning, match=rf"1 damaged answer\(s\), first about image {a.image}"):
        assert cache.get_many([a.key, b.key]) == {b.key: b}
    with pytest.warns(UserWarning):
        assert list(cache.entries()) == [b]
    assert cache.verify() == [a.key]
    cache.pay(a)
    assert cache.get_many([a.key]) == {a.key: a} and cache.verify() == []


@pytest.mark.parametrize("damage", ["UPDATE shared SET value = replace(value, 'colour', 'odour')",
                                    "UPDATE shared SET value = '{'", "DELETE FROM shared"])
def test_damage_to_what_answers_share_is_found(cache, damage):
    a = entry("a")
    cache.add([a])
    cache.close()
    change(cache, a, damage)
    with pytest.warns(UserWarning, match="damaged"):
        assert cache.get_many([a.key]) == {}
    assert cache.verify() == [a.key]
    assert cache.prune(damaged=True, really=True) == 1 and cache.stats().answers == 0


def test_an_answer_under_a_wrong_key_is_found(cache):
    a, b = entry("a"), entry("b")
    cache.add([a])
    change(cache, a, "UPDATE answers SET key = ? WHERE key = ?", b.key, a.key)
    assert cache.verify() == [b.key]


def test_a_file_that_is_no_database_is_named_with_what_to_do(tmp_path):
    AnswerCache(tmp_path).close()
    path = tmp_path / "a.sqlite"
    path.write_bytes(b"this was a database once" * 100)
    with pytest.raises(UserError, match="move it away") as raised:
        AnswerCache(tmp_path).stats()
    assert raised.value.where == str(path)
    assert path.exists()  # it may hold paid answers: it is the user's to remove
    path.unlink()
    assert AnswerCache(tmp_path).stats().answers == 0


def test_a_file_of_another_layout_is_refused(cache):
    cache.close()
    with sqlite3.connect(cache.folder / "3.sqlite") as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(UserError, match="layout 99"):
        cache.stats()


def test_torn_pages_are_found(cache):
    stored = [e for e in (entry(f"{n}", text="x" * 50) for n in range(20_000)) if e.image[0] == "0"]
    cache.add(stored)
    cache.close()
    file = cache.folder / "0.sqlite"
    with open(file, "r+b") as stream:
        stream.seek(4096)
        stream.write(os.urandom(file.stat().st_size - 4096))
    for use in (cache.verify, lambda: cache.get_many([e.key for e in stored]), lambda: list(cache.entries())):
        with pytest.raises(UserError, match="damaged") as raised:
            use()
        assert raised.value.where == str(file)


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be used") as raised:
        AnswerCache(tmp_path / "file" / "answers")
    assert "sqlite" in raised.value.where


def test_a_full_disk_keeps_what_was_there(cache, monkeypatch):
    a = entry("a")
    cache.pay(a)
    connect = sqlite3.connect

    def small(*arguments, **named):  # the real engine, with a limit that makes it report a full disk
        db = connect(*arguments, **named)
        db.execute("PRAGMA max_page_count=10")
        return db

    monkeypatch.setattr(sqlite3, "connect", small)
    full = AnswerCache(cache.folder)
    with pytest.raises(UserError, match="full"):
        full.add(entry(f"b{n}", text=os.urandom(500).hex()) for n in range(2000))
    monkeypatch.undo()
    assert cache.get_many([a.key]) == {a.key: a} and cache.verify() == []
    full.pay(a)  # the same object goes on when there is room again


def test_many_writers_and_a_reader_at_once(cache):
    writers = [writer(cache, f"w{n}", 100) for n in range(4)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # half an answer would be a damaged one
        while any(w.poll() is None for w in writers):
            cache.stats(), list(cache.entries())  # reading is never refused
            time.sleep(0.05)
    assert [w.returncode for w in writers] == [0] * 4
    assert cache.stats().runs == {f"w{n}": 100 for n in range(4)}
    assert cache.verify() == []
    assert [total(cache, f"w{n}").dollars for n in range(4)] == [50.0] * 4


@pytest.mark.parametrize("journal", ["wal", "delete"])
def test_killed_writers_lose_nothing_they_had_stored(cache, journal):
    if journal == "delete":  # as on a network drive
        cache.shards.share()
    running = [writer(cache, f"w{n}", 0) for n in range(2)]
    while min(cache.stats().runs.get(f"w{n}", 0) for n in range(2)) < 50:
        assert all(w.poll() is None for w in running)
        time.sleep(0.01)
    for one in running:
        os.kill(one.pid, signal.SIGKILL)
        one.wait()
    stats = cache.stats()
    for name, count in stats.runs.items():  # answers and their cost are one transaction
        assert total(cache, name).requests == count
        images = {e.image for e in cache.entries() if e.run == name}
        assert images == {entry(f"{name}-{n}").image for n in range(count)}  # the first ones, without a gap
    assert cache.verify() == []
    cache.pay(entry("after"))


def test_makers_at_the_same_time_make_one_cache(tmp_path):
    script = "import sys; from pathlib import Path; from test_cache_faults import AnswerCache, entry; " \
             "AnswerCache(Path(sys.argv[1])).add([entry(sys.argv[2])])"
    makers = [subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "new"), str(n)],
                               env=PATHS) for n in range(4)]
    assert [m.wait() for m in makers] == [0] * 4
    assert AnswerCache(tmp_path / "new").stats().answers == 4
    assert not list((tmp_path / "new").glob(".*"))


def test_a_fork_leaves_the_connections_of_its_parent_alone(cache):
    a, b = entry("a"), entry("b")
    cache.pay(a)
    child = os.fork()
    if not child:
        try:
            cache.pay(b)
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    assert set(cache.get_many([a.key, b.key])) == {a.key, b.key} and cache.verify() == []
