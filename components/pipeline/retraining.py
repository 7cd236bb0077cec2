"""When the student of a growing dataset is made anew: once a version, after some quiet, not too often, one at a time.

`<home>/retraining/<dataset>.json` holds every attempt, so that an event that comes twice, a schedule and a person who
asks are all answered from the same record. An attempt that was killed has no end in it and is taken up again.
"""

import fcntl
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from components.base.artifacts import digest, write_json
from components.base.home import home, state
from components.pipeline import growth

KEPT = 200  # attempts on record
DONE = ("promoted", "rejected", "made")


@dataclass(frozen=True, slots=True)
class Policy:
    """`quiet` seconds must pass after the last version, `cooldown` seconds between the beginnings of two attempts.

    A version at which `failures` attempts failed or were killed is left alone until somebody insists.
    """

    quiet: float = 60.0
    cooldown: float = 3600.0
    failures: int = 3


@dataclass(frozen=True, slots=True)
class Attempt:
    """One retraining: of which version, under which `key` (version and settings), from when to when (seconds, 1970).

    `outcome` is "promoted", "rejected", "made" (a part of the pipeline only), "failed", "stopped" (asked to end) or ""
    while it is under way and after a kill. `student` is the folder by name, and `number` the version of the model, of
    the student that was promoted.
    """

    key: str
    version: str
    began: float
    ended: float | None = None
    outcome: str = ""
    text: str = ""
    student: str = ""
    number: int | None = None


@dataclass(frozen=True, slots=True)
class Made:
    """What came of the work: "promoted", "rejected" or "made", a sentence, and which student was promoted."""

    word: str
    text: str
    student: str = ""
    number: int | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a call did: "promoted", "rejected" or "made" if it made a student, else "nothing new", "cooling", "busy"."""

    word: str
    text: str
    version: str = ""

    @property
    def made(self) -> bool:
        return self.word in DONE


def retrain(name: str, key: Callable[[growth.Version], str], work: Callable[[growth.Version], Made], policy: Policy,
            *, force: bool = False, sleep: Callable[[float], None] = time.sleep,
            clock: Callable[[], float] = time.time) -> Outcome:
    """Calls `work(newest version)` if it is time; says in any case why.

    `key` tells versions with their settings apart: each is done once. `force` waits for nothing and does it again.
    Whatever `work` raises is recorded as a failure and passes through; nothing else is changed by it.
    """
    with _alone(name) as free:
        if not free:
            return Outcome("busy", f"another retraining of {name} is under way")
        version = growth.newest(name) if force else _quiet(name, policy.quiet, sleep, clock)
        past, mine = attempts(name), key(version)
        if not force and (reason := _not_now(past, mine, version, policy, clock())):
            return Outcome(*reason, version.version)
        begun = Attempt(mine, version.version, clock())
        _record(name, [*past, begun])
        try:
            made = work(version)
        except BaseException as error:
            why = next(iter(str(error).splitlines()), "")
            made = Made("failed" if isinstance(error, Exception) else "stopped", why)
            raise
        finally:
            _record(name, [*past, replace(begun, ended=clock(), outcome=made.word, text=made.text[:500],
                                          student=made.student, number=made.number)])
        return Outcome(made.word, made.text, version.version)


def attempts(name: str) -> list[Attempt]:
    """All attempts on record, oldest first."""
    file = home() / "retraining" / f"{name}.json"
    return [Attempt(**a) for a in json.loads(file.read_text("utf-8"))] if file.exists() else []


def key_of(plan: dict[str, Any], version: growth.Version, until: str) -> str:
    """What is done once: a version under the settings of a run, up to a stage."""
    return digest([version.version, {k: v for k, v in plan.items() if k != "data"}, until])


def _quiet(name: str, quiet: float, sleep: Callable[[float], None], clock: Callable[[], float]) -> growth.Version:
    """The newest version, when for `quiet` seconds no newer one has come: a flood of small ingestions is one run."""
    while True:
        version = growth.newest(name)
        left = version.at + quiet - clock()
        if left <= 0:
            return version
        sleep(min(left, quiet))


def _not_now(past: list[Attempt], key: str, version: growth.Version, policy: Policy,
             now: float) -> tuple[str, str] | None:
    """Why nothing is to be done, or None."""
    mine = [a for a in past if a.key == key]
    short = version.version[:12]
    if done := next((a for a in mine if a.outcome in DONE), None):
        return "nothing new", f"version {short} of {version.name} was retrained on already: {done.outcome}"
    failed = [a for a in mine if a.outcome in ("failed", "")]
    if len(failed) >= policy.failures:
        why = failed[-1].text or "it was killed"
        return "nothing new", (f"version {short} of {version.name} failed {len(failed)} times ({why}); "
                               f"`foveate retrain {version.name} --force` tries again")
    if mine and mine[-1].outcome in ("stopped", ""):
        return None  # it goes on at once
    last = max((a.began for a in past), default=-policy.cooldown)
    if now < last + policy.cooldown:
        until = datetime.fromtimestamp(last + policy.cooldown, UTC).isoformat(timespec="seconds")
        return "cooling", f"the last retraining of {version.name} is too fresh; the next may begin at {until}"
    return None


def _record(name: str, all_attempts: list[Attempt]) -> None:
    write_json(state("retraining") / f"{name}.json", [asdict(a) for a in all_attempts[-KEPT:]])


@contextmanager
def _alone(name: str) -> Iterator[bool]:
    """Whether nobody else retrains on this dataset. The system frees the lock of a process that dies."""
    growth.newest(name)  # an unknown name makes no lock
    with open(state("locks") / f"retraining-{name}.lock", "a") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def verdict(told: dict[str, Any]) -> Made:
    """What came of a run, from its summary."""
    if "promotion" not in told:
        return Made("made", f"made: {', '.join(told['outputs'])}")
    said, student = told["promotion"], Path(told["outputs"]["student_distilled"]).name
    if said["promoted"]:
        return Made("promoted", f"version {said['version']} of {said['model']} is champion", student, said["version"])
    failed = "; ".join(r["text"] for r in said["reasons"] if not r["passed"])
    return Made("rejected", f"version {said['version']} of {said['model']} was rejected: {failed}")


def champion_of(name: str, recipe: str) -> str:
    """The folder of the recipe's champion, by name, where it was made from the dataset and is still there; else ""."""
    from components.registry import models  # MLflow takes seconds to import

    best = models.champion(models.model_name(recipe))
    made = [a.student for a in attempts(name) if a.student and best is not None and a.number == best.number]
    return next((s for s in made if (home() / "store" / "student-distilled" / s / "inputs.json").exists()), "")
