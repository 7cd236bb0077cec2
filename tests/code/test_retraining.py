"""Retraining happens once a version, after quiet, not too often and one at a time, whoever asks and how often."""

import json
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import pytest

from components.base.artifacts import write_json
from components.base.errors import UserError
from components.base.home import state
from components.pipeline import growth, retraining
from components.pipeline.retraining import Made, Policy

ROOT = Path(__file__).parents[2]
POLICY = Policy(quiet=60, cooldown=1000, failures=2)


class Clock:
    """A time that passes only where somebody sleeps."""

    def __init__(self, now: float = 10_000.0):
        self.now, self.slept = now, []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def add_version(number: int, at: float) -> growth.Version:
    """Puts a version on record as an ingestion does, without its images, which nobody here reads."""
    made = growth.Version("photos", f"{number:064x}", "t" * 64, 10 + number, 1, at, "r")
    file = state("datasets", "photos") / "current.json"
    past = json.loads(file.read_text()) if file.exists() else []
    file.write_text(json.dumps([*past, {f: getattr(made, f) for f in made.__slots__}]))
    return made


def promote(_version: growth.Version) -> Made:
    return Made("promoted", "version 1 is champion", "abc")


def call(clock: Clock, work=promote, policy=POLICY, settings="a", **how):
    made = []

    def counted(version):
        made.append(version)
        return work(version)

    done = retraining.retrain("photos", lambda v: v.version + settings, counted, policy, sleep=clock.sleep, clock=clock,
                              **how)
    return done, made


def test_a_version_is_retrained_on_once(own_home):
    clock, version = Clock(), add_version(1, at=0)
    first, made = call(clock)
    assert (first.word, made) == ("promoted", [version]) and first.made
    clock.now += 5000
    again, made = call(clock)
    assert again.word == "nothing new" and made == [] and "retrained on already: promoted" in again.text
    forced, made = call(clock, force=True)
    assert forced.made and made == [version]
    other, made = call(clock, settings="b", policy=Policy(0, 0))
    assert other.made and made == [version], "other settings are another student"
    assert [a.outcome for a in retraining.attempts("photos")] == ["promoted"] * 3


def test_a_flood_of_versions_is_one_run_on_the_last(own_home):
    clock = Clock()
    add_version(1, at=clock.now - 10)
    sleep = clock.sleep

    def arriving(seconds):
        sleep(seconds)
        if len(clock.slept) == 1:
            add_version(2, at=clock.now - 5)

    clock.sleep = arriving
    done, made = call(clock)
    assert done.made and [v.images for v in made] == [12] and clock.slept == [50, 55]


def test_too_soon_after_the_last_it_waits_for_its_time(own_home):
    clock = Clock()
    add_version(1, at=0)
    call(clock)
    add_version(2, at=0)
    clock.now += 999
    done, made = call(clock)
    assert done.word == "cooling" and made == [] and "1970-01-01T03:03:20" in done.text
    assert call(clock, force=True)[0].made
    add_version(3, at=0)
    clock.now += 1000
    assert call(clock)[0].made


def test_a_failure_is_recorded_passes_through_and_is_not_repeated_for_ever(own_home):
    clock, _ = Clock(), add_version(1, at=0)

    def fail(_version):
        raise UserError("no such teacher")

    for _ in range(2):
        with pytest.raises(UserError):
            call(clock, fail)
        clock.now += 2000
    done, made = call(clock)
    assert done.word == "nothing new" and made == [] and "failed 2 times (no such teacher)" in done.text
    assert "foveate retrain photos --force" in done.text and call(clock, force=True)[0].made


def test_a_killed_attempt_is_taken_up_at_once_and_frees_its_lock(own_home):
    add_version(1, at=0)
    script = ("import sys, time\nfrom components.pipeline import retraining\n"
              "def work(version):\n    print('begun', flush=True)\n    time.sleep(60)\n"
              "retraining.retrain('photos', lambda v: v.version + 'a', work, retraining.Policy(0, 1e9))\n")
    with subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "begun\n"
        busy, made = call(Clock())
        assert busy.word == "busy" and made == []
        process.kill()
    assert [a.outcome for a in retraining.attempts("photos")] == [""]
    done, made = call(Clock(time.time()))
    assert done.made and len(made) == 1


def test_what_is_killed_again_and_again_is_left_alone_but_not_what_was_asked_to_stop(own_home):
    version, clock = add_version(1, at=0), Clock()

    def stop(_version):
        raise KeyboardInterrupt

    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            call(clock, stop)
    assert [a.outcome for a in retraining.attempts("photos")] == ["stopped"] * 3
    killed = [asdict(retraining.Attempt(version.version + "a", version.version, 0))] * 2
    write_json(state("retraining") / "photos.json", killed)
    done, made = call(clock)
    assert made == [] and "failed 2 times (it was killed)" in done.text


def test_training_may_begin_from_the_champion_alone(own_home, monkeypatch):
    """After a rollback that is not the student that was promoted last."""
    from components.registry import models

    add_version(1, at=0)
    for number, student in ((1, "abc"), (2, "def")):
        write_json(state("store", "student-distilled", student) / "inputs.json", {})
        call(Clock(), lambda _: Made("promoted", "", student, number), settings=student, policy=Policy(0, 0))  # noqa: B023
    for best, student in ((2, "def"), (1, "abc"), (3, "")):
        monkeypatch.setattr(models, "champion", lambda name: models.Version(name, best, "", 0, "", {}, ()))  # noqa: B023
        assert retraining.champion_of("photos", "mipd") == student


def test_an_unknown_dataset_is_told_as_one_and_leaves_no_trace(own_home):
    with pytest.raises(UserError, match="no dataset 'photos'"):
        call(Clock())
    assert not (own_home / "retraining").exists() and not list((own_home).glob("locks/retraining*"))
