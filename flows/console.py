"""What a person sees of a run: one line a stage, then the results; what libraries say goes to a log file instead."""

import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from components.base.home import state
from components.base.text import clean

PLAIN_EVERY = 15.0  # seconds between lines of a stage under way, where there is no terminal


@contextmanager
def quiet(command: str, verbose: bool) -> Iterator[Console]:
    """The console to write to; inside, everything else on stdout and stderr lands in `<home>/logs/<command>.log`.

    Redirected by file descriptor, so that C libraries and child processes are caught as well.
    """
    if verbose:
        yield Console(file=sys.stderr)
        return
    log = state("logs") / f"{command}.log"
    sys.stdout.flush(), sys.stderr.flush()
    kept = os.dup(1), os.dup(2)
    with open(log, "ab", buffering=0) as stream, open(kept[1], "w", closefd=False) as screen:
        stream.write(f"\n=== {time.strftime('%Y-%m-%d %H:%M:%S')} {' '.join(sys.argv[1:])}\n".encode())
        console = Console(file=screen, width=None if screen.isatty() else 120)
        os.dup2(stream.fileno(), 1), os.dup2(stream.fileno(), 2)
        try:
            yield console
        finally:
            sys.stdout.flush(), sys.stderr.flush()
            os.dup2(kept[0], 1), os.dup2(kept[1], 2)
    os.close(kept[0]), os.close(kept[1])


class Lines:
    """A progress listener: a live bar for the present stage on a terminal, plain lines elsewhere."""

    def __init__(self, console: Console):
        self.console, self.lock, self.spoke = console, threading.Lock(), 0.0
        self.live = Progress(SpinnerColumn(), TextColumn("{task.description:<28}"), BarColumn(28), TaskProgressColumn(),
                             TextColumn("{task.fields[note]}"), TimeElapsedColumn(), console=console,
                             transient=True) if console.is_terminal else None
        self.tasks: dict[str, int] = {}
        self.started: dict[str, float] = {}

    def __enter__(self) -> "Lines":
        if self.live:
            self.live.start()
        return self

    def __exit__(self, *_) -> None:
        if self.live:
            self.live.stop()

    def begin(self, stage: str) -> None:
        if stage in self.started:
            return
        self.started[stage] = time.monotonic()
        if self.live:
            self.tasks[stage] = self.live.add_task(stage, total=None, note="")
        else:
            self.say(f"  {stage} ...")

    def advance(self, stage: str, done: float, total: float, note: str) -> None:
        self.begin(stage)
        if self.live:
            self.live.update(self.tasks[stage], completed=done, total=total, note=note)
        elif time.monotonic() - self.spoke > PLAIN_EVERY:
            self.say(f"  {stage} {100 * done / max(total, 1e-9):.0f} % {note}")

    def end(self, stage: str, result: str, failed: bool) -> None:
        seconds = time.monotonic() - self.started.pop(stage)
        if self.live:
            self.live.remove_task(self.tasks.pop(stage))
        mark = Text("x", "red") if failed else Text("✓", "green")
        self.say(f" {stage:<28} {seconds:6.1f} s  {result}", mark)

    def say(self, text: str, mark: Text = Text()) -> None:  # noqa: B008
        """Writes a line; what it holds may be anybody's words, so it is neither markup nor control."""
        with self.lock:
            self.spoke = time.monotonic()
            self.console.print(mark + clean(text), highlight=False, soft_wrap=True)


def show_results(lines: Lines, told: Mapping[str, Any]) -> None:
    """The end of a run: scores side by side, the verdict, and where to look next."""
    groups = list(dict.fromkeys(g for row in told.get("headline", {}).values() for g in row))
    if groups:
        table = Table("per cent", *groups, box=box.SIMPLE_HEAD, title=told["measure"], title_justify="left")
        for model, row in told["headline"].items():
            table.add_row(model, *(_cell(row.get(g)) for g in groups))
        lines.console.print(table)
        *_, found = told["scores"].values()
        for question, answer in found["protocol"].items():
            lines.say(f"protocol  {question}: {answer}")
    if "published" in told:
        lines.console.print((Path(told["outputs"]["published"]) / "report.txt").read_text("utf-8"), markup=False,
                            highlight=False, soft_wrap=True)
    if "edge" in told:
        lines.say("edge      " + ", ".join(f"{k} {v}" for k, v in told["edge"]["shown"].items()))
    if "promotion" in told:
        verdict = told["promotion"]
        lines.say(f"verdict   version {verdict['version']} of {verdict['model']} is "
                  + ("champion" if verdict["promoted"] else "rejected"))
        for reason in verdict["reasons"]:
            if not reason["passed"]:
                lines.say(f"          {reason['text']}")
        lines.say(f"why       {relative(told['promotion_page'])}")
        lines.say(f"report    {relative(told['report'])}")
        lines.say("browse    make ui   (or foveate ui)")
        of = "" if told["recipe"] == "mipd" else f" --recipe {told['recipe']}"
        lines.say(f"predict   foveate predict YOUR_PHOTO.jpg --overlay out{of}")


def _cell(value: Sequence[float] | None) -> str:
    if value is None:
        return "-"
    mean, low, high = (100 * v for v in (*value, value[0], value[0])[:3])
    return f"{mean:.1f} ({low:.0f}-{high:.0f})"


def relative(path: str | Path) -> str:
    """A path as a person would type it from here."""
    try:
        return str(Path(path).relative_to(Path.cwd()))
    except ValueError:
        return str(path)
