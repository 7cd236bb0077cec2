"""The openai teacher over HTTP: against `transformers serve` on a tiny trained checkpoint, and how it chooses."""

import socket
import subprocess
import sys
import time
import urllib.request

import numpy as np
import pytest
from chat_server import ChatServer, completion, sends

from components import teachers
from components.teachers import choice
from components.teachers.protocol import Composite, Question, View, together
from components.teachers.untrusted import Unfit


@pytest.fixture(scope="module")
def served(checkpoint, tmp_path_factory):
    """The address of `transformers serve` with the tiny LLaVA, and the checkpoint's folder."""
    folder = checkpoint("llava")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = tmp_path_factory.mktemp("serve") / "log"
    program = "import sys; from transformers.cli.transformers import main; sys.argv[0] = 'transformers'; main()"
    with open(log, "w") as stream:
        server = subprocess.Popen([sys.executable, "-c", program, "serve", str(folder), "--host", "127.0.0.1", "--port",
                                   str(port), "--device", "cpu"], stdout=stream, stderr=subprocess.STDOUT)
    try:
        for _ in range(1200):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2)
                break
            except OSError:
                assert server.poll() is None, log.read_text()[-2000:]
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/v1", folder
    finally:
        server.kill()
        server.wait()


@pytest.mark.slow
def test_a_real_server_answers_as_the_checkpoint_does_itself(served):
    from tiny_checkpoints import COLOURS, OBJECT, SCHEMA, WORD, picture

    url, folder = served
    views = [View(str(i), lambda i=i: picture(i % 3, 3000 + i)) for i in range(6)]
    questions = [Question("free", WORD, "1")] * 6
    over_http = teachers.get(f"openai:{folder}@{url}?concurrency=3&max_tokens=24")
    answers = over_http.answer(views, questions)
    here = teachers.get(f"transformers:{folder}?max_tokens=24").answer(views, questions)
    assert [a.text for a in answers] == [a.text for a in here] == [COLOURS[i % 3] for i in range(6)]
    assert [a.tokens_in for a in answers] == [a.tokens_in for a in here]
    assert all(a.tokens_out > 0 and a.seconds > 0 for a in answers)
    # it takes no response_format: the schema goes into the prompt, which the tiny model has not learnt to read
    strict = over_http.answer(views[:1], [Question("strict", OBJECT, "1", SCHEMA)])[0]
    assert strict.text or strict.failure.startswith("3 answers, the last one ")


def view(colour: int) -> View:
    pixels = np.zeros((30, 30, 3), np.uint8)
    pixels[..., colour] = 220
    return View(str(colour), lambda: pixels)


def test_a_question_about_several_pictures_shows_them_in_order():
    with ChatServer() as server:
        teacher = teachers.get(f"openai:painter@{server.url}")
        views = [view(0), together([view(0), view(2)]), together([view(2), view(0)])]
        answers = teacher.answer(views, [Question("free", "What changed?", "1")] * 3)
        assert [a.text for a in answers] == ["red", "red then blue", "blue then red"]
        assert len({v.id for v in views}) == 3


def test_it_chooses_by_a_json_question_where_no_probabilities_are_told():
    with ChatServer() as server:
        teacher = teachers.get(f"openai:painter@{server.url}")
        scores = teacher.score([view(2), view(0), view(1)], ["green", "blue", "red"])
        assert scores.argmax(1).tolist() == [1, 2, 0]
        assert scores.dtype == np.float32 and np.allclose(scores.sum(1), 1)
        assert sum("logprobs" in r.body for r in server.requests) <= 3  # asked for until it was clear there are none


def test_it_chooses_by_log_probabilities_where_they_are_told():
    told = completion("B")
    told["choices"][0]["logprobs"] = {"content": [{"top_logprobs": [
        {"token": " B", "logprob": -0.1}, {"token": "b", "logprob": -3.0}, {"token": "A", "logprob": -3.0},
        {"token": "Bee", "logprob": -1.0}, {"token": "Z", "logprob": -0.5}]}]}
    with ChatServer([sends(told)]) as server:
        scores = teachers.get(f"openai:painter@{server.url}").score([view(0)], ["red", "green", "blue"])
        shares = np.exp([-3.0, -0.1, -9e9])
        shares[1] += np.exp(-3.0)
        assert np.allclose(scores[0], 0.999 * shares / shares.sum() + 0.001 / 3, atol=1e-6)
        assert len(server.requests) == 1 and server.requests[0].body["top_logprobs"] == 20


def test_more_candidates_than_letters_are_asked_for_by_number():
    candidates = [f"colour {i}" for i in range(60)] + ["red", "green", "blue"]
    with ChatServer() as server:
        scores = teachers.get(f"openai:painter@{server.url}").score([view(1)], candidates)
        assert scores.argmax() == 61 and len(server.requests) == 1


@pytest.mark.parametrize("first", [{}, {"logprobs": None}, {"logprobs": {"content": []}},
                                   {"logprobs": {"content": [{"top_logprobs": [{"token": 3, "logprob": 0}]}]}},
                                   {"logprobs": {"content": [{"top_logprobs": [{"token": "A", "logprob": "x"}]}]}}])
def test_log_probabilities_that_are_none(first):
    with pytest.raises(Unfit):
        choice.read_letters(first, 3)


def test_a_choice_with_odd_numbers_is_still_a_distribution():
    for text in ('{"likeliest": [{"number": 9, "probability": 1}]}', '{"likeliest": [{"number": 1, "probability": 0}]}',
                 '{"likeliest": [{"number": 2, "probability": 1}, {"number": 2, "probability": 1}]}'):
        assert choice.read(text, 3).sum() == pytest.approx(1) and choice.read(text, 3).min() > 0


def test_pictures_are_bounded_and_carry_nothing_but_pixels():
    wide = View("wide", lambda: np.zeros((20, 3000, 3), np.uint8))
    with ChatServer() as server:
        teachers.get(f"openai:painter@{server.url}?side=100").answer([wide], [Question("free", "?", "1")])
        import base64
        import io

        from PIL import Image

        url = server.requests[0].body["messages"][0]["content"][0]["image_url"]["url"]
        picture = Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))
        assert picture.size == (100, 1) and not picture.getexif()


def test_its_sight_is_borrowed_and_composes_cached_features(tmp_path):
    from components.encoders import image
    from components.encoders.cache import FeatureCache, write_features

    rng = np.random.default_rng(0)
    pictures = {n: rng.integers(0, 255, (image.SIZE, image.SIZE, 3), dtype=np.uint8) for n in ("a", "b")}
    write_features(pictures.items(), image.features, tmp_path, revision=image.REVISION)
    teacher = teachers.get("openai:painter@http://127.0.0.1:9/v1", FeatureCache(tmp_path))

    def never() -> np.ndarray:
        raise AssertionError("decoded although its features are cached")

    first, second = (View(n, never) for n in pictures)
    grid = teacher.grid([first, second, Composite("mix", never, first, second, (0, 0, 6, 12))])
    assert grid.shape == (3, 145, 592)
    mixed = grid[2, 1:].reshape(12, 12, -1)
    assert np.array_equal(mixed[:, :6], grid[1, 1:].reshape(12, 12, -1)[:, :6])
    assert np.array_equal(mixed[:, 6:], grid[0, 1:].reshape(12, 12, -1)[:, 6:])
