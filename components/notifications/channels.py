"""The ways a message can go: a signed webhook, a chat webhook of Slack's form, an e-mail."""

import hashlib
import hmac
import http.client
import json
import os
import smtplib
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from email.message import EmailMessage
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from components.base.errors import UserError
from components.base.text import line
from components.notifications import address

TARGETS, KEY, MAIL, SENDER = ("FOVEATE_NOTIFY", "FOVEATE_NOTIFY_KEY", "FOVEATE_NOTIFY_SMTP", "FOVEATE_NOTIFY_FROM")
TIMEOUT = 5.0  # seconds for every step of a connection
FORMS = "webhook+https://HOST/PATH, slack+https://HOST/PATH or mailto:SOMEONE@HOST, separated by spaces"


@dataclass(frozen=True, slots=True)
class Message:
    """What happened: `event` such as "promotion", a `title` of one line, `text` of a few, and plain `details`.

    The same `id` is the same message: whoever gets it twice may drop one.
    """

    event: str
    title: str
    text: str
    id: str
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Channel:
    """A target from the environment. `name` says which without what is secret in it: a chat's address is a key."""

    name: str
    send: Callable[[Message], None] = field(repr=False)


def channels() -> list[Channel]:
    """The targets named in FOVEATE_NOTIFY. Raises UserError for one that cannot be read, without repeating it."""
    return [_channel(text, number) for number, text in enumerate(os.environ.get(TARGETS, "").split(), 1)]


def signature(key: str, at: int, body: bytes) -> str:
    """What X-Foveate-Signature holds: "t=SECONDS,v1=HEX", HMAC-SHA256 of "SECONDS." and the body under the key.

    The time is signed too, so that a receiver can refuse what was recorded long ago.
    """
    return f"t={at},v1={hmac.new(key.encode(), b'%d.' % at + body, hashlib.sha256).hexdigest()}"


def _channel(text: str, number: int) -> Channel:
    where = f"{TARGETS}, target {number}"
    kind, _, rest = text.partition("+")
    try:
        if text.startswith("mailto:") and "@" in text and text.isprintable():
            return Channel(f"e-mail {number}", lambda message: _mail(text.removeprefix("mailto:"), message, where))
        url = urlsplit(rest)
        if kind in ("webhook", "slack") and url.scheme in ("http", "https") and url.hostname:
            form = _plain if kind == "webhook" else _chat
            _ = url.port  # raises where it is no port
            return Channel(f"{kind} {number} ({url.hostname})", lambda message: _post(url, form, message, where))
    except ValueError:  # a port that is no number, a broken address
        pass
    raise UserError("is not understood", where=where, mend=f"write {FORMS}")


def _plain(message: Message) -> dict[str, Any]:
    return asdict(message)


def _chat(message: Message) -> dict[str, Any]:
    """Slack's form: & < > written as entities, so that nobody's words become a link or a call to everybody."""
    text = f"{message.title}\n{message.text}"
    return {"text": text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")}


def _post(url: SplitResult, form: Callable[[Message], dict[str, Any]], message: Message, where: str) -> None:
    """One POST, no redirect followed; raises where the answer is not 2xx. A webhook's is signed, a chat's may be."""
    body, at = json.dumps(form(message), ensure_ascii=False).encode(), int(time.time())
    headers = {"Content-Type": "application/json", "User-Agent": "foveate", "X-Foveate-Id": message.id}
    if key := os.environ.get(KEY, ""):
        headers["X-Foveate-Signature"] = signature(key, at, body)
    elif form is _plain:
        raise UserError("the key that signs messages is not set", where=KEY, mend="share a long random word")
    path = (url.path or "/") + (f"?{url.query}" if url.query else "")
    connection = _Checked(url, where)
    try:
        connection.request("POST", path, body, headers)
        status = connection.getresponse().status
    finally:
        connection.close()
    if not 200 <= status < 300:
        raise OSError(f"the server answered {status}")


class _Checked(http.client.HTTPConnection):
    """HTTP or HTTPS to an address that was checked; the certificate must be that of the name."""

    def __init__(self, url: SplitResult, where: str):
        secure = url.scheme == "https"
        self.default_port = 443 if secure else 80
        super().__init__(url.hostname, url.port or self.default_port, timeout=TIMEOUT)
        self._secure, self._where = secure, where

    def connect(self) -> None:
        self.sock = address.connect(self.host, self.port, TIMEOUT, self._where)
        if self._secure:
            self.sock = ssl.create_default_context().wrap_socket(self.sock, server_hostname=self.host)


def _mail(to: str, message: Message, where: str) -> None:
    """By the server in FOVEATE_NOTIFY_SMTP: smtps://USER:PASSWORD@HOST, or smtp://, which must offer STARTTLS before a
    password is told to it.
    """
    url = urlsplit(os.environ.get(MAIL, ""))
    if url.scheme not in ("smtp", "smtps") or not url.hostname:
        raise UserError("the mail server is not set", where=MAIL, mend="smtps://USER:PASSWORD@HOST:465")
    mail = EmailMessage()
    mail["Subject"], mail["To"] = line(message.title), to
    mail["From"] = os.environ.get(SENDER) or unquote(url.username or "") or to
    mail["X-Foveate-Id"] = message.id
    if key := os.environ.get(KEY, ""):
        mail["X-Foveate-Signature"] = signature(key, int(time.time()), message.text.encode())
    mail.set_content(message.text)
    with _server(url, where) as server:
        if url.scheme == "smtp" and server.has_extn("starttls"):
            server.starttls(context=ssl.create_default_context())
            server.ehlo()
        elif url.scheme == "smtp" and url.password:
            raise UserError("the server offers no encryption, and a password was given", where=MAIL, mend="use smtps://")
        if url.password:
            server.login(unquote(url.username or ""), unquote(url.password))
        server.send_message(mail)


def _server(url: SplitResult, where: str) -> smtplib.SMTP:
    """A greeted server, its connection made to a checked address."""
    def opened(self: smtplib.SMTP, host: str, port: int, timeout: float) -> socket.socket:
        plain = address.connect(host, port, timeout, where)
        return ssl.create_default_context().wrap_socket(plain, server_hostname=host) if url.scheme == "smtps" else plain

    kind = type("CheckedSMTP", (smtplib.SMTP,), {"_get_socket": opened})
    server = kind(url.hostname, url.port or (465 if url.scheme == "smtps" else 587), timeout=TIMEOUT)
    server.ehlo()
    return server
