"""A worker killed in mid-shard costs what was in flight: the shard goes on where it was, by the real stage."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from benchmarks.chat_server import serving
from benchmarks.teachers_memory import draw
from components.base.errors import PipelineError, UserError
from components.pipeline import rationales, spending
from components.pipeline.plan import make
from components.registry import tracking
from components.teachers.cache import AnswerCache
from components.teachers.ledger import total

ROOT = Path(__file__).parents[2]
IMAGES, CONCURRENCY = 60, 4

WORKER = textwrap.dedent("""
    import json, sys
    from components.pipeline import rationales
    from components.pipeline.plan import make
    spec, *made = json.loads(sys.argv[1])
    rationales.ask_shard(make(teacher=spec), "killed", *made, 0)
""")


@pytest.fixture(scope="module")
def noise(tmp_path_factory) -> tuple[str, str, str]:
    """A dataset of small pictures without labels: one question each."""
    return draw(tmp_path_factory.mktemp("noise"), IMAGES)


@pytest.fixture
def server():
    with serving(latency=0.05) as started:
        yield started


def spec(server) -> str:
    return f"{server.spec}?concurrency={CONCURRENCY}"


def read(folder: str, name: str) -> list[dict]:
    return [json.loads(line) for line in (Path(folder) / name).read_text().splitlines()]


def test_a_worker_killed_in_mid_shard_costs_what_was_in_flight(noise, server):
    worker = subprocess.Popen([sys.executable, "-c", WORKER, json.dumps([spec(server), *noise])],
                              env=os.environ | {"PYTHONPATH": str(ROOT)})
    cache = AnswerCache()
    while cache.stats().answers < IMAGES // 3:
        assert worker.poll() is None
        time.sleep(0.01)
    os.kill(worker.pid, signal.SIGKILL)
    worker.wait()
    kept, asked = cache.stats().answers, server.count()
    assert IMAGES // 3 <= kept < IMAGES and asked - kept <= 2 * CONCURRENCY  # lost: what was on its way
    assert total(cache, "killed").requests == kept

    plan = make(teacher=spec(server))
    folder = rationales.ask_shard(plan, "resumed", *noise, 0)
    assert server.count() == asked + IMAGES - kept
    records = read(folder, "rationales.jsonl")
    assert len(records) == IMAGES
    payers = [answer["run"] for record in records for answer in record["provenance"]["answers"]]
    assert (payers.count("killed"), payers.count("resumed")) == (kept, IMAGES - kept)
    assert rationales.ask_shard(plan, "third", *noise, 0) == folder and server.count() == asked + IMAGES - kept


def test_a_spent_budget_stops_the_stage_and_more_lets_it_go_on(noise, server):
    plan = make(teacher=spec(server), changes=("spend.prices={\"openai:*\": {request: 0.01}}",))
    spending.limit(plan, "run", 25, None)
    with pytest.raises(PipelineError, match="25 of 25 requests"):
        rationales.ask_shard(plan, "run", *noise, 0)
    spending.limit(plan, "run", None, 0.4)
    with pytest.raises(PipelineError, match=r"\$0.4000 of \$0.4000"):
        rationales.ask_shard(plan, "run", *noise, 0)
    assert server.count() == AnswerCache().stats().answers == 40
    spending.limit(plan, "run", None, None)
    folder = rationales.ask_shard(plan, "run", *noise, 0)
    assert len(read(folder, "rationales.jsonl")) == server.count() == IMAGES
    with pytest.raises(UserError, match="no price is known"):
        spending.limit(make(teacher=spec(server)), "run", None, 1.0)


def test_an_estimate_asks_nothing_and_is_right_about_what_is_cached(noise, server):
    plan = make(teacher=spec(server), changes=("spend.prices={\"openai:*\": {tokens_in: 1.0}}", "ask.judge=same"))
    made = dict(zip(("dataset", "splits", "features"), noise, strict=True))
    first = spending.estimate(plan, made)
    assert (first["kinds"]["glimpse"]["to_ask"], first["kinds"]["judge"]["to_ask"]) == (IMAGES, IMAGES)
    assert "assumed" in first["kinds"]["glimpse"]["basis"] and server.count() == 0
    spending.limit(plan, "run", 30, None)
    with pytest.raises(PipelineError):
        rationales.ask_shard(plan, "run", *noise, 0)
    second = spending.estimate(plan, made)
    row = second["kinds"]["glimpse"]
    assert (row["cached"], row["to_ask"], row["tokens_in"]) == (30, 30, 30 * 900) and "30 answers" in row["basis"]
    assert row["dollars"] == pytest.approx(30 * 900e-6) and server.count() == 30
    assert "30 to ask, 30 cached" in spending.told(second)
    assert spending.estimate(make(teacher=spec(server)), made)["dollars"] is None


def test_judged_rationales_name_their_judge_and_their_cost(noise, server):
    plan = make(teacher=spec(server), changes=("spend.prices={\"openai:*\": {tokens_in: 1.0}}", "ask.judge=same",
                                               "ask.again=0"))
    with tracking.run("a run") as run:
        folder = rationales.ask_shard(plan, run.id, *noise, 0)
        said = rationales.collect(plan, run.id, *noise, [folder])
    rejected = read(said, "rejections.jsonl")  # the server judges number 0 true, and knows of no other field
    records = read(said, "rationales.jsonl")
    assert len(records) + len(rejected) == IMAGES and server.count() == 2 * IMAGES
    (answer,) = (records or rejected)[0]["provenance"]["answers"]
    assert answer["verdict"]["by"] == "openai:fixed-latency" and answer["run"] == run.id
    assert (answer["tokens_in"], answer["tokens_out"]) == (900, 100) and answer["dollars"] == pytest.approx(900e-6)
    step = tracking.find(f"{run.id}.rationales", run)
    assert step.data.metrics["spent.requests"] == 2 * IMAGES
    assert step.data.metrics["spent.dollars"] == pytest.approx(2 * IMAGES * 900e-6)
