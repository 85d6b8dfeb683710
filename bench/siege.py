"""What the exporter withstands, and what a scrape costs, as Markdown tables.

    .venv/bin/python -m bench.siege [SECONDS]

Each attack goes on for SECONDS (10 unless told) from a process of its own, on this host, while a scraper from
the same address, with a new connection each time, takes what it can get.
"""

from __future__ import annotations

import gzip
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import psutil
from bcrypt import gensalt, hashpw

from bench.footprint import cpu_seconds, free_port, out
from oomguard.record import Writer
from oomguard.units import Seconds
from tests.serving import make_certificates, trusting
from tests.specimens import EVENTS, SAMPLE, STATE

CROWD = 1000
SCRAPE_EVERY_SECONDS = 0.25
SCRAPES = 200
MIB = 1 << 20
PASSWORD = b"correct horse"
LOGIN = f"Authorization: Basic {b64encode(b'prometheus:' + PASSWORD).decode()}\r\n"
OPEN = "{}"
USERS = f"basic_auth_users: {{prometheus: {hashpw(PASSWORD, gensalt(10)).decode()}}}\n"
SECURE = f"tls_server_config: {{cert_file: server.crt, key_file: server.key}}\n{USERS}"
_GZIP = "Accept-Encoding: gzip\r\n"
_OPENMETRICS = f"Accept: application/openmetrics-text\r\n{_GZIP}"
GET = b"GET /metrics HTTP/1.1\r\nHost: x\r\n"


def crowd(port: int, first: bytes, then: bytes) -> None:
    """Keep `CROWD` connections open that say `first` and, each second, `then`; open anew what is closed."""
    clients: list[socket.socket] = []
    while True:
        began = time.monotonic()
        for client in [client for client in clients if not _says(client, then)]:
            clients.remove(client)
            client.close()
        while len(clients) < CROWD:
            with suppress(OSError):
                clients.append(socket.create_connection(("127.0.0.1", port), timeout=5))
                _says(clients[-1], first)
        time.sleep(max(0.0, began + 1 - time.monotonic()))


def _says(client: socket.socket, what: bytes) -> bool:
    """Say `what`; whether the connection is still open."""
    client.setblocking(False)
    try:
        if what:
            client.send(what)
        return client.recv(4096) != b""
    except BlockingIOError:
        return True
    except OSError:
        return False


def barrage(port: int, shot: bytes) -> None:
    """Connect, say `shot`, hear the answer and go, over and over."""
    while True:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5) as client:
            client.sendall(shot)
            while client.recv(65536):
                pass


def gallop(port: int) -> None:
    """Scrape over one connection, as fast as the answers come."""
    while True:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5) as client:
            while True:
                client.sendall(GET + b"\r\n")
                client.recv(1 << 20)


ATTACKS: dict[str, tuple[str, Callable[[int], None]]] = {
    "silent": ("1,000 silent clients", lambda port: crowd(port, b"", b"")),
    "slow": ("1,000 clients, a header line a second each", lambda port: crowd(port, GET, b"X: y\r\n")),
    "half": (
        "1,000 clients, half a TLS handshake each",
        lambda port: crowd(port, b"\x16\x03\x01\x02\0\1", b""),
    ),
    "garbage": ("garbage, 20 kB a connection", lambda port: barrage(port, b"\xff\0\r\n" * 5000)),
    "large": ("a header of 1 MB", lambda port: barrage(port, GET + b"X: " + b"y" * MIB)),
    "guess": (
        "guesses at the password",
        lambda port: barrage(port, b"GET / HTTP/1.0\r\nAuthorization: Basic dTp2\r\n\r\n"),
    ),
    "gallop": ("scrapes without a pause", gallop),
}


def main() -> None:
    """Attack, and print the tables."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 10.0
    with tempfile.TemporaryDirectory() as name:
        folder = make_certificates(Path(name))
        folder.chmod(0o755)
        with recorded(folder):
            _costs(folder)
            _sieges(folder, seconds)


def _costs(folder: Path) -> None:
    out("| scrape | bytes | CPU, ms |\n|---|---|---|")
    for title, web, headers in (
        ("classic text", OPEN, ""),
        ("classic text, gzip", OPEN, _GZIP),
        ("OpenMetrics, gzip", OPEN, _OPENMETRICS),
        ("OpenMetrics, gzip, TLS and a password", SECURE, _OPENMETRICS + LOGIN),
    ):
        with exporter(folder, web) as (process, port):
            scrape = _scraper(folder, port, web == SECURE, headers)
            scrape()
            before = cpu_seconds(process)
            size = [scrape() for _ in range(SCRAPES)][-1]
            out(f"| {title} | {size} | {(cpu_seconds(process) - before) / SCRAPES * 1000:.1f} |")


def _sieges(folder: Path, seconds: float) -> None:
    out("\n| attack | scrapes | failed | median, ms | worst, ms | RSS at most, MiB | CPU of a core |")
    out("|---|---|---|---|---|---|---|")
    for web, kinds in (
        (OPEN, ("none", "silent", "slow", "garbage", "large", "gallop")),
        (SECURE, ("none", "silent", "half", "garbage")),
        (USERS, ("guess",)),
    ):
        for kind in kinds:
            with exporter(folder, web) as (process, port), attacked(kind, port):
                scrape = _scraper(folder, port, web == SECURE, LOGIN if web != OPEN else "")
                title = "none" if kind == "none" else ATTACKS[kind][0]
                row = _row(process, scrape, seconds)
                out(f"| {title}{', over TLS' if web == SECURE else ''} | {row} |")


def _row(process: psutil.Process, scrape: Callable[[], int], seconds: float) -> str:
    took, failed, most = list[float](), 0, 0
    began, before = time.monotonic(), cpu_seconds(process)
    while time.monotonic() < began + seconds:
        at = time.monotonic()
        try:
            scrape()
            took.append((time.monotonic() - at) * 1000)
        except OSError:
            failed += 1
        most = max(most, process.memory_info().rss)
        time.sleep(max(0.0, at + SCRAPE_EVERY_SECONDS - time.monotonic()))
    share = (cpu_seconds(process) - before) / (time.monotonic() - began)
    worst = f"{statistics.median(took):.1f} | {max(took):.1f}" if took else "- | -"
    return f"{len(took) + failed} | {failed} | {worst} | {most / MIB:.1f} | {share:.0%}"


def _scraper(folder: Path, port: int, secure: bool, headers: str) -> Callable[[], int]:
    """Scrapes with a new connection; gives the size of the body. Raises OSError where it cannot."""
    context = trusting(folder)
    asked = GET + headers.encode() + b"Connection: close\r\n\r\n"

    def scrape() -> int:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
            client = context.wrap_socket(plain, server_hostname="localhost") if secure else plain
            with client:
                client.sendall(asked)
                heard = b"".join(iter(lambda: client.recv(65536), b""))
        head, _, body = heard.partition(b"\r\n\r\n")
        text = gzip.decompress(body) if b"gzip" in head else body
        if b"oomguard_polls_total" not in text:
            raise OSError("no metrics")
        return len(body)

    return scrape


@contextmanager
def recorded(folder: Path) -> Iterator[None]:
    """A record with everything in it, fresh for hours."""
    writer = Writer.open(folder / "record")
    writer.state(replace(STATE, polled_at=Seconds(time.monotonic() + 36000)))
    writer.sample(SAMPLE)
    for event in EVENTS:
        writer.tell(event)
    yield
    writer.close()


@contextmanager
def exporter(folder: Path, web: str) -> Iterator[tuple[psutil.Process, int]]:
    """An exporter of the record in `folder`, with that web configuration, and its port."""
    (folder / "web.yml").write_text(web)
    (folder / "oomguard.toml").write_text(f'[record]\npath = "{folder}/record"\n')
    port = free_port()
    command = ("exporter", "--config", f"{folder}/oomguard.toml", "--web-config", f"{folder}/web.yml")
    running = subprocess.Popen(  # noqa: S603
        (sys.executable, "-m", "oomguard", *command, "--listen", f"127.0.0.1:{port}"),
        stderr=subprocess.DEVNULL,
    )
    try:
        _await(port)
        yield psutil.Process(running.pid), port
    finally:
        running.terminate()
        running.wait()


def _await(port: int) -> None:
    """Wait until somebody listens on `port`."""
    for _ in range(500):
        with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.02)
    raise TimeoutError


@contextmanager
def attacked(kind: str, port: int) -> Iterator[None]:
    """Meanwhile, under this attack."""
    if kind == "none":
        yield
        return
    attacker = os.fork()
    if attacker == 0:
        ATTACKS[kind][1](port)
    try:
        time.sleep(2)
        yield
    finally:
        os.kill(attacker, 9)
        os.waitpid(attacker, 0)


if __name__ == "__main__":
    main()
