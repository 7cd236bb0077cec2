"""The answer cache: what decides a key, what comes back, and that nothing is asked twice."""

import dataclasses
import gc
import json
import random
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from colour_teacher import BRIGHTNESS, COLOUR, REFUSED, WHO, ColourTeacher, Items, entry, image_of, name_of

from components.base.errors import PipelineError, UserError
from components.teachers.ask import Account, AskCounts, _Pictures, ask
from components.teachers.cache import AnswerCache, answer_key
from components.teachers.ledger import total
from components.teachers.prices import Price
from components.teachers.protocol import Answer, Identity, Question


@pytest.fixture(scope="module", autouse=True)
def own_garbage():
    """What tests of other files left unclosed is warned of now, and not where warnings are errors."""
    gc.collect()


@pytest.fixture
def cache(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield AnswerCache(tmp_path / "answers")


def test_the_default_place_is_below_the_state_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("FOVEATE_HOME", str(tmp_path))
    assert AnswerCache().folder == tmp_path / "cache" / "answers"


def test_what_is_put_comes_back_whole(cache):
    stored = [entry(n) for n in range(1200)]  # in every file, and more in all than one query holds
    assert cache.add(stored) == 1200
    assert cache.get_many([*(e.key for e in stored), b"\0" * 48]) == {e.key: e for e in stored}
    assert list(cache.entries()) == sorted(stored, key=lambda e: e.key)
    assert cache.add(stored) == 0
    stats = cache.stats()
    assert (stats.answers, stats.runs, stats.damaged) == (1200, {"run-1": 1200}, 0)
    assert stats.teachers == {"embedded:colours@1": 1200} and stats.kinds == {"colour": 1200}
    assert cache.verify() == []
    assert AnswerCache(cache.folder).get_many([stored[0].key]) == {stored[0].key: stored[0]}


@pytest.mark.parametrize("text", ["", "\ud800 half a pair", "\0", "日本語 🙂", "x" * 100_000, '{"a": "\\u0000"}'])
def test_any_text_survives(cache, text):
    odd = entry(1, question=Question("k", text or "?", "1", {"a": [1.5, None]}, {"c": text}), answer=Answer(text))
    cache.pay(odd)
    assert cache.get_many([odd.key]) == {odd.key: odd} and cache.verify() == []


def test_what_is_shared_is_stored_once(cache):
    """A long prompt and schema cost next to nothing an answer, also where every prompt differs a little."""
    draw = random.Random(0)
    schema = {"type": "object", "properties": {f"field {i}": {"type": "string"} for i in range(50)}}
    words = [f"{draw.getrandbits(40):x}" for _ in range(300)]
    prompts = [" ".join(words) + f" region {n}" for n in range(1000)]
    cache.add(entry(n, "a short answer", question=Question("k", prompts[n], "1", schema)) for n in range(1000))
    cache.close()
    assert len(prompts[0]) + len(json.dumps(schema)) > 4500
    assert cache.stats().bytes / 1000 < 1000
    assert {e.question.prompt for e in cache.entries()} == set(prompts)


@pytest.mark.parametrize("change", [
    {"kind": "gaze"}, {"prompt": "other"}, {"version": "2"}, {"schema": {"type": "object"}}, {"context": {"role": "x"}},
])
def test_every_part_of_a_question_decides_the_key(change):
    assert answer_key("a" * 64, BRIGHTNESS, WHO) != answer_key(
        "a" * 64, dataclasses.replace(BRIGHTNESS, **change), WHO)


def test_image_teacher_and_decoding_decide_the_key():
    base = ("a" * 64, COLOUR, WHO)
    others = [("b" * 64, *base[1:]), *((*base[:2], dataclasses.replace(base[2], **{name: "x"}))
                                       for name in ("backend", "name", "revision")), (*base, {"temperature": 0.5})]
    keys = {answer_key(*arguments) for arguments in [base, *others]}
    assert len(keys) == 6
    assert answer_key(*base, {"a": 1, "b": 2}) == answer_key(*base, {"b": 2, "a": 1})


@pytest.mark.parametrize("image", ["", "a", "a" * 63, "g" * 64, "a" * 66])
def test_an_image_is_named_by_its_content(image):
    with pytest.raises(UserError, match="not a sha256"):
        answer_key(image, COLOUR, WHO)


def test_answers_are_the_teachers_in_order_and_a_second_run_asks_nothing(cache):
    teacher, items, told = ColourTeacher(), Items(range(10)), []
    first = list(ask(teacher, cache, items, Account("one"), window=8, progress=told.append))
    for number, (sample, entries) in zip(range(10), first, strict=True):
        assert sample == name_of(number)
        assert [e.answer for e in entries] == [teacher.one(image_of(number), q) for q in items.questions]
        assert {(e.run, e.image, e.teacher) for e in entries} == {("one", sample, WHO)}
    assert teacher.calls == [8, 8, 4]
    assert sorted(items.decoded) == list(range(10))  # once each, though two questions were asked
    assert (told[-1].samples, told[-1].asked, told[-1].cached, told[-1].tokens_in) == (10, 20, 0, 50)
    assert [t.samples for t in told] == sorted(t.samples for t in told) and told[-1].seconds > 0

    again, seen = ColourTeacher(), Items(range(10))
    assert list(ask(again, cache, seen, Account("two"), window=8, progress=told.append)) == first
    assert again.calls == [] and seen.decoded == []
    assert told[-1] == AskCounts(samples=10, cached=20)
    assert cache.stats().runs == {"one": 20}


def test_only_the_missing_is_asked_and_a_repeated_image_once(cache):
    teacher = ColourTeacher()
    list(ask(teacher, cache, Items(range(4), (COLOUR,)), Account("one")))
    more, told = Items([0, 1, 4, 4]), []
    answers = [a for _, a in ask(teacher, cache, more, Account("two"), progress=told.append)]
    assert teacher.calls == [4, 4]  # two brightnesses of known images, and both answers of image 4
    assert sorted(more.decoded) == [0, 1, 4]
    assert answers[2] == answers[3] and told[-1].samples == 4


def test_a_sample_without_questions_passes_through(cache):
    teacher = ColourTeacher()
    assert [a for _, a in ask(teacher, cache, Items([1, 2], ()), Account("one"))] == [[], []]
    assert teacher.calls == []


def test_an_answer_is_kept_as_it_arrives(cache):
    class Breaks(ColourTeacher):
        def stream(self, images, questions):
            for n, pair in enumerate(super().stream(images, questions)):
                if n == 5:
                    raise ConnectionError("the line is dead")
                yield pair

    with pytest.raises(ConnectionError):
        list(ask(Breaks(), cache, Items(range(10)), Account("one")))
    assert cache.stats().answers == 5 and total(cache, "one").requests == 5
    teacher = ColourTeacher()
    list(ask(teacher, cache, Items(range(10)), Account("two")))
    assert teacher.calls == [15]


def test_a_failed_answer_is_told_and_paid_for_but_not_kept(cache):
    for run in ("one", "two"):
        (_, (colour, refused)), = ask(ColourTeacher(), cache, Items([1], (COLOUR, REFUSED)),
                                      Account(run, price=Price(request=0.5)))
        assert refused.answer.failure == "it refuses" and not colour.answer.failure
    assert cache.stats().answers == 1
    assert (total(cache, "one").requests, total(cache, "one").failures, total(cache, "one").dollars) == (2, 1, 1.0)
    assert (total(cache, "two").requests, total(cache, "two").failures) == (1, 1)


@pytest.mark.parametrize(("positions", "says"), [
    ([0], "gave 1 answers to 2 questions"), ([0, 0, 1], "question 0 of 2 twice"), ([0, 7], "question 7 of 2")])
def test_a_teacher_that_answers_out_of_number_is_named(cache, positions, says):
    class Odd(ColourTeacher):
        def stream(self, images, questions):
            yield from ((i, Answer("red")) for i in positions)

    with pytest.raises(PipelineError, match=f"'colours'.*{says}"):
        list(ask(Odd(), cache, Items([1]), Account("one")))


def test_what_is_in_flight_is_called_off_with_its_consumer(cache):
    closed = []

    class Watched(ColourTeacher):
        def stream(self, images, questions):
            try:
                yield from super().stream(images, questions)
            finally:
                closed.append(True)

    def stop(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(ask(Watched(), cache, Items(range(4)), Account("one"), progress=stop))
    assert closed == [True] and cache.stats().answers == 1


def test_few_decoded_images_are_held():
    pictures, size = _Pictures(), 30 * 2**20
    loaded = []
    for name in "abcabd":
        pictures.get(name, lambda name=name: loaded.append(name) or np.zeros(size, np.uint8))
        assert len(pictures.kept) <= 2 and pictures.bytes == size * len(pictures.kept)
    assert "".join(loaded) == "abcabd"
    pictures.get("b", lambda: loaded.append("b"))
    assert len(loaded) == 6


def test_pruning_fits_all_that_is_given_and_forgets_no_cost(cache):
    other = Identity("openai", "big", "2")
    for n in range(40):
        cache.pay(entry(n, run=f"run-{n % 2}", teacher=other if n < 10 else WHO), dollars=1.0)
    assert cache.prune(teacher="openai:*") == 10 and cache.stats().answers == 40  # only counted
    assert cache.prune(teacher="openai:*", run="run-1", really=True) == 5
    assert cache.prune(before=1_700_000_000 + 20, really=True) == 15
    left = cache.stats()
    assert left.answers == 20 and left.teachers == {"embedded:colours@1": 20} and cache.verify() == []
    assert total(cache, "run-1").dollars == 20.0
    with pytest.raises(UserError, match="says nothing"):
        cache.prune()


def test_a_file_of_an_earlier_version_is_named_and_left_alone(cache):
    (cache.folder / "answers.sqlite").write_bytes(b"old")
    assert AnswerCache(cache.folder).stats().former == str(cache.folder / "answers.sqlite")


def test_threads_share_one_cache(cache):
    def write(writer):
        mine = [entry(1000 * writer + n, run=f"run-{writer}") for n in range(100)]
        for one in mine:
            cache.pay(one)
        return len(cache.get_many(e.key for e in mine))

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(write, range(8))) == [100] * 8
    assert cache.stats().runs == {f"run-{n}": 100 for n in range(8)}
