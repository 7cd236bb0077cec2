"""TRIDENT from images to a judged bundle that names unseen pairs without torch."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from small_run import small_run

from components.datasets.splits import Splits
from components.datasets.store import Dataset
from components.pipeline.evaluation import predictions, report
from components.pipeline.plan import make

ROOT = Path(__file__).parents[2]
TINY = ("draw.train=100", "draw.val=36", "draw.test=40", "draw.side=64", "distil.epochs=2", "distil.batch_size=24",
        "student.width=32", "evaluate.bootstrap=50", "bars.auc=0", "bars.int8_loss=1", "bars.latency_ms=10000")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(store, tmp_path_factory):
    return small_run(make(recipe="trident", fast=True, changes=TINY), tmp_path_factory.mktemp("trident") / "student")


def test_the_run_is_complete_and_judged(run):
    made, decision = run
    found, splits = report(made["scores"]), Splits.load(made["splits"] / "splits.json")
    assert {"seen.top1", "unseen.top1", "harmonic", "auc", "best_hm"} <= found.metrics.keys()
    assert [len(part) for part in (splits.train, splits.dev, splits.test)] == [100, 36, 40]
    assert len(splits.verbs["unseen"]) == 18
    assert decision.promote and {"minimum.auc", "quality.rationales", "budget.latency_ms"} <= {
        r.check for r in decision.reasons}


def test_nothing_of_held_out_pairs_reaches_training(run):
    made, _ = run
    data, splits = Dataset(made["dataset"]), Splits.load(made["splits"] / "splits.json")
    rows = [json.loads(line) for line in (made["rationales"] / "rationales.jsonl").read_text().splitlines()]
    assert {r["sample"] for r in rows} <= set(splits.train)
    words = json.loads((made["targets"] / "words.json").read_text())
    assert set(words["also"]) <= set(data.space["pair_sets"]["train"])
    for row in rows:
        assert data.labels[row["sample"]].split()[0] not in row["content"]["look"]
    student = json.loads((made["student"] / "config.json").read_text())
    assert set(student["words"]["labels"]) == set(data.space["pair_sets"]["train"])


def test_the_bundle_names_pairs_without_torch(run, tmp_path):
    made, _ = run
    data, said = Dataset(made["dataset"]), predictions(str(made["scores"]))
    (tmp_path / "thing.jpg").write_bytes(data.image(said[0]["id"]))
    script = (
        "import json, sys\n"
        "from pathlib import Path\n"
        "from components.pipeline.prediction import predict_files\n"
        "out = []\n"
        "for names in (None, ['shiny kettle', 'burnt bag']):\n"
        "    out.append(predict_files([Path(sys.argv[1])], model=sys.argv[2], recipe='trident', verbs=names))\n"
        "assert 'torch' not in sys.modules\n"
        "print(json.dumps(out))\n")
    done = subprocess.run([sys.executable, "-c", script, tmp_path / "thing.jpg", made["bundle"] / "bundle"],
                          env=os.environ | {"PYTHONPATH": str(ROOT)}, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr[-2000:]
    (found, sentences), (chosen, _) = json.loads(done.stdout)
    assert len(found[0]["pairs"]) == 5 and all(p in data.space["pairs"] for p in found[0]["pairs"])
    assert any(word in sentences[0].lower() for word in found[0]["pairs"][0].split())
    assert set(chosen[0]["pairs"]) == {"shiny kettle", "burnt bag"}
