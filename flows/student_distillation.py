"""Flow: the student, and its twin that never met the teacher, under the same budget."""

from prefect import flow, task

from components.pipeline import distillation
from components.pipeline.plan import Plan

train = task(distillation.distil, name="distil", task_run_name="distil {variant}")


@flow(name="student-distillation", persist_result=False)
def distil(plan: dict, run: str, made: dict[str, str]) -> dict[str, str]:
    """Folders of both students."""
    inputs = [made[k] for k in ("dataset", "splits", "targets")]
    return {f"student_{variant}": train(Plan(**plan), run, *inputs, variant)
            for variant in (distillation.BASELINE, distillation.STUDENT)}
