"""Flow: rationales and teacher features to the targets of training."""

from prefect import flow, task

from components.pipeline import alignment
from components.pipeline.plan import Plan

targets = task(alignment.align, name="align")


@flow(name="teacher-alignment", persist_result=False)
def align(plan: dict, run: str, made: dict[str, str]) -> dict[str, str]:
    """The folder of the targets."""
    inputs = (made[k] for k in ("dataset", "splits", "features", "rationales"))
    return {"targets": targets(Plan(**plan), run, *inputs)}
