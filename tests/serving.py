"""A server in a thread, certificates, and clients that behave badly."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import bcrypt
import pytest

from oomguard import webserver
from oomguard.config import Address
from oomguard.listening import listen
from oomguard.pages import Exposition
from oomguard.protection import Protection

PASSWORD = b"correct horse"
HASH = bcrypt.hashpw(PASSWORD, bcrypt.gensalt(4)).decode()
ANYWHERE = Address(host="127.0.0.1", port=0)


class Fixed:
    """A source of pages that are always the same."""

    def __init__(self, body: bytes = b"metric 1\n", problem: str | None = None) -> None:
        self._body = body
        self._problem = problem

    def exposition(self, accept: str) -> Exposition:
        return Exposition(content_type="text/plain", body=self._body)

    def problem(self) -> str | None:
        return self._problem


@contextmanager
def served(source: Fixed, protection: Protection) -> Iterator[int]:
    """The port of a server that runs meanwhile."""
    (listening,) = listen(ANYWHERE)
    ours, theirs = os.pipe()
    server = webserver.Server(source, protection)
    thread = Thread(target=lambda: asyncio.run(server.run((listening,), ours)))
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        os.close(theirs)
        thread.join(10)
        listening.close()
        os.close(ours)
        assert not thread.is_alive()


def connected(port: int, source: str = "127.0.0.1") -> socket.socket:
    """A connection to the server, from one of this host's many loopback addresses."""
    return socket.create_connection(("127.0.0.1", port), timeout=10, source_address=(source, 0))


def said(client: socket.socket) -> bytes:
    """All that the server says until it closes the connection, politely or not."""
    heard = b""
    try:
        while piece := client.recv(65536):
            heard += piece
    except ConnectionResetError:
        pass
    return heard


def is_open(client: socket.socket) -> bool:
    """Whether the server has not closed the connection."""
    client.setblocking(False)
    try:
        return client.recv(1, socket.MSG_PEEK) != b""
    except BlockingIOError:
        return True
    except ConnectionResetError:
        return False
    finally:
        client.settimeout(10)


def make_certificates(folder: Path) -> Path:
    """An authority, and a server's and a client's certificate that it signed, for localhost."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is missing: apt-get install openssl")

    def run(*arguments: str) -> None:
        subprocess.run((openssl, *arguments), cwd=folder, check=True, capture_output=True)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    (folder / "names").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    run("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=authority")
    for name in ("server", "client"):
        run("req", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        signed = ("-CA", "ca.crt", "-CAkey", "ca.key", "-extfile", "names", "-out", f"{name}.crt")
        run("x509", "-req", "-in", f"{name}.csr", *signed)
    return folder


def trusting(folder: Path, certificate: str | None = None) -> ssl.SSLContext:
    """A client's context that trusts the authority in `folder`, and shows `certificate`."""
    context = ssl.create_default_context(cafile=str(folder / "ca.crt"))
    if certificate is not None:
        context.load_cert_chain(folder / f"{certificate}.crt", folder / f"{certificate}.key")
    return context
