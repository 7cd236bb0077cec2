"""`foveate teacher` and `--teacher` as they are typed: every backend by its spec, and mistakes in one clear line."""

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
from chat_server import ChatServer, says, tells_key

from components.datasets.schema import sample_id
from components.teachers.protocol import Question

ROOT = Path(__file__).parents[2]
PHOTO = ROOT / "../shared/data/photos/fishing_rod.jpg"


def foveate(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", "from flows.cli import main; main()", *arguments], cwd=ROOT,
                          env=os.environ | environment, capture_output=True, text=True)


@pytest.fixture
def blue(tmp_path) -> str:
    from PIL import Image

    Image.new("RGB", (60, 40), (20, 30, 220)).save(tmp_path / "blue.png")
    return str(tmp_path / "blue.png")


def test_a_server_is_asked_about_a_picture(blue):
    with ChatServer() as server:
        spec = f"openai:painter@{server.url}"
        done = foveate("teacher", "ask", blue, "--teacher", spec, "--question", "Which colour?", "--among",
                       "red, green, blue", "--json")
        assert done.returncode == 0, done.stderr
        said = json.loads(done.stdout)
        assert said["answer"] == "blue" and list(said["among"])[0] == "blue"
        assert said["teacher"] == {"backend": "openai", "name": "painter", "revision": server.url}
        assert (said["cost"]["tokens_in"], said["cost"]["tokens_out"]) == (11, 3)
        assert "Traceback" not in done.stderr and "ignored" not in done.stderr


def test_several_pictures_are_one_question(blue, tmp_path):
    with ChatServer() as server:
        spec = f"openai:painter@{server.url}"
        done = foveate("teacher", "ask", blue, blue, "--teacher", spec, "--question", "What has changed?")
        assert done.returncode == 0 and done.stdout.strip() == "blue then blue", done.stderr
        done = foveate("teacher", "ask", blue, blue, "--teacher", spec, "--among", "red, blue")
        assert done.returncode == 2 and "--among: looks at one picture" in done.stderr
    done = foveate("teacher", "ask", blue, blue)
    assert done.returncode == 1 and "looks at one picture at a time" in done.stderr


@pytest.mark.skipif(not PHOTO.is_file(), reason="the photographs for tests are not beside the project")
def test_a_photograph_is_shown_to_the_embedded_teacher_and_to_a_server():
    done = foveate("teacher", "ask", str(PHOTO))
    assert done.returncode == 0 and "reel" in done.stdout, done.stderr
    with ChatServer() as server:
        done = foveate("teacher", "ask", str(PHOTO), "--teacher", f"openai:painter@{server.url}")
        assert done.returncode == 0 and done.stdout.strip() in ("red", "green", "blue"), done.stderr


def test_a_recording_is_replayed_and_described(blue, tmp_path):
    question = Question("free", "Which colour?", "ask/1")
    line = {"image": sample_id(Path(blue).read_bytes()), "question": asdict(question), "text": "blue indeed",
            "teacher": {"backend": "openai", "name": "painter", "revision": "1"}, "decoding": {"temperature": 0}}
    (tmp_path / "a.jsonl").write_text(json.dumps(line) + "\n")
    spec = f"recorded:{tmp_path / 'a.jsonl'}"
    done = foveate("teacher", "ask", blue, "--teacher", spec, "--question", "Which colour?")
    assert done.stdout.strip() == "blue indeed", done.stderr
    done = foveate("teacher", "ask", blue, "--teacher", spec, "--question", "Which form?")
    assert done.returncode == 1 and "no such question" in done.stderr
    told = json.loads(foveate("teacher", "info", spec).stdout)
    assert (told["name"], told["answers"], told["decoding"]) == ("painter", 1, {"temperature": 0})


@pytest.mark.parametrize(("arguments", "says_so"), [
    (("teacher", "info", "embeded"), "did you mean 'embedded'?"),
    (("teacher", "info", "recorded:nowhere.jsonl"), "no such file"),
    (("run", "--teacher", "opnai:m@http://127.0.0.1/v1"), "did you mean 'openai'?"),
    (("run", "--teacher", "transformers:./nowhere"), "no such folder"),
    (("run", "--data", "https://example.org/photos"), "nothing is fetched"),
])
def test_a_mistake_is_told_before_anything_is_done(arguments, says_so, own_home):
    done = foveate(*arguments)
    assert done.returncode == 2 and says_so in done.stderr and "Traceback" not in done.stderr
    assert not (own_home / "store").exists()


def test_neither_key_nor_escape_codes_reach_the_terminal(blue):
    for act, code in ((tells_key(401), 2), (tells_key(200), 0), (says("\x1b[2Jhello"), 0)):
        with ChatServer([act]) as server:
            done = foveate("teacher", "ask", blue, "--teacher", f"openai:painter@{server.url}", "--verbose",
                           OPENAI_API_KEY="sk-canary-77")
            assert done.returncode == code, done.stderr
            assert "canary" not in done.stdout + done.stderr and "\x1b" not in done.stdout
