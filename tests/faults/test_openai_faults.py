"""Every fault of a server, sent by a real one over HTTP: the right answers come back, or a clear word why not."""

import json
import time

import numpy as np
import pytest
from chat_server import (
    COLOURS,
    SCHEMA,
    ChatServer,
    completion,
    cut,
    hangs,
    says,
    sends,
    slow,
    status,
    tells_key,
    twice,
    two_choices,
)

from components import teachers
from components.base.errors import PipelineError, UserError
from components.teachers.protocol import Question, View
from components.teachers.wire import BODY

FREE = Question("free", "Which colour?", "1")
STRICT = Question("strict", "Which colour?", "1", SCHEMA)
QUICK = "patience=0.6&timeout=5"


def view(colour: int, name: str = "") -> View:
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[..., colour] = 200
    return View(name or COLOURS[colour], lambda: pixels)


def ask(server: ChatServer, question: Question, count: int = 1, more: str = "concurrency=1"):
    """The answers of `count` pictures, each with the colour that it really has."""
    teacher = teachers.get(f"openai:painter@{server.url}?{QUICK}&{more}")
    colours = [i % 3 for i in range(count)]
    return teacher.answer([view(c) for c in colours], [question] * count), [COLOURS[c] for c in colours]


def text(answer, question: Question) -> str:
    return json.loads(answer.text)["colour"] if question.schema else answer.text


MENDED = {
    "429 with Retry-After": (status(429, Retry_After="0"), 2),
    "429 without": (status(429), 2),
    "500": (status(500), 2),
    "503 with a date": (status(503, Retry_After="Wed, 21 Oct 2015 07:28:00 GMT"), 2),
    "slow": (slow(0.3), 1),
    "cut in mid-body": (cut, 2),
    "not JSON": (sends(b"<html>busy</html>"), 2),
    "deep JSON": (sends(b"[" * 100_000), 2),
    "no chat completion": (sends({"choices": []}), 2),
    "too long a body": (sends(b" " * (BODY + 1)), 2),
    "the reply twice": (twice, 1),
    "two choices": (two_choices, 1),
    "an answer that is empty": (says(""), 2),
    "an answer of another type": (says(7), 2),
}


@pytest.mark.parametrize("name", MENDED)
@pytest.mark.parametrize("question", [FREE, STRICT], ids=lambda q: q.kind)
def test_a_passing_fault_costs_an_attempt_and_no_answer_changes_places(name, question):
    act, asked = MENDED[name]
    with ChatServer([act]) as server:
        answers, truth = ask(server, question, count=4)
        assert [text(a, question) for a in answers] == truth
        assert [a.failure for a in answers] == [""] * 4
        assert len(server.requests) == 4 + asked - 1


@pytest.mark.parametrize("act", [says("I think it is red"), says('{"color": "red"}'), says('{"colour": "pink"}'),
                                 says('{"colour": NaN}'), says("[]"), says('{"colour": "red", "more": 1}')])
def test_an_answer_beside_the_schema_is_asked_for_again_with_the_reason(act):
    with ChatServer([act]) as server:
        answers, truth = ask(server, STRICT)
        assert text(answers[0], STRICT) == truth[0]
        assert "could not be used" not in server.requests[0].prompt
        assert "could not be used" in server.requests[1].prompt and "pink" not in server.requests[1].prompt
        assert [r.body["seed"] for r in server.requests] == [0, 1]
        assert (answers[0].tokens_in, answers[0].tokens_out) == (22, 6)  # both were paid for


def test_what_never_fits_is_a_failure_with_its_cost_and_the_others_go_on():
    with ChatServer(curse=("red", says("no"))) as server:
        answers, truth = ask(server, STRICT, count=3)
        assert answers[0].text == "" and "3 answers, the last one not JSON" in answers[0].failure
        assert answers[0].tokens_in == 33
        assert [text(a, STRICT) for a in answers[1:]] == truth[1:]


def test_a_refusal_is_a_failure_at_once():
    with ChatServer([says(None, refusal="I must not\x1b[2J"), sends(completion("x") | {"choices": [
            {"finish_reason": "content_filter", "message": {"content": "x"}}]})]) as server:
        answers, _ = ask(server, STRICT, count=2)
        assert [a.failure for a in answers] == ["refused: I must not[2J", "refused: content filter"]
        assert len(server.requests) == 2


def test_a_question_on_which_the_server_fails_for_ever_is_given_up():
    with ChatServer(curse=("red", status(500))) as server:
        answers, truth = ask(server, FREE, count=3)
        assert answers[0].failure == "the server declined: the server failed 5 times, at last: 500 no"
        assert [a.text for a in answers[1:]] == truth[1:]


def test_a_hanging_server_costs_the_timeout():
    with ChatServer([hangs]) as server:
        answers, truth = ask(server, FREE, more="timeout=0.3")
        assert answers[0].text == truth[0] and len(server.requests) == 2


def test_retry_after_is_waited_for_by_all():
    with ChatServer([status(429, Retry_After="1")]) as server:
        began = time.monotonic()
        answers, truth = ask(server, FREE, count=3, more="concurrency=2")
        assert time.monotonic() - began >= 1
        assert [a.text for a in answers] == truth


def test_a_server_that_sends_away_for_an_hour_stops_the_run():
    with ChatServer([status(429, Retry_After="3600")]) as server, pytest.raises(PipelineError, match="3,600 s"):
        ask(server, FREE)


def test_spent_quota_stops_the_run():
    with ChatServer([status(429, "insufficient_quota: pay first")]) as server, \
            pytest.raises(PipelineError, match="no more quota"):
        ask(server, FREE)


def test_an_outage_opens_the_circuit_and_is_told_while_good_answers_are_kept():
    with ChatServer() as server:
        teacher = teachers.get(f"openai:painter@{server.url}?{QUICK}&concurrency=4")
        stream = teacher.stream([view(0)] * 200, [FREE] * 200)
        good = [next(stream) for _ in range(20)]
        server.plan.extend([status(503)] * 10_000)
        with pytest.raises(PipelineError, match="answers nothing any more: 503"):
            good += list(stream)
        assert len({i for i, _ in good}) == len(good) >= 20 and all(a.text == "red" for _, a in good)
        assert len(server.requests) < len(good) + 40  # spared: not 180 questions of five attempts each


def test_a_server_that_comes_back_is_asked_on():
    with ChatServer([status(503)] * 13) as server:
        answers, truth = ask(server, FREE, count=30, more="concurrency=8")
        assert [a.text for a in answers] == truth


def test_nobody_there():
    with ChatServer() as server:
        url = server.url
    teacher = teachers.get(f"openai:painter@{url}?{QUICK}")
    with pytest.raises(PipelineError, match="cannot be reached"):
        teacher.answer([view(0)], [FREE])


@pytest.mark.parametrize(("code", "says_so"), [(401, "refuses the key"), (403, "refuses the key"),
                                               (404, "does not know this model"), (302, "does not know this model")])
def test_being_turned_away_is_the_users_to_mend(code, says_so):
    with ChatServer([status(code)] * 9) as server, pytest.raises(UserError, match=says_so):
        ask(server, FREE, count=3)


def test_a_declined_question_is_a_failure():
    with ChatServer([status(400, "the picture is indecent")]) as server:
        answers, truth = ask(server, FREE, count=2)
        assert "the server declined: 400 the picture is indecent" in answers[0].failure
        assert answers[1].text == truth[1]


def test_a_server_that_declines_everything_stops_the_run():
    with ChatServer([status(400, "no pictures here")] * 999) as server:
        with pytest.raises(PipelineError, match="answers nothing any more: 400 no pictures here"):
            ask(server, FREE, count=300, more="concurrency=4")
        assert len(server.requests) < 60


@pytest.mark.parametrize("part", ["response_format", "seed"])
def test_a_server_that_knows_less_is_spoken_to_simply(part):
    with ChatServer(declines=part) as server:
        answers, truth = ask(server, STRICT, count=3)
        assert [text(a, STRICT) for a in answers] == truth
        assert len(server.requests) <= 5 and part not in server.requests[-1].body  # two were made ready at once
        assert ("JSON schema" in server.requests[-1].prompt) == (part == "response_format")


def test_a_server_with_another_name_for_the_limit():
    with ChatServer([status(400, "Use 'max_completion_tokens' instead.")]) as server:
        answers, truth = ask(server, FREE)
        assert answers[0].text == truth[0]
        assert "max_tokens" not in server.requests[1].body and server.requests[1].body["max_completion_tokens"] == 512


def test_concurrency_is_bounded_and_used():
    with ChatServer(latency=0.05) as server:
        answers, truth = ask(server, FREE, count=60, more="concurrency=7")
        assert [a.text for a in answers] == truth
        assert server.busiest == 7


def test_a_stream_that_is_left_leaves_nothing_behind():
    with ChatServer(latency=0.2) as server:
        teacher = teachers.get(f"openai:painter@{server.url}?{QUICK}&concurrency=3")
        stream = teacher.stream([view(0)] * 50, [FREE] * 50)
        next(stream)
        stream.close()
        time.sleep(0.5)
        assert len(server.requests) <= 7


CANARY = "sk-canary-5f0c7d"
KINDS = {"declined": [status(400, f"{CANARY} is odd")], "answered": [tells_key(200)], "refused": [tells_key(401)],
         "declined with it": [tells_key(400)], "failed": [tells_key(500)] * 9, "broken": [tells_key(500)] * 99,
         "cut": [cut] * 9, "hanging": [hangs], "nonsense": [sends(CANARY.encode())] * 9}


@pytest.mark.parametrize("kind", KINDS)
def test_the_key_shows_up_nowhere(kind, monkeypatch, capfd, caplog, own_home):
    """Each kind of failure, with what a user, a log, a traceback and a debugger would see of it."""
    import traceback

    from components.teachers.ask import Account
    from components.teachers.ask import ask as through_cache
    from components.teachers.cache import AnswerCache

    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    caplog.set_level(0)
    with ChatServer(KINDS[kind]) as server:
        teacher = teachers.get(f"openai:painter@{server.url}?patience=0.2&timeout=0.4&concurrency=1")
        seen = [repr(teacher), repr(vars(teacher)), repr(vars(teacher.wire)), repr(teacher.identity)]
        items = [(f"{i:064x}", view(i % 3).load, [FREE]) for i in range(4)]
        try:
            seen.append(repr(list(through_cache(teacher, AnswerCache(), items, Account("r")))))
        except (PipelineError, UserError) as error:
            seen.append("".join(traceback.TracebackException.from_exception(error, capture_locals=True).format()))
        assert server.requests[0].headers["authorization"] == f"Bearer {CANARY}"
    out, err = capfd.readouterr()
    stored = b"".join(p.read_bytes() for p in own_home.rglob("*") if p.is_file())
    assert CANARY not in "".join([*seen, out, err, caplog.text])
    assert CANARY.encode() not in stored


def test_the_key_is_in_no_tracked_run(monkeypatch, own_home):
    from components.registry import tracking

    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    with ChatServer([tells_key(401)]) as server:
        spec = f"openai:painter@{server.url}?patience=0.2"
        with pytest.raises(UserError), tracking.run("ask", params={"teacher": spec}, tags={"teacher": spec}):
            teachers.get(spec).answer([view(0)], [FREE])
    stored = b"".join(p.read_bytes() for p in own_home.rglob("*") if p.is_file())
    assert b"refuses the key" in stored and CANARY.encode() not in stored


@pytest.mark.slow
def test_a_key_from_a_prefect_block(monkeypatch):
    from prefect.blocks.system import Secret
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=180):
        Secret(value=CANARY).save("lab-key")
        with ChatServer() as server:
            teacher = teachers.get(f"openai:painter@{server.url}?key_block=lab-key")
            assert teacher.answer([view(1)], [FREE])[0].text == "green"
            assert server.requests[0].headers["authorization"] == f"Bearer {CANARY}"
        with pytest.raises(UserError, match="no such Secret block"):
            teachers.get(f"openai:painter@{server.url}?key_block=other")


def test_a_key_does_not_leave_over_plain_http_unless_it_is_meant_to(monkeypatch):
    from components.teachers import secrets, specs

    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    monkeypatch.setenv("LAB_KEY", "lab")
    told = {url: bool(secrets.find(specs.OpenAI(), url).headers())
            for url in ("http://127.0.0.1:1/v1", "https://api.example/v1", "http://box.example:8000/v1")}
    assert list(told.values()) == [True, True, False]
    assert secrets.find(specs.OpenAI(key_env="LAB_KEY"), "http://box.example/v1").headers() == {
        "Authorization": "Bearer lab"}
