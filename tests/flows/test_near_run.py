"""NeaR from images to a judged bundle that names pictures without torch."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from small_run import small_run

from components.datasets.species.catalogue import SPECIES
from components.datasets.splits import Splits
from components.datasets.store import Dataset
from components.pipeline.evaluation import report
from components.pipeline.plan import make

ROOT = Path(__file__).parents[2]
TINY = ("draw.each=3", "draw.few=2", "draw.side=64", "evaluate.test=1", "distil.epochs=3", "distil.views=2",
        "distil.method.warm_up=1", "bars.clusters=0", "bars.int8_loss=1", "bars.latency_ms=10000")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(store, tmp_path_factory):
    return small_run(make(recipe="near", fast=True, changes=TINY), tmp_path_factory.mktemp("near") / "student")


def test_the_run_is_complete_and_judged(run):
    made, decision = run
    found = report(made["scores"])
    assert {"cluster_accuracy", "rare.cluster_accuracy", "semantic_accuracy", "nmi", "ari"} <= found.metrics.keys()
    assert json.loads((made["teacher"] / "teacher.json").read_text())["cluster_accuracy"] > 0.3
    assert decision.promote and {"minimum.cluster_accuracy", "quality.rationales", "budget.latency_ms"} <= {
        r.check for r in decision.reasons}


def test_the_true_class_reaches_no_training_record(run):
    """Neither rationales nor targets nor the task know the class of an image other than by the teacher's words."""
    made, _ = run
    data = Dataset(made["dataset"])
    rows = [json.loads(line) for line in (made["rationales"] / "rationales.jsonl").read_text().splitlines()]
    assert {row["sample"] for row in rows} == set(Splits.load(made["splits"] / "splits.json").train)
    for row in rows:
        said = row["content"]["labels"] + [row["content"]["response"]]
        species = next(s for s in SPECIES if s.name == data.labels[row["sample"]])
        told = any(name.lower() in " ".join(said).lower() for name in (species.name, species.latin, *species.others))
        others = json.dumps({k: v for k, v in row.items() if k != "content"})
        assert species.name not in others and species.latin not in others
        assert told or species.name not in json.dumps(row)
    named = {json.loads(line)["image"] for line in (made["targets"] / "names.jsonl").read_text().splitlines()}
    assert named == {row["sample"] for row in rows}


def test_the_bundle_names_a_picture_without_torch(run, tmp_path):
    made, _ = run
    (tmp_path / "bird.jpg").write_bytes(next(iter(Dataset(made["dataset"]))).image)
    script = (
        "import json, sys\n"
        "from pathlib import Path\n"
        "from components.base.errors import UserError\n"
        "from components.pipeline.prediction import predict_files\n"
        "def names(among):\n"
        "    return predict_files([Path(sys.argv[1])], model=sys.argv[2], recipe='near', verbs=among)\n"
        "(found,), said = names(None)\n"
        "(fewer,), _ = names(found['names'][2:4])\n"
        "try:\n"
        "    names(['Ostrich'])\n"
        "except UserError as error:\n"
        "    print(json.dumps([found, said, fewer, str(error)]))\n"
        "assert 'torch' not in sys.modules\n")
    done = subprocess.run([sys.executable, "-c", script, tmp_path / "bird.jpg", made["bundle"] / "bundle"],
                          env=os.environ | {"PYTHONPATH": str(ROOT)}, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr[-2000:]
    found, (said,), fewer, refused = json.loads(done.stdout)
    assert len(found["names"]) == 5 and "frames" not in found and found["names"][0] in said
    assert set(fewer["names"]) == set(found["names"][2:4]) and sum(fewer["scores"]) == pytest.approx(1, abs=1e-3)
    assert "'Ostrich' is not among" in refused
