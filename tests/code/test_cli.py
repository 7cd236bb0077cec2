"""The command line answers at once, lists what it can do, and says what is wrong in one sentence with exit code 2."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-c", "from flows.cli import main; main()")
STAGES = ("rationales", "align", "distil", "evaluate", "export", "promote")
LISTED = ("run", "predict", "data", "teacher", "names", "retrain", *STAGES, "models", "drift", "ui")


def foveate(*arguments: str, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess:
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | environment
    return subprocess.run([*COMMAND, *arguments], cwd=cwd or ROOT, env=environment, capture_output=True, text=True,
                          timeout=120)


HEAVY = ("torch", "transformers", "prefect", "mlflow", "numpy", "pandas", "PIL", "onnxruntime", "components.recipes")


def test_help_lists_every_command_and_imports_nothing_heavy():
    code = ("import sys\nfrom flows.cli import cli\ntry:\n    cli(['--help'])\nexcept SystemExit:\n    pass\n"
            f"print('HEAVY', [m for m in {HEAVY} if m in sys.modules])")
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    shown, _, heavy = done.stdout.partition("HEAVY ")
    assert heavy.strip() == "[]"
    words = {line.split()[0] for line in shown.partition("Commands:")[2].splitlines() if line.split()}
    assert set(LISTED) <= words


@pytest.mark.parametrize(("group", "commands"), [
    ("data", ("draw", "ingest", "validate", "version", "split", "export-swig", "doctor")),
    ("evaluate", ("situation", "hico")),
    ("teacher", ("info", "ask", "train")),
    ("rationales", ("cost", "cache")),
    ("models", ("list", "show", "compare", "promote", "rollback")),
    ("names", ("consolidate", "undo")),
    ("evaluate", ("composition",)),
])
def test_groups_list_their_commands(group, commands):
    out = foveate(group, "--help").stdout
    assert all(f"\n  {c} " in out for c in commands)


@pytest.mark.parametrize("command", ["run", "predict", "retrain", *STAGES])
def test_help_teaches_with_an_example(command):
    out = foveate(command, "--help").stdout
    assert f"\n  foveate {command}" in out


@pytest.mark.parametrize(("arguments", "says"), [
    (("rnu",), "did you mean 'run'?"),
    (("run", "--set", "distil.epoch=4"), "did you mean 'epochs'?"),
    (("run", "--set", "distil.epochs=many"), "expected int"),
    (("run", "--recipe", "mipt"), "did you mean 'mipd'?"),
    (("run", "--data", "nowhere"), "no such folder"),
    (("run", "--annotations", "a.json"), "add --data FOLDER"),
    (("run", "--data", ".", "--annotations", "nowhere.json"), "no such file"),
    (("predict", "nowhere.jpg"), "nowhere.jpg: cannot be read"),
    (("predict", "README.md"), "README.md"),
    (("data", "split", "nowhere", "--out", "x"), "nowhere"),
    (("retrain", "nothing"), "foveate data ingest FOLDER --dataset nothing"),
    (("run", "--dataset", "../x"), "cannot name a dataset"),
    (("evaluate", "--recipe", "mipt"), "did you mean 'mipd'?"),
    (("evaluate", "compositoin"), "did you mean 'composition'?"),
    (("evaluate", "composition", "--scores", "nowhere.npz", "--pairs", "nowhere.json"), "nowhere.json: cannot be read"),
    (("names", "consolidate", "--labels", "nowhere.jsonl", "--out", "x.jsonl"), "nowhere.jsonl: cannot be read"),
    (("rationales", "--set", "ask.juge=same"), "did you mean 'judge'?"),
    (("rationales", "costs"), "did you mean 'cost'?"),
    (("rationales", "cost", "--by", "teachers"), "did you mean 'teacher'?"),
    (("rationales", "--max-requests", "many"), "not a valid integer"),
    (("run", "--max-cost", "-1"), "not in the range"),
    (("rationales", "cache", "prune"), "says nothing of what to remove"),
    (("rationales", "cache", "prune", "--older-than", "soon"), "for example 36h"),
    (("rationales", "cache", "import", "nowhere.jsonl"), "nowhere.jsonl: cannot be read"),
])
def test_a_mistake_is_one_clear_error_and_exit_code_2(arguments, says, own_home):
    done = foveate(*arguments)
    assert done.returncode == 2, done.stderr
    assert says.lower() in done.stderr.lower()
    assert "Traceback" not in done.stderr
    assert not (own_home / "store").exists()


def test_no_champion_yet_says_what_to_do(tmp_path):
    from PIL import Image

    Image.new("RGB", (32, 32)).save(tmp_path / "photo.jpg")
    done = foveate("predict", str(tmp_path / "photo.jpg"))
    assert done.returncode == 2
    assert "foveate run" in done.stderr
    assert foveate("models", "list").stdout.strip() == "no model yet: foveate run"


def test_an_unexpected_failure_names_its_log(own_home, tmp_path):
    (tmp_path / "file").write_text("in the way of the state folder")
    done = foveate("models", "list", FOVEATE_HOME=str(tmp_path / "file"))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr and "--verbose" in done.stderr


def test_data_commands_from_draw_to_swig(tmp_path):
    counts = ("--train", "210", "--dev", "1", "--test", "1", "--pseudo", "1", "--unseen", "1", "--workers", "1")
    for arguments in (("data", "draw", "--out", "images", *counts), ("data", "ingest", "images", "--out", "dataset"),
                      ("data", "split", "dataset", "--out", "splits", "--dev", "1", "--test", "1"),
                      ("data", "export-swig", "dataset", "--splits", "splits", "--out", "swig")):
        done = foveate(*arguments, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    train = json.loads((tmp_path / "swig" / "train.json").read_text())
    assert train and all((tmp_path / "swig" / "images" / name).exists() for name in train)


def test_names_are_merged_and_taken_back(tmp_path):
    labels = ["Grey Plover", "Gray Plover", "Gray Plover", "Smew", "Smew"]
    rows = [{"image": f"{i}.png", "labels": [n], "class_name": n[-6:]} for i, n in enumerate(labels)]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    done = foveate("names", "consolidate", "--labels", "in.jsonl", "--out", "out.jsonl", "--truth", "in.jsonl",
                   "--risk", "0.1", "--json", "-", cwd=tmp_path)
    report = json.loads(done.stdout)
    assert report["names"] == {"before": 3, "after": 2}
    assert report["cluster_accuracy"] == {"before": 0.8, "after": 1.0}
    assert json.loads((tmp_path / "out.jsonl").read_text().splitlines()[0]) == {
        "image": "0.png", "name": "Gray Plover", "merged_from": ["Grey Plover"]}
    done = foveate("names", "undo", "--names", "out.jsonl", "--out", "back.jsonl", cwd=tmp_path)
    assert done.stdout.startswith("1 images have their first label back")


def test_pair_scores_are_scored(tmp_path):
    import numpy as np

    np.savez(tmp_path / "s.npz", scores=np.eye(4, dtype=np.float32) + [3, 3, 0, 0], labels=np.arange(4))
    (tmp_path / "p.json").write_text(json.dumps({"pairs": [["wet", "dog"], ["dry", "dog"], ["wet", "cat"],
                                                           ["dry", "cat"]], "seen": [True, True, False, False]}))
    arguments = ("evaluate", "composition", "--scores", "s.npz", "--pairs", "p.json")
    done = foveate(*arguments, "--json", "r.json", cwd=tmp_path)
    assert done.returncode == 0 and "best harmonic mean  100.00" in done.stdout, done.stderr
    assert json.loads((tmp_path / "r.json").read_text())["best_unseen"] == 1
    assert json.loads(foveate(*arguments, "--mode", "reference", "--json", "-", cwd=tmp_path).stdout)[
        "mode"] == "reference"
def test_answers_go_from_one_home_to_another(own_home, tmp_path):
    from colour_teacher import entry

    from components.teachers.cache import AnswerCache

    cache = AnswerCache()
    for number in range(20):
        cache.pay(entry(number, run=f"run-{number % 2}"), dataset="colours@1", dollars=0.25)
    out, other = str(tmp_path / "answers.jsonl"), {"FOVEATE_HOME": str(tmp_path / "other")}
    assert foveate("rationales", "cache", "export", out).stdout == f"20 answers in {out}\n"
    assert foveate("rationales", "cache", "import", out, **other).stdout == "20 new answers, 0 were there\n"
    assert foveate("rationales", "cache", "verify", **other).stdout == "20 answers, all sound\n"
    assert "nothing was asked yet" in foveate("rationales", "cost", **other).stdout
    told = json.loads(foveate("rationales", "cost", "--by", "run", "--json").stdout)
    assert told["run-0"]["dollars"] == 2.5 and told["all"]["requests"] == 20
    assert "5.0000" in foveate("rationales", "cost", "--by", "dataset").stdout
    assert "10 answers would be removed" in foveate("rationales", "cache", "prune", "--run", "run-1").stdout
    assert "10 answers removed" in foveate("rationales", "cache", "prune", "--run", "run-1", "--yes").stdout
    stats = json.loads(foveate("rationales", "cache", "stats", "--json").stdout)
    assert stats["answers"] == 10 and stats["runs"] == {"run-0": 10}
    assert "10 answers in" in foveate("rationales", "cache", "stats").stdout


def test_damaged_answers_are_told_with_exit_code_1(own_home):
    from colour_teacher import entry

    from components.teachers.cache import AnswerCache

    cache, bad = AnswerCache(), entry(1)
    cache.pay(bad)
    with cache.shards.writing(int(bad.image[0], 16)) as (db, _):
        db.execute("UPDATE answers SET tokens_in = 7")
    done = foveate("rationales", "cache", "verify")
    assert done.returncode == 1 and bad.image in done.stderr and "prune --damaged --yes" in done.stderr
    assert "1 answers removed" in foveate("rationales", "cache", "prune", "--damaged", "--yes").stdout
    assert foveate("rationales", "cache", "verify").returncode == 0
