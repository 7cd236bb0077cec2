"""What Prefect costs: the whole flow against the same stages called as plain functions, in turns, in one sitting.

    python -m benchmarks.overhead [--fast] [--turns 3] [--until promote] [--set a.b=c ...]

Each turn runs in a process and an empty state folder of its own, so nothing is cached; which of the two goes first
alternates. Timed is the main flow, from its first stage to its last: starting the server is told apart, as a team's
server is there already. Prints seconds, with the processor time of this process and what it started, and that which
the host gave to others ("stolen", Linux), and the median of the turns' ratios, as JSON.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
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


def plainly() -> None:
    """Puts a plain function in the place of every flow and task of the pipeline."""
    from prefect import Flow, Task

    import flows.pipeline

    pool = ThreadPoolExecutor(2)
    stages = flows.pipeline.STAGES
    modules = [m for name, m in sys.modules.items() if name.startswith("flows.")]
    swapped: dict[int, Plain] = {}
    for module in modules:
        for name, value in list(vars(module).items()):
            if isinstance(value, Flow | Task):
                setattr(module, name, swapped.setdefault(id(value), Plain(value.fn, pool)))
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

        if kind == "plain":
            plainly()
        plan = make(fast=fast, changes=changes)
        with tracking.run("overhead", params=flat(plan.settings)) as run:
            ready, busy, stolen = time.perf_counter(), processor(), steal()
            pipeline.pipeline(asdict(plan), run.id, until)
            done = time.perf_counter()
            told = {"start": ready - began, "run": done - ready, "processor": processor() - busy,
                    "stolen": steal() - stolen}
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
    print(json.dumps({"fast": options.fast, "until": options.until, "changes": options.changes, "turns": turns,
                      "ratios": ratios, "ratio": statistics.median(ratios)}, indent=1))


if __name__ == "__main__":
    main()
