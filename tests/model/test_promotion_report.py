"""The promotion page: real bundles of two versions answer real pictures, and a stakeholder reads what changed."""

import io
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_student import VERBS, spec

from components import recipes
from components.base.errors import UserError
from components.datasets.schema import Sample, sample_id, version_of
from components.datasets.splits import Splits
from components.datasets.store import Dataset, DatasetWriter
from components.evaluation.promotion_page import Check, Fact, PromotionContext, Row, render
from components.export.bundle import seal
from components.export.edge import export
from components.monitoring import log
from components.monitoring.log import embeddings
from components.pipeline import promotion_report
from components.pipeline.edge import SHIPPED, Probe
from components.pipeline.plan import make
from components.pipeline.prediction import Log, log_folder, predict_files
from components.recipes.protocol import Gates
from components.registry import models, promotion, tracking
from components.registry.comparison import Evaluation
from components.serving.predictor import Predictor

EVIL = '<script>alert("x")</script><img src=http://example.org/a.png onerror=x>'
GATES = Gates("top1_verb", {}, {}, {"latency_ms": 1e6}, per_source={"top1_verb": 1.0})


def sample(number: int) -> Sample:
    """A picture of one colour, and what it is said to show."""
    colour, verb = ((250, 20 + number, 20), "burning") if number < 12 else ((20, 20 + number, 250), "swimming")
    stream = io.BytesIO()
    Image.fromarray(np.broadcast_to(np.array(colour, np.uint8), (60, 90, 3))).save(stream, "PNG")
    roles = VERBS[verb][0]
    entry = {"verb": verb, "height": 60, "width": 90, "bb": {r: [-1] * 4 for r in roles},
             "frames": [dict.fromkeys(roles, "n1")] * 3}
    content = stream.getvalue()
    return Sample(sample_id(content), f"{number}.png", content, 90, 60, "0" * 16, "camera", verb, entry)


@pytest.fixture(scope="module")
def world(store, tmp_path_factory) -> dict[str, Path]:
    """A dataset of 24 pictures, all of them test images, and a bundle: as if all stages had run."""
    folder = tmp_path_factory.mktemp("world")
    samples = [sample(n) for n in range(24)]
    space = {"nouns": {"n1": {"gloss": [EVIL], "def": ""}}, "verbs": {v: {"order": o, "roles": dict.fromkeys(o, {}),
             "abstract": a, "framenet": "", "def": ""} for v, (o, a, _) in VERBS.items()}}
    with DatasetWriter(folder / "dataset", "colours", space) as writer:
        for one in samples:
            writer.add(one)
    groups = {"common": ("burning", "swimming"), "rare": (), "pseudo_unseen": (), "unseen": ()}
    (folder / "splits").mkdir()
    Splits(0, groups, (), (), tuple(s.id for s in samples)).save(folder / "splits" / "splits.json")
    export(spec(), folder / "bundle", {"run": "test"}, seconds=0.4, threads=2)
    return {"dataset": folder / "dataset", "splits": folder / "splits", "bundle": folder / "bundle"}


def judged(bundle: Path, world: dict[str, Path]) -> Evaluation:
    """What a bundle scores on the pictures, in truth."""
    samples = list(Dataset(world["dataset"]))
    found = Predictor(bundle, threads=2).predict([np.asarray(Image.open(io.BytesIO(s.image))) for s in samples])
    scores = {s.name: float(p["verbs"][0] == s.label) for s, p in zip(samples, found, strict=True)}
    return Evaluation({"top1_verb": float(np.mean(list(scores.values())))}, {"top1_verb": scores},
                      {"latency_ms": 5.0, "size_mb": 1.0}, {"dataset": True, "predictions": True},
                      version_of(samples), {s.name: s.label for s in samples}, {s.name: s.source for s in samples})


def blind_to(verb: str, world: dict[str, Path], out: Path) -> Path:
    """The same bundle, which never says a verb: a worse student."""
    shutil.copytree(world["bundle"], out)
    manifest = json.loads((out / "manifest.json").read_text())
    manifest["decoding"]["candidates"].remove(verb)
    seal(out, {k: v for k, v in manifest.items() if k not in ("files", "sha256", "schema")})
    return out


@pytest.fixture
def told(world, store, tmp_path, monkeypatch) -> tuple[str, dict[str, str], str]:
    """The page of a second version that sees what the first did not: its folder, what was made, the run's id."""
    monkeypatch.setattr(models, "model_name", lambda recipe: "foveate-colours")
    with tracking.run("all of it") as run:
        for bundle in (blind_to("burning", world, tmp_path / "first"), world["bundle"]):
            version = models.register("mipd", bundle, judged(bundle, world), run, teacher=EVIL, code="c",
                                      datasets={"colours": "d1"}, summary=f"A student of colours {EVIL}")
            outcome = promotion.promote(version.name, version.number, GATES)
        record = {"model": version.name, "version": outcome.version, "promoted": outcome.promoted,
                  "former": outcome.former, "forced": "", **outcome.decision.as_dict()}
        (tmp_path / "promotion.json").write_text(json.dumps(record))
        made = {"promotion": str(tmp_path), "dataset": str(world["dataset"]), "splits": str(world["splits"])}
        monkeypatch.setattr("components.recipes.mipd.recipe.Mipd.gates", lambda *_: GATES)
        return promotion_report.write(make(), run.id, made), made, run.id


def test_the_page_shows_what_became_right_before_and_after_and_escapes_all_else(told):
    folder, _, run = told
    page = (Path(folder) / "promotion.html").read_text()
    assert "version 2: promoted" in page and "Of 24 test images 12 became right and 0 became wrong" in page
    assert page.count('<img src="data:image/jpeg') == 6 and "Wrong now" not in page  # three pictures, before and after
    assert "50.0" in page and "+50.0" in page and "5.0 ms" in page
    assert "<script" not in page and not re.search(r'(src|href)="?(?!"?data:)', page.replace("&#34;", "").replace(
        "src=http", "")), "the page would fetch something"
    assert page.count("<li>") == 3
    note = (Path(folder) / "note.md").read_text()
    assert "version 2: promoted" in note and "50.0 (" in note and "<script" not in note
    client = tracking.connect()
    assert [f.path for f in client.list_artifacts(run, "promotion")] == ["promotion/promotion.html"]


def test_a_former_bundle_that_is_gone_costs_the_pictures_not_the_page(told, monkeypatch):
    _, made, run = told

    def gone(*_):
        raise UserError("the stored bundle is not the one that was registered")

    monkeypatch.setattr(models, "bundle_path", gone)
    monkeypatch.setattr(promotion_report, "code_version", lambda *_: "another")  # not the page that was made before
    page = (Path(promotion_report.write(make(), run, made)) / "promotion.html").read_text()
    assert "they cannot be drawn" in page and "12 became right" in page and "data:image" not in page


def test_reasons_are_sentences_and_what_failed_comes_first():
    found = [{"check": "quality.dataset", "passed": True, "value": None, "bar": None, "text": "the gate passed"},
             {"check": "budget.latency_ms", "passed": False, "value": 300.0, "bar": 250.0, "text": ""},
             {"check": "headline.better", "passed": True, "value": 0.031, "bar": 0.0, "text": ""},
             {"check": "protected.unseen.top1_verb", "passed": False, "value": 0.5, "bar": 0.57, "text": ""}]
    assert promotion_report.reasons(found) == [
        "Unseen verbs: 50.0 per cent, less than the 57.0 that protect them.",
        "Time for a photograph: 300.0 ms, over the limit of 250.0 ms.",
        "It is better than the champion: +3.1 points."]


def test_any_words_are_escaped(tmp_path):
    context = PromotionContext(EVIL, EVIL, EVIL, False, [EVIL], EVIL, EVIL, [Row(EVIL, 3, *[(0.1, 0.0, 0.2)] * 3)],
                               [Fact(EVIL, EVIL, EVIL, EVIL, False)], EVIL, {}, [Check(EVIL, False)], {EVIL: EVIL})
    page = render(context, tmp_path / "a.html").read_text()
    assert "<script" not in page and "<img" not in page and page.count("&lt;script") >= 12
    assert "<" not in promotion_report.note(context).replace("\\<", "")


def test_an_observer_sees_each_batch_as_it_is_answered(world):
    seen = []
    watched = Predictor(world["bundle"], "fp32", threads=2, observe=lambda *batch: seen.append(batch))
    images = [np.asarray(Image.open(io.BytesIO(s.image))) for s in Dataset(world["dataset"])][:18]
    found = watched.predict(images)
    assert [start for start, _, _ in seen] == [0, 16] and [p for _, _, some in seen for p in some] == found
    vectors = np.concatenate([e for _, e, _ in seen])
    assert vectors.shape == (18, 384)
    watched.predict(images[17:])
    np.testing.assert_allclose(seen[-1][1][0], vectors[17], atol=1e-5)


def test_predictions_are_logged_when_asked_and_match_the_reference(world, tmp_path):
    probe = Probe(recipes.get("mipd"), Dataset(world["dataset"]), world["splits"] / "splits.json")
    assert 0 <= probe(world["bundle"], SHIPPED) <= 1 and 0 <= probe(world["bundle"], "fp32") <= 1
    reference = probe.answers(SHIPPED)
    files = []
    for one in Dataset(world["dataset"]):
        files.append(tmp_path / one.name)
        files[-1].write_bytes(one.image)
    settings = {"model": str(world["bundle"]), "recipe": "mipd"}
    predict_files(files, **settings)
    assert len(log.read(log_folder(world["bundle"]), 100)) == 0
    predict_files(files, **settings, log=Log())
    table = log.read(log_folder(world["bundle"]), 100)
    assert table["answer"].to_pylist() == reference["answer"].to_pylist() and table["image"].null_count == 24
    assert table["boxes"].to_pylist() == reference["boxes"].to_pylist()
    np.testing.assert_allclose(embeddings(table), embeddings(reference), atol=1e-5)
    predict_files(files[:1], **settings, log=Log(images=True))
    assert log.read(log_folder(world["bundle"]), 1)["image"].to_pylist() == [files[0].read_bytes()]
    with pytest.raises(UserError, match="not those that were tested"):
        predict_files(files, **settings, verbs=["surfing"], log=Log())
