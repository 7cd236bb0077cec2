"""A bundle on real images: any verb and noun as text, the same answer alone or in a batch, and nothing heavy loaded."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_student import NOUNS, ROLES, VERBS, pictures, spec

from components.base.errors import UserError
from components.datasets.images import load_image
from components.export.bundle import seal
from components.export.edge import export
from components.export.parity import torch_outputs
from components.export.preprocess import pixels
from components.recipes.mipd.decode import decode
from components.serving.predictor import Predictor
from components.serving.sentence import sentence, with_article

ROOT = Path(__file__).parents[2]
PHOTOS = ROOT / "../shared/data/photos"
photographs = pytest.mark.skipif(not PHOTOS.is_dir(), reason="the photographs of ../shared/data/photos are not here")


@pytest.fixture(scope="module")
def student():
    return spec()


@pytest.fixture(scope="module")
def bundle(student, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FOVEATE_HOME", str(tmp_path_factory.getbasetemp() / "edge"))  # one text encoder for the session
        out = tmp_path_factory.mktemp("bundle") / "bundle"
        export(student, out, {"run": "test"}, seconds=0.4, threads=2)
    return out


@pytest.fixture(scope="module")
def predictor(bundle):
    return Predictor(bundle, "fp32", threads=2)


def plain(red: int, green: int, blue: int, height: int = 60, width: int = 90) -> np.ndarray:
    return np.broadcast_to(np.array([red, green, blue], np.uint8), (height, width, 3)).copy()


FIRE, LAWN, WATER = plain(250, 20, 20), plain(20, 250, 20), plain(20, 20, 250)


def test_nouns_of_a_closed_list_cannot_be_added(bundle, monkeypatch):
    closed = Predictor(bundle, "fp32", threads=2)
    wider = np.pad(closed._tables["nouns"], ((0, 0), (0, 1)))
    monkeypatch.setitem(closed._tables, "nouns", wider)  # as of a student whose nouns are rows of its own head
    with pytest.raises(UserError, match="--nouns: this student's nouns are a closed list"):
        closed.predict([FIRE], nouns=["violin"])


def test_the_bundle_predicts_what_the_torch_student_predicts(student, predictor):
    images = [*pictures(3), FIRE, plain(10, 30, 200, 400, 200)]
    encoder, decoder = student.graphs
    expected = decode(lambda x: torch_outputs(encoder, {"image": x}), lambda f: torch_outputs(decoder, f),
                      student.tables, student.vocabulary, student.decoding, pixels(images, student.preprocessing),
                      [(i.shape[1], i.shape[0]) for i in images])
    found = predictor.predict(images)
    assert [p["verbs"] for p in found] == [p["verbs"] for p in expected]
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a["scores"], b["scores"], atol=2e-4)
        assert {v: {r: e["noun"] for r, e in f.items()} for v, f in a["frames"].items()} == {
            v: {r: e["noun"] for r, e in f.items()} for v, f in b["frames"].items()}


def test_the_form_of_a_prediction(predictor):
    (one,) = predictor.predict([WATER])
    assert len(one["verbs"]) == len(one["scores"]) == len(one["frames"]) == 5
    assert one["scores"] == sorted(one["scores"], reverse=True) and 0 < sum(one["scores"]) <= 1.001
    assert one["confident"] == (one["scores"][0] >= 0.3)
    for verb, frame in one["frames"].items():
        assert list(frame) == VERBS[verb][0]
        for entry in frame.values():
            assert entry["noun"] in NOUNS and 0 < entry["score"] <= 1
            if entry["box"]:
                x1, y1, x2, y2 = entry["box"]
                assert 0 <= x1 < x2 <= 90 and 0 <= y1 < y2 <= 60
    assert json.loads(json.dumps(one)) == one


def test_an_image_gets_the_same_answer_alone_and_in_any_batch(predictor):
    images = [*pictures(6), FIRE, LAWN, WATER] * 2  # more than one pass
    together = predictor.predict(images)
    assert len(together) == 18
    for image, found in zip(images[:9], together[9:], strict=True):
        (alone,) = predictor.predict([image])
        assert alone["verbs"] == found["verbs"]
        np.testing.assert_allclose(alone["scores"], found["scores"], atol=1e-3)
    assert predictor.predict([]) == []


def test_int8_agrees_with_fp32(bundle, predictor):
    small = Predictor(bundle, threads=2)  # int8 is what ships
    assert small.bundle.manifest["precision"] == "int8"
    images = [FIRE, LAWN, WATER]
    for a, b in zip(small.predict(images), predictor.predict(images), strict=True):
        assert a["verbs"][0] == b["verbs"][0]
        np.testing.assert_allclose(a["scores"], b["scores"], atol=0.05)


def test_verbs_nobody_listed_compete_by_their_text(predictor):
    ask = ["a house in flames", "diving in the sea", "mowing"]
    found = predictor.predict([FIRE, WATER, LAWN], verbs=ask)
    assert [p["verbs"][0] for p in found] == ask
    assert all(set(p["verbs"]) == set(ask) and abs(sum(p["scores"]) - 1) < 1e-3 for p in found)
    assert list(found[0]["frames"]["mowing"]) == VERBS["mowing"][0]  # a listed verb keeps its frame
    assert set(found[0]["frames"]["diving in the sea"]) <= set(ROLES)


def test_names_are_read_kindly(predictor):
    (found,) = predictor.predict([FIRE], verbs=[" Burning ", "burning", "feeding   a dog"])
    assert set(found["verbs"]) == {"burning", "feeding a dog"}


def test_nouns_nobody_listed_can_be_named(predictor):
    names = ["a very specific thing", "fire hydrant", "otter", "violin"]
    found = predictor.predict(list(pictures(6)), nouns=names)
    named = {e["noun"] for p in found for f in p["frames"].values() for e in f.values()}
    assert named & set(names) and named <= {*names, *NOUNS}


@pytest.mark.parametrize(("names", "message"), [([], "no names given"), (["surfing", " ! "], "has no words")])
def test_names_without_words_are_refused(predictor, names, message):
    for kind in ("verbs", "nouns"):
        with pytest.raises(UserError, match=message):
            predictor.predict([FIRE], **{kind: names})


@pytest.mark.parametrize("image", [
    np.zeros((8, 8), np.uint8), np.zeros((8, 8, 4), np.uint8), np.zeros((0, 8, 3), np.uint8),
    np.zeros((8, 8, 3), np.float32), "photo.jpg"])
def test_what_is_no_image_is_refused_by_its_number(predictor, image):
    with pytest.raises(UserError, match="image 1: expected uint8"):
        predictor.predict([FIRE, image])


def test_a_precision_or_recipe_that_is_not_there(bundle, tmp_path):
    with pytest.raises(UserError, match="no fp16 graph 'encoder'") as error:
        Predictor(bundle, "fp16")
    assert "fp32, int8" in str(error.value)
    for recipe, message in (("nope", "no recipe 'nope'"), ("../mipd", "not a recipe's name"), (7, "not a recipe's")):
        copy = tmp_path / "copy"
        shutil.copytree(bundle, copy)
        manifest = json.loads((copy / "manifest.json").read_text())
        for key in ("schema", "sha256", "files"):
            del manifest[key]
        seal(copy, manifest | {"recipe": recipe})
        with pytest.raises(UserError, match=message):
            Predictor(copy)
        shutil.rmtree(copy)


@photographs
def test_photographs_of_every_kind(predictor, tmp_path):
    turned = tmp_path / "turned.jpg"
    with Image.open(PHOTOS / "boat.jpg") as picture:
        exif = picture.getexif()
        exif[0x0112] = 6  # the camera was held upright: shown, the image is higher than wide
        width, height = picture.size
        picture.save(turned, exif=exif)
    files = [turned, PHOTOS / "aircraft_rgba.png", PHOTOS / "nail_polish.jpg"]  # EXIF, alpha, 2:1
    images = [load_image(f) for f in files]
    assert images[0].shape[:2] == (width, height) and images[2].shape[1] == 2 * images[2].shape[0]
    found = predictor.predict(images, verbs=["boating", "flying", "painting nails", "burning"])
    for image, one in zip(images, found, strict=True):
        boxes = [e["box"] for f in one["frames"].values() for e in f.values() if e["box"]]
        assert all(0 <= b[0] < b[2] <= image.shape[1] and 0 <= b[1] < b[3] <= image.shape[0] for b in boxes)


def test_a_cold_prediction_loads_nothing_heavy(bundle):
    code = """
import json, sys
import numpy as np
from components.serving.predictor import Predictor
from components.serving.sentence import sentence
p = Predictor(sys.argv[1])
image = np.full((480, 640, 3), 30, np.uint8)
found = p.predict([image], verbs=["surfing", "feeding a dog"])
words = sentence(found[0], p.vocabulary)
heavy = [m for m in ("torch", "transformers", "pyarrow", "mlflow", "prefect", "pandas", "onnx") if m in sys.modules]
print(json.dumps({"heavy": heavy, "words": words}))
"""
    done = subprocess.run([sys.executable, "-c", code, str(bundle)], cwd=ROOT, capture_output=True, text=True,
                          timeout=120)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["heavy"] == [] and done.stderr == ""
    assert told["words"]


def test_sentences():
    vocabulary = {"verbs": {
        "rowing": {"abstract": "an AGENT rows a VEHICLE with a TOOL (when it is not the VEHICLE) at a PLACE."},
        "flexing": {"abstract": "an AGENT flexes their(when it is its own)BODYPART at the OWNER's GYM"},
        "apprehending": {"abstract": "AGENT is apprehending VICTIM in PLACE"}}}

    def told(verb, confident=True, **nouns):
        frame = {r: {"noun": n and "n1", "name": n or "nothing", "score": 0.5, "box": None} for r, n in nouns.items()}
        return sentence({"verbs": [verb], "scores": [0.9], "confident": confident, "frames": {verb: frame}}, vocabulary)

    assert told("rowing", agent="woman", vehicle="canoe", tool="oar", place="lake") == (
        "A woman rows a canoe with an oar at a lake.")
    assert told("rowing", agent="woman", vehicle="", tool="", place="water") == "A woman rows something at water."
    assert told("rowing", agent="", vehicle="canoe", tool="skis", place="") == "Someone rows a canoe with skis."
    assert told("apprehending", agent="police officer", victim="man", place="ice cream parlor") == (
        "A police officer is apprehending a man in an ice cream parlor.")
    assert told("flexing", agent="dog", bodypart="leg", owner="man", gym="barn") == (
        "A dog flexes their leg at a man's barn.")
    assert told("feeding a dog", agent="man", tool="") == "Feeding a dog: man (agent)."
    assert told("surfing") == "Surfing."
    assert told("surfing", confident=False) == "No verb fits well; the nearest: surfing."
    assert [with_article(n) for n in ("glass", "bus", "trousers", "apple", "brown rice")] == [
        "a glass", "a bus", "trousers", "an apple", "brown rice"]
