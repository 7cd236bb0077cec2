"""The answer cache: what decides a key, what comes back, and that nothing is asked twice."""

import dataclasses
import hashlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from components.base.errors import PipelineError
from components.teachers.ask import AskCounts, ask
from components.teachers.cache import AnswerCache, answer_key
from components.teachers.protocol import Answer, Identity, Question

COLOURS = ("red", "green", "blue")


class ColourTeacher:
    """Names the strongest colour of an image, or its brightness, from the pixels."""

    identity = Identity("embedded", "colours", "1")

    def __init__(self):
        self.calls: list[int] = []

    def answer(self, images, questions):
        self.calls.append(len(questions))
        return [self._one(image.load(), question) for image, question in zip(images, questions, strict=True)]

    def _one(self, image, question):
        if question.kind == "brightness":
            return Answer(f"{image.mean():.1f}", tokens_in=2, tokens_out=1)
        return Answer(COLOURS[int(image.mean((0, 1)).argmax())], seconds=0.001, tokens_in=3, tokens_out=1)


COLOUR = Question("colour", "Which colour is strongest?", "1")
BRIGHTNESS = Question("brightness", "How bright is it?", "1", context={"role": "item"})


def image_of(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8)


class Items:
    """Samples with a loader that counts how often an image is decoded."""

    def __init__(self, numbers, questions=(COLOUR, BRIGHTNESS)):
        self.numbers, self.questions, self.decoded = list(numbers), questions, []

    def __iter__(self):
        for number in self.numbers:
            yield hashlib.sha256(image_of(number).tobytes()).hexdigest(), self._loader(number), self.questions

    def _loader(self, number):
        def load():
            self.decoded.append(number)
            return image_of(number)
        return load


@pytest.fixture
def cache(tmp_path):
    return AnswerCache(tmp_path / "answers.sqlite")


def test_the_default_place_is_below_the_state_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("FOVEATE_HOME", str(tmp_path))
    assert AnswerCache().path == tmp_path / "cache" / "answers" / "answers.sqlite"


def test_what_is_put_comes_back(cache):
    answers = {f"{n:064x}": Answer(f"ünïcode {n}", n / 7, n, 2 * n) for n in range(1200)}  # more than one query holds
    cache.put_many(answers, "run-1")
    assert cache.get_many([*answers, "0" * 63 + "x"]) == answers
    stats = cache.stats()
    assert (stats.answers, stats.runs, stats.damaged) == (1200, {"run-1": 1200}, 0)
    assert cache.verify() == []


@pytest.mark.parametrize("change", [
    {"kind": "gaze"}, {"prompt": "other"}, {"version": "2"}, {"schema": {"type": "object"}}, {"context": {"role": "x"}},
])
def test_every_part_of_a_question_decides_the_key(change):
    assert answer_key("a", BRIGHTNESS, ColourTeacher.identity) != answer_key(
        "a", dataclasses.replace(BRIGHTNESS, **change), ColourTeacher.identity)


def test_image_teacher_and_decoding_decide_the_key():
    base = ("a", COLOUR, ColourTeacher.identity)
    others = [("b", *base[1:]), *((*base[:2], dataclasses.replace(base[2], **{name: "x"}))
                                  for name in ("backend", "name", "revision")), (*base, {"temperature": 0.5})]
    keys = {answer_key(*arguments) for arguments in [base, *others]}
    assert len(keys) == 6
    assert answer_key(*base, {"a": 1, "b": 2}) == answer_key(*base, {"b": 2, "a": 1})


def test_answers_are_the_teachers_in_order_and_a_second_run_asks_nothing(cache):
    teacher, items, told = ColourTeacher(), Items(range(10)), []
    first = list(ask(teacher, cache, items, run_id="one", batch=8, progress=told.append))
    for number, (sample, answers) in zip(range(10), first, strict=True):
        assert sample == hashlib.sha256(image_of(number).tobytes()).hexdigest()
        assert [a.text for a in answers] == [teacher._one(image_of(number), q).text for q in items.questions]
    assert teacher.calls == [8, 8, 4]
    assert items.decoded == list(range(10))  # once each, though two questions were asked
    assert told[-1].samples == 10 and told[-1].asked == 20 and told[-1].cached == 0 and told[-1].seconds > 0

    again, seen = ColourTeacher(), Items(range(10))
    assert list(ask(again, cache, seen, run_id="two", batch=8, progress=told.append)) == first
    assert again.calls == [] and seen.decoded == []
    assert told[-1] == AskCounts(samples=10, asked=0, cached=20, seconds=0.0)
    assert cache.stats().runs == {"one": 20}


def test_only_the_missing_is_asked_and_a_repeated_image_once(cache):
    teacher = ColourTeacher()
    list(ask(teacher, cache, Items(range(4), (COLOUR,)), run_id="one"))
    more = Items([0, 1, 4, 4])
    answers = [a for _, a in ask(teacher, cache, more, run_id="two", batch=64)]
    assert teacher.calls == [4, 4]  # two brightnesses of known images, and both answers of image 4
    assert more.decoded == [0, 1, 4]
    assert answers[2] == answers[3]


def test_a_sample_without_questions_passes_through(cache):
    teacher = ColourTeacher()
    assert [a for _, a in ask(teacher, cache, Items([1, 2], ()), run_id="one")] == [[], []]
    assert teacher.calls == []


def test_answers_are_kept_before_they_are_yielded(cache):
    stream = ask(ColourTeacher(), cache, Items(range(10)), run_id="one", batch=4)
    next(stream)
    stream.close()
    assert cache.stats().answers == 4


def test_a_teacher_that_answers_out_of_number_is_named(cache):
    class Silent(ColourTeacher):
        def answer(self, images, questions):
            return super().answer(images, questions)[1:]

    with pytest.raises(PipelineError, match="'colours' gave 1 answers to 2 questions"):
        list(ask(Silent(), cache, Items([1]), run_id="one"))
    assert cache.stats().answers == 0


def test_threads_share_one_cache(cache):
    def write(writer):
        for part in range(5):
            cache.put_many({f"{writer}-{part}-{n}": Answer(f"{n}") for n in range(20)}, f"run-{writer}")
        return len(cache.get_many(f"{writer}-{part}-{n}" for part in range(5) for n in range(20)))

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(write, range(8))) == [100] * 8
    assert cache.stats().answers == 800
