"""Flow: the student, and its twin that never met the teacher, under the same budget."""

from prefect import flow, task
from prefect.task_runners import ThreadPoolTaskRunner

from components.pipeline import distillation
from components.pipeline.plan import Plan

VARIANTS = (distillation.BASELINE, distillation.STUDENT)

train = task(distillation.distil, name="distil", task_run_name="distil {variant}")


@flow(name="student-distillation", persist_result=False, task_runner=ThreadPoolTaskRunner(max_workers=len(VARIANTS)))
def distil(plan: dict, run: str, made: dict[str, str]) -> dict[str, str]:
    """Folders of both students."""
    wanted, inputs = Plan(**plan), [made[k] for k in ("dataset", "splits", "targets")]
    at_once = distillation.side_by_side(wanted, len(VARIANTS))
    if at_once == 1:
        return {f"student_{v}": train(wanted, run, *inputs, v) for v in VARIANTS}
    distillation.stopping.clear()
    try:
        begun = {v: train.submit(wanted, run, *inputs, v, at_once) for v in VARIANTS}
        return {f"student_{v}": student.result() for v, student in begun.items()}
    except BaseException:  # one failed, or somebody pressed Ctrl-C: the other must not train on unseen
        distillation.stopping.set()
        raise
