"""Flow: the student and its baselines, under the same budget."""

from prefect import flow, task
from prefect.task_runners import ThreadPoolTaskRunner

from components.pipeline import distillation
from components.pipeline.plan import Plan

train = task(distillation.distil, name="distil", task_run_name="distil {variant}")


@flow(name="student-distillation", persist_result=False, task_runner=ThreadPoolTaskRunner(max_workers=2))
def distil(plan: dict, run: str, made: dict[str, str]) -> dict[str, str]:
    """Folders of all students; of one, where there is no label."""
    wanted, inputs = Plan(**plan), [made[k] for k in ("dataset", "splits", "targets")]
    variants = distillation.variants(wanted, made["dataset"])
    at_once = distillation.side_by_side(wanted, len(variants))
    if at_once == 1:
        return {f"student_{v}": train(wanted, run, *inputs, v) for v in variants}
    distillation.stopping.clear()
    try:
        begun = {v: train.submit(wanted, run, *inputs, v, at_once) for v in variants}
        return {f"student_{v}": student.result() for v, student in begun.items()}
    except BaseException:  # one failed, or somebody pressed Ctrl-C: the other must not train on unseen
        distillation.stopping.set()
        raise
