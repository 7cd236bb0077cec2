"""A server of the OpenAI protocol on loopback that really looks at the pictures, and fails as it is told.

It answers with the strongest colour of the picture, in the question's schema where one is given, so that an answer that
belongs to another question is found out. `plan` holds what happens to the coming requests, one after the other; when it
is used up, all goes well. `curse` happens to every question about a picture of one colour.
"""

import asyncio
import base64
import io
import json
import re
import threading
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

COLOURS = ("red", "green", "blue")
SCHEMA = {"type": "object", "required": ["colour"], "additionalProperties": False,
          "properties": {"colour": {"type": "string", "enum": list(COLOURS)}}}


@dataclass
class Request:
    method: str
    path: str
    headers: dict[str, str]
    raw: bytes

    @property
    def body(self) -> dict[str, Any]:
        return json.loads(self.raw)

    @property
    def prompt(self) -> str:
        return self.body["messages"][0]["content"][-1]["text"]


class ChatServer:
    """`with ChatServer(plan) as server`: `url` is its address, `requests` what it was sent so far."""

    def __init__(self, plan: Iterable[Callable] = (), latency: float = 0.0, declines: str = "",
                 curse: tuple[str, Callable] | None = None, batches_end: bool = True):
        self.batches_end = batches_end
        self.plan, self.latency, self.declines, self.curse = deque(plan), latency, declines, curse
        self.requests: list[Request] = []
        self.busiest = self._busy = 0
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, dict[str, Any]] = {}

    def __enter__(self) -> "ChatServer":
        self._loop, started = asyncio.new_event_loop(), threading.Event()

        async def start() -> None:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1 << 26)
            self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"
            started.set()

        self._loop.create_task(start())
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        assert started.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        async def stop() -> None:
            self._server.close()
            tasks = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                request = await _read(reader)
                self.requests.append(request)
                self._busy += 1
                self.busiest = max(self.busiest, self._busy)
                try:
                    await asyncio.sleep(self.latency)
                    await self._act(request)(self, request, writer)
                finally:
                    self._busy -= 1
                await writer.drain()
        writer.close()

    def _act(self, request: Request) -> Callable:
        if self.curse and request.path.endswith("completions") and self.curse[0] in answer(request.body):
            return self.curse[1]
        return self.plan.popleft() if self.plan and request.method == "POST" else well

    def reply(self, request: Request) -> Any:
        if request.path.endswith("/chat/completions"):
            return completion(answer(request.body))
        return self._batch_api(request)

    def _batch_api(self, request: Request) -> Any:
        parts = request.path.removeprefix("/v1/").split("/")
        if parts == ["files"]:
            text = request.raw[request.raw.index(b'filename="questions.jsonl"'):]
            name = f"file-{len(self.files)}"
            self.files[name] = text[text.index(b"\r\n\r\n") + 4:text.rindex(b"\r\n--")]
            return {"id": name}
        if parts == ["batches"]:
            lines = [json.loads(text) for text in self.files[request.body["input_file_id"]].splitlines()]
            out = [{"custom_id": o["custom_id"], "response": {"body": completion(answer(o["body"]))}} for o in lines]
            name, told = f"batch_{len(self.batches)}", "".join(json.dumps(o) + "\n" for o in out)
            self.files[f"out-{name}"] = told.encode()
            self.batches[name] = {"id": name, "status": "in_progress", "output_file_id": f"out-{name}"}
            return self.batches[name]
        if parts[0] == "batches":
            told = dict(self.batches[parts[1]])
            if self.batches_end:
                self.batches[parts[1]]["status"] = "completed"  # seen at the next look
            return told
        return self.files[parts[1]]


async def _read(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    method, path, _ = head[0].split(" ")
    headers = {k.lower(): v.strip() for k, _, v in (h.partition(":") for h in head[1:]) if k}
    if headers.get("transfer-encoding") == "chunked":
        raw = b""
        while size := int(await reader.readline(), 16):
            raw += await reader.readexactly(size)
            await reader.readline()
        await reader.readline()
    else:
        raw = await reader.readexactly(int(headers.get("content-length", 0)))
    return Request(method, path, headers, raw)


def answer(body: dict[str, Any]) -> str:
    """The strongest colour of the picture, as the question wants it; of several pictures, one after the other."""
    *pictures, text = body["messages"][0]["content"]
    data = [base64.b64decode(p["image_url"]["url"].partition("base64,")[2]) for p in pictures]
    colour, *more = (int(np.asarray(Image.open(io.BytesIO(d)).convert("RGB")).mean((0, 1)).argmax()) for d in data)
    if more:
        return " then ".join(COLOURS[c] for c in (colour, *more))
    if "likeliest" in json.dumps(body):
        number = int(re.search(rf"(\d+)\. {COLOURS[colour]}", text["text"])[1])
        return json.dumps({"likeliest": [{"number": number, "probability": 0.9}]})
    if "JSON schema" in text["text"] or "response_format" in body:
        return json.dumps({"colour": COLOURS[colour]})
    return COLOURS[colour]


def completion(content: Any, **message: Any) -> dict[str, Any]:
    return {"id": "chatcmpl-1", "object": "chat.completion", "model": "painter",
            "choices": [{"index": 0, "finish_reason": "stop",
                         "message": {"role": "assistant", "content": content, **message}}],
            "usage": {"prompt_tokens": 11, "completion_tokens": 3, "total_tokens": 14}}


def http(body: Any, status: int = 200, **headers: str) -> bytes:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} X", "Content-Type: application/json", f"Content-Length: {len(raw)}",
             *(f"{k.replace('_', '-')}: {v}" for k, v in headers.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + raw


# What may happen to a request ---------------------------------------------------------------------------------------

async def well(server: ChatServer, request: Request, writer: asyncio.StreamWriter) -> None:
    if server.declines and request.raw and request.path.endswith("completions") and server.declines in request.body:
        writer.write(http({"error": {"message": f"Unsupported parameter: '{server.declines}'"}}, 400))
        return
    writer.write(http(server.reply(request)))


def says(content: Any, **message: Any) -> Callable:
    """A completion with this content, whatever the picture."""
    return _writes(lambda request: http(completion(content, **message)))


def status(code: int, message: str = "no", **headers: str) -> Callable:
    return _writes(lambda request: http({"error": {"message": message}}, code, **headers))


def sends(body: Any) -> Callable:
    return _writes(lambda request: http(body))


def tells_key(code: int) -> Callable:
    """A reply that repeats the key it was sent, in full: as an error, or (200) as an answer."""
    def make(request: Request) -> bytes:
        told = f"your key is {request.headers.get('authorization')}"
        return http(completion(told)) if code == 200 else http({"error": {"message": told}}, code)
    return _writes(make)


def _writes(make: Callable[[Request], bytes]) -> Callable:
    async def act(server: ChatServer, request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(make(request))
    return act


async def twice(server: ChatServer, request: Request, writer: asyncio.StreamWriter) -> None:
    """The right reply, and the same one again in the same breath."""
    writer.write(http(server.reply(request)) * 2)


async def two_choices(server: ChatServer, request: Request, writer: asyncio.StreamWriter) -> None:
    reply = server.reply(request)
    reply["choices"] *= 2
    writer.write(http(reply))


async def cut(server: ChatServer, request: Request, writer: asyncio.StreamWriter) -> None:
    """Half of the right reply, then the end of the connection."""
    reply = http(server.reply(request))
    writer.write(reply[:len(reply) - 30])
    await writer.drain()
    writer.close()
    raise ConnectionError


async def hangs(server: ChatServer, request: Request, writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(3600)


def slow(seconds: float) -> Callable:
    async def act(server: ChatServer, request: Request, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(seconds)
        await well(server, request, writer)
    return act
