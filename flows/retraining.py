"""Flow: a dataset has grown, so its student is made anew, judged on the frozen test split, and promoted or not."""

from typing import Literal

from prefect import State, flow
from prefect.logging import get_run_logger
from prefect.states import Completed

from components.pipeline import growth, retraining
from components.pipeline.plan import make, plain
from flows.jobs import perform, told
from flows.options import Until


@flow(name="retraining", flow_run_name="retraining on {dataset}", persist_result=False)
def retrain(dataset: str = retraining.EVERY, recipe: str = "mipd", teacher: str = "", seed: int = 0,
            fast: bool = False, settings: list[str] | None = None, until: Until = "promote", quiet_seconds: float = 60,
            cooldown_seconds: float = 3600, start_from: Literal["scratch", "champion"] = "scratch",
            force: bool = False) -> State:
    """Does nothing where nothing is new, or too soon after the last; its state says what it did, and why.

    `dataset` is one of them, or "*": each in its turn. `settings` are changes of the form "distil.epochs=4";
    `start_from` says whether training begins anew or from the weights of the champion, where it came from the dataset;
    `force` waits for nothing and makes again what was made.
    """
    def once(name: str) -> retraining.Outcome:
        def plan(version: growth.Version, start: str = ""):
            changes = (*(settings or ()), *([f"distil.start='{start}'"] if start else ()))
            return make(recipe=recipe, teacher=teacher, seed=seed, fast=fast, changes=changes, data=str(version.folder))

        start = retraining.champion_of(name, recipe) if start_from == "champion" else ""
        return retraining.retrain(name, lambda v: retraining.key_of(plain(plan(v)), v, f"{until} {start_from}"),
                                  lambda v: retraining.verdict(perform(plan(v, start), until)),
                                  retraining.Policy(quiet_seconds, cooldown_seconds), force=force)

    done, failed = [], []
    with told():
        for name in growth.names() if dataset == retraining.EVERY else [dataset]:
            try:
                done.append(once(name))
            except Exception as error:  # the other datasets shall not wait for this one
                failed.append(error)
                get_run_logger().error("%s: %s", name, error)
    if failed:
        raise failed[0]
    for outcome in done:
        get_run_logger().info("%s: %s", outcome.word, outcome.text)
    word = next((o.word for o in done if o.made), done[0].word if done else "nothing new")
    return Completed(name=word.title().replace(" ", ""), message="; ".join(o.text for o in done) or "no dataset yet")
