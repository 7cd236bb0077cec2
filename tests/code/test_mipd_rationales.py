"""Teacher text is untrusted: what MIPD accepts as a rationale, and what it leaves out with which reason."""

import json

import pytest

from components.datasets.schema import Sample
from components.recipes.mipd import rationales
from components.recipes.protocol import Record, Rejection
from components.teachers.judge import Statement
from components.teachers.protocol import Answer

ANNOTATION = {
    "verb": "rowing",
    "width": 200,
    "height": 100,
    "frames": [{"agent": "n1", "tool": "n2", "place": "n3"}] * 3,
    "bb": {"agent": [20, 10, 100, 90], "tool": [0, 0, 50, 50], "place": [-1, -1, -1, -1]},
}
SAMPLE = Sample("s1", "rowing_1.jpg", b"", 200, 100, "0" * 16, "test", "rowing", ANNOTATION)


def ranked(*words: str) -> list[dict]:
    return [{"text": w, "probability": 0.9 / (i + 1)} for i, w in enumerate(words)]


def glimpse(**changes) -> Answer:
    reply = {
        "scene": "A man, sitting, with a paddle.",
        "unlike": "A man, standing, with a broom.",
        "posture": ranked("sitting", "standing"),
        "things": ranked("paddle", "broom"),
        "place": ranked("lake", "ocean"),
    }
    return Answer(json.dumps(reply | changes))


def gaze(**changes) -> Answer:
    reply = {"nouns": ranked("paddle", "broom"), "positive": "It is a paddle.", "negative": "It is a broom."}
    return Answer(json.dumps(reply | changes))


def test_a_glimpse_and_a_gaze_for_every_grounded_role():
    asked = rationales.questions(SAMPLE, "1", gaze=True)
    assert [q.kind for q in asked] == ["glimpse", "gaze", "gaze"]
    assert asked[1].context == {"box": [0.1, 0.1, 0.5, 0.9], "role": "agent"}
    assert len(rationales.questions(SAMPLE, "1", gaze=False)) == 1


def test_no_prompt_names_the_true_verb_or_a_noun():
    text = " ".join(q.prompt for q in rationales.questions(SAMPLE, "1", gaze=True)).lower()
    assert "rowing" not in text and "n2" not in text


def test_the_version_of_the_prompt_is_part_of_every_question():
    assert {q.version for q in rationales.questions(SAMPLE, "7", True)} == {"glimpse/7", "gaze/7"}


def test_good_answers_become_a_record():
    record = rationales.accept(SAMPLE, [glimpse(), gaze(), gaze()])
    assert isinstance(record, Record)
    assert record.content["glimpse"]["posture"][0] == ["sitting", 0.6667]
    assert set(record.content["gaze"]) == {"agent", "tool"}
    rows = rationales.rows(record, "rowing")
    assert [r["kind"] for r in rows] == ["glimpse", "gaze", "gaze"] and all(
        r["positive"] != r["negative"] for r in rows
    )


@pytest.mark.parametrize(
    "text, reason",
    [
        ("not json at all", "not JSON"),
        ("[1, 2]", "not a JSON object"),
        ("{}", "no 'scene'"),
        (glimpse(scene="").text, "no 'scene'"),
        (glimpse(scene=7).text, "no 'scene'"),
        (glimpse(scene="x" * 301).text, "longer than 300"),
        (glimpse(unlike="a MAN, sitting, with a paddle.").text, "equals"),
        (glimpse(posture=ranked("sitting")).text, "fewer than two usable phrases in 'posture'"),
        (glimpse(things=[{"text": "x" * 61, "probability": 0.5}] * 3).text, "'things'"),
        (glimpse(place=[{"text": "lake", "probability": 7}] * 3).text, "'place'"),
        (glimpse(place="lake").text, "'place'"),
        (glimpse(scene="Rowing.").text, "repeats the label"),
    ],
)
def test_an_unusable_glimpse_rejects_the_sample_with_its_reason(text, reason):
    outcome = rationales.accept(SAMPLE, [Answer(text), gaze(), gaze()])
    assert isinstance(outcome, Rejection) and reason in outcome.reason


def test_an_unusable_gaze_is_left_out_alone():
    record = rationales.accept(SAMPLE, [glimpse(), Answer("?"), gaze()])
    assert isinstance(record, Record)
    assert set(record.content["gaze"]) == {"tool"} and record.content["left_out"] == {"agent": "not JSON"}


def test_a_sample_without_annotation_is_asked_one_glimpse():
    bare = Sample("s2", "photo.jpg", b"", 10, 10, "0" * 16, "test")
    assert [q.kind for q in rationales.questions(bare, "1", True)] == ["glimpse"]
    assert isinstance(rationales.accept(bare, [glimpse()]), Record)


def test_a_failed_answer_is_left_out_with_its_reason():
    record = rationales.accept(SAMPLE, [glimpse(), Answer("", failure="it refuses"), gaze()])
    assert record.content["left_out"] == {"agent": "it refuses"}
    rejection = rationales.accept(SAMPLE, [Answer("", failure="rejected: not supported"), gaze(), gaze()])
    assert rejection == Rejection("s1", "glimpse: rejected: not supported")


def test_what_an_answer_states_is_what_will_be_learnt():
    asked = rationales.questions(SAMPLE, "1", gaze=True)
    scene = rationales.statement(asked[0], glimpse())
    assert scene == Statement("A man, sitting, with a paddle.", "A man, standing, with a broom.",
                              ("sitting", "standing", "paddle", "broom", "lake", "ocean"))
    thing = rationales.statement(asked[1], gaze())
    assert thing == Statement("It is a paddle.", "It is a broom.", ("paddle", "broom"), (0.1, 0.1, 0.5, 0.9))
    assert rationales.statement(asked[1], Answer("?")) == "not JSON"
    assert rationales.statement(asked[1], Answer("", failure="late")) == "late"


def test_a_repaired_scene_is_accepted_with_its_new_sentences():
    asked = rationales.questions(SAMPLE, "1", gaze=True)
    mended = rationales.repaired(asked[0], glimpse(), Statement("A man sits in a boat.", "A man sits in a car."))
    record = rationales.accept(SAMPLE, [mended, gaze(), gaze()])
    assert record.content["glimpse"]["scene"] == "A man sits in a boat."
    assert record.content["glimpse"]["unlike"] == "A man sits in a car."
    assert record.content["glimpse"]["posture"] == rationales.read(glimpse(), "glimpse")["posture"]


def test_a_repaired_gaze_brings_the_named_nouns_first_or_fails():
    asked = rationales.questions(SAMPLE, "1", gaze=True)[1]
    said = gaze(nouns=ranked("paddle", "broom", "hoe"))
    mended = rationales.repaired(asked, said, Statement("It is a hoe.", "It is a paddle."))
    nouns = rationales.read(mended, "gaze")["nouns"]
    assert [text for text, _ in nouns] == ["hoe", "paddle", "broom"]
    assert [p for _, p in nouns] == sorted((p for _, p in nouns), reverse=True)
    lost = rationales.repaired(asked, said, Statement("It is a kite.", "It is a paddle."))
    assert "none of the nouns" in lost.failure
