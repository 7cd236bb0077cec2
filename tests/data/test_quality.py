"""Each quality suite passes good data, and each single fault is caught by the check meant for it, with its sample.

A run of a suite costs a second whatever its size, so the faults of a suite share one run, each in a sample of its own;
that a fault is caught by its check and by no other is asserted sample by sample.
"""

import copy
import io
import json
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from components.base.errors import PipelineError, UserError
from components.datasets.schema import Sample
from components.quality import frames, gate

SPACE = {
    "nouns": {"n1": {"gloss": ["man"]}, "n2": {"gloss": ["hammer"]}, "n3": {"gloss": ["workshop"]}},
    "verbs": {v: {"order": ["agent", "tool", "place"], "roles": {}} for v in ("hammering", "sawing", "digging")},
}
FRAME = {"agent": "n1", "tool": "n2", "place": "n3"}


def picture(seed: int, kind: str = "JPEG", scale: int = 255, flat: bool = False) -> bytes:
    grid = np.random.default_rng(seed).integers(0, scale + 1, (8, 8, 3)).astype(np.uint8)
    grid = np.full_like(grid, 128) if flat else grid
    stream = io.BytesIO()
    Image.fromarray(np.kron(grid, np.ones((12, 8, 1), np.uint8))).save(stream, kind)  # 64 wide, 96 high
    return stream.getvalue()


def sample(number: int, **changed) -> Sample:
    verb = list(SPACE["verbs"])[number % 3]
    values = {
        "id": f"id{number}", "name": f"{verb}_{number}.jpg", "image": picture(number, ("JPEG", "PNG")[number % 2]),
        "width": 64, "height": 96, "phash": f"{number:016x}", "source": "drawn", "label": verb,
        "annotation": {"verb": verb, "width": 64, "height": 96, "frames": [FRAME, FRAME, {**FRAME, "tool": ""}],
                       "bb": {"agent": [0, 0, 64, 96], "tool": [5, 6, 20, 30], "place": [-1, -1, -1, -1]}},
    }
    return Sample(**(values | changed))


def annotated(number: int, change) -> Sample:
    """Sample `number` with its annotation changed in place by `change`."""
    made = sample(number)
    entry = copy.deepcopy(made.annotation)
    change(entry)
    return sample(number, annotation=entry)


SAMPLES = [sample(i) for i in range(18)]
SPLITS = {"verbs": {"common": ["hammering"], "rare": ["sawing"], "pseudo_unseen": [], "unseen": ["digging"]},
          "train": [f"id{i}" for i in range(12) if i % 3 < 2], "dev": [], "test": []}
HELD_OUT = SPLITS | {"verbs": SPLITS["verbs"] | {"pseudo_unseen": ["digging"], "unseen": []}}


def box(role: str, value):
    return lambda entry: entry["bb"].__setitem__(role, value)


def every_frame(change):
    def apply(entry):
        entry["frames"] = [{**f} for f in entry["frames"]]
        for one in entry["frames"]:
            change(one)
    return apply


def findings(result: gate.GateResult) -> dict[str, gate.Finding]:
    return {f.check: f for f in result.errors + result.warnings}


def caught(found: tuple[gate.Finding, ...], name: str) -> set[str]:
    """The checks that name a sample."""
    return {f.check for f in found for example in f.examples if example.split()[0] == name}


@pytest.fixture(scope="module")
def all_examples():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gate, "EXAMPLES", 1000)
        yield


def test_good_samples_pass_and_are_counted():
    result = gate.check("dataset", frames.dataset_frame(iter(SAMPLES), SPACE, SPLITS))
    assert result.passed and findings(result) == {}
    assert result.statistics["images.rows"] == 18 and result.statistics["roles.rows"] == 54
    gate.require(result)


A = 4  # any sample: sawing_4.jpg, until it gets a name of its own
SAMPLE_FAULTS = [
    (annotated(A, box("tool", [-3, 6, 20, 30])), {"box inside image (x1)"}),
    (annotated(A, box("tool", [5, -2, 20, 30])), {"box inside image (y1)"}),
    (annotated(A, box("tool", [5, 6, 65, 30])), {"box inside image (x2)"}),
    (annotated(A, box("tool", [5, 6, 20, 97])), {"box inside image (y2)"}),
    (annotated(A, box("tool", [20, 6, 20, 30])), {"box has area (x2 > x1)"}),
    (annotated(A, box("tool", [5, 30, 20, 6])), {"box has area (y2 > y1)"}),
    (annotated(A, box("tool", [5, 6, 20])), {"box is well formed"}),
    (annotated(A, box("tool", "5 6 20 30")), {"box is well formed"}),
    (annotated(A, box("tool", [5, 6, float("nan"), 30])), {"box is well formed"}),
    (annotated(A, box("victim", [5, 6, 20, 30])), {"role allowed by the verb's frame"}),
    (annotated(A, every_frame(lambda f: f.update(victim="n1"))), {"role allowed by the verb's frame"}),
    (annotated(A, every_frame(lambda f: f.pop("tool"))), {"every role of the frame filled"}),
    (annotated(A, lambda e: e["frames"].__setitem__(1, {"agent": "n1", "place": ""})),
     {"every role of the frame filled"}),
    (annotated(A, lambda e: e.update(verb="flying")), {"verb known"}),
    (annotated(A, lambda e: e.update(frames=[])), {"annotator frames present"}),
    (annotated(A, lambda e: e.update(width=640)), {"annotated width is the image's"}),
    (annotated(A, lambda e: e.update(height=960)), {"annotated height is the image's"}),
    (annotated(A, every_frame(lambda f: f.update(tool="n9"))), {"noun known"}),
    (sample(A, image=picture(A)[:300]), {"image decodes"}),
    (sample(A, image=b"just text"), {"image decodes"}),
    (sample(A, width=8), {"width in range", "annotated width is the image's", "box inside image (x2)"}),
    (sample(A, height=90_000), {"height in range", "annotated height is the image's"}),
    (sample(A, id="id3"), {"image unique"}),
    (sample(A, name="hammering_3.jpg"), {"image name unique"}),
    (sample(A, annotation=None, label=None), {"image labelled"}),
    (sample(A, image=picture(A, scale=4)), {"brightness in range", "contrast in range"}),
    (sample(A, image=picture(A, "PNG", flat=True)), {"contrast in range"}),
]
WARNINGS = {"noun known", "image labelled", "brightness in range", "contrast in range", "verb has 5 images"}


@pytest.fixture(scope="module")
def spoilt_samples(all_examples):
    spoilt = [replace(s, id=s.id if s.id == "id3" else f"spoilt{i}",
                      name=s.name if s.name == "hammering_3.jpg" else f"spoilt{i}.jpg")
              for i, (s, _) in enumerate(SAMPLE_FAULTS)]
    return spoilt, gate.check("dataset", frames.dataset_frame([*SAMPLES, *spoilt], SPACE, SPLITS))


@pytest.mark.parametrize("i", range(len(SAMPLE_FAULTS)), ids=lambda i: f"{i}-{min(SAMPLE_FAULTS[i][1])}")
def test_a_single_fault_of_a_sample_is_named(i, spoilt_samples):
    spoilt, result = spoilt_samples
    expected = SAMPLE_FAULTS[i][1]
    # the image named like hammering_3.jpg shares its findings, as that one also shares its bytes with another
    also = {"image unique"} if spoilt[i].name == "hammering_3.jpg" else set()
    assert caught(result.errors, spoilt[i].name) == (expected | also) - WARNINGS
    assert caught(result.warnings, spoilt[i].name) == expected & WARNINGS
    assert all(f.mend and f.unexpected >= 1 for f in findings(result).values())
    assert result.statistics["images.image decodes"] == 2


def test_samples_without_fault_are_not_named(spoilt_samples):
    named = caught(spoilt_samples[1].errors, "hammering_0.jpg") | caught(spoilt_samples[1].warnings, "sawing_1.jpg")
    assert named == set() and not spoilt_samples[1].passed


def test_annotators_that_never_agree_are_shown():
    def disagree(entry):
        entry["frames"] = [dict.fromkeys(FRAME, noun) for noun in FRAME.values()]
    samples = [annotated(i, disagree) if i < 6 else s for i, s in enumerate(SAMPLES)]
    result = gate.check("dataset", frames.dataset_frame(samples, SPACE, SPLITS))
    assert result.passed and findings(result)["annotators agree"].unexpected == 6
    assert "hammering_0.jpg agreement=0 verb=hammering" in findings(result)["annotators agree"].examples


@pytest.mark.parametrize(("keep", "splits", "check", "verb"), [
    (lambda s: s.label != "digging", HELD_OUT, "verb has an image", "digging"),
    (lambda s: s.label != "digging", SPLITS, "verb has 5 images", "digging"),  # unseen: it competes all the same
    (lambda s: s.label != "digging" or s.id == "id2", SPLITS, "verb has 5 images", "digging"),
    (lambda s: True, {**SPLITS, "train": ["id0"]}, "seen verb has a training image", "sawing"),
])
def test_a_verb_that_lacks_images_is_named(keep, splits, check, verb):
    result = gate.check("dataset", frames.dataset_frame(filter(keep, SAMPLES), SPACE, splits))
    assert findings(result)[check].examples[0].startswith(verb)
    assert result.passed == (check == "verb has 5 images")


def test_unlabelled_images_without_splits_pass_with_a_warning():
    result = gate.check("dataset", frames.dataset_frame(
        [sample(i, annotation=None, label=None) for i in range(3)] + SAMPLES[3:], SPACE))
    assert result.passed and findings(result)["image labelled"].unexpected == 3


def test_an_empty_dataset_and_a_missing_column_are_one_finding_a_table():
    empty = gate.check("dataset", frames.dataset_frame([], SPACE))
    assert [f.check for f in empty.errors] == ["images: not empty"]
    tables = frames.dataset_frame(SAMPLES, SPACE, SPLITS)
    tables["images"] = tables["images"].drop(columns="brightness")
    (finding,) = gate.check("dataset", tables).errors
    assert finding.check == "images: columns" and finding.examples == ("missing column 'brightness'",)


def rationale(number: int, **changed) -> dict:
    kind = "gaze" if number % 2 else "glimpse"
    return {"sample": f"hammering_{number // 2}.jpg", "kind": kind, "role": "tool" if kind == "gaze" else "",
            "label": "hammer" if kind == "gaze" else "hammering",
            "positive": f"A man swings a hammer at nail {number} in the workshop.",
            "negative": f"The man is not holding a saw, and there is no field {number} around him.", **changed}


RATIONALES = [rationale(i) for i in range(40)]


def test_good_rationales_pass():
    result = gate.check("rationales", frames.rationale_frame(RATIONALES))
    assert result.passed and findings(result) == {}


RATIONALE_FAULTS = [
    ({"positive": "  "}, {"positive not empty", "positive of 3 to 120 words"}),
    ({"negative": None}, {"negative not empty", "negative of 3 to 120 words"}),
    ({"positive": "A hammer."}, {"positive of 3 to 120 words"}),
    ({"negative": "and so on " * 60}, {"negative of 3 to 120 words"}),
    ({"positive": "a man with an " + "x" * 900}, {"positive of at most 800 characters"}),
    ({"negative": "A man SWINGS a hammer at nail 8 in the workshop"}, {"positive differs from negative"}),
    ({"positive": "Hammering"}, {"more than the label", "positive of 3 to 120 words"}),
    ({"positive": "It is the hammering of it."}, {"more than the label"}),
    ({"kind": "glance"}, {"kind known"}),
    ({"sample": None}, {"sample present"}),
    ({"sample": "hammering_3.jpg"}, {"one rationale per question"}),
]


@pytest.fixture(scope="module")
def spoilt_rationales(all_examples):
    rows = [rationale(8, **{"sample": f"spoilt{i}.jpg", **change}) for i, (change, _) in enumerate(RATIONALE_FAULTS)]
    return rows, gate.check("rationales", frames.rationale_frame([*RATIONALES, *rows]))


@pytest.mark.parametrize("i", range(len(RATIONALE_FAULTS)))
def test_a_single_fault_of_a_rationale_is_named(i, spoilt_rationales):
    rows, result = spoilt_rationales
    assert caught(result.errors, rows[i]["sample"] or "(unnamed)") == RATIONALE_FAULTS[i][1]
    assert caught(result.errors, "hammering_0.jpg") == set() and result.warnings == ()


@pytest.mark.parametrize(("texts", "check", "many"), [
    ({"positive": "Un homme frappe sur un clou avec son marteau", "negative": "Personne ne tient une scie"},
     "English", 6),
    ({"positive": "Мужчина бьёт молотком по гвоздю", "negative": "Он не держит пилу в руке"}, "Latin letters", 4),
    ({"positive": "I'm sorry, but as an AI language model I am unable to describe this.",
      "negative": "I cannot help with that."}, "refusals below 5%", 3),
])
def test_foreign_and_refusing_answers_are_tolerated_singly_and_not_in_number(texts, check, many):
    def rows(count):
        return frames.rationale_frame([rationale(i, **texts) if i < count else r for i, r in enumerate(RATIONALES)])
    assert gate.check("rationales", rows(1)).passed
    result = gate.check("rationales", rows(many))
    finding = findings(result)[check]
    assert not result.passed and finding.unexpected == many and finding.examples[0].startswith("hammering_0.jpg")


@pytest.mark.parametrize("text", ["A dog sits on the sofa.", "Someone can't lift the sack of sand, sorry as it is."])
def test_plain_sentences_are_no_refusals(text):
    assert not frames.rationale_frame([rationale(0, positive=text)])["rationales"]["refusal"][0]


def prediction(number: int) -> dict:
    roles = {"agent": {"noun": "n1", "name": "man", "score": 0.9, "box": [0.0, 0.0, 64.0, 96.0]},
             "tool": {"noun": "n2", "name": "hammer", "score": 0.6, "box": [5.5, 6.0, 20.0, 30.0]},
             "place": {"noun": "", "name": "", "score": 0.5, "box": None}}
    return {"image": f"{number}.jpg", "id": f"id{number}", "verbs": list(SPACE["verbs"]), "scores": [0.7, 0.2, 0.1],
            "frames": {v: copy.deepcopy(roles) for v in SPACE["verbs"]}}


SIZES = {f"id{i}": (64, 96) for i in range(40)}


def test_good_predictions_pass():
    result = gate.check("predictions", frames.prediction_frame([prediction(i) for i in range(6)], SPACE, SIZES))
    assert result.passed and findings(result) == {} and result.statistics["ranks.rows"] == 18


def test_a_label_without_roles_needs_no_frame():
    space = {"verbs": {"wet mug": {"order": []}, "digging": {"order": ["agent"]}}, "nouns": {}}
    said = {"image": "a.jpg", "id": "a", "verbs": ["wet mug"], "scores": [1.0]}
    for verbs, missing in ((["wet mug"], ""), (["wet mug", "digging"], "digging")):
        table = frames.prediction_frame([said | {"verbs": verbs}], space, {"a": (9, 9)})["images"]
        assert table["unframed"].tolist() == [missing]


def tool(**values):
    return lambda p: p["frames"]["sawing"]["tool"].update(values)


FILLED, KNOWN_ROLE = "every role of the frame filled", "role allowed by the verb's frame"
PREDICTION_FAULTS = [
    (lambda p: p["verbs"].__setitem__(1, "flying"), {"verb known", "first 5 verbs framed"}),
    (lambda p: p.update(scores=[0.7, 0.1, 0.2]), {"scores descend"}),
    (lambda p: p.update(scores=[1.7, 0.2, 0.1]), {"score in 0..1"}),
    (lambda p: p.update(scores=[0.7, 0.2, -0.1]), {"score in 0..1"}),
    (lambda p: p.update(scores=[0.7, float("nan"), 0.1]), {"score is a number"}),
    (lambda p: p.update(scores=[0.7, 0.2]), {"score is a number"}),
    (lambda p: p.update(verbs=["sawing", "sawing", "digging"]), {"ranked verbs distinct"}),
    (lambda p: p.update(verbs=[], scores=[]), {"a verb is ranked"}),
    (lambda p: p["frames"].pop("digging"), {"first 5 verbs framed"}),
    (lambda p: p.update(image="1.jpg"), {"image predicted once"}),
    (lambda p: p["frames"]["sawing"].pop("tool"), {FILLED}),
    (tool(noun=None), {FILLED}),
    (lambda p: p["frames"]["sawing"].update(victim=p["frames"]["sawing"]["tool"]), {KNOWN_ROLE}),
    (tool(score=float("nan")), {"noun score is a number"}),
    (tool(score=1.2), {"noun score in 0..1"}),
    (tool(box=[-1.0, 6.0, 20.0, 30.0]), {"box inside image (x1)"}),
    (tool(box=[5.0, 6.0, 64.2, 30.0]), {"box inside image (x2)"}),
    (tool(box=[5.0, 6.0, 20.0, float("nan")]), {"box is well formed"}),
    (tool(box=[20.0, 6.0, 5.0, 30.0]), {"box has area (x2 > x1)"}),
]


@pytest.fixture(scope="module")
def spoilt_predictions(all_examples):
    rows = [prediction(6 + i) for i in range(len(PREDICTION_FAULTS))]
    for row, (change, _) in zip(rows, PREDICTION_FAULTS, strict=True):
        change(row)
    good = [prediction(i) for i in range(6)]
    return rows, gate.check("predictions", frames.prediction_frame([*good, *rows], SPACE, SIZES))


@pytest.mark.parametrize("i", range(len(PREDICTION_FAULTS)))
def test_a_single_fault_of_a_prediction_is_named(i, spoilt_predictions):
    rows, result = spoilt_predictions
    assert caught(result.errors, rows[i]["image"]) == PREDICTION_FAULTS[i][1]
    assert caught(result.errors, "0.jpg") == set() and result.warnings == ()


def test_a_failed_gate_stops_the_pipeline_and_names_check_sample_and_mending():
    spoilt = annotated(A, box("tool", [5, 6, 65, 30]))
    result = gate.check("dataset", frames.dataset_frame([*SAMPLES[:A], spoilt, *SAMPLES[A + 1:]], SPACE, SPLITS))
    with pytest.raises(PipelineError, match=r"'dataset' failed 1 check(.|\n)*x2\)(.|\n)*sawing_4.jpg(.|\n)*mend: clip"):
        gate.require(result)


def test_an_unknown_suite_is_a_users_error():
    with pytest.raises(UserError, match="did you mean 'dataset'"):
        gate.check("datasets", {})


def test_the_result_and_the_pages_are_written_and_need_no_network(tmp_path):
    tables = frames.dataset_frame(SAMPLES, SPACE, SPLITS)
    gate.check("dataset", tables, tmp_path)
    spoilt = annotated(A, box("tool", [5, 6, 65, 30]))
    tables = frames.dataset_frame([*SAMPLES[:A], spoilt, *SAMPLES[A + 1:]], SPACE, SPLITS)
    result = gate.check("dataset", tables, tmp_path)  # replaces the former
    stored = json.loads((tmp_path / "result.json").read_text())
    assert stored["passed"] is False and stored["errors"][0]["check"] == "box inside image (x2)"
    assert stored["statistics"] == result.statistics
    pages = sorted((tmp_path / "data_docs").rglob("*.html"))
    assert tmp_path / "data_docs" / "index.html" in pages and len(pages) == 1 + 2 * 3
    for page in pages:
        assert not re.search(r'<(script|link|img)\b|src="http|@import', page.read_text())
    assert any("sawing_4.jpg" in page.read_text() for page in pages)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["data_docs", "result.json"]


def test_short_answers_pass_and_each_fault_is_caught():
    good = [{"sample": f"{i}.jpg", "kind": "name", "text": "Grey Plover"} for i in range(60)]
    assert gate.check("short", frames.short_frame(good)).passed
    bad = [{"sample": "x.jpg", "kind": "name", "text": ""}, {"sample": None, "kind": "name", "text": "Wren"}, good[0],
           *({"sample": f"r{i}.jpg", "kind": "name", "text": "I cannot help with that"} for i in range(8)),
           *({"sample": f"c{i}.jpg", "kind": "name", "text": "птица"} for i in range(8))]
    found = {f.check for f in gate.check("short", frames.short_frame([*good, *bad])).errors}
    assert found == {"one answer per question", "sample present", "one to 12 words", "Latin letters",
                     "refusals below 5%"}


def test_without_a_lexicon_any_label_and_any_name_is_known():
    samples = [replace(s, annotation=None, label="Wren") for s in SAMPLES]
    assert not frames.dataset_frame(samples, None)["images"]["known"].eq(False).any()
    named = [{"image": f"{i}.jpg", "id": f"id{i}", "names": ["Wren", "Jay"], "scores": [0.8, 0.2]} for i in range(4)]
    sizes = {p["id"]: (64, 96) for p in named}
    assert gate.check("predictions", frames.prediction_frame(named, None, sizes, "names")).passed
