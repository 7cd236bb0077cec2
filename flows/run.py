"""Runs the pipeline for the command line: server, console, MLflow run and summary around the main flow."""

from dataclasses import asdict
from typing import Any

from components.base.home import home
from flows.console import Lines, quiet, show_results
from flows.server import prefect_api


def run_pipeline(plan: Any, until: str, verbose: bool) -> dict[str, Any]:
    """Makes everything up to the stage `until`; returns the summary. Errors pass through, with nothing left running."""
    from components.base.progress import listening

    with quiet("run", verbose) as console, Lines(console) as lines, listening(lines):
        lines.say(f"foveate: {plan.recipe} from the {plan.teacher} teacher on {plan.data or 'drawn scenes'}, "
                  f"seed {plan.seed}; state in {home()}")
        with prefect_api():
            from components.base.artifacts import digest
            from components.base.config import flat
            from components.pipeline.promotion import summary
            from components.registry import tracking
            from flows.pipeline import pipeline

            name = f"{plan.recipe} {'fast ' if plan.fast else ''}seed {plan.seed}"
            tags = {name: getattr(plan, name) for name in ("recipe", "teacher", "seed", "fast")} | {"until": until}
            key = digest([asdict(plan), until])  # a run that was stopped goes on under its own MLflow run
            with tracking.run(name, params=flat(plan.settings), tags=tags, key=key) as run:
                made = pipeline(asdict(plan), run.id, until)
                told = summary(plan, run.id, made)
        show_results(lines, told)
    return told
