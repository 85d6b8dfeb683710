"""The server against clients that behave, and against those that do not."""

from __future__ import annotations

import errno
import gzip
import http.client
import logging
import select
import socket
import ssl
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Event

import pytest

from oomguard import webserver
from oomguard.passwords import Login, Passwords
from oomguard.protection import Protection
from oomguard.units import Seconds
from tests.serving import HASH, PASSWORD, Fixed, connected, is_open, make_certificates, said, served, trusting

OPEN = Protection(None)
GET = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
def port() -> Iterator[int]:
    with served(Fixed(), OPEN) as port:
        yield port


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that gives its clients little time."""
    monkeypatch.setattr(webserver, "FIRST_ANSWER", Seconds(0.3))
    monkeypatch.setattr(webserver, "NEXT_ANSWER", Seconds(0.3))


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


def get(port: int, path: str = "/metrics", **headers: str) -> tuple[int, bytes]:
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    client.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    answer = client.getresponse()
    body = answer.read()
    client.close()
    return answer.status, body


def get_securely(port: int, context: ssl.SSLContext) -> int:
    client = http.client.HTTPSConnection("localhost", port, timeout=10, context=context)
    try:
        client.request("GET", "/metrics")
        return client.getresponse().status
    finally:
        client.close()


def basic(password: bytes, user: str = "prometheus") -> str:
    return f"Basic {b64encode(user.encode() + b':' + password).decode()}"


# Clients that behave


def test_pages_are_served(port: int) -> None:
    assert get(port) == (200, b"metric 1\n")
    assert get(port, "/x")[0] == 404
    assert gzip.decompress(get(port, Accept_Encoding="gzip")[1]) == b"metric 1\n"


def test_a_connection_is_good_for_many_requests(port: int) -> None:
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    for method, path, status in (("GET", "/", 200), ("HEAD", "/metrics", 200), ("POST", "/", 405)) * 3:
        client.request(method, path, body=b"x" * 10 if method == "POST" else None)
        before = client.sock
        answer = client.getresponse()
        body = answer.read()
        assert answer.status == status
        assert (body == b"") is (method == "HEAD")
        assert int(answer.headers["Content-Length"]) > 0
        assert client.sock is before
    client.close()


def test_pipelined_requests_are_answered_in_their_order(port: int) -> None:
    with connected(port) as client:
        client.sendall(GET * 3 + b"GET /x HTTP/1.0\r\n\r\n")
        heard = said(client)
    assert heard.count(b"HTTP/1.1 200 OK") == 3
    assert heard.index(b"404 Not Found") > heard.rindex(b"200 OK")


# Clients that do not


def test_a_crowd_of_silent_clients_keeps_nobody_out(port: int) -> None:
    crowd = [connected(port) for _ in range(webserver.MOST_CONNECTIONS + 50)]
    assert get(port)[0] == 200
    assert [is_open(client) for client in crowd[:51]] == [False] * 51
    assert is_open(crowd[-1])
    for client in crowd:
        client.close()


def test_a_crowd_takes_no_place_from_others(port: int) -> None:
    scraper = connected(port, "127.0.0.2")
    crowd = [connected(port, "127.0.0.3") for _ in range(webserver.MOST_CONNECTIONS + 50)]
    scraper.sendall(GET)
    assert b"200 OK" in scraper.recv(4096)
    for client in (scraper, *crowd):
        client.close()


def test_a_lack_of_descriptors_passes(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webserver, "REST", Seconds(0.2))
    asked: list[float] = []
    accept = socket.socket.accept

    def scarce(self: socket.socket) -> object:
        asked.append(time.monotonic())
        if len(asked) < 3:
            raise OSError(errno.EMFILE, "Too many open files")
        return accept(self)

    monkeypatch.setattr(socket.socket, "accept", scarce)
    assert get(port)[0] == 200
    assert asked[2] - asked[0] >= 0.4


def test_who_says_nothing_is_let_go(hurried: None, port: int) -> None:
    with connected(port) as client:
        assert said(client) == b""


def test_who_trickles_is_let_go(hurried: None, port: int) -> None:
    with connected(port) as client:
        client.sendall(b"GET /metrics HTTP/1.1\r\n")
        with pytest.raises(OSError):  # a reset, or a broken pipe
            for _ in range(500):
                client.sendall(b"X: y\r\n")
                time.sleep(0.02)


def test_who_trickles_a_body_is_let_go(hurried: None, port: int) -> None:
    with connected(port) as client:
        client.sendall(b"GET /metrics HTTP/1.1\r\nContent-Length: 5000\r\n\r\n")
        with pytest.raises(OSError):  # as above
            for _ in range(500):
                client.sendall(b"x")
                time.sleep(0.02)


def test_who_is_idle_after_its_answer_is_let_go(hurried: None, port: int) -> None:
    with connected(port) as client:
        client.sendall(GET)
        assert said(client).endswith(b"metric 1\n")


def test_who_does_not_read_is_let_go(hurried: None) -> None:
    with served(Fixed(b"x" * 8_000_000), OPEN) as port, socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", port))
        client.settimeout(10)
        client.sendall(GET)
        time.sleep(1)
        assert len(said(client)) < 8_000_000


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"GET /\r\n\r\n", id="no version"),
        pytest.param(b"GET / HTTP/1.1\r\nA\r\n\r\n", id="no colon"),
        pytest.param(b"POST / HTTP/1.1\r\nContent-Length: 8193\r\n\r\n", id="a large body"),
        pytest.param(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nfffffff\r\n", id="a large piece"),
        pytest.param(
            b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", id="two lengths"
        ),
    ],
)
def test_a_request_that_is_amiss_is_refused(port: int, sent: bytes) -> None:
    with connected(port) as client:
        client.sendall(sent)
        assert said(client) == b"HTTP/1.1 400 Bad Request\r\n\r\n"
    assert get(port)[0] == 200


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"\0\xff\n\r\n\r\n" * 9, id="garbage"),
        pytest.param(b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\n\r\n", id="a long path"),
        pytest.param(b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 5000 + b"\r\n", id="many headers"),
        pytest.param(b"x" * 100_000, id="no end"),
        pytest.param(b"\x16\x03\x01\x02\0\x01" + b"\0" * 9000, id="TLS"),
    ],
)
def test_what_is_no_request_costs_the_connection(port: int, sent: bytes) -> None:
    with connected(port) as client:
        with suppress(OSError):
            client.sendall(sent)
        # What the server has not read resets the connection, and may take its answer with it.
        assert said(client) in {b"HTTP/1.1 400 Bad Request\r\n\r\n", b""}
    assert get(port)[0] == 200


def test_our_own_mistakes_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    webserver._hush()

    class Broken(Fixed):
        def problem(self) -> str | None:
            raise ZeroDivisionError

    with served(Broken(), OPEN) as port, connected(port) as client, caplog.at_level(logging.ERROR):
        client.sendall(b"GET /-/ready HTTP/1.1\r\n\r\n")
        assert said(client) == b""
    assert "ZeroDivisionError" in caplog.text


# TLS


def secured(certificates: Path, folder: Path, more: str = "") -> Protection:
    file = folder / "web.yml"
    file.write_text(
        f"tls_server_config:\n  cert_file: {certificates}/server.crt\n"
        f"  key_file: {certificates}/server.key\n{more}"
    )
    return Protection(str(file))


def test_tls_is_spoken(certificates: Path, tmp_path: Path) -> None:
    with served(Fixed(), secured(certificates, tmp_path)) as port:
        assert get_securely(port, trusting(certificates)) == 200
        old = trusting(certificates)
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        assert get_securely(port, old) == 200
        with pytest.raises(ssl.SSLCertVerificationError):
            get_securely(port, ssl.create_default_context())


def test_silent_clients_of_tls_keep_nobody_out(certificates: Path, tmp_path: Path) -> None:
    with served(Fixed(), secured(certificates, tmp_path)) as port:
        crowd = [connected(port) for _ in range(webserver.MOST_CONNECTIONS + 20)]
        assert get_securely(port, trusting(certificates)) == 200
        for client in crowd:
            client.close()


def test_a_handshake_that_does_not_come_is_given_up(
    hurried: None, certificates: Path, tmp_path: Path
) -> None:
    with served(Fixed(), secured(certificates, tmp_path)) as port, connected(port) as client:
        client.sendall(b"\x16\x03\x01\x02\0\x01")
        assert said(client) == b""


def test_a_client_certificate_is_asked_for(certificates: Path, tmp_path: Path) -> None:
    more = f"  client_ca_file: {certificates}/ca.crt\n  client_auth_type: RequireAndVerifyClientCert\n"
    with served(Fixed(), secured(certificates, tmp_path, more)) as port:
        assert get_securely(port, trusting(certificates, "client")) == 200
        with pytest.raises(OSError):  # an alert, or the connection's end
            get_securely(port, trusting(certificates))


# Users


def guarded(folder: Path) -> Protection:
    file = folder / "web.yml"
    file.write_text(
        f"basic_auth_users: {{prometheus: {HASH}}}\n"
        "http_server_config: {headers: {X-Frame-Options: deny}}\n"
    )
    return Protection(str(file))


@pytest.mark.parametrize("path", ["/", "/metrics", "/-/healthy", "/-/ready", "/x"])
def test_only_users_may_read(tmp_path: Path, path: str) -> None:
    with served(Fixed(), guarded(tmp_path)) as port:
        assert get(port, path)[0] == 401
        assert get(port, path, Authorization=basic(b"wrong"))[0] == 401
        assert get(port, path, Authorization=basic(PASSWORD, "nobody"))[0] == 401
        assert get(port, path, Authorization=basic(PASSWORD))[0] == (404 if path == "/x" else 200)


def test_a_refusal_asks_for_a_login_and_has_the_headers(tmp_path: Path) -> None:
    with served(Fixed(), guarded(tmp_path)) as port, connected(port) as client:
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        heard = said(client).lower()
    assert b'www-authenticate: basic realm="oomguard"' in heard
    assert b"x-frame-options: deny" in heard


def test_guesses_keep_out_only_other_guesses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    over = Event()

    def check(self: Passwords, login: Login) -> bool:
        return login.password != PASSWORD and over.wait(10)

    protection = guarded(tmp_path)
    protection.passwords.check(Login(user="prometheus", password=PASSWORD))
    monkeypatch.setattr(Passwords, "check", check)
    ask = b"GET / HTTP/1.0\r\nAuthorization: " + basic(b"guess").encode() + b"\r\n\r\n"
    with served(Fixed(), protection) as port:
        guesses = [connected(port) for _ in range(webserver.MOST_CHECKS_EACH + 3)]
        for guess in guesses:
            guess.sendall(ask)
        refused: list[socket.socket] = []
        while len(refused) < 3:
            refused, _, _ = select.select(guesses, [], [], 10)
            assert refused
        assert all(b"429 Too Many" in said(guess) for guess in refused)
        assert get(port, Authorization=basic(PASSWORD))[0] == 200
        with connected(port, "127.0.0.9") as other:
            other.sendall(ask)
            time.sleep(0.1)
            assert is_open(other)
            over.set()
            assert b"HTTP/1.1 200" in said(other)
        for guess in guesses:
            guess.close()


# From outside


def test_a_changed_file_counts_without_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webserver, "REFRESH", Seconds(0.05))
    file = tmp_path / "web.yml"
    file.write_text("{}")
    with served(Fixed(), Protection(str(file))) as port:
        assert get(port)[0] == 200
        file.write_text(f"basic_auth_users: {{prometheus: {HASH}}}\n")
        deadline = time.monotonic() + 10
        while get(port)[0] != 401:
            assert time.monotonic() < deadline
            time.sleep(0.02)


def test_it_ends_with_its_parent_whoever_is_connected() -> None:
    with served(Fixed(), OPEN) as port:
        clients = [connected(port) for _ in range(3)]
        assert get(port)[0] == 200
    for client in clients:
        assert said(client) == b""
        client.close()
