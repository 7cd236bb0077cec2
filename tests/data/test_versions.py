"""Versions of folders: the same content is the same version, any version comes back whole, one run at a time."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from components.base.errors import PipelineError, UserError
from components.datasets.versions import checkout, content_digest, list_versions, version

ROOT = Path(__file__).parents[2]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder inside a git repository of the user's, with git told to look at that one."""
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    monkeypatch.setenv("FOVEATE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("GIT_DIR", str(tmp_path / ".git"))
    monkeypatch.setenv("HOME", str(tmp_path / "nobody"))  # no git identity, no DVC settings
    return tmp_path / "home"


def fill(folder: Path, text: str) -> Path:
    (folder / "sub").mkdir(parents=True, exist_ok=True)
    (folder / "a.json").write_text(text)
    (folder / "sub" / "ü b.bin").write_bytes(b"\x00" * 1000)
    return folder


def test_a_life_of_versions(home: Path, tmp_path: Path) -> None:
    assert list_versions("scenes") == []
    folder = fill(tmp_path / "data", "one")
    first = version("scenes", folder)
    assert first.content == content_digest(folder) and len(first.revision) == 40 and first.md5.endswith(".dir")
    assert version("scenes", fill(tmp_path / "elsewhere", "one")) == first
    second = version("scenes", fill(folder, "two"))
    assert second.revision != first.revision
    assert version("scenes", fill(folder, "one")) == first
    assert list_versions("scenes") == [first, second] and list_versions("rationales") == []

    out = checkout("scenes", first.revision[:10], tmp_path / "out")
    assert (out / "a.json").read_text() == "one" and content_digest(out) == first.content

    with pytest.raises(UserError, match="there is something already"):
        checkout("scenes", first.revision, out)
    with pytest.raises(UserError, match=r"'scenes' has no version 'feed'"):
        checkout("scenes", "feed", tmp_path / "other")

    # the user's repository and home have seen nothing of it
    environment = {k: v for k, v in os.environ.items() if k != "GIT_DIR"}
    log = subprocess.run(["git", "log"], cwd=tmp_path, capture_output=True, text=True, env=environment, check=False)
    assert "does not have any commits" in log.stderr
    assert not (tmp_path / "nobody").exists()

    # damage in the remote is noticed, and mended by keeping the version again
    for file in (home / "dvc-remote").rglob("*"):
        if file.is_file() and file.read_bytes() == b"one":
            file.chmod(0o644)
            file.write_bytes(b"uno")
    with pytest.raises(UserError, match=r"(?s)dvc-remote: version .* is damaged.*mend: remove the damaged files"):
        checkout("scenes", first.revision, tmp_path / "broken")
    assert not (tmp_path / "broken").exists()


def test_concurrent_runs_and_a_stale_lock(home: Path, tmp_path: Path) -> None:
    """Two processes keep versions at once; git was killed before them and left its lock file."""
    folders = [fill(tmp_path / f"data{number}", f"text {number}") for number in range(2)]
    (home / "versions" / ".git").mkdir(parents=True)
    (home / "versions" / ".git" / "index.lock").touch()
    code = ("import sys; from pathlib import Path; from components.datasets.versions import version;"
            "print(version('scenes', Path(sys.argv[1])).revision)")
    runs = [subprocess.Popen([sys.executable, "-c", code, str(folder)], cwd=ROOT, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, text=True) for folder in folders]
    results = [run.communicate(timeout=120) for run in runs]
    assert [run.returncode for run in runs] == [0, 0], results
    assert {v.revision for v in list_versions("scenes")} == {out.strip() for out, _ in results}


def test_an_interrupted_version_is_finished_by_the_next(home: Path, tmp_path: Path) -> None:
    """Killed after the commit and before the tag, or in between: the same call completes it."""
    folder = fill(tmp_path / "data", "one")
    done = version("scenes", folder)
    environment = {k: v for k, v in os.environ.items() if k != "GIT_DIR"}
    subprocess.run(["git", "tag", "--delete", f"scenes/{done.content}"], cwd=home / "versions", env=environment,
                   capture_output=True, check=True)
    assert list_versions("scenes") == []
    assert version("scenes", folder) == done


def test_what_cannot_be_a_version(home: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "empty", tmp_path / "none"):
        with pytest.raises(UserError, match="there is nothing to keep"):
            version("scenes", folder)
    for name in ("../scenes", "", "a b", "-x"):
        with pytest.raises(UserError, match="cannot name a version"):
            version(name, fill(tmp_path / "data", "one"))
    assert not (home / "versions").exists()


def test_the_words_of_dvc_reach_the_user(home: Path, tmp_path: Path) -> None:
    folder = fill(tmp_path / "data", "one")
    config = home / "versions" / ".dvc" / "config"
    config.parent.mkdir(parents=True)
    config.write_text("[core]\n    remote = nowhere\n    analytics = false\n")
    with pytest.raises(PipelineError, match=r"(?s)versions: .*failed:.*nowhere"):
        version("scenes", folder)
    assert list_versions("scenes") == []


def test_git_is_needed(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="git is not installed"):
        version("scenes", fill(tmp_path / "data", "one"))


@pytest.mark.slow
def test_repro_of_the_lineage_gives_the_same_hashes(home: Path, tmp_path: Path) -> None:
    """`dvc repro` of the real dvc.yaml, on a small draw, twice from nothing."""
    work = tmp_path / "clone"
    work.mkdir()
    for name in ("dvc.yaml", ".dvcignore"):
        shutil.copy(ROOT / name, work)
    (work / ".dvc").mkdir()
    shutil.copy(ROOT / ".dvc" / "config", work / ".dvc")
    shutil.copytree(ROOT / "components" / "datasets", work / "components" / "datasets",
                    ignore=shutil.ignore_patterns("__pycache__"))
    (work / "params.yaml").write_text(
        "draw: {seed: 0, train: 210, dev: 1, test: 1, pseudo: 1, unseen: 1}\nsplit: {seed: 0}\n")
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "foveate"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -c "from flows.cli import main; main()" "$@"\n')
    command.chmod(0o755)
    environment = {key: value for key, value in os.environ.items() if key != "GIT_DIR"} | {
        "PATH": f"{command.parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "DVC_NO_ANALYTICS": "1",
        "DVC_SITE_CACHE_DIR": str(tmp_path / "site")}
    subprocess.run(["git", "init", "--quiet"], cwd=work, env=environment, check=True)
    locks = []
    for _ in range(2):
        done = subprocess.run([sys.executable, "-m", "dvc", "repro"], cwd=work, env=environment, capture_output=True,
                              text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        locks.append((work / "dvc.lock").read_text())
        (work / "dvc.lock").unlink()
        shutil.rmtree(work / ".foveate")  # the cache too: nothing may be re-used
    assert locks[0] == locks[1] and locks[0].count(".dir") >= 4
