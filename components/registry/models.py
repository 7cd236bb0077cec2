"""Bundles as versions of a registered model: put there once per content, described in words, and fetched verified."""

import json
import shutil
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema

from components.base.artifacts import digest, file_digest, write_json
from components.base.errors import UserError
from components.base.home import state
from components.base.text import code
from components.registry.comparison import Evaluation
from components.registry.decision import Decision
from components.registry.tracking import Run, connect, scrub

CHAMPION, CHALLENGER = "champion", "challenger"
_CODE = Path(__file__).with_name("pyfunc_model.py")


@dataclass(frozen=True, slots=True)
class Version:
    """A version of a registered model, as the registry knew it when asked. `run` is the MLflow run that made it."""

    name: str
    number: int
    run: str
    created: int  # milliseconds since 1970, UTC
    description: str
    tags: Mapping[str, str]
    aliases: tuple[str, ...]

    @property
    def sha256(self) -> str:
        return self.tags.get("bundle_sha256", "")


def model_name(recipe: str) -> str:
    return f"foveate-{recipe}"


def folder_digest(folder: Path) -> str:
    """sha256 of the names and contents of all files below `folder`."""
    files = sorted(f for f in folder.rglob("*") if f.is_file())
    return digest([[f.relative_to(folder).as_posix(), file_digest(f)] for f in files])


def register(recipe: str, bundle: Path, evaluation: Evaluation, run: Run, *, teacher: str, code: str,
             datasets: Mapping[str, str], summary: str = "", headline: Mapping[str, float] | None = None,
             reference: Path | None = None) -> Version:
    """The version that holds `bundle`; a bundle of the same content and evaluation is registered once.

    `teacher`, `code` and `datasets` {name: version} say what it was made from, `summary` what it is and
    `headline` the few scores that matter, for the description; `reference`, a Parquet file, is what drift is told by.
    The new version gets the alias `challenger` until promotion judges it.
    """
    if not any(bundle.glob("*")):
        raise UserError("no bundle to register", where=str(bundle), mend="run the edge export first")
    name, sha256 = model_name(recipe), folder_digest(bundle)
    judged = digest(asdict(evaluation))
    tags = scrub({"bundle_sha256": sha256, "evaluation_sha256": judged, "teacher_identity": teacher, "code": code,
                  "status": "registered", **{f"dataset.{k}": v for k, v in datasets.items()}})
    for version in versions(name):
        if version.sha256 == sha256 and version.tags.get("evaluation_sha256") == judged:
            break
    else:
        version = _create(name, bundle, evaluation, run, tags, reference)
    if not version.description:  # new, or an earlier registration died here
        connect().set_registered_model_alias(name, CHALLENGER, str(version.number))
        describe(version, evaluation, None, summary, headline)
    return get(name, version.number)


def _create(name: str, bundle: Path, evaluation: Evaluation, run: Run, tags: dict[str, str],
            reference: Path | None) -> Version:
    client, uri = connect(), _log(bundle, evaluation, run, reference)
    try:
        client.create_registered_model(name, description=_about(name, None))
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    # Tags go in with the creation: a version without its digest never exists.
    made = client.create_model_version(name, uri, run.id, tags, model_id=uri.removeprefix("models:/"))
    return get(name, made.version)


def _log(bundle: Path, evaluation: Evaluation, run: Run, reference: Path | None) -> str:
    """Logs the bundle with its evaluation and reference as a model of the run; returns the model's URI."""
    with tempfile.TemporaryDirectory(dir=state("tmp")) as folder:
        shutil.copytree(bundle, Path(folder) / "bundle")  # MLflow keeps the name of the folder that it is given
        write_json(Path(folder) / "evaluation.json", asdict(evaluation))
        with mlflow.start_run(run_id=run.id), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*input example")  # it would be an image in every version
            info = mlflow.pyfunc.log_model(
                name="student", python_model=str(_CODE), pip_requirements=["foveate"],
                artifacts={"bundle": f"{folder}/bundle", "evaluation": f"{folder}/evaluation.json",
                           **({"reference": str(reference)} if reference else {})},
                signature=ModelSignature(Schema([ColSpec("binary", "image")]), Schema([ColSpec("string")]),
                                         ParamSchema([ParamSpec("verbs", "string", "")])))
    run.client.update_run(run.id, status="RUNNING")  # start_run ended it, but its owner has not
    return info.model_uri


def versions(name: str) -> list[Version]:
    """All versions, newest first; empty for a model nobody registered yet."""
    client = connect()
    found = client.search_model_versions(f"name = '{name}'", max_results=1000)
    return sorted((_version(client, v) for v in found), key=lambda v: -v.number)


def get(name: str, which: str | int) -> Version:
    """The version of a number or an alias. Raises UserError where there is none."""
    client = connect()
    try:
        if str(which).isdigit():
            return _version(client, client.get_model_version(name, str(which)))
        return _version(client, client.get_model_version_by_alias(name, str(which)))
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        known = ", ".join(str(v.number) for v in versions(name)) or "none yet: run `foveate run` first"
        raise UserError(f"no version or alias '{which}' of model {name}", mend=f"known versions: {known}") from None


def champion(name: str) -> Version | None:
    """The version that the alias `champion` points at, or None."""
    try:
        return get(name, CHAMPION)
    except UserError:
        return None


def _version(client: MlflowClient, found: Any) -> Version:
    # A search leaves the aliases out, so the version is asked for by its number.
    found = client.get_model_version(found.name, found.version)
    return Version(found.name, int(found.version), found.run_id or "", found.creation_timestamp,
                   found.description or "", dict(found.tags), tuple(found.aliases))


def bundle_path(name: str, which: str | int) -> Path:
    """A local folder with the bundle of a version or alias, checked against the digest it was registered with.

    Raises UserError for an unknown version, or where the stored files are not those that were registered.
    """
    version = get(name, which)
    place = state("models", name) / version.sha256[:20]
    if place.exists() and folder_digest(place) == version.sha256:
        return place
    with tempfile.TemporaryDirectory(dir=state("tmp")) as folder:
        fetched = Path(_fetch(version, "artifacts/bundle", folder))
        if folder_digest(fetched) != version.sha256:
            raise UserError("the stored bundle is not the one that was registered (its sha256 differs)",
                            where=f"{name} version {version.number}", mend="export and register it again")
        shutil.rmtree(place, ignore_errors=True)
        try:
            fetched.replace(place)
        except OSError:  # another process was first
            if folder_digest(place) != version.sha256:
                raise
    return place


def evaluation(version: Version) -> Evaluation:
    """The evaluation that a version was registered with."""
    with tempfile.TemporaryDirectory(dir=state("tmp")) as folder:
        return Evaluation(**json.loads(Path(_fetch(version, "artifacts/evaluation.json", folder)).read_text()))


def reference(version: Version) -> bytes | None:
    """The Parquet file that drift of a version is told by; None where it was registered without one."""
    with tempfile.TemporaryDirectory(dir=state("tmp")) as folder:
        try:
            return Path(_fetch(version, "artifacts/reference.parquet", folder)).read_bytes()
        except (MlflowException, OSError):  # what a missing file is depends on where artifacts are kept
            return None


def _fetch(version: Version, part: str, folder: str) -> str:
    return mlflow.artifacts.download_artifacts(f"models:/{version.name}/{version.number}/{part}", dst_path=folder)


def describe(version: Version, scores: Evaluation, decision: Decision | None, summary: str = "",
             headline: Mapping[str, float] | None = None) -> None:
    """Writes the version's description: what it is, what was decided for which reasons, and how good it is."""
    client = connect()
    if summary:
        client.set_model_version_tag(version.name, version.number, "summary", summary)
    if headline:
        client.set_model_version_tag(version.name, version.number, "headline", json.dumps(dict(headline)))
    text = [summary or version.tags.get("summary", "An edge student distilled from a multimodal teacher."), ""]
    if decision is None:
        text += ["**Decision:** not judged yet."]
    else:
        forced = version.tags.get("forced")
        word = "promoted to champion" if decision.promote else f"promoted by force: {code(forced)}" if forced else \
            "rejected"
        text += [f"**Decision:** {word}. Reasons:", ""]
        text += [f"- {'passed' if r.passed else '**failed**'}: {r.text}" for r in decision.reasons]
    shown = headline or json.loads(version.tags.get("headline", "{}")) or dict(sorted(scores.metrics.items())[:12])
    text += ["", "| how good it is | |", "|---|---|"]
    text += [f"| {k} | {v:.4g} |" for k, v in [*shown.items(), *sorted(scores.edge.items())]]
    made = {k: v for k, v in version.tags.items() if k in ("teacher_identity", "code") or k.startswith("dataset.")}
    text += ["", "**Made from:** " + "; ".join(f"{k} {code(v)}" for k, v in sorted(made.items()))]
    client.update_model_version(version.name, version.number, "\n".join(text))


def announce(name: str) -> None:
    """Writes the registered model's description: which version is champion, and since which decision."""
    connect().update_registered_model(name, _about(name, champion(name)))


def _about(name: str, best: Version | None) -> str:
    told = f"version {best.number} (see there why, and how good it is)" if best else "none yet"
    return f"Edge students distilled by the recipe `{name.removeprefix('foveate-')}`.\n\n**Champion:** {told}."
