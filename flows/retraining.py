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
def retrain(dataset: str = "dataset", recipe: str = "mipd", teacher: str = "", seed: int = 0,
            fast: bool = False, settings: list[str] | None = None, until: Until = "promote", quiet_seconds: float = 60,
            cooldown_seconds: float = 3600, start_from: Literal["scratch", "champion"] = "scratch",
            force: bool = False) -> State:
    """Does nothing where nothing is new, or too soon after the last; its state says what it did, and why.

    `settings` are changes of the form "distil.epochs=4"; `start_from` says whether training begins anew or from the
    weights of the champion, where it came from this dataset; `force` waits for nothing and makes again what was made.
    """
    def plan(version: growth.Version, start: str = ""):
        changes = (*(settings or ()), *([f"distil.start='{start}'"] if start else ()))
        return make(recipe=recipe, teacher=teacher, seed=seed, fast=fast, changes=changes, data=str(version.folder))

    with told():
        if not growth.history(dataset):
            return Completed(name="NothingNew", message=f"there is no dataset '{dataset}' yet")
        start = retraining.champion_of(dataset, recipe) if start_from == "champion" else ""
        done = retraining.retrain(dataset, lambda v: retraining.key_of(plain(plan(v)), v, f"{until} {start_from}"),
                                  lambda v: retraining.verdict(perform(plan(v, start), until)),
                                  retraining.Policy(quiet_seconds, cooldown_seconds), force=force)
        get_run_logger().info("%s: %s", done.word, done.text)
        return Completed(name=done.word.title().replace(" ", ""), message=done.text)
