"""The batch API: questions by file, answers by id, and a kill in between that costs nothing twice."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from chat_server import SCHEMA, ChatServer, completion, http
from test_openai_faults import COLOURS, STRICT, text, view

from components import teachers
from components.base.errors import PipelineError
from components.teachers.protocol import Question

ROOT = Path(__file__).parents[2]


def teacher(server: ChatServer, more: str = "") -> object:
    return teachers.get(f"openai:painter@{server.url}?batch_api=true&patience=0.6&{more}")


def paths(server: ChatServer) -> list[str]:
    return [r.path.removeprefix("/v1") for r in server.requests]


def pairs(count: int) -> tuple[list, list, list[str]]:
    """Pictures, questions and true colours; every sixth question repeats an earlier one."""
    colours = [i % 3 for i in range(count)]
    return [view(c, f"{c}-{i % 5}") for i, c in enumerate(colours)], [STRICT] * count, [COLOURS[c] for c in colours]


def test_answers_come_back_by_file_each_to_its_question(own_home):
    views, questions, truth = pairs(20)
    with ChatServer() as server:
        answers = teacher(server).answer(views, questions)
        assert [text(a, STRICT) for a in answers] == truth
        assert paths(server)[:2] == ["/files", "/batches"] and "/chat/completions" not in paths(server)
        lines = [json.loads(one) for one in server.files["file-0"].splitlines()]
        assert len(lines) == 15 and {one["url"] for one in lines} == {"/v1/chat/completions"}
        assert lines[0]["body"]["response_format"]["json_schema"]["schema"] == SCHEMA
        assert (answers[0].tokens_in, answers[0].tokens_out) == (11, 3)
    assert list((own_home / "batches").rglob("*.json")) == []  # nothing is left to be collected


ASKER = """
import sys
sys.path[:0] = ["tests", "tests/faults"]
from test_openai_batches import pairs
from components import teachers
views, questions, _ = pairs(6)
teachers.get(sys.argv[1]).answer(views, questions)
"""


def test_a_run_killed_while_it_waits_collects_what_it_handed_in():
    views, questions, truth = pairs(6)
    with ChatServer(batches_end=False) as server:
        spec = f"openai:painter@{server.url}?batch_api=true&patience=0.6"
        asker = subprocess.Popen([sys.executable, "-c", ASKER, spec], cwd=ROOT)
        while not any(path.startswith("/batches/") for path in paths(server)):
            assert asker.poll() is None
            time.sleep(0.05)
        asker.kill()
        asker.wait()
        server.batches_end = True
        answers = dict(teachers.get(spec).stream(views[2:], questions[2:]))  # the first two were cached, say
        assert [text(answers[i], STRICT) for i in range(4)] == truth[2:]
        assert paths(server).count("/files") == paths(server).count("/batches") == 1


def test_files_are_bounded_and_what_a_batch_lacks_is_asked_one_by_one(monkeypatch):
    from components.teachers import openai_batch

    monkeypatch.setattr(openai_batch, "MOST", 4)
    views, questions, truth = pairs(11)  # files of four, four and three

    def spoiled(lines: bytes) -> bytes:
        """One line lost, one twice, one no JSON, one beside its schema, and one of nobody's."""
        one, two, three, *rest = lines.splitlines()
        wrong = json.loads(two) | {"response": {"body": completion("no")}}
        return b"\n".join([b"{", json.dumps(wrong).encode(), three, three, *rest,
                           json.dumps({"custom_id": "x", "response": {"body": completion("y")}}).encode()])

    with ChatServer() as server:
        kept = server._batch_api

        def reply(request):
            told = kept(request)
            return http_bytes(spoiled(told)) if isinstance(told, bytes) and request.path.endswith("content") else told

        monkeypatch.setattr(server, "_batch_api", reply)
        answers = teacher(server).answer(views, questions)
        assert [text(a, STRICT) for a in answers] == truth
        assert paths(server).count("/batches") == 3
        assert paths(server).count("/chat/completions") >= 4


def http_bytes(raw: bytes) -> bytes:
    assert http(raw).endswith(raw)
    return raw


def test_refusals_in_a_batch_are_failures(monkeypatch):
    with ChatServer() as server:
        monkeypatch.setattr("chat_server.completion", lambda content: completion(None, refusal="never"))
        answers = teacher(server).answer(*pairs(3)[:2])
        assert [a.failure for a in answers] == ["refused: never"] * 3


@pytest.mark.parametrize("state", ["failed", "odd/../id"])
def test_a_batch_that_fails_or_lies_stops_the_run(state, monkeypatch, own_home):
    with ChatServer() as server:
        kept = server._batch_api

        def reply(request):
            told = kept(request)
            if request.path.endswith("/batches"):
                return {"id": state} if "/" in state else told
            return told | {"status": state, "errors": "too\x00 big"} if "/batches/" in request.path else told

        monkeypatch.setattr(server, "_batch_api", reply)
        with pytest.raises(PipelineError, match="failed the batch: too big" if state == "failed" else "usable id"):
            teacher(server).answer(*pairs(3)[:2])
    assert list((own_home / "batches").rglob("*.json")) == []


def test_a_batch_of_free_text_too():
    with ChatServer() as server:
        answers = teacher(server).answer([view(1)], [Question("free", "Which colour?", "1")])
        assert answers[0].text == "green"
