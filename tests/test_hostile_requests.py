"""Any bytes, over a real socket: the server answers in its own words or hangs up, and serves the next."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings

from oomguard.protection import Protection
from tests.mutated import damaged
from tests.serving import Fixed, connected, said, served

REQUESTS = (
    b"GET /metrics HTTP/1.1\r\nHost: x\r\nAccept: application/openmetrics-text;version=1.0.0\r\n\r\n",
    b"GET /-/ready HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"HEAD /-/healthy HTTP/1.0\r\nConnection: keep-alive\r\nAuthorization: Basic cHJvbTp4\r\n\r\n",
    b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello",
)
ANSWERS = (b"HTTP/1.1 100 ", b"HTTP/1.1 200 ", b"HTTP/1.1 400 ", b"HTTP/1.1 404 ", b"HTTP/1.1 405 ")
BODY = b"metric 1\n"


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with served(Fixed(BODY), Protection(None)) as port:
        yield port


@settings(suppress_health_check=(HealthCheck.function_scoped_fixture,))
@given(damaged(*REQUESTS))
def test_an_answer_or_none_and_the_next_is_served(
    port: int, caplog: pytest.LogCaptureFixture, sent: bytes
) -> None:
    with connected(port) as client:
        with suppress(OSError):
            client.sendall(sent)
            client.shutdown(socket.SHUT_WR)
        heard = said(client)
    assert heard == b"" or heard.startswith(ANSWERS)
    # Of what was sent, nothing comes back.
    for piece in (b"\x1b[2J", b"!!bool", b"xxxxxxxx"):
        assert piece not in heard
    with connected(port) as client:
        client.sendall(b"GET /metrics HTTP/1.1\r\nConnection: close\r\n\r\n")
        assert said(client).endswith(BODY)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
