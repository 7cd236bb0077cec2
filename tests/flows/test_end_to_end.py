"""The main job through the real command: complete, recorded, cheap to repeat, survives a kill, ends clean."""

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from components.teachers.cache import AnswerCache

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-c", "from flows.cli import main; main()")
STAGES = ("ingest", "rationales", "teacher alignment", "student labels-only", "scores distilled", "edge export",
          "promotion gate")
SLICES = {"seen", "rare", "unseen", "harmonic"}
pytestmark = pytest.mark.slow


class Home:
    """One state folder that the tests of this file share."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW", "PREFECT"))}
        self.environment |= {"FOVEATE_HOME": str(folder), "PYTHONPATH": str(ROOT)}

    def start(self, *arguments: str) -> subprocess.Popen:
        return subprocess.Popen([*COMMAND, *arguments], cwd=self.folder.parent, env=self.environment, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def call(self, *arguments: str) -> tuple[int, str, str]:
        with self.start(*arguments) as process:
            out, err = process.communicate(timeout=1200)
        return process.returncode, out, err

    def answers(self) -> int:
        return AnswerCache(self.folder / "cache" / "answers").stats().answers

    def running(self) -> list[str]:
        """Command lines of the processes that work in this state folder."""
        found = []
        for entry in Path("/proc").glob("[0-9]*/environ"):
            try:
                if str(self.folder).encode() in entry.read_bytes():
                    found.append((entry.parent / "cmdline").read_bytes().replace(b"\0", b" ").decode())
            except OSError:
                continue  # it has ended, or is not ours to read
        return [line for line in found if line]

    def settle(self, seconds: float = 20) -> list[str]:
        """What still runs when everything has had time to notice that its parent is gone."""
        deadline = time.monotonic() + seconds
        while self.running() and time.monotonic() < deadline:
            time.sleep(0.5)
        return self.running()


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Home:
    return Home(tmp_path_factory.mktemp("end-to-end") / "state")


@pytest.fixture(scope="module")
def killed(home) -> dict[str, dict]:
    """A run killed hard in one stage after the other, and begun again each time: {stage: what it left behind}."""
    return {stage: kill_in(home, stage) for stage in STAGES}


def kill_in(home: Home, stage: str) -> dict:
    """Kills a run when it has been in the stage for a moment: what was there then, and what was left running."""
    with home.start("run", "--fast") as process:
        said = []
        for line in process.stderr:
            said.append(line)
            if line.strip() == f"{stage} ...":
                break
        else:
            raise AssertionError(f"the run never came to {stage}:\n{''.join(said)}")
        time.sleep(0.5)
        if stage.startswith("student"):
            wait_for_a_step(home.folder / "store" / stage.replace(" ", "-"))
        assert process.poll() is None, "".join(said)
        process.send_signal(signal.SIGKILL)
        said += process.communicate()[1].splitlines(keepends=True)
    return {"left": home.settle(), "answers": home.answers(), "said": "".join(said),
            "made": list((home.folder / "store").glob(f"{stage.replace(' ', '-')}/*/inputs.json"))}


def wait_for_a_step(students: Path) -> None:
    deadline = time.monotonic() + 300
    while not any(told.stat().st_size for told in students.glob("*.part/progress.jsonl")):
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.fixture(scope="module")
def first(home, killed) -> dict:
    """The summary of the run that went on from the killed one."""
    code, out, err = home.call("run", "--fast", "--json", str(home.folder.parent / "first.json"))
    assert code == 0, err
    return {"summary": json.loads((home.folder.parent / "first.json").read_text()), "out": out + err,
            "left": home.settle(), "answers": home.answers()}


@pytest.mark.parametrize("stage", STAGES)
def test_a_kill_leaves_nothing_running_and_nothing_half_done(killed, stage):
    assert killed[stage]["left"] == []
    assert killed[stage]["made"] == []


def test_the_run_goes_on_from_each_kill(killed, first):
    after = STAGES[STAGES.index("teacher alignment"):]
    assert {killed[stage]["answers"] for stage in after} == {first["answers"]}, "the teacher was asked again"
    assert first["answers"] > 0
    for stage, before in zip(after[1:], after, strict=False):
        assert re.search(r"✓ ingest .*\(cached\)", killed[stage]["said"]), killed[stage]["said"]
        assert not re.search(rf"✓ {before} .*\(cached\)", killed[stage]["said"]), "it was killed too late"
    assert re.search(r"✓ edge export .*\(cached\)", first["out"])


def test_nothing_is_left_running(first):
    assert first["left"] == []


def test_the_summary_is_complete(first):
    told = first["summary"]
    assert set(told["headline"]) == {"labels-only", "distilled", "teacher"}
    for model in ("labels-only", "distilled"):
        assert set(told["headline"][model]) == SLICES
        for mean, low, high in told["headline"][model].values():
            assert 0 <= low <= mean <= high <= 1
        assert told["scores"][model]["metrics"]["harmonic"] == told["headline"][model]["harmonic"][0]
        said = told["scores"][model]["protocol"]
        assert {"names of unseen verbs", "images of unseen verbs", "verb given", "data", "seed", "budget"} <= set(said)
    assert set(told["counts"]) == {"train", "dev", "test"} and min(told["counts"].values()) > 0
    assert {"common", "rare", "pseudo_unseen", "unseen"} == set(told["verbs"])
    assert len(told["versions"]) == 2 and all(len(v) == 40 for v in told["versions"].values())
    assert told["rationales"]["accepted"] > 0.9 * told["counts"]["train"]
    assert told["edge"]["edge"]["latency_ms"] > 0 and told["edge"]["edge"]["parity"] < 1e-2
    assert told["promotion"]["reasons"] and isinstance(told["promotion"]["promoted"], bool)
    assert Path(told["bundle"], "manifest.json").exists() and Path(told["report"]).stat().st_size > 10_000


def test_the_results_and_where_to_look_are_told(first):
    for words in ("distilled", "labels-only", "verdict", "why", "report", "make ui", "foveate predict"):
        assert words in first["out"]


def test_mlflow_holds_the_run_with_its_stages(first, home):
    script = (
        "import json, sys\n"
        "from components.registry import tracking\n"
        "client = tracking.connect()\n"
        "run = client.get_run(sys.argv[1])\n"
        "query = \"tags.`mlflow.parentRunId` = '\" + sys.argv[1] + \"'\"\n"
        "children = client.search_runs([run.info.experiment_id], query)\n"
        "print(json.dumps({'status': run.info.status, 'metrics': run.data.metrics, 'params': run.data.params,\n"
        "  'files': [f.path for f in client.list_artifacts(run.info.run_id)],\n"
        "  'children': {c.info.run_name: [c.info.status, [f.path for f in client.list_artifacts(c.info.run_id)]]\n"
        "               for c in children}}))\n")
    done = subprocess.run([sys.executable, "-c", script, first["summary"]["mlflow_run"]], env=home.environment,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["status"] == "FINISHED" and set(found["metrics"]) >= SLICES
    assert found["params"]["distil.epochs"] == str(first["summary"]["settings"]["distil"]["epochs"])
    assert {"report", "promotion"} <= set(found["files"])
    assert all(status == "FINISHED" for status, _ in found["children"].values())
    assert "data_docs" in found["children"]["quality gate"][1]
    assert "pictures" in found["children"]["plots and pictures"][1]
    assert {"student labels-only", "student distilled", "edge export", "promotion gate"} <= set(found["children"])


def test_why_it_was_promoted_or_not_is_told_on_a_page_and_in_prefect(first, home):
    page = Path(first["summary"]["promotion_page"]).read_text()
    verdict = first["summary"]["promotion"]
    assert f"version {verdict['version']}: {'promoted' if verdict['promoted'] else 'rejected'}" in page
    assert not re.search(r'(src|href)="(?!data:)', page) and "<script" not in page
    with sqlite3.connect(f"file:{home.folder / 'prefect' / 'prefect.db'}?mode=ro", uri=True) as database:
        ((note,),) = database.execute("select data from artifact where key = 'promotion-mipd' limit 1").fetchall()
    assert verdict["model"] in note


def test_logged_predictions_are_held_against_the_test(first, home, tmp_path):
    from components.datasets.store import Dataset

    for number, sample in zip(range(3), Dataset(Path(first["summary"]["outputs"]["dataset"])), strict=False):
        (tmp_path / f"{number}.jpg").write_bytes(sample.image)
    which = ("--model", str(first["summary"]["promotion"]["version"]))
    code, _, err = home.call("predict", *(str(tmp_path / f"{n}.jpg") for n in range(3)), "--log", *which)
    assert code == 0, err
    code, out, err = home.call("drift", "--json", *which)
    told = json.loads(out)
    assert code == 0 and (told["verdict"], told["predictions"]) == ("too few", 3), err
    assert told["reference"] > 50 and Path(told["page"]).exists()


def test_a_second_run_asks_the_teacher_nothing(first, home):
    code, out, err = home.call("run", "--fast", "--json", "-")
    assert code == 0, err
    second = json.loads(out[out.index("{"):])
    assert home.answers() == first["answers"]
    assert second["outputs"]["student_distilled"] == first["summary"]["outputs"]["student_distilled"]
    assert second["headline"] == first["summary"]["headline"]
    assert second["promotion"]["version"] == first["summary"]["promotion"]["version"]
    assert (out + err).count("cached") >= 8


def test_the_bundle_predicts_without_torch(first, home, tmp_path):
    from components.datasets.store import Dataset

    sample = next(iter(Dataset(Path(first["summary"]["outputs"]["dataset"]))))
    (tmp_path / "scene.jpg").write_bytes(sample.image)
    model = "champion" if first["summary"]["promotion"]["promoted"] else first["summary"]["bundle"]
    arguments = ("predict", str(tmp_path / "scene.jpg"), "--model", model)
    code, out, err = home.call(*arguments, "--overlay", str(tmp_path / "out"), "--json")
    assert code == 0, err
    (one,) = json.loads(out)
    assert len(one["verbs"]) == 5 and one["image"] == "scene.jpg"
    assert (tmp_path / "out" / "scene.png").stat().st_size > 1000
    code, out, err = home.call(*arguments, "--verbs", "surfing, feeding a dog")
    assert code == 0 and out.startswith("scene.jpg: "), err
    (tmp_path / "verbs.txt").write_text("kitesurfing: riding waves, pulled by a kite\nfeeding a dog\n")
    given = ("--verbs", f"@{tmp_path / 'verbs.txt'}", "--roles", "agent, helper")
    code, out, err = home.call(*arguments, *given, "--json")
    assert code == 0, err
    (one,) = json.loads(out)
    assert set(one["verbs"]) == {"kitesurfing", "feeding a dog"} and 0 <= one["fits"] <= 1
    assert all(list(frame) == ["agent", "helper"] for frame in one["frames"].values())


def test_how_sure_the_student_is_was_measured_and_ships(first):
    decoding = json.loads((Path(first["summary"]["bundle"]) / "manifest.json").read_text())["decoding"]
    assert [len(decoding[name]) for name in ("fits", "noun_right", "box_right")] == [2, 2, 3]
    found = first["summary"]["scores"]["distilled"]["metrics"]
    assert all(0 <= found[f"{kind}.calibration_error"] < 0.4 for kind in ("verb", "noun", "box"))
    assert 0 <= found["aurc.best"] <= found["aurc"] <= 1
    assert found["unseen.fits_kept"] > 1 - found["unseen.misfits_found"]


def test_a_stage_alone_works_on_what_is_there(first, home):
    code, out, err = home.call("align", "--fast", "--json", "-")
    assert code == 0, err
    assert json.loads(out[out.index("{"):])["outputs"]["targets"] == first["summary"]["outputs"]["targets"]


def test_a_recording_of_the_answers_teaches_as_another_teacher(first, home, tmp_path):
    """The same words, seen with borrowed eyes: nothing is asked, the rationales are the same, the targets are not."""
    code, out, err = home.call("rationales", "cache", "export", str(tmp_path / "answers.jsonl"))
    assert code == 0, err
    code, out, err = home.call("align", "--fast", "--teacher", f"recorded:{tmp_path / 'answers.jsonl'}", "--json", "-")
    assert code == 0, err
    second = json.loads(out[out.index("{"):])
    assert home.answers() == first["answers"]
    assert second["rationales"]["accepted"] == first["summary"]["rationales"]["accepted"]
    assert second["outputs"]["targets"] != first["summary"]["outputs"]["targets"]
