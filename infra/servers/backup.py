"""Backup and restore of the servers: databases, objects, and what the worker's state folder cannot make again.

    python -m infra.servers.backup save FOLDER [KEEP]     a new backup FOLDER/<time>; all but the newest KEEP go
    python -m infra.servers.backup restore BACKUP         puts one back; what is there now is replaced

A backup counts once its manifest of digests is there, which is written last. Databases are dumped before objects are
copied: an object may then be one that no database knows of, but none that a database knows of is missing. Variables
as in prepare.py; FOVEATE_HOME is the worker's state folder.
"""

import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import psycopg2
from botocore.exceptions import BotoCoreError, ClientError

from components.base.artifacts import file_digest, new_folder, write_json
from components.base.errors import PipelineError, UserError
from components.base.home import home
from components.base.reading import read_json
from infra.servers.prepare import BUCKETS, DATABASES, buckets, databases, store

KEPT = ("versions", "cache/answers", "cache/recorded", "datasets", "watched")
"""Folders of the state folder that were paid for, or that nothing else holds."""
NAMES = tuple(name for names in DATABASES.values() for name in names)
MANIFEST = "manifest.json"


def save(folder: Path, keep: int = 7) -> Path:
    """A new backup below `folder`, returned; the oldest beyond `keep` go once it is whole."""
    if keep < 1:
        raise UserError("must keep at least 1", where="KEEP")
    out = folder / datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    with new_folder(out) as work:
        for name in NAMES:
            _postgres("pg_dump", "--format=custom", "--file", str(work / f"{name}.dump"), name)
        client = store()
        for bucket in BUCKETS:
            for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
                for found in page.get("Contents", ()):
                    target = work / "objects" / bucket / found["Key"]
                    target.parent.mkdir(parents=True, exist_ok=True)
                    client.download_file(bucket, found["Key"], str(target))
        for place in KEPT:
            copy(home() / place, work / "home" / place)
        files = sorted(f for f in work.rglob("*") if f.is_file())
        write_json(work / MANIFEST, {f.relative_to(work).as_posix(): file_digest(f) for f in files})
    prune(out, keep)
    return out


def prune(new: Path, keep: int) -> None:
    """Of the whole backups beside `new`, keeps it and the `keep` - 1 newest others: a clock may have been set back."""
    others = sorted(p.parent for p in new.parent.glob(f"*/{MANIFEST}") if p.parent != new)
    for old in others[:max(0, len(others) - keep + 1)]:
        shutil.rmtree(old)


def restore(backup: Path) -> None:
    """Puts a backup back: prepared databases and buckets, then their content. Servers and workers must be stopped.

    Raises UserError, before anything is changed, for a backup that is not whole or whose files were altered.
    """
    check(backup)
    databases()
    buckets()
    for name in NAMES:
        _postgres("pg_restore", "--clean", "--if-exists", "--single-transaction", "--dbname", name,
                  str(backup / f"{name}.dump"))
    client = store()
    for bucket in BUCKETS:
        for path in sorted(f for f in (backup / "objects" / bucket).rglob("*") if f.is_file()):
            client.upload_file(str(path), bucket, path.relative_to(backup / "objects" / bucket).as_posix())
    for place in KEPT:
        if (backup / "home" / place).is_dir():
            shutil.rmtree(home() / place, ignore_errors=True)
            shutil.copytree(backup / "home" / place, home() / place)


def check(backup: Path) -> None:
    """Raises UserError unless every file of the manifest is there with its digest, inside of the backup."""
    mend = "take another backup of the folder"
    for name, digest in read_json(backup / MANIFEST).items():
        path = backup / name
        if not path.resolve().is_relative_to(backup.resolve()) or not path.is_file():
            raise UserError("is missing from the backup", where=str(path), mend=mend)
        if file_digest(path) != digest:
            raise UserError("is not what was saved: its digest differs", where=str(path), mend=mend)


def copy(source: Path, target: Path) -> None:
    """A folder as it is now; SQLite files through SQLite, which may be writing to them."""
    for path in sorted(f for f in source.rglob("*") if f.is_file()):
        if path.name.endswith(("-wal", "-shm", "-journal", ".lock", ".tmp")):
            continue
        out = target / path.relative_to(source)
        out.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "rb") as stream:
            is_sqlite = stream.read(16) == b"SQLite format 3\0"
        if is_sqlite:
            with closing(sqlite3.connect(path)) as database, closing(sqlite3.connect(out)) as copied:
                database.backup(copied)
        else:
            shutil.copy2(path, out)


def _postgres(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise PipelineError(f"{command[0]} failed: {done.stderr.strip()}")


def main(act: str = "", folder: str = "", keep: str = "7") -> str:
    """What a command line asks for; returns what to say."""
    if act == "save" and folder and keep.isdecimal():
        return f"saved {save(Path(folder), int(keep))}"
    if act == "restore" and folder:
        restore(Path(folder))
        return f"restored {folder}"
    raise UserError("save FOLDER [KEEP], or restore BACKUP", where="python -m infra.servers.backup")


if __name__ == "__main__":
    try:
        print(main(*sys.argv[1:4]))
    except (UserError, PipelineError, OSError, psycopg2.Error, BotoCoreError, ClientError) as error:
        sys.exit(f"error: {str(error).strip()}")
