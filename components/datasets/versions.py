"""Keeps versions of datasets and rationale sets with DVC, in a git repository of its own below the state folder.

Files go to a DVC remote: `<home>/dvc-remote`, or what FOVEATE_DVC_REMOTE (such as s3://bucket) named when the
repository was made; `<home>/versions/.dvc/config` says where. The repository `<home>/versions` holds one small
`<name>.dvc` a set, a commit and a tag `<name>/<content>` a version. The tag comes last, so a version that is listed is
complete. The user's own repository is never touched.
"""

import fcntl
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from components.base.artifacts import digest, file_digest, write_bytes
from components.base.errors import PipelineError, UserError, nearest
from components.base.home import home, state

_CONFIG = """[core]
    analytics = false
    check_update = false
    remote = local
['remote "local"']
    url = {remote}
"""
_GIT = ("git", "-c", "user.name=foveate", "-c", "user.email=foveate@localhost", "-c", "commit.gpgsign=false",
        "-c", "tag.gpgsign=false", "-c", "core.hooksPath=/dev/null", "-c", "init.defaultBranch=main")


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a set: the git commit that holds it, DVC's md5 of the folder, the sha256 of its content."""

    name: str
    revision: str
    md5: str
    content: str


def content_digest(folder: Path) -> str:
    """sha256 over the paths and bytes of all files of a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return digest([[path.relative_to(folder).as_posix(), file_digest(path)] for path in files])


def version(name: str, folder: Path) -> Version:
    """Keeps the content of `folder` as a version of `name`; content that was kept before keeps its version.

    Safe under concurrent runs and after a kill. Raises UserError for a missing or empty folder and for a name that is
    not letters, digits, "-" and "_"; PipelineError with DVC's or git's words when they fail.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", name):
        raise UserError(f"'{name}' cannot name a version", where="versions", mend="use letters, digits, '-' and '_'")
    if not folder.is_dir() or not any(folder.iterdir()):
        raise UserError("there is nothing to keep", where=str(folder), mend="give a folder with files")
    content = content_digest(folder)
    with _locked() as repository:
        tag = f"{name}/{content}"
        if not _git(repository, "tag", "--list", tag):
            _dvc(repository, "add", "--to-remote", str(folder.absolute()), "--out", name)
            _git(repository, "add", ".dvc", f"{name}.dvc")
            if _git(repository, "diff", "--cached", "--name-only"):
                _git(repository, "commit", "--quiet", "--message", f"{name} {content}")
            _git(repository, "tag", tag, _git(repository, "log", "-1", "--format=%H", "--", f"{name}.dvc"))
        return _read(repository, tag)


def list_versions(name: str) -> list[Version]:
    """All versions of `name`, oldest first; an empty list if there is none."""
    if not (home() / "versions" / ".git").exists():
        return []
    with _locked() as repository:
        tags = _git(repository, "tag", "--list", f"{name}/*").split()
        order = _git(repository, "log", "--reverse", "--format=%H").split() if tags else []
        return sorted((_read(repository, tag) for tag in tags), key=lambda v: order.index(v.revision))


def checkout(name: str, revision: str, out: Path) -> Path:
    """Writes a version, given by its git revision, to the new folder `out`, and checks its content.

    Raises UserError for a revision that is none of `name`, where `out` exists, and for a damaged remote.
    """
    known = {v.revision: v for v in list_versions(name)}
    wanted = next((v for r, v in known.items() if revision and r.startswith(revision)), None)
    if wanted is None:
        raise UserError(f"'{name}' has no version {revision!r}", where="versions",
                        mend=nearest(revision, known) or f"known: {', '.join(r[:10] for r in known) or 'none'}")
    if out.exists():
        raise UserError("there is something already", where=str(out), mend="choose a new folder")
    out.parent.mkdir(parents=True, exist_ok=True)
    with _locked() as repository, tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as temporary:
        part = Path(temporary).absolute() / name
        try:
            _dvc(repository, "get", ".", name, "--rev", wanted.revision, "--out", str(part))
            if content_digest(part) != wanted.content:
                raise PipelineError("the files are not those that were kept")
        except PipelineError as error:
            _git(repository, "tag", "--delete", f"{name}/{wanted.content}")  # so that the next `version` keeps it anew
            raise UserError(f"version {revision} of '{name}' is damaged in the DVC remote: {error}",
                            where=str(home() / "dvc-remote"),
                            mend="remove the damaged files there and keep the version again from its source") from error
        part.rename(out)
    return out


@contextmanager
def _locked() -> Iterator[Path]:
    """The repository, made if missing, for this process alone. The kernel drops the lock of a process that dies."""
    with open(state("locks") / "versions.lock", "w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        repository = state("versions")
        (repository / ".git" / "index.lock").unlink(missing_ok=True)  # we hold the lock: git was killed
        if not (repository / ".git" / "HEAD").exists():
            _git(repository, "init", "--quiet")
        config = repository / ".dvc" / "config"
        if not config.exists():
            config.parent.mkdir(exist_ok=True)
            write_bytes(config.parent / ".gitignore", b"/config.local\n/tmp\n/cache\n")
            remote = os.environ.get("FOVEATE_DVC_REMOTE") or state("dvc-remote")
            write_bytes(config, _CONFIG.format(remote=remote).encode())
        yield repository


def _read(repository: Path, tag: str) -> Version:
    name, content = tag.split("/")
    revision = _git(repository, "rev-parse", f"{tag}^{{commit}}")
    pointer = yaml.safe_load(_git(repository, "show", f"{revision}:{name}.dvc"))
    return Version(name, revision, pointer["outs"][0]["md5"], content)


def _git(repository: Path, *arguments: str) -> str:
    return _run(repository, *_GIT, *arguments)


def _dvc(repository: Path, *arguments: str) -> str:
    return _run(repository, sys.executable, "-m", "dvc", *arguments)


def _run(repository: Path, *command: str) -> str:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}  # as set inside git hooks
    clean |= {"DVC_NO_ANALYTICS": "1", "DVC_SITE_CACHE_DIR": str(state("dvc-site")), "GIT_TERMINAL_PROMPT": "0"}
    try:
        done = subprocess.run(command, cwd=repository, env=clean, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise UserError(f"{error.filename} is not installed", where="versions", mend="install git") from error
    if done.returncode:
        words = (done.stderr or done.stdout).strip()
        raise PipelineError(f"versions: `{Path(command[0]).name} {' '.join(command[-3:])}` failed:\n{words}")
    return done.stdout.strip()
