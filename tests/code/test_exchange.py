"""Answers as lines of JSON: nothing is lost on the way, and a wrong line is named and stops all of it."""

import json

import pytest
from colour_teacher import entry

from components import teachers
from components.base.errors import UserError
from components.teachers import exchange
from components.teachers.ask import Account, ask
from components.teachers.cache import AnswerCache
from components.teachers.ledger import total
from components.teachers.protocol import Answer, Question


@pytest.fixture
def cache(tmp_path):
    return AnswerCache(tmp_path / "answers")


@pytest.fixture
def file(cache, tmp_path):
    asked = Question("gaze", "What is\nthere? 日本", "1", {"type": "object"}, {"box": [0.1, 0.2, 0.3, 0.4]})
    cache.add([entry(n, question=asked, answer=Answer(f"“{n}”\n", n / 3, n, 2 * n)) for n in range(700)])
    assert exchange.export(cache, tmp_path / "out.jsonl") == 700
    return tmp_path / "out.jsonl"


def test_there_and_back_nothing_is_lost(cache, file, tmp_path):
    other = AnswerCache(tmp_path / "other")
    assert exchange.bring_in(other, file) == (700, 700)
    assert list(other.entries()) == list(cache.entries())
    assert exchange.bring_in(other, file) == (0, 700)
    assert other.verify() == []


def test_the_lines_have_the_documented_fields(file):
    line = json.loads(file.read_text("utf-8").splitlines()[0])
    assert set(line) == {"image", "question", "teacher", "decoding", "text", "seconds", "tokens_in", "tokens_out",
                         "run", "asked"}
    assert set(line["question"]) == {"kind", "prompt", "version", "schema", "context"}
    assert set(line["teacher"]) == {"backend", "name", "revision"}


def without(name):
    return lambda line: line.pop(name)


def put(path, value):
    def change(line):
        *place, last = path.split(".")
        for key in place:
            line = line[key]
        line[last] = value
    return change


@pytest.mark.parametrize(("change", "says"), [
    (without("image"), "'image' is a required"), (without("decoding"), "'decoding' is a required"),
    (put("image", "abc"), "not a sha256"), (put("text", 7), "text: 7 is not of type"),
    (put("seconds", "1"), "seconds: '1' is not"), (put("tokens_in", 1.5), "tokens_in: 1.5 is not"),
    (put("tokens_out", True), "tokens_out: True is not"), (put("tokens_in", -1), "tokens_in: -1 is less"),
    (put("teacher", {"name": "x"}), "teacher: 'backend' is a required"),
    (put("question.prompt", None), "question/prompt"),
    (put("question.schema", "x"), "question/schema"), (put("question", []), "question: [] is not"),
    (put("asked", "now"), "asked: 'now' is not"), (put("teacher.name", "<b>"), "teacher/name holds markup"),
])
def test_a_wrong_line_is_named_and_nothing_is_added(file, tmp_path, change, says):
    lines = file.read_text("utf-8").splitlines()
    broken = json.loads(lines[650])
    change(broken)
    lines[650] = json.dumps(broken)
    file.write_text("\n".join(lines), "utf-8")
    other = AnswerCache(tmp_path / "other")
    with pytest.raises(UserError) as raised:
        exchange.bring_in(other, file)
    assert says in str(raised.value) and f"{file}:651" in str(raised.value)
    assert other.stats().answers == 0


@pytest.mark.parametrize(("content", "says"), [
    (b"{", ":1: not JSON"), (b"\n[1]\n", ":2: line: [1] is not of type"), (b"\xff\xfe\n", ":1: not JSON")])
def test_what_is_no_such_file_is_refused(cache, tmp_path, content, says):
    (tmp_path / "bad.jsonl").write_bytes(content)
    with pytest.raises(UserError) as raised:
        exchange.bring_in(cache, tmp_path / "bad.jsonl")
    assert says in str(raised.value)


def test_files_that_cannot_be_read_or_written_are_named(cache, tmp_path):
    for use in (exchange.bring_in, exchange.export):
        with pytest.raises(UserError) as raised:
            use(cache, tmp_path / "nowhere" / "a.jsonl")
        assert "nowhere" in raised.value.where


def test_an_exported_teacher_replays_for_nothing_and_is_cached_under_its_own_keys(cache, tmp_path):
    asked = Question("free", "What is there?", "1")
    cache.add([entry(n, question=asked, answer=Answer(f"thing {n}", 1.0, 10, 2)) for n in range(8)])
    exchange.export(cache, tmp_path / "out.jsonl", teacher="embedded:col*")
    assert exchange.export(cache, tmp_path / "none.jsonl", teacher="openai:*") == 0
    recorded = teachers.get(f"recorded:{tmp_path / 'out.jsonl'}")
    fresh = AnswerCache(tmp_path / "fresh")
    said = ask(recorded, fresh, ((entry(n).image, None, [asked]) for n in range(8)), Account("replay"))
    assert [e.answer.text for _, (e,) in said] == [f"thing {n}" for n in range(8)]
    assert [e.key for e in fresh.entries()] == [e.key for e in cache.entries()]
    assert total(fresh, "replay").dollars == 0.0
