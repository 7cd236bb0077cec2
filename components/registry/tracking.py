"""Runs in MLflow: nested, resumable, with dataset lineage, and without secrets.

By default the tracking database is SQLite below the state folder; MLFLOW_TRACKING_URI names another.
"""

import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow import MlflowClient, set_registry_uri, set_tracking_uri
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.entities import Run as MlflowRun
from mlflow.exceptions import MlflowException
from mlflow.utils.time import get_current_time_millis

from components.base.errors import UserError
from components.base.home import home, state

EXPERIMENT = "foveate"
ADDRESSES = ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI")
BATCH = {"params": 100, "metrics": 1000}  # what MLflow accepts at once
_SECRET = re.compile(r"(^|[._\-\s])(tokens?|pass(word|wd|phrase)?|secrets?|(api|access|private)?[_-]?keys?|"
                     r"credentials?|authorization)$")
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+@")


def connect() -> MlflowClient:
    """A client of the tracking server in use, set up (folders, experiment) if this is the first call."""
    uri, registry = (os.environ.get(name) for name in ADDRESSES)
    set_tracking_uri(uri or f"sqlite:///{state('mlflow') / 'mlflow.db'}")
    set_registry_uri(registry or uri or f"sqlite:///{home() / 'mlflow' / 'mlflow.db'}")
    for name, given in zip(ADDRESSES, (uri, registry), strict=True):
        if not given:  # MLflow writes there what it was last told; here they hold what the user says
            os.environ.pop(name, None)
    client = MlflowClient()
    if client.get_experiment_by_name(EXPERIMENT) is None:
        # A server keeps artifacts where it was told to; by default they lie beside the database.
        place = None if uri else (state("mlflow", "artifacts") / EXPERIMENT).as_uri()
        try:
            client.create_experiment(EXPERIMENT, artifact_location=place)
        except MlflowException:  # another process was first
            if client.get_experiment_by_name(EXPERIMENT) is None:
                raise
    return client


def lay_out_tables(database: Path) -> None:
    """Makes an empty tracking database in SQLite: the tables, and no experiment, which would name a folder."""
    from mlflow.store.db import utils
    from sqlalchemy import create_engine

    engine = create_engine(f"sqlite:///{database}")
    utils._initialize_tables(engine)
    engine.dispose()


def experiment_id(client: MlflowClient) -> str:
    return client.get_experiment_by_name(EXPERIMENT).experiment_id


@dataclass(frozen=True, slots=True)
class Run:
    """An MLflow run by its id. Its methods hold no state, so any thread or process may log to it."""

    id: str
    client: MlflowClient

    def log_metrics(self, metrics: Mapping[str, float]) -> None:
        """Finite numbers only: a NaN would be stored as 0 by some servers, so it is left out and tagged as missing."""
        self.log_history({0: metrics})

    def log_history(self, history: Mapping[int, Mapping[str, float]]) -> None:
        """Metrics of many steps in few calls, as each call is a transaction; else as `log_metrics`."""
        now = get_current_time_millis()
        told = [(step, name, value) for step, metrics in history.items() for name, value in metrics.items()]
        finite = [v is not None and math.isfinite(v) for _, _, v in told]
        points = [Metric(_name(n), float(v), now, step)
                  for (step, n, v), good in zip(told, finite, strict=True) if good]
        for start in range(0, len(points), BATCH["metrics"]):
            self.client.log_batch(self.id, metrics=points[start:start + BATCH["metrics"]])
        if missing := sorted({n for (_, n, _), good in zip(told, finite, strict=True) if not good}):
            self.client.set_tag(self.id, "metrics_not_finite", ", ".join(missing))

    def log_params(self, params: Mapping[str, Any]) -> None:
        """A flat configuration. Already logged ones are kept: MLflow's parameters are written once."""
        known = self.client.get_run(self.id).data.params
        fresh = [Param(_name(k), str(v)) for k, v in scrub(params).items() if _name(k) not in known]
        for start in range(0, len(fresh), BATCH["params"]):
            self.client.log_batch(self.id, params=fresh[start:start + BATCH["params"]])

    def set_tags(self, tags: Mapping[str, Any]) -> None:
        self.client.log_batch(self.id, tags=[RunTag(key, str(value)) for key, value in scrub(tags).items()])

    def log_folder(self, folder: Path, place: str | None = None) -> None:
        """All files below `folder`, under the artifact path `place`."""
        self.client.log_artifacts(self.id, str(folder), place)

    def log_figure(self, picture: Path, place: str = "pictures") -> None:
        """One file (a picture, a page) under the artifact path `place`."""
        self.client.log_artifact(self.id, str(picture), place)

    def log_dataset(self, name: str, version: str, *, context: str, made_by: Mapping[str, str] | None = None) -> None:
        """Records that the run used `version` of dataset `name` for `context` ("training", "evaluation")."""
        # MLflow's digest is for display and at most 36 characters long; the whole version goes into a tag.
        entity = Dataset(name, version[:36], source_type="foveate", source=json.dumps(scrub(made_by or {})))
        tags = [InputTag("mlflow.data.context", context), InputTag("version", version)]
        self.client.log_inputs(self.id, [DatasetInput(entity, tags)])
        self.client.set_tag(self.id, f"dataset.{name}", version)


@contextmanager
def run(name: str, *, parent: Run | None = None, tags: Mapping[str, Any] | None = None,
        params: Mapping[str, Any] | None = None, key: str | None = None) -> Iterator[Run]:
    """A run that ends as FINISHED, as FAILED after an exception, or as KILLED after an interrupt.

    With `key`, a former run of that key (and parent) that did not finish is continued instead of a new one begun.
    """
    client = connect()
    tags = scrub(tags or {})
    former = find(key, parent, client) if key else None
    if former is not None and former.info.status != "FINISHED":
        current = Run(former.info.run_id, client)
        client.update_run(current.id, status="RUNNING")
    else:
        system = {"mlflow.parentRunId": parent.id} if parent else {}
        system |= {"foveate.key": key} if key else {}
        made = client.create_run(experiment_id(client), run_name=name, tags=system)
        current = Run(made.info.run_id, client)
    try:
        current.set_tags(tags)
        current.log_params(params or {})
        yield current
    except BaseException as error:
        client.set_tag(current.id, "error", _CREDENTIALS.sub("***@", f"{type(error).__name__}: {error}")[:2000])
        client.set_terminated(current.id, "FAILED" if isinstance(error, Exception) else "KILLED")
        raise
    if former is not None and "error" in client.get_run(current.id).data.tags:
        client.delete_tag(current.id, "error")  # of the attempt that this one continued
    client.set_terminated(current.id, "FINISHED")


def find(key: str, parent: Run | None = None, client: MlflowClient | None = None) -> MlflowRun | None:
    """The latest run begun with `key` (under `parent`), or None."""
    client = client or connect()
    query = f"tags.`foveate.key` = '{_quoted(key)}'"
    if parent:
        query += f" and tags.`mlflow.parentRunId` = '{_quoted(parent.id)}'"
    found = client.search_runs([experiment_id(client)], query, max_results=1, order_by=["attributes.start_time DESC"])
    return found[0] if found else None


def scrub(values: Mapping[str, Any]) -> dict[str, Any]:
    """`values` fit to be logged: URLs lose their user and password. Raises UserError for a key that names a secret.

    A name such as `api_key_env`, which holds the name of a variable, is no secret; nor is a number (tokens: 144).
    """
    for key, value in values.items():
        if _SECRET.search(key.lower()) and isinstance(value, str) and value:
            raise UserError("a secret is never logged", where=key,
                            mend="keep it in an environment variable, named by a setting that ends in _env")
    return {k: _CREDENTIALS.sub("***@", v) if isinstance(v, str) else v for k, v in values.items()}


def _quoted(text: str) -> str:
    if "'" in text:
        raise UserError("a run's key holds no quote", where=text)
    return text


def _name(name: str) -> str:
    """A name MLflow accepts: letters, digits and _-./: and spaces; the rest becomes '_'."""
    return re.sub(r"[^\w\-./: ]", "_", name)
