"""Text of a teacher, of a file name, of an annotation: wherever it is shown, it is read and never obeyed."""

import io
import json
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from rich.console import Console

from components.base.errors import UserError
from components.datasets.ingest import ingest
from components.quality import frames, gate
from components.recipes.mipd.rationales import accept, read
from components.recipes.protocol import Rejection
from components.teachers.protocol import Answer
from flows.console import Lines

ROOT = Path(__file__).parents[2]
EVIL = '<svg onload=alert(1)><iframe src="http://evil.example/x"></iframe><script>alert(2)</script>'
MARKUP = "[red]boo[/red] [link=http://evil.example]click[/link]\x1b[2J\x1b]0;owned\x07"


class Tags(HTMLParser):
    """The tags and attributes that a browser would find."""

    def __init__(self, text: str):
        super().__init__()
        self.found: list[tuple[str, dict]] = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))


def test_quality_pages_show_rationales_as_text_and_run_nothing(tmp_path):
    said = {"sample": f"{EVIL}.jpg", "kind": "glimpse", "role": EVIL, "label": "riding", "positive": EVIL * 9}
    rows = [said | {"negative": EVIL * 9}, said | {"kind": EVIL, "positive": "", "negative": ""}]
    result = gate.check("rationales", frames.rationale_frame(rows), tmp_path)
    assert not result.passed
    pages = list((tmp_path / "data_docs").rglob("*.html"))
    assert pages and any("alert(1)" in p.read_text() for p in pages)  # it is there, to be read
    for page in pages:
        tags = Tags(page.read_text())
        assert not {"svg", "iframe", "script", "object", "embed"} & {t for t, _ in tags.found}
        assert not any("alert(" in str(value) for _, attributes in tags.found for value in attributes.values())
        policy = [a["content"] for t, a in tags.found if a.get("http-equiv") == "Content-Security-Policy"]
        assert policy and policy[0].startswith("default-src 'none'")


def test_progress_lines_are_neither_markup_nor_control():
    out = io.StringIO()
    with Lines(Console(file=out, width=200, force_terminal=True)) as lines:
        lines.live = None
        lines.begin("stage")
        lines.advance("stage", 1, 2, MARKUP)
        lines.end("stage", MARKUP, failed=True)
        lines.say(MARKUP)
    assert out.getvalue().count("[red]boo[/red] [link=http://evil.example]click[/link]") >= 2
    assert "\x1b[2J" not in out.getvalue() and "\x07" not in out.getvalue() and "\x1b]" not in out.getvalue()


@pytest.mark.parametrize("text", [EVIL, "x" * 100_000, "[" * 50_000, '{"scene": 1}', json.dumps({"scene": "a" * 400}),
                                  '{"scene": "a", "unlike": "b", "posture": [{"text": 1}], "things": [], "place": []}'])
def test_a_recipe_rejects_what_is_no_rationale(text):
    from components.datasets.schema import Sample

    sample = Sample("0", "a.jpg", b"", 1, 1, "0" * 16, "test")
    assert isinstance(accept(sample, [Answer(text)]), Rejection)
    assert isinstance(read(text, ("posture",), ("scene", "unlike")), str)


@pytest.mark.parametrize("key", ["http://evil.example/a.jpg", "https://evil.example/a.jpg", "file:///etc/passwd",
                                 "s3://bucket/a.jpg", "//evil.example/a.jpg", "data:image/png;base64,AAAA"])
def test_an_address_in_annotations_is_an_error_and_nothing_is_fetched(key, tmp_path, monkeypatch):
    import socket

    def refuse(*_):
        raise AssertionError("something was fetched")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    photos = tmp_path / "photos"
    photos.mkdir()
    from PIL import Image

    Image.new("RGB", (40, 30)).save(photos / "a.png")
    (tmp_path / "a.json").write_text(json.dumps({key: {}}))
    with pytest.raises(UserError, match="is an address, and nothing is fetched"):
        ingest(photos, tmp_path / "out", tmp_path / "a.json")
    assert not (tmp_path / "out").exists()


def test_errors_on_the_terminal_hold_no_control_characters(tmp_path, own_home):
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "a\x1b[2J\x07.jpg").write_bytes(b"no picture")
    done = subprocess.run([sys.executable, "-c", "from flows.cli import main; main()", "data", "ingest", str(folder),
                           "--out", str(tmp_path / "out")], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 2 and "a[2J.jpg: not a JPEG" in done.stderr
    assert "\x1b" not in done.stderr + done.stdout and "\x07" not in done.stderr
