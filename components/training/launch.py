"""Training as one call: starts the ranks under torchrun, tells of their progress, and leaves none of them running.

On one machine nothing listens beyond loopback; of several (see `Machines`), each listens on the one address by which it
reaches the others, and a run that loses one waits for it and goes on from the last whole checkpoint.
"""

import contextlib
import fcntl
import json
import os
import re
import shutil
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

from components.base.artifacts import code_version, digest, file_digest, write_bytes, write_json
from components.base.errors import PipelineError, UserError
from components.training import checkpoints
from components.training.agent import LAUNCH, POLL, Attempt, agent
from components.training.lending import calling
from components.training.machines import Machines, meeting
from components.training.spec import Plan, plan_of, plan_to_json

Progress = Callable[[dict[str, Any]], None]
ALONE = Machines()
FUTILE = 3  # attempts in a row that may end without a step that none before them made


class LostError(PipelineError):
    """No rank gave a reason that would come again: another machine may be lost, and may come back."""


def train(spec: dict[str, Any], out: Path, *, ranks: int = 1, threads: int = 2, zero: int = 0,
          precision: Literal["fp32", "bf16", "bf16_matmul"] = "fp32", device: Literal["cpu", "cuda"] = "cpu",
          machines: Machines = ALONE, progress: Progress | None = None, stop: threading.Event | None = None) -> Path:
    """Trains what `spec` (see `TrainingSpec`) describes; returns `out` with student.safetensors and config.json in it.

    `ranks` are those of all `machines` together; the ranks of this one share `threads`. `progress` receives each event
    of out/progress.jsonl as it happens: "start", "note", "step" (step, steps, loss, terms, lr, norm, seconds),
    "checkpoint", "done". Work already done in `out` for the same plan is kept: a finished run returns at once, a killed
    one goes on from its last whole checkpoint; `stop`, once set from another thread, ends it as a kill would.
    Raises UserError for a wrong setting and PipelineError, with the worker's own reason, when training stops.
    """
    plan = plan_of(spec, ranks=ranks, zero=zero, precision=precision, device=device)
    if threads < 1:
        raise UserError("must be at least 1", where="training threads")
    if ranks % machines.nodes:
        raise UserError(f"{ranks} must be a multiple of the {machines.nodes} machines", where="training ranks")
    out = Path(out).absolute()
    out.mkdir(parents=True, exist_ok=True)
    tell = progress or (lambda event: None)
    with _alone(out):
        if not _finished(out, plan):
            _run(out, plan, threads, machines, tell, stop or threading.Event())
            shutil.rmtree(out / "checkpoints", ignore_errors=True)  # pickles do not outlive training
    return out


def history(out: Path) -> list[dict[str, Any]]:
    """The "step" events of a run, in order: each with the step's number, loss, terms, lr and gradient norm."""
    return [event for event in _events(Path(out) / "progress.jsonl") if event.get("event") == "step"]


def _events(path: Path) -> Iterator[dict[str, Any]]:
    for line in path.read_text().splitlines() if path.exists() else []:
        with contextlib.suppress(ValueError):  # a kill may have cut the last line
            yield json.loads(line)


@contextlib.contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Holds the folder's lock, which the system drops when this process ends."""
    with open(out / ".lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError("another training run is writing here", where=str(out),
                            mend="wait for it to end, or stop it") from None
        yield


def _finished(out: Path, plan: Plan) -> bool:
    """Whether this very plan was trained here to its end and its weights are still what was written."""
    try:
        done = json.loads((out / "done.json").read_text())
        return done["plan"] == _key(plan) and done["sha256"] == file_digest(out / "student.safetensors")
    except (OSError, ValueError, KeyError):
        return False


def _key(plan: Plan) -> str:
    """What tells plans apart whose work is not the same."""
    return digest({name: value for name, value in plan_to_json(plan).items() if name != "ranks"})


def _prepare(out: Path, plan: Plan, tell: Progress) -> int:
    """Clears what an earlier run left and cannot be used; returns the step to resume at."""
    (out / "done.json").unlink(missing_ok=True)
    folder, key = out / "checkpoints", out / "checkpoints" / "plan.json"
    if folder.exists() and not (key.exists() and key.read_text() == _key(plan)):
        shutil.rmtree(folder)
        tell({"event": "note", "text": "the earlier checkpoints are of another plan: training starts anew"})
    folder.mkdir(exist_ok=True)
    write_bytes(key, _key(plan).encode())
    resume, damaged = checkpoints.newest(folder)
    if damaged:
        names = ", ".join(damaged)
        tell({"event": "note", "text": f"checkpoint {names} is damaged: training resumes at step {resume}"})
    kept = [event for event in history(out) if event["step"] < resume]
    write_bytes(out / "progress.jsonl", "".join(json.dumps(event) + "\n" for event in kept).encode())
    return resume


def _run(out: Path, plan: Plan, threads: int, machines: Machines, tell: Progress, stop: threading.Event) -> None:
    """Attempts until the plan is trained: one, where there is no other machine to lose."""
    furthest, futile = -1, 0
    with meeting(machines) as endpoint:
        while True:
            attempt = Attempt(uuid.uuid4().hex, str(out), endpoint, machines.nodes, plan.ranks // machines.nodes,
                              plan.device, machines.wait, code_version("components"))
            if machines.nodes > 1:
                text = f"waiting for {machines.nodes} machines at {endpoint}: run `foveate join` on each other one"
                tell({"event": "note", "text": text})
            try:
                code = _attempt(attempt, plan, threads, machines.timeout, tell, stop)
                if stop.is_set():
                    raise PipelineError("training was stopped; the same command goes on from its last checkpoint")
                if _finished(out, plan):
                    return
                reason = _reason(attempt, code)
            finally:
                shutil.rmtree(out / LAUNCH, ignore_errors=True)
            reached = max((event["step"] for event in history(out)), default=-1)
            furthest, futile = (reached, 0) if reached > furthest else (furthest, futile + 1)
            if not isinstance(reason, LostError) or futile == FUTILE:
                raise reason
            tell({"event": "note", "text": str(reason)})


def _attempt(attempt: Attempt, plan: Plan, threads: int, timeout: float, tell: Progress, stop: threading.Event) -> int:
    """Starts all ranks from the newest whole checkpoint and sees them end; torchrun's exit code."""
    out = Path(attempt.out)
    resume = _prepare(out, plan, tell)
    attempt.folder.mkdir(parents=True)
    write_json(attempt.folder / "launch.json", {"plan": plan_to_json(plan), "key": _key(plan), "resume": resume,
                                                "endpoint": attempt.endpoint, "timeout": timeout})
    tail = _Tail(out / "progress.jsonl", tell)
    with calling(attempt), agent(attempt, threads, out / "worker.log") as launched:
        while launched.poll() is None and not stop.is_set():
            tail.read()
            time.sleep(POLL)
    tail.read()
    return launched.returncode


class _Tail:
    """Follows a file of JSON lines from its present end; `read` tells of each whole line that has come since."""

    def __init__(self, path: Path, tell: Progress):
        self.stream, self.tell, self.rest = open(path, "rb"), tell, b""  # noqa: SIM115 (closed with the object)
        self.stream.seek(0, os.SEEK_END)

    def read(self) -> None:
        *lines, self.rest = (self.rest + self.stream.read()).split(b"\n")
        for line in lines:
            self.tell(json.loads(line))


def _reason(attempt: Attempt, code: int) -> Exception:
    """Why the ranks stopped, in one sentence or two; a `LostError` where another machine may be why."""
    log = Path(attempt.out) / "worker.log"
    where, kind = f"full log: {log}", LostError if attempt.nodes > 1 else PipelineError
    if attempt.nodes > 1 and not attempt.met:
        return PipelineError(f"{attempt.nodes} machines did not meet at {attempt.endpoint}; run `foveate join` on each "
                             f"other one, over the same state folder\n  {where}")
    with contextlib.suppress(OSError, ValueError):
        error = json.loads((attempt.folder / "error.json").read_text())
        if error["kind"] == "user":
            return UserError(error["what"], where=error["where"], mend=error["mend"])
        kind = PipelineError if error["kind"] == "pipeline" else kind
        return kind(f"training stopped: {error['what']}\n  {where}")
    exits = re.findall(r"exitcode\s*:\s*(-?\d+)", log.read_text(errors="replace"))
    killed = next((signal.Signals(-int(e)).name for e in exits if int(e) < 0), None)
    if killed:
        hint = " (out of memory?)" if killed == "SIGKILL" else ""
        return kind(f"a training worker was killed by {killed}{hint}; start again to resume\n  {where}")
    return kind(f"training ended with exit code {code} before it was done\n  {where}")
