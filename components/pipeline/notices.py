"""What is told to the outside: promotions, rejections, rollbacks and drift, as messages in plain words."""

from collections.abc import Mapping
from typing import Any

from components.base.artifacts import digest
from components.notifications.channels import Message
from components.notifications.send import notify


def promotion(told: Mapping[str, Any], reasons: list[str]) -> None:
    """The outcome of a judgement, as in promotion.json."""
    word = "is champion by force" if told["forced"] else "is champion" if told["promoted"] else "was rejected"
    lines = [f"Because: {told['forced']}"] if told["forced"] else reasons
    facts = {k: told[k] for k in ("model", "version", "promoted", "former", "forced")}
    _tell("promotion" if told["promoted"] else "rejection", f"{told['model']}: version {told['version']} {word}",
          "\n".join(lines), facts)


def rollback(move: Mapping[str, Any]) -> None:
    """A move of the alias back, as in the model's history."""
    _tell("rollback", f"{move['model']}: version {move['to']} is champion again",
          f"Instead of version {move['from']}. Because: {move['reason']}", dict(move))


def drift(taken: Any) -> None:
    """A look (`components.pipeline.drift.Look`) that found drift."""
    found = taken.found
    signs = [f"{t.name}: p {t.adjusted:.4f}" for t in found.tests if t.drift]
    _tell("drift", f"{taken.model}: what comes in is not what version {taken.version} was tested on",
          "\n".join([f"{found.predictions} predictions, {found.first} to {found.last}.", *signs]),
          {"model": taken.model, "version": taken.version, "id": taken.id})


def _tell(event: str, title: str, text: str, details: dict[str, Any]) -> None:
    notify(Message(event, title, text, digest([event, title, text, details])[:32], details))
