"""Training as one call: starts the ranks under torchrun, tells of their progress, and leaves none of them running.

Nothing listens beyond loopback: the ranks meet through a file, and gloo binds the loopback interface. Each rank holds
the read end of a pipe whose write end only this process has; when this process ends, however it ends, so do they.
"""

import contextlib
import fcntl
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

from components.base.artifacts import digest, file_digest, write_bytes, write_json
from components.base.errors import PipelineError, UserError
from components.base.home import home
from components.training import checkpoints
from components.training.spec import Plan, plan_of, plan_to_json

Progress = Callable[[dict[str, Any]], None]
POLL = 0.1  # seconds between looks at the progress file
PATIENCE = 5.0  # seconds that torchrun has to end after each signal


def train(spec: dict[str, Any], out: Path, *, ranks: int = 1, threads: int = 2, zero: int = 0,
          precision: Literal["fp32", "bf16", "bf16_matmul"] = "fp32", device: Literal["cpu", "cuda"] = "cpu",
          progress: Progress | None = None, stop: threading.Event | None = None) -> Path:
    """Trains what `spec` (see `TrainingSpec`) describes; returns `out` with student.safetensors and config.json in it.

    `threads` are shared by all ranks. `progress` receives each event of out/progress.jsonl as it happens: "start",
    "note", "step" (step, steps, loss, terms, lr, norm, seconds), "checkpoint", "done". Work already done in `out` for
    the same plan is kept: a finished run returns at once, a killed one goes on from its last whole checkpoint; `stop`,
    once set from another thread, ends it as a kill would.
    Raises UserError for a wrong setting and PipelineError, with the worker's own reason, when training stops.
    """
    plan = plan_of(spec, ranks=ranks, zero=zero, precision=precision, device=device)
    if threads < 1:
        raise UserError("must be at least 1", where="training threads")
    out = Path(out).absolute()
    out.mkdir(parents=True, exist_ok=True)
    tell = progress or (lambda event: None)
    with _alone(out):
        if not _finished(out, plan):
            resume = _prepare(out, plan, tell)
            _run(out, plan, threads, resume, tell, stop or threading.Event())
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
    return digest(plan_to_json(plan))


def _prepare(out: Path, plan: Plan, tell: Progress) -> int:
    """Clears what an earlier run left and cannot be used; returns the step to resume at."""
    for name in ("done.json", "error.json"):
        (out / name).unlink(missing_ok=True)
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


def _run(out: Path, plan: Plan, threads: int, resume: int, tell: Progress, stop: threading.Event) -> None:
    scratch = out / ".launch"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    write_json(out / "launch.json", {"plan": plan_to_json(plan), "key": _key(plan), "resume": resume})
    command = [
        sys.executable, "-m", "torch.distributed.run", "--nnodes=1", f"--nproc-per-node={plan.ranks}",
        "--rdzv-backend=c10d", f"--rdzv-endpoint={scratch / 'agents'}", "--rdzv-conf=store_type=file",
        "--local-addr=127.0.0.1", "--max-restarts=0", f"--monitor-interval={POLL}", f"--log-dir={scratch}",
        "-m", "components.training.worker", str(out),
    ]
    tail = _Tail(out / "progress.jsonl", tell)
    with open(out / "worker.log", "wb") as log:
        launched = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=subprocess.STDOUT,
                                    env=_environment(plan, threads), start_new_session=True)
        try:
            while launched.poll() is None and not stop.is_set():
                tail.read()
                time.sleep(POLL)
            tail.read()
        finally:
            _stop(launched)
            shutil.rmtree(scratch, ignore_errors=True)
    if stop.is_set():
        raise PipelineError("training was stopped; the same command goes on from its last checkpoint")
    if not _finished(out, plan):
        raise _reason(out, launched.returncode)
    shutil.rmtree(out / "checkpoints", ignore_errors=True)  # pickles do not outlive training


class _Tail:
    """Follows a file of JSON lines from its present end; `read` tells of each whole line that has come since."""

    def __init__(self, path: Path, tell: Progress):
        self.stream, self.tell, self.rest = open(path, "rb"), tell, b""  # noqa: SIM115 (closed with the object)
        self.stream.seek(0, os.SEEK_END)

    def read(self) -> None:
        *lines, self.rest = (self.rest + self.stream.read()).split(b"\n")
        for line in lines:
            self.tell(json.loads(line))


def _environment(plan: Plan, threads: int) -> dict[str, str]:
    root = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    loopback = next((name for _, name in socket.if_nameindex() if name.startswith("lo")), "lo")
    return os.environ | {
        "PYTHONPATH": path,
        "FOVEATE_HOME": str(home()),
        "DS_ACCELERATOR": plan.device,
        "OMP_NUM_THREADS": str(max(1, threads // plan.ranks)),
        "GLOO_SOCKET_IFNAME": loopback,
        "NCCL_SOCKET_IFNAME": loopback,
        "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",  # that store would listen on every interface
        "TOKENIZERS_PARALLELISM": "false",
    }


def _stop(launched: subprocess.Popen) -> None:
    """Ends torchrun and every rank: the closed pipe ends the ranks, the signals end torchrun."""
    with contextlib.suppress(OSError):
        launched.stdin.close()
    for number in (signal.SIGTERM, signal.SIGKILL):
        if launched.poll() is None:
            os.killpg(launched.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                launched.wait(PATIENCE)


def _reason(out: Path, code: int) -> Exception:
    """Why the ranks stopped, in one sentence or two."""
    log = f"full log: {out / 'worker.log'}"
    with contextlib.suppress(OSError, ValueError):
        error = json.loads((out / "error.json").read_text())
        if error["kind"] == "user":
            return UserError(error["what"], where=error["where"], mend=error["mend"])
        return PipelineError(f"training stopped: {error['what']}\n  {log}")
    exits = re.findall(r"exitcode\s*:\s*(-?\d+)", (out / "worker.log").read_text(errors="replace"))
    killed = next((signal.Signals(-int(e)).name for e in exits if int(e) < 0), None)
    if killed:
        hint = " (out of memory?)" if killed == "SIGKILL" else ""
        return PipelineError(f"a training worker was killed by {killed}{hint}; start again to resume\n  {log}")
    return PipelineError(f"training ended with exit code {code} before it was done\n  {log}")
