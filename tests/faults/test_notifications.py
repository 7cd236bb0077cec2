"""Messages reach a real server signed, never a private address unasked, and no target can stop or delay a run."""

import hashlib
import hmac
import json
import socket
import threading
import time
from email import message_from_string
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from components.base.errors import UserError
from components.notifications import address
from components.notifications.channels import Message, channels
from components.notifications.send import notify

MESSAGE = Message("promotion", "foveate-mipd: version 3 is champion", "Better by 4 points & <!channel> sure", "id-1",
                  {"version": 3})


class Server(ThreadingHTTPServer):
    """A real web server that keeps what it is told; its path says how it answers."""

    def __init__(self):
        self.got: list[tuple[str, dict, bytes]] = []
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((self.path, dict(self.headers), body))
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", f"{self.server.url}/elsewhere")
        elif self.path == "/broken":
            self.send_response(500)
        else:
            self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with Server() as made:
        yield made
        made.shutdown()


@pytest.fixture
def targets(monkeypatch):
    """Sets the targets, the key and the allowed networks."""
    def set_to(*texts: str, key: str = "a long random word", allow: str = "127.0.0.1") -> None:
        for name, value in (("FOVEATE_NOTIFY", " ".join(texts)), ("FOVEATE_NOTIFY_KEY", key),
                            ("FOVEATE_NOTIFY_ALLOW", allow)):
            monkeypatch.setenv(name, value)
    return set_to


def test_without_targets_nothing_happens(targets):
    targets()
    assert notify(MESSAGE) == {}


def test_a_webhook_gets_the_message_signed(server, targets):
    targets(f"webhook+{server.url}/hook?a=b")
    assert list(notify(MESSAGE).values()) == [""]
    ((path, headers, body),) = server.got
    told = json.loads(body)
    assert path == "/hook?a=b" and told["title"] == MESSAGE.title and told["details"] == {"version": 3}
    at, mark = (part.partition("=")[2] for part in headers["X-Foveate-Signature"].split(","))
    expected = hmac.new(b"a long random word", at.encode() + b"." + body, hashlib.sha256).hexdigest()
    assert mark == expected and abs(time.time() - int(at)) < 300 and headers["X-Foveate-Id"] == "id-1"
    assert headers["Host"] == f"127.0.0.1:{server.server_port}"


def test_a_webhook_without_a_key_is_not_sent(server, targets):
    targets(f"webhook+{server.url}/hook", key="")
    assert "key that signs messages is not set" in next(iter(notify(MESSAGE).values())) and server.got == []


def test_a_chat_gets_text_in_which_nobody_is_called(server, targets):
    targets(f"slack+{server.url}/services/T0/B0/secret", key="")
    assert list(notify(MESSAGE).values()) == [""]
    told = json.loads(server.got[0][2])
    assert set(told) == {"text"} and "&amp; &lt;!channel&gt; sure" in told["text"] and "<" not in told["text"]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "10.1.2.3", "192.168.0.9",
                                  "169.254.169.254", "0.0.0.0", "[fe80::1]", "[fd00::1]", "100.64.0.1", "2130706433"])
def test_private_addresses_are_refused(host, server, targets):
    targets(f"webhook+http://{host}:{server.server_port}/hook", allow="")
    (why,) = notify(MESSAGE).values()
    assert "not public" in why and server.got == []


def test_an_allowed_network_does_not_allow_another(server, targets):
    targets(f"webhook+{server.url}/hook", allow="10.0.0.0/8, 192.168.0.0/16")
    assert "not public" in next(iter(notify(MESSAGE).values()))
    targets(f"webhook+{server.url}/hook", allow="127.0.0.0/8")
    assert list(notify(MESSAGE).values()) == [""]
    targets(f"webhook+{server.url}/hook", allow="everybody")
    assert "FOVEATE_NOTIFY_ALLOW" in next(iter(notify(MESSAGE).values()))


def test_the_address_that_was_checked_is_the_one_that_is_called(monkeypatch):
    """A name that is public when asked first and private when asked again gets no second question."""
    asked = []

    def rebinding(host, port, *_, **__):
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("203.0.114.7" if len(asked) == 1 else "127.0.0.1", port))]

    called = []
    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    monkeypatch.setattr(socket, "create_connection", lambda to, timeout: called.append(to))
    address.connect("rebinding.example", 443, 1, "test")
    assert asked == ["rebinding.example"] and called == [("203.0.114.7", 443)]


def test_one_private_address_among_public_ones_is_refused(monkeypatch):
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, 443)) for ip in ("203.0.114.7", "10.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    with pytest.raises(UserError, match=r"is the address 10\.0\.0\.1, which is not public"):
        address.resolve("both.example", 443, "test")


def test_redirects_are_not_followed(server, targets):
    targets(f"webhook+{server.url}/moved", f"webhook+{server.url}/broken", f"webhook+{server.url}/fine")
    assert [why.rpartition(" ")[2] for why in notify(MESSAGE).values()] == ["302", "500", ""]
    assert sorted(path for path, _, _ in server.got) == ["/broken", "/fine", "/moved"]


def test_a_target_that_never_answers_is_left_behind(targets, own_home):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        targets(f"webhook+http://127.0.0.1:{silent.getsockname()[1]}/")
        (why,) = notify(MESSAGE, patience=0.3).values()
    assert why == "no answer in 0.3 s"
    (line,) = (own_home / "logs" / "notifications.log").read_text().splitlines()
    assert line.endswith("(127.0.0.1): no answer in 0.3 s")


def test_failures_tell_neither_the_key_nor_the_path(server, targets, own_home):
    targets(f"slack+{server.url}/broken", "slack+https://127.0.0.1:1/services/T0/very-secret")
    notify(MESSAGE)
    told = (own_home / "logs" / "notifications.log").read_text()
    assert "very-secret" not in told and "a long random word" not in told and "/broken" not in told


@pytest.mark.parametrize("text", ["https://example.org/x", "webhook+ftp://example.org", "slack+https://", "mailto:",
                                  "webhook+https://example.org:port/secret"])
def test_a_target_that_is_not_understood_is_told_without_its_secret(text, targets):
    targets("mailto:a@example.org", text)
    with pytest.raises(UserError, match="FOVEATE_NOTIFY, target 2: is not understood") as error:
        channels()
    assert "secret" not in str(error.value)
    assert "not understood" in notify(MESSAGE)["targets"]


class MailServer(threading.Thread):
    """A real, small SMTP server for one letter; without encryption, as the house's own may be."""

    def __init__(self):
        super().__init__(daemon=True)
        self.socket, self.letter, self.said = socket.create_server(("127.0.0.1", 0)), "", []
        self.port = self.socket.getsockname()[1]
        self.start()

    def run(self):
        connection, _ = self.socket.accept()
        with connection, connection.makefile("rwb") as stream:
            def answer(text: str) -> None:
                stream.write(text.encode() + b"\r\n")
                stream.flush()

            answer("220 here")
            for line in stream:
                said = line.decode().strip()
                self.said.append(said)
                if said.upper() == "DATA":
                    answer("354 go on")
                    lines = iter(stream.readline, b".\r\n")
                    self.letter = b"".join(lines).decode()
                    answer("250 kept")
                elif said.upper().startswith("QUIT"):
                    answer("221 bye")
                    return
                else:
                    answer("250 fine")


def test_a_letter_arrives(targets, monkeypatch):
    mail = MailServer()
    targets("mailto:someone@example.org")
    monkeypatch.setenv("FOVEATE_NOTIFY_SMTP", f"smtp://foveate@127.0.0.1:{mail.port}")
    monkeypatch.setenv("FOVEATE_NOTIFY_FROM", "foveate@example.org")
    assert notify(MESSAGE) == {"e-mail 1": ""}
    mail.join(10)
    assert "Subject: foveate-mipd: version 3 is champion" in mail.letter and "Better by 4 points" in mail.letter
    assert message_from_string(mail.letter, policy=default)["X-Foveate-Signature"].startswith("t=")
    assert "rcpt TO:<someone@example.org>" in mail.said


def test_a_password_is_not_told_without_encryption(targets, monkeypatch):
    mail = MailServer()
    targets("mailto:someone@example.org")
    monkeypatch.setenv("FOVEATE_NOTIFY_SMTP", f"smtp://user:hidden@127.0.0.1:{mail.port}")
    (why,) = notify(MESSAGE).values()
    assert "no encryption" in why and not any("AUTH" in said or "hidden" in said for said in mail.said)


def test_a_mail_server_inside_is_refused(targets, monkeypatch):
    targets("mailto:someone@example.org", allow="")
    monkeypatch.setenv("FOVEATE_NOTIFY_SMTP", "smtps://u:p@127.0.0.1:465")
    assert "not public" in notify(MESSAGE)["e-mail 1"]
