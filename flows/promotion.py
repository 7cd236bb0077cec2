"""Flow: the promotion gate, the act in the registry, and the written reports."""

from pathlib import Path

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact

from components.pipeline import promotion, promotion_report
from components.pipeline.plan import Plan

decide = task(promotion.promote, name="promote")
explain = task(promotion_report.write, name="promotion report")
tell = task(promotion.write_report, name="report")


@flow(name="promotion", persist_result=False)
def promote(plan: dict, run: str, made: dict[str, str]) -> dict[str, str]:
    """Folders of the decision, of the page that explains it, and of the report of the run."""
    wanted = Plan(**plan)
    decision = {"promotion": decide(wanted, run, made)}
    page = explain(wanted, run, made | decision)
    create_markdown_artifact((Path(page) / "note.md").read_text("utf-8"),
                             key=f"promotion-{wanted.recipe}".replace("_", "-"),
                             description="Which student is champion, and why")
    return {**decision, "promotion_report": page, "report": tell(wanted, run, made | decision)}
