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
from components.registry.comparison import Evaluation

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


def test_another_candidate_finishes_the_interrupted_move_and_is_judged_against_it(store, tmp_path, monkeypatch):
    name = models.model_name("other")
    first, second, third = (register("other", tmp_path, right).number for right in (50, 80, 60))
    promotion.promote(name, first, GATES)
    with monkeypatch.context() as patch:
        fail_at(patch, 4)  # decision, gates, intent and former champion are written, the alias has not moved
        with pytest.raises(PowerCut):
            promotion.promote(name, second, GATES)
    assert models.champion(name).number == first
    outcome = promotion.promote(name, third, GATES)
    assert (outcome.promoted, outcome.former) == (False, second)  # .60 beats the first, not the second
    assert [m["to"] for m in promotion.history(name)] == [first, second]


def _die_at(home: str, step: int, act, name: str, *arguments) -> None:
    """In a process of its own: a real kill before the n-th write of a promotion or rollback."""
    os.environ["FOVEATE_HOME"] = home
    with pytest.MonkeyPatch.context() as patch:
        fail_at(patch, step, die=lambda: os.kill(os.getpid(), signal.SIGKILL))
        act(name, *arguments)


def _rollback(name: str) -> None:
    promotion.rollback(name, reason="night")


@pytest.fixture(scope="module")
def forks():
    """Processes that start at once: a clean parent has the libraries loaded, and no database open."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["components.registry.promotion", "pytest"])
    return context


def killed(forks, store: Path, step: int, act, *arguments) -> bool:
    """Whether the process was killed at that step; False where it had finished before."""
    process = forks.Process(target=_die_at, args=(str(store), step, act, *arguments))
    process.start()
    process.join(600)
    assert process.exitcode in (0, -signal.SIGKILL)
    return process.exitcode != 0


@pytest.mark.slow
def test_a_promotion_killed_at_each_of_its_steps_is_finished_or_undone_by_the_next_call(store, forks, tmp_path):
    name, right, step, best, done = models.model_name("killed"), 20, 0, None, False
    while not done:  # one candidate, better than all before, for each step at which the process may die
        right += 5
        candidate = register("killed", tmp_path, right).number
        done = not killed(forks, store, step, promotion.promote, name, candidate, GATES)
        present = models.champion(name)
        assert (present.number if present else None) in (best, candidate)  # whole at every moment
        assert promotion.promote(name, candidate, GATES, wait=0).promoted  # the lock of the dead holds nobody up
        step += 1
        settled(name, candidate, best, step)
        best = candidate
    assert step >= 9


@pytest.mark.slow
def test_a_rollback_killed_at_each_of_its_steps_is_finished_or_undone_by_the_next_call(store, forks, tmp_path):
    name, step, done = models.model_name("back"), 0, False
    first, second = (register("back", tmp_path, right).number for right in (50, 80))
    promotion.promote(name, first, GATES)
    while not done:
        assert promotion.promote(name, second, GATES).promoted
        done = not killed(forks, store, step, _rollback, name)
        with pytest.raises(UserError, match="had no champion before it"):
            for _ in range(2):  # once if the killed one is finished by this call, twice if it had not begun
                promotion.rollback(name, reason="night")
        assert models.champion(name).number == first and models.get(name, second).tags["rolled_back"] == "night"
        step += 1
        assert [m["kind"] for m in promotion.history(name)] == ["promotion"] + ["promotion", "rollback"] * step
    assert step >= 6


def _promote_at(home: str, start, name: str, number: int, answers) -> None:
    os.environ["FOVEATE_HOME"] = home
    start.wait(300)
    answers.put((number, promotion.promote(name, number, GATES)))


@pytest.mark.slow
def test_of_equals_promoted_at_once_exactly_one_wins(store, forks, tmp_path):
    """Four versions of the same quality: whoever is first wins, as none of the others is better."""
    name = models.model_name("equals")
    for number in range(4):
        bundle = tmp_path / f"equal-{number}"
        bundle.mkdir()
        (bundle / "manifest.json").write_text(json.dumps({"equal": number}))
        with tracking.run("register") as run:
            models.register("equals", bundle, evaluation(60), run, teacher="t", code="c", datasets={})
    start, answers = forks.Barrier(4), forks.Queue()
    workers = [forks.Process(target=_promote_at, args=(str(store), start, name, n, answers)) for n in (1, 2, 3, 4)]
    for worker in workers:
        worker.start()
    outcomes = dict(answers.get(timeout=600) for _ in workers)
    for worker in workers:
        worker.join(60)
    (winner,) = [n for n, outcome in outcomes.items() if outcome.promoted]
    assert models.champion(name).number == winner and len(promotion.history(name)) == 1
    assert {o.former for n, o in outcomes.items() if n != winner} == {winner}
    assert [v.number for v in models.versions(name) if v.tags["status"] == "rejected"] == sorted(
        (n for n in outcomes if n != winner), reverse=True)


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
