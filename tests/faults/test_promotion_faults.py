"""A promotion that dies at any step leaves a registry that works, and the next one finishes what was begun."""

import json
import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from components.base.errors import UserError
from components.recipes.protocol import Gates
from components.registry import models, promotion, tracking
from components.registry.decision import Evaluation

GATES = Gates(headline="top1", minimum={"top1": 0.2}, protected={"top1": 0.02}, budgets={})
WRITES = ("set_", "delete_", "update_", "create_")


class PowerCut(BaseException):
    """Not an Exception: nothing on the way may swallow it."""


class Failing:
    """A real MLflow client that loses power before its n-th write."""

    def __init__(self, client, left: list[int], die):
        self._client, self._left, self._die = client, left, die

    def __getattr__(self, name):
        if name.startswith(WRITES):
            self._left[0] -= 1
            if self._left[0] < 0:
                self._die()
        return getattr(self._client, name)


def raise_power_cut():
    raise PowerCut


def fail_at(patch: pytest.MonkeyPatch, step: int, die=raise_power_cut) -> list[int]:
    left = [step]
    for module in (promotion, models):
        patch.setattr(module, "connect", lambda: Failing(tracking.connect(), left, die))
    return left


def evaluation(right: int) -> Evaluation:
    return Evaluation(metrics={"top1": right / 100}, quality={"dataset": True, "predictions": True},
                      per_sample={"top1": {f"{i}.jpg": float(i < right) for i in range(100)}})


def register(recipe: str, folder: Path, right: int) -> models.Version:
    bundle = folder / f"bundle-{right}"
    bundle.mkdir(parents=True, exist_ok=True)
    (bundle / "manifest.json").write_text(json.dumps({"right": right}))
    with tracking.run("register") as run:
        return models.register(recipe, bundle, evaluation(right), run, teacher="t", code="c", datasets={})


def settled(name: str, best: int, former: int, moves: int) -> None:
    """The registry tells one story: alias, tags, history and descriptions agree, and no intent is left."""
    champion = models.champion(name)
    assert champion.number == best
    assert champion.tags["status"] == "champion" and champion.tags["former_champion"] == str(former or "")
    assert "promoted to champion" in champion.description
    registered = tracking.connect().get_registered_model(name)
    assert "move" not in registered.tags and f"version {best}" in registered.description
    history = promotion.history(name)
    assert len(history) == moves and history[-1]["to"] == best
    if former:
        assert models.get(name, former).tags["status"] == "former champion"


def test_a_promotion_cut_before_any_of_its_writes_is_finished_by_the_next(store, tmp_path, monkeypatch):
    name = models.model_name("cut")
    right, step, cuts, moves = 20, 0, 0, 0
    best = None
    while True:  # one candidate, better than all before, for each step at which the power may fail
        right += 5
        candidate = register("cut", tmp_path, right).number
        with monkeypatch.context() as patch:
            fail_at(patch, step)
            try:
                promotion.promote(name, candidate, GATES)
            except PowerCut:
                cuts += 1
            else:
                break
        present = models.champion(name)  # at every moment the alias points at a whole version, the old or the new
        assert (present.number if present else None) in (best, candidate)
        assert promotion.promote(name, candidate, GATES).promoted
        moves += 1
        settled(name, candidate, best, moves)
        best, step = candidate, step + 1
    assert cuts >= 9  # decision, intent, former, alias, two states, challenger, history, announcement, intent, text
    settled(name, candidate, best, moves + 1)


def test_another_candidate_finishes_the_interrupted_move_and_is_judged_against_it(store, tmp_path, monkeypatch):
    name = models.model_name("other")
    first, second, third = (register("other", tmp_path, right).number for right in (50, 80, 60))
    promotion.promote(name, first, GATES)
    with monkeypatch.context() as patch:
        fail_at(patch, 3)  # decision, intent and former champion are written, the alias has not moved
        with pytest.raises(PowerCut):
            promotion.promote(name, second, GATES)
    assert models.champion(name).number == first
    outcome = promotion.promote(name, third, GATES)
    assert (outcome.promoted, outcome.former) == (False, second)  # .60 beats the first, not the second
    assert [m["to"] for m in promotion.history(name)] == [first, second]


def test_an_interrupted_rollback_is_finished(store, tmp_path, monkeypatch):
    name = models.model_name("back")
    first, second = (register("back", tmp_path, right).number for right in (50, 80))
    for number in (first, second):
        promotion.promote(name, number, GATES)
    with monkeypatch.context() as patch:
        fail_at(patch, 2)  # the intent is written and the alias moved
        with pytest.raises(PowerCut):
            promotion.rollback(name, reason="night")
    with pytest.raises(UserError, match=f"version {first} had no champion before it"):
        promotion.rollback(name, reason="night")  # the first rollback is finished, then there is nothing further back
    assert models.champion(name).number == first
    assert models.get(name, second).tags["rolled_back"] == "night"
    assert [m["kind"] for m in promotion.history(name)] == ["promotion", "promotion", "rollback"]


def _promote_and_die(name: str, number: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        fail_at(patch, 4, die=lambda: os.kill(os.getpid(), signal.SIGKILL))
        promotion.promote(name, number, GATES)


@pytest.mark.slow
def test_a_killed_process_frees_the_lock_and_its_move_is_finished(store, tmp_path):
    name = models.model_name("killed")
    first, second = (register("killed", tmp_path, right).number for right in (50, 80))
    promotion.promote(name, first, GATES)
    worker = multiprocessing.get_context("spawn").Process(target=_promote_and_die, args=(name, second))
    worker.start()
    worker.join(300)
    assert worker.exitcode == -signal.SIGKILL
    assert models.champion(name).number == second and promotion.history(name)[-1]["to"] == first
    assert promotion.promote(name, second, GATES, wait=0).promoted
    settled(name, second, first, 2)


def test_stored_files_that_changed_are_not_served(store, tmp_path):
    version = register("spoilt", tmp_path, 51)
    (stored,) = [f for f in (store / "mlflow" / "artifacts").rglob("bundle/manifest.json")
                 if models.folder_digest(f.parent) == version.sha256]
    stored.write_text("{}")
    with pytest.raises(UserError, match="sha256 differs"):
        models.bundle_path(version.name, version.number)
    assert not list((store / "models" / version.name).iterdir())


def test_a_registration_cut_before_its_version_exists_is_done_again(store, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        fail_at(patch, 1)  # the registered model is made, the version is not
        with pytest.raises(PowerCut):
            register("again", tmp_path, 50)
    assert models.versions(models.model_name("again")) == []
    assert register("again", tmp_path, 50).number == 1
    assert [v.number for v in models.versions(models.model_name("again"))] == [1]


def test_a_registration_cut_after_its_version_exists_is_completed(store, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        fail_at(patch, 2)  # the version exists, without alias and description
        with pytest.raises(PowerCut):
            register("half", tmp_path, 50)
    version = register("half", tmp_path, 50)
    assert version.number == 1 and "not judged yet" in version.description and "challenger" in version.aliases
