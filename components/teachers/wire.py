"""One server asked over HTTP: bounded concurrency and bodies, timeouts, retries, `Retry-After`, a circuit breaker.

aiohttp and not httpx: when a server sends a reply twice, httpx takes the second copy for the reply to the next question
on that connection, and every later answer is another question's; aiohttp drops such a connection.
"""

import asyncio
import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from components.base.errors import UserError
from components.base.text import line
from components.teachers import secrets
from components.teachers.breaker import Breaker
from components.teachers.specs import OpenAI

BODY = 4_000_000  # bytes of a reply that are read; files are written to disk as they come
CONNECT = 10.0  # seconds
AGAIN = (408, 409, 425, 429, 500, 502, 503, 504, 529)


class Declined(Exception):
    """The server will not answer this request: `status` (0: it failed every time), and why, in one cleaned line."""

    def __init__(self, status: int, reason: str):
        super().__init__(reason)
        self.status, self.reason = status, reason


class _Failed(Exception):
    """One attempt that failed; `own` where the request itself may be to blame, so that it is not tried for ever."""

    def __init__(self, reason: str, own: bool = True, wait: float | None = None):
        super().__init__(reason)
        self.own, self.wait = own, wait


@dataclass(frozen=True, slots=True)
class Reply:
    """The JSON of a reply (None where it went into a file), and the seconds of the attempt that brought it."""

    content: Any
    seconds: float


class Wire:
    """A server's address with its key, used from one event loop. Messages hold neither the key nor a reply's control
    characters."""

    def __init__(self, url: str, settings: OpenAI):
        self.url, self.settings = url, settings
        self.secret = secrets.find(settings, url)
        self.breaker = Breaker(f"the server at {url}", settings.patience)
        self._session: aiohttp.ClientSession | None = None
        self._room = asyncio.Semaphore(settings.concurrency)

    async def call(self, method: str, path: str, make: Callable[[], dict[str, Any]] = dict,
                   sink: Path | None = None) -> Reply:
        """Sends a request until it is answered; `make` gives its body anew for each attempt, `sink` takes the reply.

        Raises Declined for a request that cannot succeed, UserError where the key or the address is refused, and
        PipelineError when the server is out.
        """
        tries = 0
        while True:
            probe = await self.breaker.enter()
            try:
                async with self._room:
                    began = time.monotonic()
                    content = await self._once(method, path, make(), sink)
            except _Failed as failure:
                self.breaker.failed(str(failure), probe)
                tries += failure.own
                if tries >= self.settings.retries:
                    raise Declined(0, f"the server failed {tries} times, at last: {failure}") from None
                if failure.wait is None:
                    await asyncio.sleep(self.breaker.backoff(tries))
                else:
                    self.breaker.hold(failure.wait)
            except Declined as refusal:
                self.breaker.failed(refusal.reason, probe)  # one is its question's own fault, ten in a row are not
                raise
            except BaseException:
                self.breaker.cancelled(probe)
                raise
            else:
                self.breaker.succeeded()
                return Reply(content, time.monotonic() - began)

    async def _once(self, method: str, path: str, body: dict[str, Any], sink: Path | None) -> Any:
        try:
            async with self._open().request(method, self.url + path, allow_redirects=False, **body) as response:
                if response.status != 200:
                    self._judge(response, await self._words(response))
                if sink is None:
                    return json.loads(await _bounded(response))
                with open(sink, "wb") as stream:
                    async for part in response.content.iter_chunked(1 << 20):
                        stream.write(part)
                return None
        except TimeoutError:
            raise _Failed(f"no answer within {self.settings.timeout:g} s") from None
        except aiohttp.ClientConnectorError as error:
            why = line(error.os_error.strerror or "no connection", 80)
            raise _Failed(f"cannot be reached ({why})", own=False) from None
        except aiohttp.ClientError as error:
            raise _Failed(f"the connection broke ({type(error).__name__})") from None
        except (ValueError, RecursionError):
            raise _Failed("its reply is not JSON") from None

    def _judge(self, response: aiohttp.ClientResponse, words: str) -> None:
        """Raises what a status other than 200 means."""
        status, said = response.status, f"{response.status} {words}".strip()
        if status in (401, 403):
            raise UserError(f"the server refuses the key ({said})", where=self.url,
                            mend="set OPENAI_API_KEY, or name its variable with ?key_env=NAME")
        if status == 404 or 300 <= status < 400:
            raise UserError(f"the server does not know this model or address ({said})", where=self.url,
                            mend="check both; an address often ends in /v1")
        if "insufficient_quota" in words:
            self.breaker.stop(f"{self.breaker.name} has no more quota for this key ({said})")
        if status in AGAIN:
            raise _Failed(said, own=status != 429, wait=_after(response.headers.get("Retry-After")))
        raise Declined(status, said)

    async def _words(self, response: aiohttp.ClientResponse) -> str:
        """The server's own words about an error, fit for a message."""
        with suppress(aiohttp.ClientError, TimeoutError, ValueError, _Failed):
            text = (await _bounded(response)).decode(errors="replace")
            with suppress(ValueError, RecursionError):
                text = _message(json.loads(text)) or text
            return line(self.secret.hide(text))
        return ""

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                headers=self.secret.headers(), connector=aiohttp.TCPConnector(limit=0),
                timeout=aiohttp.ClientTimeout(total=self.settings.timeout, sock_connect=CONNECT),
                trust_env=urlsplit(self.url).hostname not in secrets.LOOPBACK)
        return self._session

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for part in response.content.iter_any():
        body += part
        if len(body) > BODY:
            raise _Failed(f"its reply is longer than {BODY:,} bytes")
    return bytes(body)


def _message(reply: Any) -> str:
    """{"error": {"message", "code"}} as servers of this protocol say it, or {"error": text}, or {"detail": text}."""
    error = reply.get("error", reply.get("detail", "")) if isinstance(reply, dict) else ""
    if isinstance(error, dict):
        return " ".join(str(error[k]) for k in ("code", "message") if error.get(k))
    return error if isinstance(error, str) else json.dumps(error)


def _after(header: str | None) -> float | None:
    """Seconds that a `Retry-After` header asks for, a number or a date (RFC 9110, section 10.2.3)."""
    if not header:
        return None
    with suppress(ValueError, OverflowError):
        seconds = float(header)
        return max(seconds, 0.0) if seconds == seconds else None
    with suppress(ValueError, TypeError, OverflowError):
        return max((parsedate_to_datetime(header) - datetime.now(UTC)).total_seconds(), 0.0)
    return None
