"""Several machines on one run: the one that trains calls, in a file of the shared state folder, and others come.

The state folder lies on storage that all of them share, under the same path.
"""

import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from components.base.artifacts import code_version, write_json
from components.base.config import as_dict, from_dict
from components.base.errors import UserError
from components.base.home import home, state
from components.training.agent import POLL, Attempt, agent
from components.training.machines import reachable

LOOK = 1.0  # seconds between looks at the call


@contextmanager
def calling(attempt: Attempt) -> Iterator[None]:
    """Inside, other machines are called to an attempt."""
    if attempt.nodes == 1:
        yield
        return
    state("training")
    write_json(_call(), as_dict(attempt))
    try:
        yield
    finally:
        _call().unlink(missing_ok=True)


def called() -> Attempt | None:
    """The attempt to which machines are called now; a call outlives a machine that was killed, but not its address."""
    try:
        return from_dict(Attempt, json.loads(_call().read_text()))
    except (OSError, ValueError, TypeError, UserError):
        return None


def lend(say: Callable[[str], None], stop: threading.Event | None = None) -> None:
    """Gives this machine's cores to each attempt that is called, one after the other, until `stop` is set."""
    stop, served, refused = stop or threading.Event(), "", ""
    own = code_version("components")
    say(f"waiting for training to be called in {home()}; Ctrl-C ends it")
    while not stop.wait(LOOK):
        attempt = called()
        if attempt is None or attempt.key in (served, refused) or not reachable(attempt.endpoint):
            continue
        if attempt.code != own:
            refused = attempt.key
            say(f"not trained here: {attempt.endpoint} runs other sources of Foveate; install the same on both")
            continue
        say(f"training {attempt.out} with {attempt.endpoint}")
        try:
            say(_serve(attempt, stop))
        except OSError as error:  # the network, or the storage, is gone again
            say(f"could not train: {error}")
        if attempt.met:  # else the machines may meet yet
            served = attempt.key


def _serve(attempt: Attempt, stop: threading.Event) -> str:
    """Runs this machine's ranks until they end or the call does; says which."""
    log = state("logs") / f"join-{os.uname().nodename}.log"
    with agent(attempt, os.cpu_count() or 1, log) as launched:
        while launched.poll() is None and not stop.wait(POLL):
            here = called()
            if here is None or here.key != attempt.key:
                return "ended: not called any more"
    return "ended" if not launched.returncode else f"ended before the training did; its log is {log}"


def _call() -> Path:
    return home() / "training" / "call.json"
