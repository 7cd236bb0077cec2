"""Runs, versions and promotions in a real MLflow on SQLite: what is recorded can be found again."""

import json
import multiprocessing
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from components.base.errors import PipelineError, UserError
from components.pipeline import model_commands
from components.recipes.protocol import Gates
from components.registry import models, promotion, tracking
from components.registry.comparison import Evaluation
from flows.cli import cli

GATES = Gates(headline="top1", minimum={"top1.unseen": 0.2}, protected={"top1": 0.02, "top1.rare": 0.05},
              budgets={"latency_ms": 50.0})
RECIPE = "test"
NAME = "foveate-test"


@pytest.fixture
def recipe(store, request):
    """A recipe of the test's own, so that tests do not see each other's versions."""
    return request.node.name.replace("[", "-").replace("]", "")


def evaluation(right: int, of: int = 100, **changed) -> Evaluation:
    """A student that gets the first `right` of `of` images right."""
    scores = {f"{i}.jpg": float(i < right) for i in range(of)}
    made = Evaluation(metrics={"top1": right / of, "top1.unseen": right / of, "top1.rare": right / of},
                      per_sample={"top1": scores}, edge={"latency_ms": 5.0},
                      quality={"dataset": True, "predictions": True})
    return replace(made, **changed)


def register(recipe: str, folder: Path, right: int, **changed) -> models.Version:
    bundle = folder / f"bundle-{right}"
    bundle.mkdir(parents=True, exist_ok=True)
    (bundle / "manifest.json").write_text(json.dumps({"right": right}))
    (bundle / "tables").mkdir(exist_ok=True)
    (bundle / "tables" / "verbs.bin").write_bytes(bytes(range(256)))
    with tracking.run("register") as run:
        return models.register(recipe, bundle, evaluation(right, **changed), run, teacher="embedded/glance@abc",
                               code="c0de", datasets={"scenes": "d1"}, summary="A student of drawn scenes.")


def test_nothing_is_written_outside_the_state_folder(store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with tracking.run("alone") as run:
        run.log_metrics({"a": 1.0})
    assert list(tmp_path.iterdir()) == []
    assert (store / "mlflow" / "mlflow.db").exists()


def test_runs_nest_and_hold_what_was_logged(store, tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.html").write_text("<p>fine</p>")
    (tmp_path / "bars.png").write_bytes(b"\x89PNG")
    with (tracking.run("pipeline", tags={"recipe": "mipd"}, params={"distil.epochs": 4}) as parent,
          tracking.run("evaluate", parent=parent) as child):
        child.log_metrics({"top1": 0.5, "broken": float("nan")})
        child.log_params({f"p{i}": i for i in range(130)})
        child.log_params({"p0": 7})  # logged before: kept
        child.log_folder(tmp_path / "docs", "data_docs")
        child.log_figure(tmp_path / "bars.png")
        child.log_dataset("scenes", "5" * 64, context="training", made_by={"seed": "0"})
    client = tracking.connect()
    found = client.get_run(child.id)
    assert found.info.status == "FINISHED"
    assert found.data.tags["mlflow.parentRunId"] == parent.id
    assert found.data.metrics == {"top1": 0.5}
    assert found.data.tags["metrics_not_finite"] == "broken"
    assert len(found.data.params) == 130 and found.data.params["p0"] == "0"
    assert [f.path for f in client.list_artifacts(child.id, "data_docs")] == ["data_docs/index.html"]
    assert [f.path for f in client.list_artifacts(child.id, "pictures")] == ["pictures/bars.png"]
    (used,) = found.inputs.dataset_inputs
    assert (used.dataset.name, used.dataset.digest) == ("scenes", "5" * 36)
    assert {t.key: t.value for t in used.tags} == {"mlflow.data.context": "training", "version": "5" * 64}
    assert client.get_run(parent.id).data.params == {"distil.epochs": "4"}


def test_a_history_of_more_points_than_a_request_holds_keeps_every_step(store):
    with tracking.run("train") as run:
        run.log_history({step: {"loss": 9.0 - step / 100, "odd": float("inf")} for step in range(3, 1203)})
    client = tracking.connect()
    told = client.get_metric_history(run.id, "loss")
    assert [(m.step, m.value) for m in told] == [(step, 9.0 - step / 100) for step in range(3, 1203)]
    found = client.get_run(run.id).data
    assert "odd" not in found.metrics and found.tags["metrics_not_finite"] == "odd"


def test_an_unfinished_run_is_continued_by_its_key_and_a_finished_one_is_not(store):
    with pytest.raises(RuntimeError), tracking.run("pipeline", key="k1") as first:
        raise RuntimeError("from https://user:pass@host/x")
    client = tracking.connect()
    failed = client.get_run(first.id)
    assert failed.info.status == "FAILED"
    assert failed.data.tags["error"] == "RuntimeError: from https://***@host/x"
    with tracking.run("pipeline", key="k1") as second:
        assert second.id == first.id
        assert client.get_run(first.id).info.status == "RUNNING"
    done = client.get_run(first.id)
    assert done.info.status == "FINISHED" and "error" not in done.data.tags
    with tracking.run("pipeline", key="k1") as third:
        assert third.id != first.id
    with pytest.raises(KeyboardInterrupt), tracking.run("pipeline", key="k2") as fourth:
        raise KeyboardInterrupt
    assert client.get_run(fourth.id).info.status == "KILLED"
    with pytest.raises(UserError, match="quote"):
        tracking.find("it's")


@pytest.mark.parametrize("key", ["teacher.api_key", "HF_TOKEN", "db.password", "x.client-secret", "apikey",
                                 "credentials"])
def test_secrets_are_refused(store, key):
    with tracking.run("secretive") as run:
        with pytest.raises(UserError, match="a secret is never logged"):
            run.log_params({key: "abc"})
        with pytest.raises(UserError, match="a secret is never logged"):
            run.set_tags({key: "abc"})
    assert tracking.connect().get_run(run.id).data.params == {}


def test_what_only_looks_like_a_secret_is_logged():
    fine = {"teacher.api_key_env": "NAME", "grid.tokens": 144, "keyframes": "x", "monkey": "y", "api_key": None}
    assert tracking.scrub(fine) == fine
    assert tracking.scrub({"url": "postgresql://u:p@host/db"}) == {"url": "postgresql://***@host/db"}


def test_a_version_is_registered_once_described_and_fetched_whole(recipe, store, tmp_path):
    name = models.model_name(recipe)
    assert models.versions(name) == [] and models.champion(name) is None
    made = register(recipe, tmp_path, 60)
    assert register(recipe, tmp_path, 60).number == made.number == 1
    assert register(recipe, tmp_path, 61).number == 2
    assert [v.number for v in models.versions(name)] == [2, 1]
    assert made.tags["teacher_identity"] == "embedded/glance@abc" and made.tags["dataset.scenes"] == "d1"
    for word in ("A student of drawn scenes.", "top1.unseen | 0.6", "not judged yet", "dataset.scenes `d1`"):
        assert word in made.description
    assert models.get(name, "challenger").number == 2
    assert made.run and models.get(name, 1).aliases == ()
    assert models.evaluation(made) == evaluation(60)
    fetched = models.bundle_path(name, 1)
    assert models.folder_digest(fetched) == made.sha256 == models.folder_digest(tmp_path / "bundle-60")
    (fetched / "manifest.json").write_text("spoilt")  # the local copy: fetched again
    assert json.loads((models.bundle_path(name, 1) / "manifest.json").read_text()) == {"right": 60}
    owner = tracking.connect().get_run(made.run)
    assert owner.info.status == "FINISHED"


def test_a_registered_model_is_code_not_a_pickle(recipe, store, tmp_path):
    import mlflow

    made = register(recipe, tmp_path, 50)
    folder = Path(mlflow.artifacts.download_artifacts(f"models:/{made.name}/1", dst_path=str(tmp_path)))
    files = [f.name for f in folder.rglob("*") if f.is_file()]
    assert "pyfunc_model.py" in files and not [f for f in files if f.endswith((".pkl", ".pickle"))]


def test_unknown_versions_and_empty_bundles_are_named(recipe, store, tmp_path):
    name = models.model_name(recipe)
    with pytest.raises(UserError, match="no version or alias 'champion'.*\n.*none yet"):
        models.get(name, "champion")
    with pytest.raises(UserError, match="no registered model"):
        promotion.promote(name, 1, GATES)
    register(recipe, tmp_path, 10)
    with pytest.raises(UserError, match="known versions: 1"):
        models.bundle_path(name, 7)
    (tmp_path / "empty").mkdir()
    with tracking.run("x") as run, pytest.raises(UserError, match="no bundle to register"):
        models.register(recipe, tmp_path / "empty", evaluation(1), run, teacher="t", code="c", datasets={})


def test_promotion_rejection_and_rollback(recipe, store, tmp_path):
    name = models.model_name(recipe)
    for right in (50, 70, 60):
        register(recipe, tmp_path, right)
    first = promotion.promote(name, 1, GATES)
    assert first.promoted and first.former is None
    second = promotion.promote(name, 2, GATES)
    assert second.promoted and second.former == 1
    third = promotion.promote(name, "challenger", GATES)
    assert (third.version, third.promoted, third.former) == (3, False, 2)
    best, loser = models.champion(name), models.get(name, 3)
    assert best.number == 2 and best.tags["former_champion"] == "1" and best.tags["status"] == "champion"
    assert "promoted to champion" in best.description and "better" in best.description
    assert loser.tags["rejected"] == "true" and loser.tags["status"] == "rejected"
    assert "not better" in loser.tags["reasons"]
    assert "**Decision:** rejected" in loser.description and "challenger" in loser.aliases
    again = promotion.promote(name, 2, GATES)  # a champion stays one, with what was decided then
    assert again.promoted and again.former == 1 and again.decision == second.decision
    assert "version 2" in tracking.connect().get_registered_model(name).description

    back = promotion.rollback(name, reason="wrong on night scenes")
    assert back.number == 1 and models.champion(name).number == 1
    assert models.get(name, 2).tags["rolled_back"] == "wrong on night scenes"
    assert [(m["kind"], m["to"], m["from"]) for m in promotion.history(name)] == [
        ("promotion", 1, None), ("promotion", 2, 1), ("rollback", 1, 2)]
    assert "version 1" in tracking.connect().get_registered_model(name).description
    with pytest.raises(UserError, match="version 1 had no champion before it"):
        promotion.rollback(name, reason="again")
    assert promotion.promote(name, 2, GATES).promoted  # it may come back
    assert "rolled_back" not in models.get(name, 2).tags


def test_a_forced_promotion_says_who_was_overruled_and_why(recipe, store, tmp_path):
    name = models.model_name(recipe)
    for right in (70, 50):
        register(recipe, tmp_path, right)
    promotion.promote(name, 1, GATES)
    forced = promotion.promote(name, 2, GATES, force="the first is wrong at night")
    assert forced.promoted and not forced.decision.promote and forced.forced == "the first is wrong at night"
    best = models.champion(name)
    assert best.number == 2 and best.tags["forced"] == "the first is wrong at night"
    assert "promoted by force: `the first is wrong at night`" in best.description
    assert promotion.history(name)[-1] | {"at": ""} == {
        "kind": "forced", "to": 2, "from": 1, "at": "", "reason": "the first is wrong at night"}
    assert promotion.promote(name, 2, GATES).forced  # asked again, it is champion for the same reason
    assert promotion.rollback(name, reason="day").number == 1
    again = promotion.promote(name, 1, GATES, force="needless")
    assert again.promoted and not again.forced  # a champion need not be forced


def test_the_model_commands_tell_compare_promote_and_roll_back(recipe, store, tmp_path):
    def foveate(*arguments: str):
        result = CliRunner().invoke(cli, ["models", *arguments, "--recipe", recipe])
        return result, result.output

    assert foveate("list")[1] == "no model yet: foveate run\n"
    for right in (50, 80, 60):
        register(recipe, tmp_path, right, per_sample={"harmonic": evaluation(right).per_sample["top1"]},
                 metrics={"harmonic": right / 100})
    gates = replace(GATES, headline="harmonic", minimum={}, protected={})
    for number in (1, 2):
        assert promotion.promote(models.model_name(recipe), number, gates).promoted
    promotion.promote(models.model_name(recipe), 3, gates)
    found = json.loads(foveate("list", "--json")[1])
    assert [(v["version"], v["status"]) for v in found] == [(3, "rejected"), (2, "champion"), (1, "former champion")]
    assert "former champion" in foveate("list")[1]
    (change,) = json.loads(foveate("compare", "1", "2", "--json")[1])["changes"]
    assert change["metric"] == "harmonic" and change["gain"][0] == pytest.approx(0.3)
    assert change["gain"][1] < 0.3 < change["gain"][2] and "+30.0 (" in foveate("compare", "1", "2")[1]
    result, said = foveate("promote", "3")
    assert result.exit_code == 1 and "not better" in said
    result, _ = foveate("promote", "3", "--force")
    assert isinstance(result.exception, UserError) and "--reason" in str(result.exception)
    result, said = foveate("promote", "3", "--force", "--reason", "night", "--json")
    assert result.exit_code == 0 and json.loads(said)["forced"] == "night"
    shown = json.loads(foveate("show", "3")[1])
    assert shown["moves"][-1]["kind"] == "forced" and shown["gates"]["headline"] == "harmonic"
    move = json.loads(foveate("rollback", "--reason", "worse", "--json")[1])
    assert (move["kind"], move["to"], move["reason"]) == ("rollback", 2, "worse")


def test_versions_of_other_test_data_are_not_compared(recipe, store, tmp_path):
    register(recipe, tmp_path, 50, test="a")
    register(recipe, tmp_path, 60, test="b")
    assert promotion.promote(models.model_name(recipe), 1, GATES).promoted
    second = promotion.promote(models.model_name(recipe), 2, GATES)
    assert [r.check for r in second.decision.failed] == ["test"]
    with pytest.raises(UserError, match="not scored on the same test images"):
        model_commands.compare_models(recipe, "1", "2")


def test_rollback_without_a_champion(recipe, store, tmp_path):
    register(recipe, tmp_path, 5)
    with pytest.raises(UserError, match="there is no champion"):
        promotion.rollback(models.model_name(recipe), reason="none")


def test_failed_quality_blocks_the_first_champion(recipe, store, tmp_path):
    register(recipe, tmp_path, 90, quality={"dataset": False, "predictions": True})
    outcome = promotion.promote(models.model_name(recipe), 1, GATES)
    assert not outcome.promoted and [r.check for r in outcome.decision.failed] == ["quality.dataset"]
    assert models.champion(models.model_name(recipe)) is None


def _promote(name: str, number: int, start, answers) -> None:
    start.wait()
    answers.put((number, promotion.promote(name, number, GATES)))


def test_of_two_promotions_at_once_one_wins_and_the_other_is_judged_against_it(recipe, store, tmp_path):
    name = models.model_name(recipe)
    register(recipe, tmp_path, 70)
    register(recipe, tmp_path, 71)  # within .02 of the first, either way: whoever comes second is held to it
    context = multiprocessing.get_context("spawn")
    start, answers = context.Barrier(2), context.Queue()
    workers = [context.Process(target=_promote, args=(name, n, start, answers)) for n in (1, 2)]
    for worker in workers:
        worker.start()
    outcomes = dict(answers.get(timeout=300) for _ in workers)
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    moves = promotion.history(name)
    first = moves[0]["to"]
    second = 3 - first
    assert outcomes[first].promoted and outcomes[first].former is None
    assert outcomes[second].former == first  # the second saw the winner of the first, not an empty registry
    assert outcomes[second].promoted == (second == 2)
    assert models.champion(name).number == moves[-1]["to"] == (2 if outcomes[2].promoted else first)


def test_a_promotion_that_waits_too_long_says_so(recipe, store, tmp_path):
    name = models.model_name(recipe)
    register(recipe, tmp_path, 70)
    with promotion._locked(name, 0), pytest.raises(PipelineError, match="another promotion .* under way"):
        promotion.promote(name, 1, GATES, wait=0.2)
    assert promotion.promote(name, 1, GATES, wait=0.2).promoted
