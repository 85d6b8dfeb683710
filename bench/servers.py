"""What HTTP servers for the exporter weigh and withstand as they come, as a Markdown table.

    python3 -m venv /tmp/candidates
    /tmp/candidates/bin/pip install prometheus-client cheroot waitress gunicorn uvicorn hypercorn aiohttp \\
        twisted tornado
    .venv/bin/python -m bench.servers /tmp/candidates/bin/python
"""

from __future__ import annotations

import http.client
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from bench.footprint import KIB, free_port, out

NAMES = (
    *("client_library", "cheroot", "waitress", "gunicorn", "uvicorn", "hypercorn", "aiohttp", "twisted"),
    "tornado",
)
CROWD = 1000
PATIENCE_SECONDS = 35


def main() -> None:
    """Measure, and print the table."""
    out("| server | RSS, KiB | and with 1,000 silent clients | a scrape then | silent ones let go in 35 s |")
    out("|---|---|---|---|---|")
    for name in NAMES:
        port = free_port()
        candidates = str(Path(__file__).with_name("candidates.py"))
        running = subprocess.Popen(  # noqa: S603
            (sys.argv[1], candidates, name, str(port)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            out(f"| {name} | {_row(psutil.Process(running.pid), port)} |")
        finally:
            for worker in psutil.Process(running.pid).children(recursive=True):
                worker.kill()
            running.kill()
            running.wait()


def _row(server: psutil.Process, port: int) -> str:
    while _scrape(port) is None:
        time.sleep(0.1)
    for _ in range(20):
        _scrape(port)
    alone = _rss(server)
    crowd = [socket.create_connection(("127.0.0.1", port), timeout=5) for _ in range(CROWD)]
    time.sleep(1)
    took = _scrape(port)
    crowded = _rss(server)
    time.sleep(PATIENCE_SECONDS)
    answered = "fails" if took is None else f"{took * 1000:.0f} ms"
    return f"{alone} | {crowded} | {answered} | {_closed(crowd)}"


def _scrape(port: int) -> float | None:
    """How many seconds a scrape takes; None where it does not come within 10 s."""
    began = time.monotonic()
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    with suppress(OSError, http.client.HTTPException):
        client.request("GET", "/")
        client.getresponse().read()
        return time.monotonic() - began
    return None


def _rss(server: psutil.Process) -> int:
    return sum(part.memory_info().rss for part in (server, *server.children(recursive=True))) // KIB


def _closed(crowd: Sequence[socket.socket]) -> int:
    """How many of them the server has closed; closes the others."""
    closed = 0
    for client in crowd:
        client.setblocking(False)
        with client, suppress(BlockingIOError):
            closed += client.recv(1) == b""
    return closed


if __name__ == "__main__":
    main()
