"""Backups under faults: damage, foreign paths, a clock set back, a database being written, and one that is gone."""

import json
import os
import socket
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from components.base.artifacts import file_digest
from components.base.errors import UserError
from infra.servers import backup

ROOT = Path(__file__).parents[2]


@pytest.fixture
def whole(tmp_path) -> Path:
    """A backup of two files that checks out."""
    folder = tmp_path / "20260101T000000.000000Z"
    (folder / "objects").mkdir(parents=True)
    (folder / "mlflow.dump").write_bytes(os.urandom(500))
    (folder / "objects" / "a").write_bytes(os.urandom(500))
    manifest(folder, {"mlflow.dump": None, "objects/a": None})
    backup.check(folder)
    return folder


def manifest(folder: Path, digests: dict) -> None:
    made = {name: digest or file_digest(folder / name) for name, digest in digests.items()}
    (folder / "manifest.json").write_text(json.dumps(made))


def test_a_flipped_byte_is_named(whole):
    content = bytearray((whole / "objects" / "a").read_bytes())
    content[250] ^= 1
    (whole / "objects" / "a").write_bytes(content)
    with pytest.raises(UserError, match="objects/a: is not what was saved"):
        backup.check(whole)


def test_a_missing_file_is_named(whole):
    (whole / "mlflow.dump").unlink()
    with pytest.raises(UserError, match="mlflow.dump: is missing from the backup"):
        backup.check(whole)


def test_a_manifest_reaches_no_file_elsewhere(whole):
    (whole.parent / "elsewhere").write_text("something")
    manifest(whole, {"../elsewhere": None})
    with pytest.raises(UserError, match="is missing from the backup"):
        backup.check(whole)


def test_a_backup_that_was_not_finished_is_none(whole):
    (whole / "manifest.json").unlink()
    with pytest.raises(UserError, match="manifest.json"):
        backup.check(whole)


@pytest.mark.parametrize("new, kept", [("20260105", {"20260105", "20260104"}),  # as it should be
                                       ("20200101", {"20200101", "20260104"})])  # the clock was set back
def test_the_new_backup_stays_whatever_the_clock_says(tmp_path, new, kept):
    for name in ("20260102", "20260103", "20260104", new):
        (tmp_path / name).mkdir()
        (tmp_path / name / "manifest.json").write_text("{}")
    (tmp_path / "20260101").mkdir()  # unfinished: somebody may be writing it
    backup.prune(tmp_path / new, keep=2)
    assert {p.name for p in tmp_path.iterdir()} == kept | {"20260101"}
    backup.prune(tmp_path / new, keep=1)
    assert {p.name for p in tmp_path.iterdir()} == {new, "20260101"}


def test_a_database_that_is_being_written_is_copied_whole(tmp_path):
    source = tmp_path / "cache"
    source.mkdir()
    with closing(sqlite3.connect(source / "answers.db")) as writer:
        writer.execute("PRAGMA journal_mode = WAL")
        writer.execute("CREATE TABLE answers (text TEXT)")
        writer.executemany("INSERT INTO answers VALUES (?)", [(str(i),) for i in range(1000)])
        writer.commit()  # what was written lies in the journal beside the file still
        writer.execute("INSERT INTO answers VALUES ('not committed')")
        assert (source / "answers.db-wal").stat().st_size > 0
        backup.copy(source, tmp_path / "copy")
    assert [p.name for p in (tmp_path / "copy").iterdir()] == ["answers.db"]
    with closing(sqlite3.connect(tmp_path / "copy" / "answers.db")) as copy:
        assert copy.execute("SELECT count(*) FROM answers").fetchone() == (1000,)


def test_a_database_that_is_gone_is_one_clear_word(tmp_path):
    with socket.socket() as nobody:  # bound, and not listening: nothing answers there
        nobody.bind(("127.0.0.1", 0))
        settings = {"PGHOST": "127.0.0.1", "PGPORT": str(nobody.getsockname()[1]), "PGUSER": "postgres"}
        done = subprocess.run([sys.executable, "-m", "infra.servers.prepare"], cwd=ROOT, env=os.environ | settings,
                              capture_output=True, text=True, timeout=120)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith("error: ") and "refused" in done.stderr and "Traceback" not in done.stderr
