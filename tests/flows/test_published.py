"""The field's own files to the field's own scores by one command: split, trained on and scored as a user would."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from components.datasets.draw import draw_scenes
from components.datasets.scenes.spec import DrawSpec
from components.datasets.splits import Splits, scenes_spec, split_dataset
from components.datasets.swig import export_swig

ROOT = Path(__file__).parents[2]
UNSEEN = ("kicking", "drinking", "waving")
pytestmark = pytest.mark.slow


def foveate(home: Path, *arguments: object) -> str:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW", "PREFECT"))}
    environment |= {"FOVEATE_HOME": str(home), "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", "from flows.cli import main; main()", *map(str, arguments)],
                          cwd=home.parent, env=environment, text=True, capture_output=True, timeout=1200)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_files_of_swig_are_split_trained_on_and_scored(tmp_path):
    draw_scenes(tmp_path / "dataset", DrawSpec(1, 210, 1, 2, 1, 2))
    split_dataset(tmp_path / "dataset", tmp_path / "splits", scenes_spec(dev=1, test=2))
    swig = export_swig(tmp_path / "dataset", tmp_path / "splits" / "splits.json", tmp_path / "swig")
    (tmp_path / "unseen.txt").write_text("\n".join(UNSEEN))
    foveate(tmp_path / "state", "evaluate", "--data", swig, "--protocol", "verbs", "--unseen", tmp_path / "unseen.txt",
            "--fast", "--set", "distil.epochs=1", "--set", "align.steps=10", "--json", tmp_path / "out.json")
    told = json.loads((tmp_path / "out.json").read_text())
    folder = next((tmp_path / "state" / "store" / "protocol").glob("*/swig-verbs"))
    made = Splits.load(folder / "splits.json")
    assert set(UNSEEN) <= set(made.verbs["unseen"]) and told["counts"]["test"] == len(made.test)
    assert told["dataset"]["name"] == "swig-verbs"

    predicted = Path(told["outputs"]["scores_distilled"]) / "predictions.jsonl"
    foveate(tmp_path / "state", "evaluate", "situation", "--predictions", predicted, "--groups", folder / "groups.json",
            "--annotations", folder / "test.json", "--space", folder / "imsitu_space.json", "--bootstrap", 1000,
            "--json", tmp_path / "scores.json")
    by_hand = json.loads((tmp_path / "scores.json").read_text())
    assert told["published"] == by_hand
    assert by_hand["groups"]["unseen"]["verbs"] == len(made.verbs["unseen"])
    for setting in by_hand["settings"]:  # what the run itself reports is one of the field's settings
        if (setting["convention"], setting["average"]) == ("coformer", "image"):
            for group in ("seen", "unseen"):
                assert setting["groups"][group]["top1_verb"] == pytest.approx(
                    told["scores"]["distilled"]["metrics"][f"{group}.top1_verb"])
