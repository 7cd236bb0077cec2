"""Flow: looks at the champion's logged predictions, and emits `foveate.drift.detected` where they have drifted."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from prefect import State, flow, task
from prefect.artifacts import create_markdown_artifact
from prefect.events import emit_event
from prefect.states import Completed

from components.monitoring.drift import Settings
from components.pipeline import drift
from components.registry import models

EVENT = "foveate.drift.detected"

look = task(drift.look, name="look")


@flow(name="drift-monitoring", persist_result=False)
def watch(recipe: str = "mipd", model: str = "champion", alpha: float = Settings().alpha,
          window: int = Settings().window) -> dict[str, Any] | State:
    """What was found, as JSON. The same predictions looked at twice are one event. Without a champion it does nothing.
    """
    if model == models.CHAMPION and models.champion(models.model_name(recipe)) is None:
        return Completed(name="NothingYet", message=f"{recipe} has no champion yet")
    taken = look(recipe, model, replace(Settings(), alpha=alpha, window=window))
    create_markdown_artifact(f"```\n{drift.told(taken)}\n```", key=f"drift-{recipe}".replace("_", "-"),
                             description="Whether what comes in is what the champion was tested on")
    if taken.found.verdict == "drift":
        tell(taken)
    return taken.as_dict()


def tell(taken: drift.Look) -> None:
    """Emits the event of a look that found drift."""
    about = {"prefect.resource.id": f"foveate.model.{taken.model}", "foveate.version": str(taken.version)}
    emit_event(EVENT, resource=about, payload=taken.as_dict(), id=uuid5(NAMESPACE_URL, f"{EVENT}/{taken.id}"),
               occurred=datetime.now(UTC))
