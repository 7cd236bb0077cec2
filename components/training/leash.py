"""Runs a module in a process that ends when whoever started it is gone: `python -m components.training.leash MODULE`.

Standard input is the leash: the read end of a pipe whose write end only the starter has. Children that inherit it are
on the same one. It is held before anything heavy is imported, since that is when a kill is easily missed.
"""

import atexit
import gc
import os
import runpy
import sys
import threading


def hold() -> None:
    """Watches standard input from a thread; its end is the end of this process."""
    threading.Thread(target=_watch, daemon=True).start()


def _watch() -> None:
    while os.read(0, 1):
        pass
    os._exit(1)


if __name__ == "__main__":
    hold()
    atexit.register(gc.freeze)  # else the interpreter, ending, looks for garbage in all that is loaded: seconds
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
