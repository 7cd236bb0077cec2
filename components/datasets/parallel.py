"""Maps a function over jobs in several processes: results in the order of the jobs, bounded memory, no orphans."""

import itertools
import multiprocessing
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from components.base.errors import PipelineError

Job = TypeVar("Job")
Result = TypeVar("Result")
BLOCK = 256  # jobs in flight: bounds what waits in memory


def ordered_map(work: Callable[[Job], Result], jobs: Iterable[Job], workers: int) -> Iterator[Result]:
    """`work(job)` for each job, in order. `work` is a module-level function; with one worker it runs right here.

    Processes are spawned, not forked, so that it is safe below threads. Raises PipelineError if a worker dies, and
    whatever `work` raises.
    """
    if workers <= 1:
        yield from map(work, jobs)
        return
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), initializer=_die_with_parent)
    try:
        for block in _blocks(jobs, BLOCK):
            yield from pool.map(work, block, chunksize=8)
    except BrokenProcessPool as error:
        raise PipelineError("a worker process died, likely for want of memory; run with fewer workers") from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _blocks(jobs: Iterable[Job], size: int) -> Iterator[tuple[Job, ...]]:
    stream = iter(jobs)
    while block := tuple(itertools.islice(stream, size)):
        yield block


def _die_with_parent() -> None:
    """A worker whose parent was killed would wait for jobs for ever: it watches the parent and leaves with it."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
