"""Moves the alias `champion`: by decision or a person's reason, one mover at a time, recorded, a crash mended.

The order of a move is: write the intent into the registered model's tag `move`, move the alias, write tags, history and
descriptions, remove the intent. Whoever comes next finishes a move whose intent is still there. The lock is a file
below the state folder: against one tracking server, promote from one machine.
"""

import fcntl
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from mlflow.exceptions import MlflowException

from components.base.errors import PipelineError, UserError
from components.base.home import state
from components.recipes.protocol import Gates
from components.registry import models
from components.registry.comparison import Evaluation
from components.registry.decision import Decision, decide
from components.registry.models import CHALLENGER, CHAMPION, Version
from components.registry.tracking import connect

HISTORY = 200  # moves kept in the registered model's tag `history`


@dataclass(frozen=True, slots=True)
class Outcome:
    """What promotion did with `version`: is it the champion now, against which former champion was it judged, why."""

    version: int
    promoted: bool
    former: int | None
    decision: Decision
    forced: str = ""  # the reason of whoever promoted it against the decision


def promote(name: str, which: str | int, gates: Gates, *, force: str = "", seed: int = 0, wait: float = 60.0,
            evaluate: Callable[[Version], Evaluation] = models.evaluation) -> Outcome:
    """Judges a version against the present champion and makes it champion, or tags it as rejected with the reasons.

    The champion is read under the lock: of two promotions at once, the second is judged against the winner of the
    first. A version that is champion already stays so, with its recorded decision. With `force`, a person's reason, it
    becomes champion whatever the decision, and both are recorded. `evaluate` gives the evaluation of a version; by
    default the one it was registered with. Raises PipelineError when another promotion holds the lock for longer than
    `wait` seconds, UserError for an unknown version.
    """
    with _locked(name, wait):
        _recover(name)
        version, best = models.get(name, which), models.champion(name)
        scores = evaluate(version)
        if best is not None and best.number == version.number:
            before = version.tags.get("former_champion", "")
            former = int(before) if before else None
            decision, force = Decision.from_dict(json.loads(version.tags["decision"])), version.tags.get("forced", "")
            promoted = True
        else:
            former = best.number if best else None
            decision = decide(scores, evaluate(best) if best else None, gates, seed)
            force = "" if decision.promote else force
            promoted = bool(decision.promote or force)
            for tag, value in (("decision", decision.as_dict()), ("gates", asdict(gates))):
                connect().set_model_version_tag(name, version.number, tag, json.dumps(value))
            if promoted:
                _move(name, {"kind": "forced" if force else "promotion", "to": version.number, "from": former,
                             "at": _now(), **({"reason": force} if force else {})})
            else:
                _reject(version, decision)
        models.describe(models.get(name, version.number), scores, decision)
        return Outcome(version.number, promoted, former, decision, force)


def rollback(name: str, *, reason: str, wait: float = 60.0) -> Version:
    """Gives the alias back to the champion before the present one, records why, and returns that version.

    Raises UserError where there is no champion or none before it.
    """
    with _locked(name, wait):
        _recover(name)
        best = models.champion(name)
        former = best.tags.get("former_champion") if best else None
        if not former:
            what = f"version {best.number} had no champion before it" if best else "there is no champion"
            raise UserError(f"nothing to roll back to: {what}", where=name, mend="promote another version instead")
        _move(name, {"kind": "rollback", "to": int(former), "from": best.number, "at": _now(), "reason": reason})
        return models.get(name, int(former))


def history(name: str) -> list[dict[str, Any]]:
    """All moves of the alias, oldest first: {"kind": promotion, forced or rollback, "to", "from", "at", "reason"?}."""
    return json.loads(_tags(name).get("history", "[]"))


def _move(name: str, move: dict[str, Any]) -> None:
    connect().set_registered_model_tag(name, "move", json.dumps(move))
    _finish(name, move)


def _recover(name: str) -> None:
    """Finishes a move that a crash interrupted: its intent is in the registry, and every step may be done twice."""
    if pending := _tags(name).get("move"):
        _finish(name, json.loads(pending))


def _finish(name: str, move: dict[str, Any]) -> None:
    client, new, old = connect(), move["to"], move["from"]
    if move["kind"] != "rollback":  # before the alias: a champion always knows the way back
        client.set_model_version_tag(name, new, "former_champion", str(old or ""))
    client.set_registered_model_alias(name, CHAMPION, str(new))
    client.set_model_version_tag(name, new, "status", "champion")
    if old is not None:
        status = "rolled back" if move["kind"] == "rollback" else "former champion"
        client.set_model_version_tag(name, old, "status", status)
    if move["kind"] == "rollback":
        client.set_model_version_tag(name, old, "rolled_back", move["reason"])
    elif move["kind"] == "forced":
        client.set_model_version_tag(name, new, "forced", move["reason"])
    version = models.get(name, new)
    if CHALLENGER in version.aliases:
        client.delete_registered_model_alias(name, CHALLENGER)
    for tag in ("rejected", "reasons", "rolled_back", *(("forced",) if move["kind"] == "promotion" else ())):
        if tag in version.tags:
            client.delete_model_version_tag(name, new, tag)
    moves = history(name)
    if move not in moves:
        client.set_registered_model_tag(name, "history", json.dumps([*moves, move][-HISTORY:]))
    models.announce(name)
    client.delete_registered_model_tag(name, "move")


def _reject(version: Version, decision: Decision) -> None:
    client = connect()
    client.set_model_version_tag(version.name, version.number, "reasons", "; ".join(r.text for r in decision.failed))
    client.set_model_version_tag(version.name, version.number, "rejected", "true")
    client.set_model_version_tag(version.name, version.number, "status", "rejected")


def _tags(name: str) -> dict[str, str]:
    try:
        return dict(connect().get_registered_model(name).tags)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        raise UserError(f"no registered model {name}", mend="run `foveate run` first") from None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")


@contextmanager
def _locked(name: str, wait: float) -> Iterator[None]:
    """Holds the promotion lock of a model. The system frees it when its holder dies."""
    deadline = time.monotonic() + wait
    with open(state("locks") / f"promotion-{name}.lock", "a") as stream:
        while True:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise PipelineError(f"another promotion of {name} is under way; waited {wait:g} s for it") from None
                time.sleep(0.1)
        yield
