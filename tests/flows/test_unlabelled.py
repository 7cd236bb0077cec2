"""Images without a label go through the pipeline too: one student, pictures without a verdict on them, no promotion."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from components.datasets.ingest import ingest
from components.datasets.splits import SplitSpec, make_splits
from components.datasets.store import Dataset
from components.pipeline import distillation, evaluation, gallery
from components.pipeline.plan import make
from components.registry import tracking


def test_unlabelled_images_train_one_student_and_are_shown_unjudged(store, tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    for i in range(8):
        noise = np.random.default_rng(i).integers(0, 256, (6, 8, 3), np.uint8)
        Image.fromarray(noise).resize((160, 120)).save(photos / f"{i}.png")
    ingest(photos, tmp_path / "dataset")
    data = Dataset(tmp_path / "dataset")
    assert distillation.variants(make(), str(data.path)) == (distillation.STUDENT,)

    splits = tmp_path / "splits"
    splits.mkdir()
    make_splits(data.labels, SplitSpec(test=3)).save(splits / "splits.json")
    scores, teacher = tmp_path / "scores", tmp_path / "teacher"
    scores.mkdir(), teacher.mkdir()
    seen = [{"image": data.names[i], "id": i, "verbs": ["walking"], "scores": [0.4], "confident": True,
             "frames": {"walking": {"agent": {"noun": "", "name": "nothing", "score": 0.1, "box": None}}}}
            for i in list(data.labels)[:3]]
    (scores / "predictions.jsonl").write_text("".join(json.dumps(p) + "\n" for p in seen))
    (scores / "report.json").write_text(json.dumps({"metrics": {}, "intervals": {}, "per_sample": {}, "protocol": {}}))
    (teacher / "teacher.json").write_text("{}")
    made = {f"scores_{distillation.STUDENT}": str(scores)}
    assert evaluation.scores_of(made) == {distillation.STUDENT: str(scores)}
    assert not any(evaluation.rows(make(), evaluation.scores_of(made), str(teacher)).values())
    with tracking.run("unlabelled") as run:
        drawn = Path(gallery.draw(make(), run.id, str(data.path), evaluation.scores_of(made), str(teacher)))
    assert {p.name for p in drawn.iterdir()} == {"unjudged.jpg", "inputs.json"}
    assert Image.open(drawn / "unjudged.jpg").width > 400
