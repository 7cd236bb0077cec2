"""The batch API: questions handed in as files, answers collected later, by ids that are kept on disk.

What a batch was asked lies in `<home>/batches/<teacher>/<id>.json` from the moment the server knows it. A run that was
killed while it waited finds its batches there and collects them; nothing is paid for twice.
"""

import asyncio
import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp

from components.base.artifacts import digest, write_json
from components.base.errors import PipelineError
from components.base.home import state
from components.base.text import line
from components.teachers.openai_protocol import Refused, answer_of
from components.teachers.pictures import data_urls
from components.teachers.protocol import Answer, Question, View
from components.teachers.secrets import Secret
from components.teachers.untrusted import Unfit
from components.teachers.wire import Declined

if TYPE_CHECKING:
    from components.teachers.openai_server import OpenAITeacher

MOST, LARGEST = 50_000, 90_000_000  # questions, and bytes, of one file: below the limits of the service
ENDPOINT = "/v1/chat/completions"  # whatever the address of the server
SLOWEST = 60.0  # seconds between two looks at a batch
ENDED = ("completed", "expired", "cancelled")
FILE = aiohttp.ClientTimeout(total=3600, sock_connect=10, sock_read=120)  # a file takes longer than an answer


def collect(teacher: "OpenAITeacher", images: Sequence[View], questions: Sequence[Question]
            ) -> Iterator[tuple[int, Answer]]:
    """(position, answer) of every question that the batches answer well; the others are for asking one by one.

    Raises PipelineError where the server fails a batch, and UserError where it has no batch API.
    """
    place = state("batches", digest([asdict(teacher.identity), dict(teacher.decoding)])[:20])
    rows: dict[str, list[int]] = {}
    for i, (view, question) in enumerate(zip(images, questions, strict=True)):
        rows.setdefault(digest([view.id, asdict(question)])[:40], []).append(i)
    known = {path: set(json.loads(path.read_text())["asked"]) for path in sorted(place.glob("*.json"))}
    wanted = [path for path, asked in known.items() if asked & rows.keys()]
    fresh = [name for name in rows if not any(name in known[path] for path in wanted)]
    try:
        wanted += _submit(teacher, place, [(n, images[rows[n][0]], questions[rows[n][0]]) for n in fresh])
        for path in wanted:
            for name, answer in _results(teacher, path, {n: questions[i[0]] for n, i in rows.items()}):
                yield from ((i, answer) for i in rows.pop(name, ()))
            path.unlink(missing_ok=True)
    except Declined as refusal:
        raise PipelineError(f"{teacher.wire.url} declined a batch: {refusal.reason}") from None


def _submit(teacher: "OpenAITeacher", place: Path, items: Sequence[tuple[str, View, Question]]) -> list[Path]:
    """Hands the questions in, in as few files as hold them; the paths of the records."""
    made: list[Path] = []
    with tempfile.TemporaryDirectory(dir=state("tmp")) as folder:
        file, names, size = Path(folder) / "questions.jsonl", [], 0

        def hand_in() -> None:
            if names:
                made.append(teacher.wait(_create(teacher, place, file, names)))
                file.unlink()

        for name, view, question in items:
            body = teacher.dialect.request(data_urls(view, teacher.settings.side), question)
            request = json.dumps({"custom_id": name, "method": "POST", "url": ENDPOINT, "body": body}) + "\n"
            if len(names) == MOST or size + len(request) > LARGEST:
                hand_in()
                names, size = [], 0
            with open(file, "a") as stream:
                stream.write(request)
            names, size = [*names, name], size + len(request)
        hand_in()
    return made


async def _create(teacher: "OpenAITeacher", place: Path, file: Path, names: list[str]) -> Path:
    def upload() -> dict[str, Any]:
        form = aiohttp.FormData()
        form.add_field("purpose", "batch")
        form.add_field("file", open(file, "rb"), filename=file.name, content_type="application/jsonl")  # noqa: SIM115
        return {"data": form, "timeout": FILE}

    sent = (await teacher.wire.call("POST", "/files", upload)).content
    asked = {"input_file_id": _id(sent), "endpoint": ENDPOINT, "completion_window": "24h"}
    batch = _id((await teacher.wire.call("POST", "/batches", lambda: {"json": asked})).content)
    path = place / f"{digest(batch)[:20]}.json"  # by digest: an id is the server's text, and no path of ours
    write_json(path, {"batch": batch, "asked": names})
    return path


def _id(reply: Any) -> str:
    found = reply.get("id") if isinstance(reply, dict) else None
    if not isinstance(found, str) or not 0 < len(found) <= 200 or not all(c.isalnum() or c in "-_." for c in found):
        raise Declined(200, "a reply without a usable id")
    return found


def _results(teacher: "OpenAITeacher", path: Path, questions: dict[str, Question]) -> Iterator[tuple[str, Answer]]:
    """The good answers of a batch, once it has ended; each question's first."""
    told = teacher.wait(_ended(teacher, json.loads(path.read_text())["batch"]))
    if told.get("status") not in ENDED:
        path.unlink(missing_ok=True)
        why = line(teacher.wire.secret.hide(str(told.get("errors") or told.get("status"))))
        raise PipelineError(f"{teacher.wire.url} failed the batch: {why}")
    if not told.get("output_file_id"):
        return
    output = _id({"id": told["output_file_id"]})
    with tempfile.TemporaryDirectory(dir=state("tmp")) as folder:
        file = Path(folder) / "answers.jsonl"
        teacher.wait(teacher.wire.call("GET", f"/files/{output}/content", lambda: {"timeout": FILE}, sink=file))
        with open(file, encoding="utf-8", errors="replace") as lines:
            for text in lines:
                if (found := _read(text, questions, teacher.wire.secret)) is not None:
                    yield found
                    del questions[found[0]]


def _read(text: str, questions: dict[str, Question], secret: Secret) -> tuple[str, Answer] | None:
    """(name, answer) of a line of the output, or None where there is nothing to use in it."""
    with suppress(ValueError, RecursionError, KeyError, TypeError, Unfit):
        result = json.loads(text)
        name, reply = result["custom_id"], result["response"]["body"]
        if name in questions:
            try:
                return name, answer_of(reply, questions[name], secret)
            except Refused as refusal:
                return name, Answer("", failure=str(refusal))
    return None


async def _ended(teacher: "OpenAITeacher", batch: str) -> dict[str, Any]:
    """The batch's own record, once it is over; looked at ever more rarely."""
    pause = teacher.settings.patience / 60
    while True:
        told = (await teacher.wire.call("GET", f"/batches/{batch}")).content
        if not isinstance(told, dict):
            raise Declined(200, "no record of a batch")
        if told.get("status") in (*ENDED, "failed"):
            return told
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, SLOWEST)
