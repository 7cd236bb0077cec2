"""A server of the OpenAI chat protocol with a fixed latency, in its own process: a teacher that costs only waiting.

    with serving(latency=0.5) as server:
        server.spec, server.count()        # a teacher's name for --teacher, and how many questions it was asked
"""

import argparse
import asyncio
import json
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

MODEL = "fixed-latency"


@dataclass(frozen=True, slots=True)
class Server:
    """A server under way, at `url`."""

    url: str

    @property
    def spec(self) -> str:
        return f"openai:{MODEL}@{self.url}"

    def count(self) -> int:
        """Questions asked so far."""
        with urllib.request.urlopen(f"{self.url}/count", timeout=10) as reply:
            return int(json.load(reply)["count"])


@contextmanager
def serving(latency: float) -> Iterator[Server]:
    """A server whose answers take `latency` seconds; it ends with the block, and with this process."""
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.chat_server", str(latency)], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True)
    try:
        yield Server(f"http://127.0.0.1:{int(process.stdout.readline())}/v1")
    finally:
        process.communicate()


def instance(schema: dict[str, Any] | None, name: str = "scene") -> Any:
    """The least JSON that satisfies a schema, its texts told apart by their place."""
    match schema or {}:
        case {"type": "object", "properties": properties}:
            return {key: instance(inner, f"{name} {key}") for key, inner in properties.items()}
        case {"type": "array", "items": items, **rest}:
            return [instance(items, f"{name} {n}") for n in range(rest.get("minItems", 1))]
        case {"type": "boolean"}:
            return True
        case {"type": "integer"}:
            return 0
        case {"type": "number"}:
            return 0.5
    return f"It is the {name} of a picture."


class _Service:
    def __init__(self, latency: float):
        self.latency, self.asked = latency, 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """All requests of one connection."""
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
                length = next((int(h.partition(":")[2]) for h in head if h.startswith("content-length:")), 0)
                reply = await self.reply(await reader.readexactly(length))
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
                             % (len(reply), reply))
                await writer.drain()
        writer.close()

    async def reply(self, body: bytes) -> bytes:
        if not body:
            return json.dumps({"count": self.asked}).encode()
        self.asked += 1
        await asyncio.sleep(self.latency)
        wanted = json.loads(body).get("response_format", {}).get("json_schema", {}).get("schema")
        said = instance(wanted)
        message = {"role": "assistant", "content": said if isinstance(said, str) else json.dumps(said)}
        return json.dumps({"id": "1", "object": "chat.completion", "model": MODEL,
                           "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
                           "usage": {"prompt_tokens": 900, "completion_tokens": 100, "total_tokens": 1000}}).encode()


async def _main(latency: float) -> None:
    server = await asyncio.start_server(_Service(latency).serve, "127.0.0.1", 0, limit=1 << 26, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    gone, loop = asyncio.Event(), asyncio.get_running_loop()

    def watch() -> None:
        sys.stdin.read()  # ends with whoever started us
        loop.call_soon_threadsafe(gone.set)

    threading.Thread(target=watch, daemon=True).start()
    await gone.wait()


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("latency", type=float, help="seconds an answer takes")
    asyncio.run(_main(options.parse_args().latency))
