"""A teacher's spec: what it names, what it refuses, and that a key pasted into it is never said again."""

from pathlib import Path

import pytest

from components import teachers
from components.base.errors import UserError

KEY = "sk-pasted-0123456789"


def test_each_backend_is_read_with_its_settings(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("answers.jsonl").touch()
    Path("tiny").mkdir()
    monkeypatch.setenv("LAB_KEY", "x")
    read = {text: teachers.parse(text) for text in (
        "embedded", "transformers:tiny?batch=2", "transformers:Qwen/Qwen2.5-VL-3B-Instruct@main",
        "openai:qwen2.5vl:7b@http://127.0.0.1:11434/v1/", "recorded:answers.jsonl",
        "openai:org/m@v2@https://api.example/v1?key_env=LAB_KEY&temperature=0.5&batch_api=true&revision=2026-01")}
    where = [s.where for s in read.values()]
    assert where == ["", str(tmp_path / "tiny"), "Qwen/Qwen2.5-VL-3B-Instruct@main",
                     "qwen2.5vl:7b@http://127.0.0.1:11434/v1", str(tmp_path / "answers.jsonl"),
                     "org/m@v2@https://api.example/v1"]
    settings = [s.settings for s in read.values()]
    assert settings[1].batch == 2 and settings[2].batch == 8
    assert (settings[5].temperature, settings[5].batch_api, settings[5].revision) == (0.5, True, "2026-01")
    for spec in read.values():
        assert teachers.parse(str(spec)) == spec  # the text says it all, wherever it is read


@pytest.mark.parametrize(("text", "says"), [
    ("embeded", "did you mean 'embedded'"),
    ("openia:m@http://h/v1", "did you mean 'openai'"),
    ("gpt", "known: embedded, transformers, openai, recorded"),
    ("embedded:x", "takes nothing after its name"),
    ("openai", "says where, as in openai:MODEL@http"),
    ("transformers:", "says where, as in transformers:"),
    ("openai:model", "expected MODEL@URL"),
    ("openai:@http://h/v1", "expected MODEL@URL"),
    ("openai:m@ftp://h/v1", "expected MODEL@URL"),
    ("transformers:./nowhere", "no such folder"),
    ("transformers:three/part/name", "no such folder"),
    ("recorded:nowhere.jsonl", "no such file"),
    ("openai:m@http://h/v1?temprature=1", "did you mean 'temperature'"),
    ("openai:m@http://h/v1?temperature=hot", "expected float"),
    ("openai:m@http://h/v1?temperature=-1", "temperature: must be at least 0"),
    ("openai:m@http://h/v1?concurrency=0", "concurrency: must be more than 0"),
    ("openai:m@http://h/v1?seed=[", "a value cannot be read"),
    ("transformers:a/b?dtype=int3", "must be one of auto, float32"),
    ("embedded?batch=2", "no setting 'batch'"),
])
def test_a_mistake_is_named_and_mended(text, says):
    with pytest.raises(UserError) as error:
        teachers.parse(text)
    assert says in str(error.value) and "--teacher" in str(error.value)


@pytest.mark.parametrize("text", [
    f"openai:m@https://user:{KEY}@h/v1", f"openai:m@https://h/v1?api_key={KEY}", f"openai:m@https://h/v1?key_env={KEY}",
    f"openai:m@https://h/v1?OPENAI_API_KEY={KEY}", f"openai:{KEY}"])
def test_a_key_in_a_spec_is_refused_and_not_repeated(text):
    with pytest.raises(UserError) as error:
        teachers.parse(text)
    assert KEY not in str(error.value)


@pytest.mark.parametrize(("call", "heavy"), [("parse", ("torch", "transformers", "aiohttp", "numpy")),
                                             ("get", ("torch", "transformers"))])
def test_nothing_is_loaded_before_it_is_needed(call, heavy):
    import subprocess
    import sys

    script = (f"import sys; from components import teachers; teachers.{call}('openai:m@http://h/v1'); "
              f"assert not set({heavy}) & set(sys.modules), 'heavy'")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr
