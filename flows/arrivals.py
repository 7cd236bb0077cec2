"""Flow: what is new below a watched folder goes into a dataset; and the event that says so, sent once a version."""

import json
import time
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

import httpx
from prefect import State, flow
from prefect.client.orchestration import get_client
from prefect.events import Event
from prefect.logging import get_run_logger
from prefect.states import Completed, Failed

from components.base.artifacts import write_json
from components.base.errors import PipelineError, UserError
from components.base.home import state
from components.base.text import clean
from components.pipeline import growth
from flows.jobs import told

EVENT = "foveate.dataset.versioned"


def announce(version: growth.Version) -> None:
    """Sends the event of a version to the Prefect server in use; its id is the version's, so twice is once.

    Raises PipelineError where the server does not take it.
    """
    event = Event(event=EVENT, id=uuid5(NAMESPACE_URL, f"{EVENT}/{version.name}/{version.version}"),
                  resource={"prefect.resource.id": f"foveate.dataset.{version.name}",
                            "prefect.resource.name": version.name, "foveate.version": version.version},
                  payload=growth.told(version))
    try:
        with get_client(sync_client=True) as client:
            client.request("POST", "/events", json=[event.model_dump(mode="json")]).raise_for_status()
    except httpx.HTTPError as error:
        raise PipelineError(f"Prefect could not be told of the new version ({error})") from error


@flow(name="watch-folder", persist_result=False)
def watch(folder: str | None = None, dataset: str = "dataset", settled_seconds: float = 10) -> State:
    """Ingests each folder of images below `folder` (default: `inbox` of the state folder), or that folder itself.

    A folder to which something was written less than `settled_seconds` ago waits for the next time; one that has not
    changed since it was looked at is left alone. One that is refused does not keep the others out; the flow then fails
    and says why. What is known is not ingested twice.
    """
    log, refused = get_run_logger(), []
    with told():
        for source in new_sources(Path(folder) if folder else state("inbox"), dataset, settled_seconds):
            try:
                log.info("%s: %s", source.name, clean(growth.grow(source, dataset).told()))
            except (UserError, PipelineError) as error:
                refused.append(f"{source.name}: {clean(str(error))}")
                log.error("refused %s", refused[-1])
        if versions := growth.history(dataset):
            announce(versions[-1])  # again where it was sent before: an event that was lost is made good
    if refused:
        return Failed(message="; ".join(refused)[:2000])
    return Completed(message=f"{dataset}: version {versions[-1].version[:12]}" if versions else "nothing to ingest yet")


def new_sources(top: Path, dataset: str, settled: float):
    """The folders to ingest: those directly below `top` with an `images/`, else `top` where it holds anything.

    Each is remembered with the time of its last change when whoever asked for it comes back for the next.
    """
    if not top.is_dir():
        raise UserError("not a folder", where=str(top), mend="name the folder in which images arrive")
    memory = state("stack") / f"arrivals-{dataset}.json"
    seen = json.loads(memory.read_text("utf-8")) if memory.exists() else {}
    for source in sorted(p.parent for p in top.glob("*/images")) or ([top] if any(top.iterdir()) else []):
        changed = max(p.stat().st_mtime for p in [source, *source.rglob("*")])
        if changed <= time.time() - settled and seen.get(str(source)) != changed:
            yield source
            write_json(memory, seen := seen | {str(source): changed})
