"""Named datasets that grow by ingestion: each version whole in its own folder, the newest named by one small file.

A version lies at `<home>/datasets/<name>/<version>/` with its splits in it, and is kept by DVC. `current.json` beside
it lists the versions, the newest last, and is written last: an ingestion that fails or is killed has changed nothing.
"""

import dataclasses
import fcntl
import json
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from components.base.artifacts import produce, write_json
from components.base.errors import UserError, nearest
from components.base.home import home, state
from components.datasets import growth, ingest, leak, splits, versions
from components.datasets.schema import version_of
from components.datasets.splits import Splits, SplitSpec
from components.datasets.store import Dataset


@dataclass(frozen=True, slots=True)
class Version:
    """A version of a named dataset: `version` and `test` are sha256, of all of it and of its frozen test split.

    `revision` is DVC's, `at` seconds since 1970; `added` of its `images` came with this version.
    """

    name: str
    version: str
    test: str
    images: int
    added: int
    at: float
    revision: str

    @property
    def folder(self) -> Path:
        return home() / "datasets" / self.name / self.version[:20]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an ingestion did: the newest version, whether this made it, and how many images it passed over and why."""

    newest: Version
    grown: bool
    repeats: int
    near: int
    held_out: int
    unlabelled: int
    warnings: tuple[str, ...]

    def told(self) -> str:
        """In a few lines, for a person."""
        why = {"seen before": self.repeats, "almost the same as one that is there": self.near,
               "of unseen verbs, which only the test may know": self.held_out, "without annotation": self.unlabelled}
        over = "; ".join(f"{count:,} {reason}" for reason, count in why.items() if count)
        new = self.newest
        made = (f"{new.added:,} images added: {new.name} has {new.images:,}, version {new.version[:12]}" if self.grown
                else f"nothing new: {new.name} stays at version {new.version[:12]}, {new.images:,} images")
        lines = [f"warning: {w}" for w in self.warnings] + ([f"passed over: {over}"] if over else [])
        return "\n".join([*lines, made])


def history(name: str) -> list[Version]:
    """All versions of a named dataset, oldest first; empty where there is none of that name."""
    file = home() / "datasets" / _checked(name) / "current.json"
    return [Version(**v) for v in json.loads(file.read_text("utf-8"))] if file.exists() else []


def newest(name: str) -> Version:
    """The newest version of a named dataset; raises UserError where there is none."""
    if found := history(name):
        return found[-1]
    mend = nearest(name, names()) or f"foveate data ingest FOLDER --dataset {name}"
    raise UserError(f"no dataset '{name}'", mend=mend)


def names() -> list[str]:
    return sorted(p.parent.name for p in (home() / "datasets").glob("*/current.json"))


def grow(source: Path, name: str, annotations: Path | None = None, space: Path | None = None,
         spec: SplitSpec | None = None) -> Outcome:
    """Adds the images of a folder (see `components.datasets.ingest`) to the dataset `name`, or begins it.

    Faulty images, annotations or boxes, images that fail the quality gate and splits that leak are refused whole: an
    error says why, and dataset and versions stay as they were. `spec` says how to split the first version (default: by
    the splits that the folder brings, or by its lexicon). Ingesting the same again does nothing.
    """
    with _alone(name), tempfile.TemporaryDirectory(dir=state("tmp")) as scratch:
        past = history(name)
        former = Dataset(past[-1].folder) if past else None
        made = Splits.load(past[-1].folder / "splits.json") if past else None
        report = ingest.ingest(source, Path(scratch) / "fresh", annotations, space,
                               known=former.ids if former else ())
        fresh = Dataset(report.dataset)
        chosen = growth.choose(fresh, former, made)
        passed = {"repeats": report.repeats, "near": chosen.near, "held_out": chosen.held_out,
                  "unlabelled": chosen.unlabelled, "warnings": report.warnings[:5]}
        if not chosen.taken:
            return Outcome(newest(name), False, **passed)
        _gate(fresh)
        data = growth.merge(Path(scratch) / "grown", name, fresh, chosen.taken, former)
        divided = growth.extend(made, data, chosen.taken) if made else _first(data, source, spec)
        leak.check_leaks(data, divided)
        divided.save(data.path / "splits.json")
        kept = _keep(name, data, divided, len(chosen.taken), past)
        return Outcome(kept, True, **passed)


def _gate(fresh: Dataset) -> None:
    """The quality gate on the new images alone, so that a bad few do not hide among many good ones."""
    from components.pipeline import verdicts

    def work(part: Path) -> None:
        from components.quality import frames, gate  # takes seconds to import

        gate.check("dataset", frames.dataset_frame(fresh, fresh.space or {"verbs": {}, "nouns": {}}), part)

    path, _ = produce("growth-gate", {"dataset": fresh.version}, work)
    verdicts.require(verdicts.read(path), str(path / "data_docs" / "index.html"))


def _first(data: Dataset, source: Path, spec: SplitSpec | None) -> Splits:
    """The splits of the first version, whose test split stays."""
    own = source / "splits.json"
    if own.is_file():
        given, there = Splits.load(own), set(data.names.values())
        parts = {s: tuple(n for n in getattr(given, s) if n in there) for s in ("train", "dev", "test")}
        return dataclasses.replace(given, **parts).by_id(data.names, str(own))
    spec = spec or SplitSpec()
    if splits.is_scenes(data):
        drawn = splits.scenes_spec(spec.seed)
        spec = dataclasses.replace(spec, unseen=drawn.unseen, pseudo_unseen=drawn.pseudo_unseen, rare=drawn.rare)
    return splits.make_splits(data.labels, spec)


def _keep(name: str, data: Dataset, divided: Splits, added: int, past: list[Version]) -> Version:
    """Makes the version known: to DVC, then in its place, then in current.json."""
    revision = versions.version(name, data.path).revision
    test = version_of(data.samples(divided.test, images=False))
    made = Version(name, data.version, test, len(data), added, time.time(), revision)
    if not made.folder.exists():  # a kill may have come between the last two steps
        state("datasets", name)
        data.path.rename(made.folder)
    write_json(made.folder.parent / "current.json", [dataclasses.asdict(v) for v in [*past, made]])
    return made


def _checked(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", name):
        raise UserError(f"'{name}' cannot name a dataset", mend="use letters, digits, '-' and '_'")
    return name


@contextmanager
def _alone(name: str) -> Iterator[None]:
    """One ingestion into a dataset at a time; the next waits. The system frees the lock of a process that dies."""
    with open(state("locks") / f"dataset-{_checked(name)}.lock", "a") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def told(version: Version) -> dict[str, Any]:
    """A version as plain JSON for people and programs."""
    return dataclasses.asdict(version) | {"at": datetime.fromtimestamp(version.at, UTC).isoformat(timespec="seconds")}
