"""Shards on workers: the environment chooses them, and one that is killed hands its shard on without asking again."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest
from prefect.task_runners import ThreadPoolTaskRunner
from prefect_dask import DaskTaskRunner

from benchmarks.chat_server import serving
from benchmarks.teachers_memory import draw
from components.base.errors import UserError
from components.pipeline import rationales
from components.teachers.cache import AnswerCache
from flows import workers

ROOT = Path(__file__).parents[2]
IMAGES, CONCURRENCY = 600, 8  # two shards

DRIVER = textwrap.dedent("""
    import json, sys
    from flows.server import prefect_api
    with prefect_api():
        from prefect import flow
        from components.pipeline import rationales
        from components.pipeline.plan import make
        from flows import workers
        from flows.rationale_generation import ask
        from components.base.errors import PipelineError
        from components.pipeline import spending
        limit, spec, *made = json.loads(sys.argv[1])
        plan = make(teacher=spec)
        spending.limit(plan, "run", limit, None)

        @flow(persist_result=False)
        def asking():
            return workers.each(ask, (plan, "run", *made), rationales.shards(*made[:2]), rationales.stopping.set)

        try:
            print(json.dumps(asking.with_options(task_runner=workers.runner())()))
        except PipelineError as error:
            print(json.dumps(str(error)))
""")


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    for name in ("FOVEATE_WORKERS", "FOVEATE_DASK", "PREFECT_API_URL"):
        monkeypatch.delenv(name, raising=False)


def test_threads_are_the_default(monkeypatch):
    assert workers.count() == 1 and isinstance(workers.runner(), ThreadPoolTaskRunner)
    monkeypatch.setenv("FOVEATE_WORKERS", "3")
    assert workers.count() == 3


@pytest.mark.parametrize("wrong", ["0", "-1", "many", "1.5"])
def test_a_wrong_number_of_workers_is_named(monkeypatch, wrong):
    monkeypatch.setenv("FOVEATE_WORKERS", wrong)
    with pytest.raises(UserError, match="FOVEATE_WORKERS: expected a number"):
        workers.runner()


def test_dask_here_listens_to_nobody_else(monkeypatch):
    monkeypatch.setenv("FOVEATE_DASK", "local")
    runner = workers.runner()
    assert isinstance(runner, DaskTaskRunner)
    assert runner.cluster_kwargs == {"n_workers": 1, "threads_per_worker": 1, "dashboard_address": None}
    monkeypatch.setenv("FOVEATE_DASK", "tcp://127.0.0.1:8786")
    assert workers.runner().address == "tcp://127.0.0.1:8786"


def test_workers_elsewhere_need_a_server_they_reach_and_a_cache_they_can_share(monkeypatch, own_home):
    monkeypatch.setenv("FOVEATE_DASK", "tcp://far.example:8786")
    for address in ("", "http://127.0.0.1:4200/api"):
        monkeypatch.setenv("PREFECT_API_URL", address)
        with pytest.raises(UserError, match="cannot reach the Prefect server"):
            workers.runner()
    monkeypatch.setenv("PREFECT_API_URL", "http://near.example:4200/api")
    assert workers.runner().address == "tcp://far.example:8786"
    with AnswerCache().shards.reading(0) as (db, _):
        assert db.execute("PRAGMA journal_mode").fetchone() == ("delete",)


@pytest.mark.parametrize("images", [1, 511, 512, 513, 131_072, 131_073, 1_000_000, 10**9])
def test_a_map_over_any_number_of_images_makes_a_few_hundred_tasks(images):
    first, size = rationales.firsts(images), rationales.shard_size(images)
    assert 1 <= len(first) <= 256 and size >= 512
    assert first[0] == 0 and all(b - a == size for a, b in zip(first, first[1:], strict=False))
    assert first[-1] < images <= first[-1] + size  # every image is in one shard


def start(made, server, limit: int | None = None, **environment) -> subprocess.Popen:
    arguments = json.dumps([limit, f"{server.spec}?concurrency={CONCURRENCY}", *made])
    return subprocess.Popen([sys.executable, "-c", DRIVER, arguments],
                            env=os.environ | {"PYTHONPATH": str(ROOT)} | environment, stdout=subprocess.PIPE, text=True)


def told(process: subprocess.Popen) -> list[str] | str:
    """The folders of the shards, or the error."""
    out, _ = process.communicate(timeout=600)
    assert process.returncode == 0
    return json.loads(out.splitlines()[-1])


def records(process: subprocess.Popen) -> int:
    return sum(len((Path(f) / "rationales.jsonl").read_text().splitlines()) for f in told(process))


@pytest.mark.slow
def test_threads_ask_every_question_once(tmp_path):
    made = draw(tmp_path, IMAGES)
    with serving(latency=0.01) as server:
        assert records(start(made, server, FOVEATE_WORKERS="2")) == IMAGES
        assert server.count() == IMAGES


@pytest.mark.slow
def test_a_killed_dask_worker_hands_its_shard_on(tmp_path):
    made = draw(tmp_path, IMAGES)
    with serving(latency=0.1) as server:
        process = start(made, server, FOVEATE_DASK="local")
        cache = AnswerCache()
        while cache.stats().answers < 100:
            assert process.poll() is None
            time.sleep(0.05)
        children = psutil.Process(process.pid).children(recursive=True)
        worker, = (child for child in children if any("spawn_main" in word for word in child.cmdline()))
        os.kill(worker.pid, signal.SIGKILL)
        assert records(process) == IMAGES
        assert IMAGES <= server.count() <= IMAGES + 2 * CONCURRENCY  # what was in flight was asked again
    assert cache.stats().answers == IMAGES and cache.verify() == []


@pytest.mark.slow
@pytest.mark.parametrize("dask", ["", "local"])
def test_workers_share_one_budget_and_stop_with_one_error(tmp_path, dask):
    made = draw(tmp_path, IMAGES)
    with serving(latency=0.01) as server:
        said = told(start(made, server, 150, FOVEATE_DASK=dask, FOVEATE_WORKERS="2"))
        assert "the budget of this run is spent: 150 of 150 requests" in said or "another shard has stopped" in said
        assert server.count() == AnswerCache().stats().answers == 150
