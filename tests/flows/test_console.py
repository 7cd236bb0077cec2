"""The console shows one line a stage and keeps library noise in the log."""

import io
import subprocess
import sys

from rich.console import Console

from components.base import progress
from flows.console import Lines, relative


def shown(terminal: bool = False) -> tuple[Lines, io.StringIO]:
    stream = io.StringIO()
    return Lines(Console(file=stream, width=120, force_terminal=terminal)), stream


def test_a_stage_is_a_line_with_its_result_and_time():
    lines, stream = shown()
    with lines, progress.listening(lines), progress.stage("ingest") as line:
        line.advance(1, 2)
        line.result = "735 images"
    last = stream.getvalue().splitlines()[-1]
    assert last.startswith("✓ ingest") and last.endswith("735 images") and " s " in last


def test_a_stage_that_fails_is_marked():
    lines, stream = shown()
    with lines, progress.listening(lines):
        try:
            with progress.stage("align"):
                raise RuntimeError
        except RuntimeError:
            pass
    assert stream.getvalue().splitlines()[-1].startswith("x align")


def test_a_stage_done_in_parts_begins_with_its_first_part():
    lines, stream = shown()
    with lines, progress.listening(lines):
        progress.Line("rationales").advance(5, 10)
        with progress.stage("rationales"):
            pass
    assert sum("rationales ..." in line for line in stream.getvalue().splitlines()) == 1


def test_a_terminal_gets_a_bar_and_the_same_lines():
    lines, stream = shown(terminal=True)
    with lines, progress.listening(lines), progress.stage("ingest") as line:
        line.advance(1, 2, "half")
    assert "ingest" in stream.getvalue()


def test_noise_goes_to_the_log_and_the_console_stays(own_home):
    script = (
        "import os, sys, warnings\n"
        "from flows.console import quiet\n"
        "with quiet('run', False) as console:\n"
        "    print('library print'); os.system('echo child noise'); warnings.warn('a warning')\n"
        "    console.print('for the person')\n"
        "print('afterwards')\n")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "for the person" and done.stdout.strip() == "afterwards"
    log = (own_home / "logs" / "run.log").read_text()
    assert all(words in log for words in ("library print", "child noise", "a warning"))


def test_a_path_is_shown_as_one_would_type_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert relative(tmp_path / "a" / "b") == "a/b"
    assert relative("/elsewhere") == "/elsewhere"
