"""Pushing, to a Pushgateway that takes notes, and to servers that are none."""

from __future__ import annotations

import socket
import ssl
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Event, Thread

import pytest

from oomguard import gateway
from oomguard.errors import OomguardError
from oomguard.pages import Exposition
from oomguard.units import Seconds
from tests.serving import make_certificates

EXPOSITION = Exposition(content_type="text/plain; version=0.0.4", body=b"oomguard_up 1\n")


class Notes(BaseHTTPRequestHandler):
    """Notes each request, and answers with the status in its path."""

    noted: list[tuple[str, str, bytes, str | None]]
    answer = b""

    def do_PUT(self) -> None:  # the name is the base class's
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.noted.append((self.path, self.headers["Content-Type"], body, self.headers["Authorization"]))
        status = int(self.path.split("/")[1]) if self.path[1:4].isdecimal() else 200
        self.send_response(status)
        if status == 307:
            self.send_header("Location", "/elsewhere")
        self.end_headers()
        self.wfile.write(self.answer)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # as above
        pass


@contextmanager
def noting(context: ssl.SSLContext | None = None) -> Iterator[tuple[int, type[Notes]]]:
    """The port of a gateway, and what it notes."""
    kind = type("_Notes", (Notes,), {"noted": []})
    with HTTPServer(("127.0.0.1", 0), kind) as server:
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server.server_port, kind
        finally:
            server.shutdown()
            thread.join()


def test_the_group_of_this_host_is_replaced() -> None:
    with noting() as (port, kind):
        gateway.push(EXPOSITION, f"http://127.0.0.1:{port}/", "box", None)
        gateway.push(EXPOSITION, f"http://127.0.0.1:{port}", "box", "user:pass word")
    plain, known = kind.noted
    assert plain == ("/metrics/job/oomguard/instance/box", EXPOSITION.content_type, EXPOSITION.body, None)
    assert known[3] == f"Basic {b64encode(b'user:pass word').decode()}"


@pytest.mark.parametrize(
    ("instance", "path"),
    [
        ("box", "instance/box"),
        ("a b?c#d", "instance/a%20b%3Fc%23d"),
        ("a/b", "instance@base64/YS9i"),
    ],
)
def test_any_name_is_one_instance(instance: str, path: str) -> None:
    assert gateway.group("https://g/", instance) == f"https://g/metrics/job/oomguard/{path}"


@pytest.mark.parametrize("status", [307, 400, 404, 500])
def test_a_refusal_is_told(status: int) -> None:
    with noting() as (port, kind), pytest.raises(OomguardError, match=f"refused with {status} "):
        gateway.push(EXPOSITION, f"http://127.0.0.1:{port}/{status}", "box", None)
    assert len(kind.noted) == 1


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b"", "refused with 400 Bad Request"),
        (b"no such metric\n", "refused with 400 Bad Request: no such metric"),
        (b"two\nlines \x1b[31m \xff", r"refused with 400 Bad Request: two\nlines \x1b[31m \xff"),
        (b"y" * 100_000, f"refused with 400 Bad Request: {'y' * gateway.MOST_SAID}"),
    ],
    ids=("nothing", "a line", "what is no line", "too much"),
)
def test_why_it_is_refused_is_told(answer: bytes, told: str) -> None:
    with noting() as (port, kind):
        kind.answer = answer
        with pytest.raises(OomguardError) as caught:
            gateway.push(EXPOSITION, f"http://127.0.0.1:{port}/400", "box", None)
    assert str(caught.value) == f"http://127.0.0.1:{port}/400: {told}"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("gateway:9091", "gateway:9091: not the http:// or https:// address"),
        ("file:///etc/passwd", "not the http"),
        ("https:///x", "not the http"),
        ("http://[", "not the http"),
        ("http://host:nonsense/", "not the http"),
        ("https://u:hunter2@gateway/", "everybody could read its password; use --push-login"),
        ("http://127.0.0.1:1/", "cannot be reached: .*Connection refused"),
        ("http://no.such.host.invalid/", "cannot be reached: "),
    ],
)
def test_where_nothing_can_be_pushed_is_told(url: str, words: str) -> None:
    with pytest.raises(OomguardError, match=words) as caught:
        gateway.push(EXPOSITION, url, "box", None)
    assert "hunter2" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_tls_is_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_certificates(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.crt", tmp_path / "server.key")
    with noting(context) as (port, kind):
        with pytest.raises(OomguardError, match="CERTIFICATE_VERIFY_FAILED"):
            gateway.push(EXPOSITION, f"https://localhost:{port}", "box", None)
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.crt"))
        gateway.push(EXPOSITION, f"https://localhost:{port}", "box", None)
    assert len(kind.noted) == 1


@pytest.mark.parametrize("trickle", [b"", b"HTTP/1.1 200 OK\r\nX: " + b"y" * 1000, b"\0" * 300])
def test_a_gateway_that_trickles_is_given_up(monkeypatch: pytest.MonkeyPatch, trickle: bytes) -> None:
    monkeypatch.setattr(gateway, "TIME", Seconds(0.4))
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            client, _ = server.accept()
            with client:
                client.settimeout(0.02)
                for byte in trickle:
                    with suppress(TimeoutError):
                        while client.recv(4096):
                            pass
                        return
                    with suppress(OSError):
                        client.send(bytes((byte,)))
                over.wait(10)

        over = Event()
        thread = Thread(target=answer)
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(OomguardError, match="cannot be reached"):
            gateway.push(EXPOSITION, url, "box", None)
        over.set()
        thread.join()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "No such file"),
        (b"", "one line"),
        (b"user", "one line"),
        (b"a:b\nc", "one line"),
        (b"\xff:", "cannot be read: .*utf-8"),
    ],
)
def test_a_login_that_is_none_is_refused(tmp_path: Path, content: bytes | None, words: str) -> None:
    file = tmp_path / "login"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(OomguardError, match=words) as caught:
        gateway.read_login(str(file))
    assert str(file) in str(caught.value)


def test_a_login_is_a_line(tmp_path: Path) -> None:
    (tmp_path / "login").write_text("user:pass:word\n")
    assert gateway.read_login(str(tmp_path / "login")) == "user:pass:word"
