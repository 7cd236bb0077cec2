"""One torchrun agent: starts this machine's ranks for an attempt at training, and leaves none of them running.

Agent and ranks are on a leash (`components.training.leash`): when the process that started them ends, however it ends,
so do they.
"""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from components.base.home import home
from components.training.machines import address_towards, interface_of

LAUNCH = ".launch"  # the folder of a run that its attempts use
POLL = 0.1  # seconds between looks at the ranks
PATIENCE = 5.0  # seconds that torchrun has to end after each signal


@dataclass(frozen=True, slots=True)
class Attempt:
    """One start of all ranks of the run in folder `out`, `ranks` of them on each of the `nodes` that meet at
    `endpoint` within `wait` seconds. `key` is no other attempt's; `code` tells the sources that it is to run on."""

    key: str
    out: str
    endpoint: str
    nodes: int
    ranks: int
    device: str
    wait: float
    code: str

    @property
    def folder(self) -> Path:
        """Where each rank that begins leaves a file."""
        return Path(self.out) / LAUNCH / self.key

    @property
    def met(self) -> bool:
        """Whether all machines came: no rank begins before."""
        return any(self.folder.glob("rank*"))


def leashed(module: str) -> tuple[str, str]:
    """What follows `python -m` to run a module that does not outlive who started it."""
    return "components.training.leash", module


@contextlib.contextmanager
def agent(attempt: Attempt, threads: int, log: Path) -> Iterator[subprocess.Popen]:
    """A running torchrun, whose ranks share `threads`; ended when the block is left."""
    address = address_towards(attempt.endpoint)
    with open(log, "wb") as stream:
        command = [
            sys.executable, "-m", *leashed("torch.distributed.run"), f"--nnodes={attempt.nodes}",
            f"--nproc-per-node={attempt.ranks}", "--rdzv-backend=c10d", f"--rdzv-endpoint={attempt.endpoint}",
            f"--rdzv-id={attempt.key}", f"--rdzv-conf=is_host=0,join_timeout={round(attempt.wait)}",
            f"--local-addr={address}", "--max-restarts=0", f"--monitor-interval={POLL}", f"--log-dir={attempt.folder}",
            "-m", *leashed("components.training.worker"), attempt.out,
        ]
        launched = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=stream, stderr=subprocess.STDOUT,
                                    env=_environment(attempt, threads, address), start_new_session=True)
        try:
            yield launched
        finally:
            stop(launched)


def _environment(attempt: Attempt, threads: int, address: str) -> dict[str, str]:
    root = str(Path(__file__).parents[2])
    interface = interface_of(address)
    return os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")])),
        "FOVEATE_HOME": str(home()),
        "DS_ACCELERATOR": attempt.device,
        "OMP_NUM_THREADS": str(max(1, threads // attempt.ranks)),
        "GLOO_SOCKET_IFNAME": interface,
        "NCCL_SOCKET_IFNAME": interface,
        "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",  # that store would listen on every interface
        "TOKENIZERS_PARALLELISM": "false",
    }


def stop(launched: subprocess.Popen) -> None:
    """Ends torchrun and every rank: the closed pipe ends them, the signals whoever is still busy starting."""
    with contextlib.suppress(OSError):
        launched.stdin.close()
    for number in (signal.SIGTERM, signal.SIGKILL):
        if launched.poll() is None:
            os.killpg(launched.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                launched.wait(PATIENCE)
