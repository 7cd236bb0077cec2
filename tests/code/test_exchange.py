"""Answers as lines of JSON: nothing is lost on the way, and a wrong line is named and stops all of it."""

import json

import pytest
from colour_teacher import entry

from components.base.errors import UserError
from components.teachers import exchange
from components.teachers.cache import AnswerCache
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
    (without("image"), "no 'image'"), (without("decoding"), "no 'decoding'"), (put("image", "abc"), "not a sha256"),
    (put("text", 7), "'text' must be a text"), (put("seconds", "1"), "'seconds' must be a number"),
    (put("tokens_in", 1.5), "'tokens_in' must be a count"), (put("tokens_out", True), "'tokens_out' must be a count"),
    (put("tokens_in", -1), "never negative"), (put("teacher", {"name": "x"}), "no 'teacher.backend'"),
    (put("question.prompt", None), "'question.prompt' must be a text"),
    (put("question.schema", "x"), "question.schema"),
    (put("question", []), "'question' must be an object"), (put("asked", "now"), "'asked' must be unix seconds"),
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
    assert says in str(raised.value) and f"{file}: line 651" in str(raised.value)
    assert other.stats().answers == 0


@pytest.mark.parametrize(("content", "says"), [
    (b"{", "line 1: not JSON"), (b"[1]\n", "line 1: expected an object"), (b"\xff\xfe\n", "not UTF-8")])
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
