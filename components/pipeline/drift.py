"""The champion's logged predictions held against its test: a verdict, a page, and a record in MLflow."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from components.base.artifacts import digest, new_folder, write_json
from components.base.errors import UserError
from components.base.home import state
from components.monitoring import drift, log, page
from components.monitoring.drift import Settings
from components.pipeline import notices
from components.pipeline.prediction import bundle_of, log_folder
from components.registry import models, tracking


@dataclass(frozen=True, slots=True)
class Look:
    """One look at the log: the verdict of `components.monitoring.drift`, and the folder of drift.html and drift.json.

    `id` names the predictions that were looked at and the version: the same look has the same id.
    """

    model: str
    version: int
    id: str
    found: drift.Drift
    folder: Path

    def as_dict(self) -> dict[str, Any]:
        return {"model": self.model, "version": self.version, "id": self.id, "page": str(self.folder / "drift.html"),
                **self.found.as_dict()}


def look(recipe: str, which: str = "champion", settings: Settings | None = None) -> Look:
    """Looks at the newest predictions of a version. The same ones are recorded and told of once.

    Raises UserError for an unknown version, and for one that was registered without a reference.
    """
    settings = settings or Settings()
    version = models.get(models.model_name(recipe), which)
    kept = models.reference(version)
    if kept is None:
        raise UserError("it was registered without a reference of its test", where=f"version {version.number}",
                        mend="export and register it again: `foveate promote`")
    reference = pq.read_table(io.BytesIO(kept), schema=log.SCHEMA)
    window = log.read(log_folder(bundle_of(str(version.number), recipe)), settings.window)
    found = drift.look(reference, window, settings)
    name = digest([version.number, sorted(window["row"].to_pylist()), repr(settings)])[:20]
    folder = state("drift") / name
    fresh = not folder.exists()
    if fresh:
        about = {"model": f"{version.name}, version {version.number}", "its bundle": version.sha256[:20],
                 "alarm level": f"{settings.alpha:g} for each look", "permutations": str(settings.permutations)}
        with new_folder(folder) as part:
            page.render(found, reference, window, settings, about, part)
            write_json(part / "drift.json", {"model": version.name, "version": version.number, **found.as_dict()})
        _record(version, found, folder)
    taken = Look(version.name, version.number, name, found, folder)
    if fresh and found.verdict == "drift":
        notices.drift(taken)
    return taken


def told(taken: Look) -> str:
    """The look for a reader."""
    found = taken.found
    lines = [f"{page.VERDICTS[found.verdict]}: {found.predictions} predictions of version {taken.version} of "
             f"{taken.model}, beside {found.reference} test images"]
    lines += [f"  {drift.NAMES[t.name]:<24} p {t.p:.4f}, adjusted {t.adjusted:.4f}{'  drift' if t.drift else ''}"
              for t in found.tests]
    return "\n".join([*lines, f"page      {taken.folder / 'drift.html'}"])


def _record(version: models.Version, found: drift.Drift, folder: Path) -> None:
    tags = {"verdict": found.verdict, "model": version.name, "version": version.number}
    with tracking.run("drift", tags=tags) as run:
        run.log_metrics({f"p.{t.name}": t.adjusted for t in found.tests} | {"stability": found.stability})
        run.log_figure(folder / "drift.html", "drift")
        run.log_figure(folder / "drift.json", "drift")
