"""`run --recipe near` through the real command: birds to a judged bundle that names pictures without torch."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from components.datasets.species.catalogue import SPECIES
from components.datasets.store import Dataset

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-c", "from flows.cli import main; main()")
TINY = ("--recipe", "near", "--fast", "--set", "draw.each=4", "--set", "draw.few=3", "--set", "evaluate.test=1",
        "--set", "draw.side=64", "--set", "distil.epochs=3", "--set", "distil.views=2",
        "--set", "distil.method.warm_up=1")
pytestmark = pytest.mark.slow


def call(home: Path, *arguments: str) -> tuple[int, str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW", "PREFECT"))}
    environment |= {"FOVEATE_HOME": str(home), "PYTHONPATH": str(ROOT)}
    done = subprocess.run([*COMMAND, *arguments], cwd=home.parent, env=environment, text=True, capture_output=True)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> dict:
    home = tmp_path_factory.mktemp("near") / "state"
    code, out = call(home, "run", *TINY, "--json", str(home.parent / "told.json"))
    assert code == 0, out
    return {"home": home, "told": json.loads((home.parent / "told.json").read_text()), "out": out}


def test_the_run_is_complete_and_judged(run):
    told = run["told"]
    assert set(told["headline"]) == {"plain", "distilled", "teacher"}
    for model in ("plain", "distilled"):
        assert set(told["headline"][model]) == {"clusters", "rare", "meaning", "NMI", "ARI"}
    assert told["teacher"] == "drawn" and told["headline"]["teacher"]["clusters"][0] > 0.3
    assert {"minimum.cluster_accuracy", "quality.rationales", "budget.latency_ms"} <= {
        r["check"] for r in told["promotion"]["reasons"]}
    assert Path(told["report"]).stat().st_size > 10_000
    made = told["outputs"]
    assert {"labels.png", "confusion.png"} <= {p.name for p in Path(made["gallery"]).iterdir()}


def test_the_true_class_reaches_no_training_record(run):
    """Neither rationales nor targets nor the task know the class of an image other than by the teacher's words."""
    made = run["told"]["outputs"]
    data = Dataset(Path(made["dataset"]))
    rows = [json.loads(line) for line in (Path(made["rationales"]) / "rationales.jsonl").read_text().splitlines()]
    assert len(rows) == run["told"]["counts"]["train"]
    for row in rows:
        said = row["content"]["labels"] + [row["content"]["response"]]
        species = next(s for s in SPECIES if s.name == data.labels[row["sample"]])
        told = any(name.lower() in " ".join(said).lower() for name in (species.name, species.latin, *species.others))
        others = json.dumps({k: v for k, v in row.items() if k != "content"})
        assert species.name not in others and species.latin not in others
        assert told or species.name not in json.dumps(row)
    named = {json.loads(line)["image"] for line in (Path(made["targets"]) / "names.jsonl").read_text().splitlines()}
    assert named == {r["sample"] for r in rows}


def test_the_bundle_names_a_picture_without_torch(run, tmp_path):
    data = Dataset(Path(run["told"]["outputs"]["dataset"]))
    (tmp_path / "bird.jpg").write_bytes(next(iter(data)).image)
    script = (
        "import json, sys\n"
        "from pathlib import Path\n"
        "from components.pipeline.prediction import predict_files\n"
        "names = sys.argv[3].split(';') if len(sys.argv) > 3 else None\n"
        "found, said = predict_files([Path(sys.argv[1])], model=sys.argv[2], recipe='near', verbs=names)\n"
        "assert 'torch' not in sys.modules\n"
        "print(json.dumps([found, said]))\n")
    arguments = [sys.executable, "-c", script, str(tmp_path / "bird.jpg"), run["told"]["bundle"]]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(arguments, env=environment, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    (found,), (said,) = json.loads(done.stdout)
    assert len(found["names"]) == 5 and "frames" not in found and found["names"][0] in said
    done = subprocess.run([*arguments, ";".join(found["names"][2:4])], env=environment, text=True, capture_output=True)
    (one,), _ = json.loads(done.stdout)
    assert set(one["names"]) == set(found["names"][2:4]) and sum(one["scores"]) == pytest.approx(1, abs=1e-3)
    code, out = call(run["home"], "predict", str(tmp_path / "bird.jpg"), "--model", run["told"]["bundle"], "--among",
                     "Ostrich")
    assert code == 2 and "'Ostrich' is not among" in out
