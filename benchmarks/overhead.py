"""What Prefect costs: the whole flow against the same stages called as plain functions, in turns, in one sitting.

    python -m benchmarks.overhead [--fast] [--turns 3] [--until promote] [--set a.b=c ...]

Each turn runs in a process and an empty state folder of its own, so nothing is cached; which of the two goes first
alternates. Timed is the main flow, from its first stage to its last: starting the server is told apart, as a team's
server is there already. Prints seconds, with the processor time of this process and what it started, and that which
the host gave to others ("stolen", Linux), and the median of the turns' ratios, as JSON.

On a machine whose speed changes from minute to minute, two runs tell more of the machine than of Prefect. So the run
with Prefect also counts the seconds that it spends in the calls of flows and tasks but not in their functions
("prefect"); "counted" is what the run takes over what it would without them.
"""

import argparse
import functools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


class Plain:
    """Stands where a flow or a task stood, and only calls its function."""

    def __init__(self, function: Any, pool: ThreadPoolExecutor):
        self.function, self.pool = function, pool

    def __call__(self, *arguments: Any) -> Any:
        return self.function(*arguments)

    def submit(self, *arguments: Any) -> Any:
        return self.pool.submit(self.function, *arguments)

    def with_options(self, **_options: Any) -> "Plain":
        return self


class Clocked:
    """A flow or a task that counts the seconds of its calls in which its function does not run: Prefect's own."""

    spent = 0.0

    def __init__(self, inner: Any):
        self.inner, self.ran, function = inner, threading.local(), inner.fn

        @functools.wraps(function)
        def clocked(*arguments: Any, **named: Any) -> Any:
            began = time.perf_counter()
            try:
                return function(*arguments, **named)
            finally:
                self.ran.seconds = time.perf_counter() - began

        inner.fn = clocked

    def __call__(self, *arguments: Any) -> Any:
        began = time.perf_counter()
        try:
            return self.inner(*arguments)
        finally:
            Clocked.spent += time.perf_counter() - began - self.ran.seconds

    def submit(self, *arguments: Any) -> Any:
        began = time.perf_counter()
        try:
            return self.inner.submit(*arguments)
        finally:
            Clocked.spent += time.perf_counter() - began

    def with_options(self, **options: Any) -> "Clocked":
        return Clocked(self.inner.with_options(**options))


def instead(kind: Callable[[Any], Any]) -> None:
    """Puts `kind` of it in the place of every flow and task of the pipeline."""
    from prefect import Flow, Task

    import flows.pipeline

    stages = flows.pipeline.STAGES
    modules = [m for name, m in list(sys.modules.items()) if name.startswith("flows.")]
    swapped: dict[int, Any] = {}
    for module in modules:
        for name, value in list(vars(module).items()):
            if isinstance(value, Flow | Task):
                if id(value) not in swapped:
                    swapped[id(value)] = kind(value)
                setattr(module, name, swapped[id(value)])
    stages |= {name: swapped.get(id(stage), stage) for name, stage in stages.items()}


def one(kind: str, fast: bool, until: str, changes: tuple[str, ...]) -> dict[str, float]:
    """Seconds of one run in this process."""
    from flows.console import quiet
    from flows.server import prefect_api

    began = time.perf_counter()
    with quiet("overhead", False), prefect_api():
        from components.base.config import flat
        from components.pipeline.plan import make
        from components.registry import tracking
        from flows import pipeline

        pool = ThreadPoolExecutor(2)
        instead((lambda it: Plain(it.fn, pool)) if kind == "plain" else Clocked)
        plan = make(fast=fast, changes=changes)
        with tracking.run("overhead", params=flat(plan.settings)) as run:
            ready, busy, stolen = time.perf_counter(), processor(), steal()
            pipeline.pipeline(asdict(plan), run.id, until)
            done = time.perf_counter()
            told = {"start": ready - began, "run": done - ready, "prefect": Clocked.spent,
                    "processor": processor() - busy, "stolen": steal() - stolen}
    return {name: round(seconds, 2) for name, seconds in told.items()}


def processor() -> float:
    """Seconds of processor time of this process and of those that it started and that have ended."""
    return sum(os.times()[:4])


def steal() -> float:
    """Seconds, over all cores, in which this machine could have run and its host ran others; 0 where nobody counts."""
    try:
        return int(Path("/proc/stat").read_text().split()[8]) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return 0.0


def main() -> None:
    """Alternates both kinds and tells of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fast", action="store_true")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--until", default="promote")
    parser.add_argument("--set", action="append", default=[], dest="changes")
    parser.add_argument("--one", choices=("flow", "plain"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(one(options.one, options.fast, options.until, tuple(options.changes))))
        return
    turns = []
    for turn in range(options.turns):
        told = {}
        for kind in ("flow", "plain") if turn % 2 == 0 else ("plain", "flow"):
            with tempfile.TemporaryDirectory() as home:
                done = subprocess.run([sys.executable, "-m", "benchmarks.overhead", *sys.argv[1:], "--one", kind],
                                      cwd=ROOT, env=os.environ | {"FOVEATE_HOME": home}, check=True,
                                      stdout=subprocess.PIPE, text=True)
            told[kind] = json.loads(done.stdout.splitlines()[-1])
            print(turn, kind, told[kind], file=sys.stderr)
        turns.append(told)
    ratios = [t["flow"]["run"] / t["plain"]["run"] for t in turns]
    counted = [t["flow"]["run"] / (t["flow"]["run"] - t["flow"]["prefect"]) for t in turns]
    print(json.dumps({"fast": options.fast, "until": options.until, "changes": options.changes, "turns": turns,
                      "ratios": ratios, "ratio": statistics.median(ratios), "counted": statistics.median(counted)},
                     indent=1))


if __name__ == "__main__":
    main()
