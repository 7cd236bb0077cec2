"""The pipeline as a part of another flow: under an MLflow run of its own, told to Prefect as it goes."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from prefect.logging import get_run_logger

from components.base.progress import listening
from components.base.text import clean


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
    """Inside, progress goes to the flow run."""
    with listening(Told()):
        yield


def perform(plan: Any, until: str) -> dict[str, Any]:
    """Makes everything up to a stage under an MLflow run of its own; returns the summary."""
    from components.pipeline.promotion import summary
    from flows.pipeline import pipeline
    from flows.run import recorded

    with recorded(plan, until) as run:
        made = pipeline(asdict(plan), run.id, until)
        return summary(plan, run.id, made)
