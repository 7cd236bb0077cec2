"""`run --recipe trident` through the real command: pairs to a judged bundle that names unseen pairs without torch."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from components.datasets.splits import Splits
from components.datasets.store import Dataset

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-c", "from flows.cli import main; main()")
TINY = ("--recipe", "trident", "--fast", "--set", "draw.train=110", "--set", "draw.val=40", "--set", "draw.test=44",
        "--set", "draw.side=64", "--set", "distil.epochs=2", "--set", "distil.batch_size=24", "--set",
        "student.width=32", "--set", "evaluate.bootstrap=50", "--set", "bars.auc=0", "--set", "bars.int8_loss=1",
        "--set", "bars.latency_ms=10000")
pytestmark = pytest.mark.slow


def call(home: Path, *arguments: str) -> tuple[int, str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW", "PREFECT"))}
    environment |= {"FOVEATE_HOME": str(home), "PYTHONPATH": str(ROOT)}
    done = subprocess.run([*COMMAND, *arguments], cwd=home.parent, env=environment, text=True, capture_output=True)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> dict:
    home = tmp_path_factory.mktemp("trident") / "state"
    code, out = call(home, "run", *TINY, "--json", str(home.parent / "told.json"))
    assert code == 0, out
    return {"home": home, "told": json.loads((home.parent / "told.json").read_text()), "out": out}


def test_the_run_is_complete_judged_and_promoted(run):
    told = run["told"]
    assert set(told["headline"]) >= {"labels-only", "distilled"}
    for model in ("labels-only", "distilled"):
        assert set(told["headline"][model]) == {"seen", "unseen", "harmonic", "AUC"}
    assert told["counts"] == {"train": 110, "dev": 40, "test": 44} and told["pairs"]["unseen"] == 18
    checks = {r["check"] for r in told["promotion"]["reasons"]}
    assert {"minimum.auc", "quality.rationales", "budget.latency_ms"} <= checks and told["promotion"]["promoted"]
    assert Path(told["report"]).stat().st_size > 10_000


def test_nothing_of_held_out_pairs_reaches_training(run):
    made = run["told"]["outputs"]
    data, splits = Dataset(Path(made["dataset"])), Splits.load(Path(made["splits"]) / "splits.json")
    rows = [json.loads(line) for line in (Path(made["rationales"]) / "rationales.jsonl").read_text().splitlines()]
    assert {r["sample"] for r in rows} <= set(splits.train)
    words = json.loads((Path(made["targets"]) / "words.json").read_text())
    assert set(words["also"]) <= set(data.space["pair_sets"]["train"])
    for row in rows:
        assert data.labels[row["sample"]].split()[0] not in row["content"]["look"]
    student = json.loads((Path(made["student_distilled"]) / "config.json").read_text())
    assert set(student["words"]["labels"]) == set(data.space["pair_sets"]["train"])


def test_the_bundle_names_pairs_without_torch(run, tmp_path):
    data = Dataset(Path(run["told"]["outputs"]["dataset"]))
    (tmp_path / "thing.jpg").write_bytes(next(iter(data)).image)
    script = (
        "import json, sys\n"
        "from pathlib import Path\n"
        "from components.pipeline.prediction import predict_files\n"
        "out = []\n"
        "for names in (None, ['shiny kettle', 'burnt bag']):\n"
        "    out.append(predict_files([Path(sys.argv[1])], model=sys.argv[2], recipe='trident', verbs=names))\n"
        "assert 'torch' not in sys.modules\n"
        "print(json.dumps(out))\n")
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path / "thing.jpg"), run["told"]["bundle"]],
                          env=os.environ | {"PYTHONPATH": str(ROOT)}, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr[-2000:]
    (found, said), (chosen, _) = json.loads(done.stdout)
    assert len(found[0]["pairs"]) == 5 and all(p in data.space["pairs"] for p in found[0]["pairs"])
    assert any(word in said[0].lower() for word in found[0]["pairs"][0].split())
    assert set(chosen[0]["pairs"]) == {"shiny kettle", "burnt bag"}
