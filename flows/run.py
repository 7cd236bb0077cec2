"""Runs the pipeline for the command line: server, console, MLflow run and summary around the main flow."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from components.base.home import home
from flows.console import Lines, quiet, show_results
from flows.server import prefect_api

Limits = tuple[int | None, float | None]  # requests, dollars


def run_pipeline(plan: Any, until: str, verbose: bool, limits: Limits = (None, None)) -> dict[str, Any]:
    """Makes everything up to the stage `until`; returns the summary. Errors pass through, with nothing left running.

    `limits` are what the whole run may spend on teachers, with what it spent before it was stopped.
    """
    def begin(run: Any) -> None:
        from components.pipeline.spending import limit

        limit(plan, run.id, *limits)

    def finish(lines: Lines, run: Any, made: dict[str, str]) -> dict[str, Any]:
        from components.pipeline.promotion import summary

        told = summary(plan, run.id, made)
        show_results(lines, told)
        return told

    return _run(plan, until, verbose, begin, finish)


def dry_run(plan: Any, until: str, verbose: bool) -> dict[str, Any]:
    """What asking the teacher would cost, said and returned; makes the dataset for it, and asks nothing."""
    def finish(lines: Lines, _run: Any, made: dict[str, str]) -> dict[str, Any]:
        from components.pipeline.recording import settle
        from components.pipeline.spending import estimate, told

        found = estimate(settle(plan, made), made, until)
        lines.say(told(found))
        return found

    return _run(plan, "ingest", verbose, lambda _run: None, finish)


def _run(plan: Any, until: str, verbose: bool, begin: Callable, finish: Callable) -> dict[str, Any]:
    from components.base.progress import listening

    with quiet("run", verbose) as console, Lines(console) as lines, listening(lines):
        from components import recipes

        world = f"drawn {recipes.get(plan.recipe).world}"
        lines.say(f"foveate: {plan.recipe} from the {plan.teacher} teacher on {plan.data or world}, "
                  f"seed {plan.seed}; state in {home()}")
        with prefect_api():
            from flows.pipeline import pipeline

            with recorded(plan, until) as run:
                begin(run)
                made = pipeline(asdict(plan), run.id, until)
                return finish(lines, run, made)


def run_retraining(dataset: str, **options: Any) -> None:
    """The retraining flow in this process; says what it did."""
    from components.base.progress import listening
    from components.pipeline.growth import newest
    from flows.commands import verbose

    newest(dataset)  # before a server is started for nothing
    with quiet("retrain", verbose()) as console, Lines(console) as lines, listening(lines), prefect_api():
        from flows.retraining import retrain

        done = retrain(dataset, **options, return_state=True)
        if not done.is_completed():
            done.result()  # raises what the flow raised
        lines.say(f"{done.name}: {done.message}")


@contextmanager
def recorded(plan: Any, until: str) -> Iterator[Any]:
    """The MLflow run of a plan up to a stage; a run that was stopped goes on under its own."""
    from components.base.artifacts import digest
    from components.base.config import flat
    from components.registry import tracking

    name = f"{plan.recipe} {'fast ' if plan.fast else ''}seed {plan.seed}"
    tags = {name: getattr(plan, name) for name in ("recipe", "teacher", "seed", "fast")} | {"until": until}
    with tracking.run(name, params=flat(plan.settings), tags=tags, key=digest([asdict(plan), until])) as run:
        yield run
