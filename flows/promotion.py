"""Flow: the promotion gate, the act in the registry, and the written report."""

from prefect import flow, task

from components.pipeline import promotion
from components.pipeline.plan import Plan

decide = task(promotion.promote, name="promote")
tell = task(promotion.write_report, name="report")


@flow(name="promotion", persist_result=False)
def promote(plan: dict, run: str, made: dict[str, str]) -> dict[str, str]:
    """Folders of the decision and of the report."""
    decision = decide(Plan(**plan), run, made)
    return {"promotion": decision, "report": tell(Plan(**plan), run, made | {"promotion": decision})}
