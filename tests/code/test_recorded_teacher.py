"""Recorded answers are replayed as they were, under the name of the teacher that gave them."""

import json
from dataclasses import asdict

import numpy as np
import pytest

from components import teachers
from components.base.errors import UserError
from components.teachers import choice
from components.teachers.cache import answer_key
from components.teachers.protocol import Composite, Identity, NotOffered, Question, View

SCHEMA = {"type": "object", "required": ["colour"], "properties": {"colour": {"type": "string"}}}
FREE, STRICT = Question("free", "What?", "1"), Question("strict", "Which?", "2", SCHEMA, {"box": [0, 0, 1, 1]})
WHO = {"backend": "openai", "name": "org/big", "revision": "2026-01"}
DECODING = {"temperature": 0.5, "seed": 3}


def view(name: str) -> View:
    return View(name, lambda: np.full((20, 30, 3), len(name) * 20, np.uint8))


def entry(image: str, question: Question, text: str, **more) -> dict:
    return {"image": image, "question": asdict(question), "teacher": WHO, "decoding": DECODING, "text": text,
            "seconds": 1.5, "tokens_in": 7, "tokens_out": 2, "run": "r1"} | more


def record(path, *entries) -> str:
    path.write_text("".join(json.dumps(e) + "\n" for e in entries))
    return f"recorded:{path}"


@pytest.fixture
def teacher(tmp_path):
    return teachers.get(record(
        tmp_path / "a.jsonl", entry("one", FREE, "old"), entry("one", STRICT, '{"colour": "röt"}'),
        entry("two", STRICT, "red"), entry("two", FREE, "x\x1b[2J"), entry("one", FREE, "new"),
        entry("one", choice.question(["a", "b", "c"]), '{"likeliest": [{"number": 3, "probability": 0.7}]}')))


def test_answers_are_those_recorded_and_the_last_one_counts(teacher):
    answers = teacher.answer([view("one"), view("one"), view("two")], [FREE, STRICT, FREE])
    assert [a.text for a in answers] == ["new", '{"colour": "röt"}', "x[2J"]
    assert {(a.seconds, a.tokens_in, a.tokens_out, a.failure) for a in answers} == {(1.5, 7, 2, "")}
    assert teacher.count == 6


def test_cache_keys_agree_with_those_of_the_teacher_itself(teacher):
    assert teacher.identity == Identity(**WHO) and teacher.decoding == DECODING
    assert answer_key("a" * 64, FREE, teacher.identity, teacher.decoding) == answer_key(
        "a" * 64, FREE, Identity(**WHO), DECODING)


def test_what_was_not_asked_or_does_not_fit_is_a_failure(teacher):
    other = Question("free", "What?", "2")
    unknown, unfit, third = teacher.answer([view("one"), view("two"), view("three")], [other, STRICT, FREE])
    assert unknown.failure == third.failure == "not in a.jsonl: no such question of kind 'free' about this image"
    assert unfit.failure == "the recorded answer is not JSON" and unfit.tokens_in == 7


def test_choices_are_replayed_and_others_not_offered(teacher):
    assert teacher.score([view("one")], ["a", "b", "c"]).argmax() == 2
    assert teacher.score([view("one")], ["a", "b", "c"]).sum() == pytest.approx(1)
    with pytest.raises(NotOffered, match="no choice between these texts"):
        teacher.score([view("one")], ["a", "b"])


def test_sight_is_borrowed_from_the_frozen_encoders(teacher):
    both = Composite("mixed", view("one").load, view("one"), view("three"), (0, 0, 6, 12))
    grid = teacher.grid([view("one"), view("three"), both])
    assert grid.shape == (3, 145, 592) and grid.dtype == np.float32
    assert np.allclose(grid[:, 0], grid[:, 1:].mean(1), atol=1e-4)
    assert np.array_equal(grid[2], grid[0])  # without cached features it is looked at, and its pixels are the first's
    assert teacher.words(["a dog"]).shape == (1, 384)


def test_the_index_is_made_once_and_read_by_any_process(teacher, own_home):
    index, = (own_home / "cache" / "recorded").iterdir()
    before = index.stat().st_mtime_ns
    again = teachers.get(f"recorded:{teacher.path}")
    assert index.stat().st_mtime_ns == before
    assert again.answer([view("one")], [FREE])[0].text == "new"


def test_a_file_that_changes_under_it_is_noticed(teacher):
    teacher.path.write_text("x" * 10_000)
    with pytest.raises(UserError, match="has changed since"):
        teacher.answer([view("one")], [FREE])


GOOD = entry("x", FREE, "t")
WRONG = {
    "not JSON": ('{"image": ', "a.jsonl:2: not JSON"),
    "a list": ("[]", "a.jsonl:2: line: "),
    "without text": ({k: v for k, v in GOOD.items() if k != "text"}, "'text'"),
    "odd tokens": (GOOD | {"tokens_in": "7"}, "a.jsonl:2: tokens_in: "),
    "odd question": (GOOD | {"question": {"kind": "free"}}, "a.jsonl:2: question: "),
    "another teacher": (GOOD | {"teacher": WHO | {"name": "other"}}, "another teacher than before"),
    "drawn otherwise": (GOOD | {"decoding": {}}, "drawn another way"),
    "markup for a name": (GOOD | {"teacher": WHO | {"name": "<b>`x`</b>"}}, "teacher/name holds markup"),
    "deep": ('{"a":' * 100_000, "a.jsonl:2: not JSON"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_a_faulty_line_is_named_and_nothing_is_kept(kind, tmp_path, own_home):
    text, says = WRONG[kind]
    path = tmp_path / "a.jsonl"
    path.write_text(f"{json.dumps(GOOD)}\n{text if isinstance(text, str) else json.dumps(text)}\n")
    with pytest.raises(UserError) as error:
        teachers.get(f"recorded:{path}")
    assert says in str(error.value) and len(str(error.value)) < 600 + len(str(path))
    assert list((own_home / "cache" / "recorded").iterdir()) == []


def test_an_empty_file_is_named(tmp_path):
    with pytest.raises(UserError, match="holds no answers"):
        teachers.get(record(tmp_path / "a.jsonl"))
