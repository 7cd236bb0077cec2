"""Flow: the teacher's rationales of every training image, asked in shards, gated and versioned."""

from prefect import flow, task

from components.pipeline import rationales
from components.pipeline.plan import Plan
from flows import workers

shards = task(rationales.shards, name="shards")
ask = task(rationales.ask_shard, name="ask", task_run_name="ask from {first}")
collect = task(rationales.collect, name="collect")
validate = task(rationales.validate, name="validate")
version = task(rationales.version, name="version")


@flow(name="rationale-generation", persist_result=False)
def generation(plan: dict, run: str, made: dict[str, str]) -> dict[str, str]:
    """Folders of the rationales, their quality result and their version."""
    wanted, data = Plan(**plan), (made["dataset"], made["splits"], made["features"])
    rationales.stopping.clear()
    parts = workers.each(ask, (wanted, run, *data), shards(*data[:2]), rationales.stopping.set)
    said = collect(wanted, run, *data, parts)
    quality = validate(wanted, run, made["dataset"], said)
    return {"rationales": said, "rationales_quality": quality, "rationales_version": version(wanted, run, said)}


def generate(plan: dict, run: str, made: dict[str, str]) -> dict[str, str]:
    """The flow on the workers that the environment asks for."""
    return generation.with_options(task_runner=workers.runner())(plan, run, made)
