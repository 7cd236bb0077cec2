"""Logged predictions against the champion's test, through the registry: steady, drifted, too few; told once."""

import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from components.base.errors import UserError
from components.monitoring import log
from components.pipeline import drift, prediction
from components.recipes.protocol import Gates
from components.registry import models, promotion, tracking
from components.registry.comparison import Evaluation
from flows import server
from flows.cli import cli

ROOT = Path(__file__).parents[2]
VERBS = ("surfing", "rowing", "reading", "mowing")
EVIL = "<script>alert(1)</script>"


def answers(count: int, seed: int, verbs=VERBS, shift: float = 0.0) -> log.pa.Table:
    """So many predictions of a small world, as rows; `shift` moves what the student sees."""
    rng = np.random.default_rng(seed)
    chosen = rng.choice(verbs, count)
    found = [{"verbs": [str(v)], "scores": [float(rng.random())], "confident": True, "frames": {str(v): {
        "agent": {"noun": "n", "name": "n", "score": 1.0, "box": [0, 0, 5, 5] if rng.random() < 0.7 else None}}}}
        for v in chosen]
    place = np.array([[VERBS.index(v) if v in VERBS else 0] for v in chosen])
    return log.rows(rng.normal(size=(count, 8)) + place + shift, found, at=datetime(2026, 1, 2, tzinfo=UTC))


@pytest.fixture
def champion(request, store, tmp_path) -> str:
    """A champion of a recipe of the test's own, with a reference; returns the recipe."""
    recipe = request.node.name.replace("_", "-")
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    (bundle / "manifest.json").write_text(json.dumps({"sha256": "5" * 64, "of": recipe}))
    (tmp_path / "reference.parquet").write_bytes(log.encoded(answers(400, 0)))
    made = Evaluation({"top1": 0.5}, {"top1": {"a": 1.0}}, {}, {"dataset": True, "predictions": True})
    with tracking.run("register") as run:
        models.register(recipe, bundle, made, run, teacher="t", code="c", datasets={},
                        reference=tmp_path / "reference.parquet")
    assert promotion.promote(models.model_name(recipe), 1, Gates("top1", {}, {}, {})).promoted
    for file in prediction.log_folder(bundle).glob("*.parquet"):
        file.unlink()  # the bundles of these tests have the same name
    return recipe


def logged(table: log.pa.Table) -> None:
    folder = drift.state("predictions") / ("5" * 20)
    folder.mkdir(exist_ok=True)
    log._write(folder, table)


def test_an_unchanged_stream_is_steady_and_a_shifted_one_is_not(champion):
    logged(answers(300, 1))
    steady = drift.look(champion)
    assert steady.found.verdict == "steady" and len(steady.found.tests) == 4
    logged(answers(300, 2, VERBS[:2], shift=1.0))
    drifted = drift.look(champion, settings=drift.Settings(window=300))
    assert drifted.found.verdict == "drift" and drifted.id != steady.id
    assert {t.name for t in drifted.found.tests if t.drift} >= {"embeddings", "verbs"}
    assert {v for v, before, after in drifted.found.verbs if after > before} == set(VERBS[:2])


def test_new_words_alone_are_drift(champion):
    logged(answers(300, 1, ("surfing", "rowing", "reading", "juggling")))
    found = drift.look(champion).found
    assert found.verdict == "drift" and {t.name for t in found.tests if t.drift} >= {"verbs"}


def test_a_look_is_recorded_once_with_its_page_which_escapes_what_it_shows(champion, store):
    logged(answers(300, 3, ("surfing", EVIL)))
    first, second = drift.look(champion), drift.look(champion)
    assert first == second and first.found.verdict == "drift"
    page = (first.folder / "drift.html").read_text()
    assert EVIL not in page and not re.search(r'(src|href)="(?!data:)', page) and page.count("data:image/png") == 3
    client = tracking.connect()
    runs = client.search_runs([tracking.experiment_id(client)],
                              f"attributes.run_name = 'drift' and tags.model = 'foveate-{champion}'")
    (run,) = runs
    assert run.data.tags["verdict"] == "drift" and run.data.metrics["p.verbs"] < 0.01
    assert {f.path for f in client.list_artifacts(run.info.run_id, "drift")} == {"drift/drift.html", "drift/drift.json"}


def test_too_few_predictions_say_so(champion):
    logged(answers(20, 4))
    found = drift.look(champion).found
    assert (found.verdict, found.predictions, found.tests) == ("too few", 20, ())


def test_the_command_says_what_was_found_and_ends_with_one_where_it_drifted(champion):
    def foveate(*arguments):
        return CliRunner().invoke(cli, ["drift", "--recipe", champion, *arguments])

    logged(answers(200, 5))
    result = foveate("--window", "200")
    assert result.exit_code == 0 and result.output.startswith("No drift: 200 predictions of version 1")
    logged(answers(200, 6, shift=2.0))
    result = foveate("--window", "200", "--json")
    told = json.loads(result.output)
    assert result.exit_code == 1 and told["verdict"] == "drift" and Path(told["page"]).is_file()
    for wrong in (("--window", "10"), ("--alpha", "2")):
        assert isinstance(foveate(*wrong).exception, UserError)


def test_a_version_without_a_reference_is_named(store, tmp_path):
    (tmp_path / "manifest.json").write_text("{}")
    with tracking.run("register") as run:
        models.register("bare", tmp_path, Evaluation({}), run, teacher="t", code="c", datasets={})
    with pytest.raises(UserError, match="version 1: it was registered without a reference"):
        drift.look("bare", "1")


def _events(address: str) -> list[dict]:
    """The drift events that a Prefect server knows; it writes them down within seconds."""
    body = json.dumps({"filter": {"event": {"name": ["foveate.drift.detected"]}}}).encode()
    request = urllib.request.Request(f"{address}/api/events/filter", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)["events"]


@pytest.mark.slow
def test_the_flow_emits_one_event_for_the_same_predictions(champion, store):
    logged(answers(200, 7, shift=2.0))
    script = ("import sys\nfrom flows.drift_monitoring import watch\n"
              "print([watch(sys.argv[1])['verdict'] for _ in range(2)])")
    child = server.prefect_child()
    try:
        child.wait()
        environment = os.environ | server.QUIET | {"PREFECT_API_URL": f"{child.address}/api",
                                                   "PREFECT_HOME": str(store / "prefect"), "PYTHONPATH": str(ROOT)}
        done = subprocess.run([sys.executable, "-c", script, champion], env=environment, capture_output=True, text=True)
        assert "['drift', 'drift']" in done.stdout, done.stderr[-2000:]
        deadline = time.monotonic() + 60
        while not _events(child.address) and time.monotonic() < deadline:
            time.sleep(0.5)
        (event,) = _events(child.address)
    finally:
        child.stop()
    assert event["resource"]["prefect.resource.id"] == f"foveate.model.foveate-{champion}"
    assert event["payload"]["verdict"] == "drift" and event["payload"]["version"] == 1
