"""Progress without a display: a stage tells what it does, and whoever listens (a console, a test) shows it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Listener(Protocol):
    """Whoever shows progress. Called from any thread; a stage done in parts advances before it begins."""

    def begin(self, stage: str) -> None: ...

    def advance(self, stage: str, done: float, total: float, note: str) -> None: ...

    def end(self, stage: str, result: str, failed: bool) -> None: ...


_listeners: list[Listener] = []


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Sends the progress of everything inside to `listener`."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


class Line:
    """One stage under way: `advance` moves its bar, `result` is what its line says when it is done."""

    def __init__(self, stage: str):
        self.stage, self.result = stage, ""

    def advance(self, done: float, total: float, note: str = "") -> None:
        for listener in _listeners:
            listener.advance(self.stage, done, total, note)


@contextmanager
def stage(name: str) -> Iterator[Line]:
    """Announces a stage and its end, also when it ends in an error."""
    line, failed = Line(name), True
    for listener in _listeners:
        listener.begin(name)
    try:
        yield line
        failed = False
    finally:
        for listener in _listeners:
            listener.end(name, line.result, failed)
