"""Flow: the distilled student to a bundle for the edge."""

from prefect import flow, task

from components.pipeline import edge
from components.pipeline.plan import Plan

bundle = task(edge.export, name="export")


@flow(name="edge-export", persist_result=False)
def export(plan: dict, run: str, made: dict[str, str]) -> dict[str, str]:
    """The folder of the bundle and its measured facts."""
    inputs = (made[k] for k in ("dataset", "splits", "student_distilled"))
    return {"bundle": bundle(Plan(**plan), run, *inputs)}
