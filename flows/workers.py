"""Where shards of work are done: here one after the other, in FOVEATE_WORKERS threads, or on Dask (FOVEATE_DASK).

FOVEATE_DASK is "local" for FOVEATE_WORKERS processes of this machine, or the address of a scheduler whose workers share
the state folder (FOVEATE_HOME) and reach the Prefect server (PREFECT_API_URL).
"""

import os
from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlsplit

from prefect.futures import wait
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from components.base.errors import BudgetSpent, UserError

LOOPBACK = ("localhost", "127.0.0.1", "::1")


def count() -> int:
    """How many workers are wanted."""
    wanted = os.environ.get("FOVEATE_WORKERS") or "1"
    if not wanted.isdecimal() or int(wanted) < 1:
        raise UserError(f"expected a number of workers, got '{wanted}'", where="FOVEATE_WORKERS", mend="for example 4")
    return int(wanted)


def runner() -> TaskRunner:
    """The Prefect task runner that the environment asks for."""
    address = os.environ.get("FOVEATE_DASK", "")
    if not address:
        return ThreadPoolTaskRunner(max_workers=count())
    try:
        from prefect_dask import DaskTaskRunner
    except ImportError:
        raise UserError("Dask is not installed", where="FOVEATE_DASK", mend="pip install 'foveate[dask]'") from None
    if address == "local":
        return DaskTaskRunner(cluster_kwargs={"n_workers": count(), "threads_per_worker": 1, "dashboard_address": None})
    if _far(address):
        _prepare_far()
    return DaskTaskRunner(address=address)


def each(task: Any, arguments: Sequence[Any], shards: Sequence[Any], stop: Callable[[], None]) -> list[Any]:
    """`task(*arguments, shard)` for every shard, in their order; after a failure `stop` ends those under way."""
    if count() == 1 and not os.environ.get("FOVEATE_DASK"):
        return [task(*arguments, shard) for shard in shards]
    futures = [task.submit(*arguments, shard) for shard in shards]
    try:
        return [future.result() for future in futures]
    except BudgetSpent:  # the others stop by themselves when they have spent what they took: all that is paid is kept
        wait(futures)
        raise
    except BaseException:
        stop()
        raise


def _far(address: str) -> bool:
    return urlsplit(address).hostname not in LOOPBACK


def _prepare_far() -> None:
    """Workers on other machines: they must reach Prefect, and share the answer cache over a network drive."""
    if not _far(os.environ.get("PREFECT_API_URL") or "http://localhost"):
        raise UserError("workers on other machines cannot reach the Prefect server of this one", where="FOVEATE_DASK",
                        mend="start one that they reach, and name it in PREFECT_API_URL")
    from components.teachers.cache import AnswerCache

    AnswerCache().shards.share()
