"""Flows that a deployment starts with plain parameters: the pipeline up to a stage, told to Prefect as it goes."""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from prefect import flow
from prefect.concurrency import _leases
from prefect.logging import get_run_logger
from prefect.runtime import deployment, flow_run

from components.base.artifacts import write_json
from components.base.home import state
from components.base.progress import listening
from components.base.text import clean
from flows.options import Until
from flows.server import wait_for_server
from flows.stack import process

# A flow whose deployment runs once at a time renews its place on the server, now and then. Prefect ends it where that
# fails three times, which a server that is started again takes longer than.
_leases._RENEWAL_MAX_ATTEMPTS = 60


class Told:
    """A progress listener that writes the begin and the end of each stage into the log of the flow run."""

    def __init__(self):
        self.log, self.known, self.lock = get_run_logger(), set(), threading.Lock()

    def begin(self, stage: str) -> None:
        with self.lock:
            fresh = stage not in self.known
            self.known.add(stage)
        if fresh:
            self.log.info("%s ...", clean(stage))

    def advance(self, stage: str, done: float, total: float, note: str) -> None:
        self.begin(stage)

    def end(self, stage: str, result: str, failed: bool) -> None:
        self.log.info("%s %s %s", clean(stage), "failed" if failed else "done:", clean(result))


@contextmanager
def told() -> Iterator[None]:
    """Inside, progress goes to the flow run, and the local stack knows which process works on it.

    If that process is killed, the stack says so of the run, which would else be called running for ever.
    """
    mark = state("stack", "runs") / f"{flow_run.get_id()}.json"
    write_json(mark, process(os.getpid()) | {"deployment": deployment.get_name()})
    if deployment.get_id():
        _print_to_log()
    try:
        with listening(Told()):
            yield
    finally:
        mark.unlink(missing_ok=True)


def _print_to_log() -> None:
    """Sends all further output of this process, a worker's, to a file: the worker may die, and with it who reads the
    pipe that we print to; then the next line would end the flow.
    """
    with open(state("logs") / "flows.log", "ab") as log:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
            os.dup2(log.fileno(), stream.fileno())


def perform(plan: Any, until: str) -> dict[str, Any]:
    """Makes everything up to a stage under an MLflow run of its own; returns the summary."""
    from components.pipeline.promotion import summary
    from flows.pipeline import pipeline
    from flows.run import recorded

    wait_for_server()
    with recorded(plan, until) as run:
        made = pipeline(asdict(plan), run.id, until)
        return summary(plan, run.id, made)


@flow(name="run", persist_result=False)
def run(dataset: str | None = None, recipe: str = "mipd", teacher: str = "", seed: int = 0, fast: bool = False,
        settings: list[str] | None = None, until: Until = "promote") -> None:
    """The pipeline up to a stage, on the newest version of a dataset that grows or (None) on drawn scenes.

    `settings` are changes of the form "distil.epochs=4"; `until` is the last stage to make.
    """
    from components.pipeline.plan import make

    with told():
        perform(make(recipe=recipe, teacher=teacher, seed=seed, fast=fast, changes=tuple(settings or ()),
                     dataset=dataset), until)
