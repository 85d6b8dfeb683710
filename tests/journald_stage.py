"""A stage with a guard that has something to tell, and sockets that play journald and systemd.

A program of its own because libsystemd knows journald by one fixed path, so it runs in a mount namespace:
`python tests/journald_stage.py SCENE` under `unshare --mount`. It prints what came of the scene, as JSON.
"""

from __future__ import annotations

import json
import os
import select
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from oomguard.event import Degraded, Lifecycle
from oomguard.record import Writer
from oomguard.teller import Teller
from oomguard.units import Seconds
from tests.telling import HOSTILE, lifecycle, one_of_each, state

PATIENCE = 8.0
"""How long a scene waits for what must come; no scene that goes well takes that long."""

WATCHDOG = Seconds(3)

Found = dict[str, Any]


class Receiver:
    """A datagram socket, as journald and systemd have one. It takes nothing while nobody reads."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))

    def read(self, timeout: float) -> bytes | None:
        ready, _, _ = select.select([self._socket], [], [], timeout)
        return self._socket.recv(1 << 16) if ready else None

    def datagrams(self, count: int) -> Iterator[bytes]:
        """The next `count` of them."""
        for _ in range(count):
            if (datagram := self.read(PATIENCE)) is None:
                return
            yield datagram


class Stage:
    """The guard's half and both receivers."""

    def __init__(self) -> None:
        Path("/run/systemd/journal").mkdir()
        self.journald = Receiver(Path("/run/systemd/journal/socket"))
        self.systemd = Receiver(Path("/run/systemd/notify"))
        stderr = os.fstat(2)
        os.environ["JOURNAL_STREAM"] = f"{stderr.st_dev}:{stderr.st_ino}"
        os.environ["NOTIFY_SOCKET"] = "/run/systemd/notify"
        os.environ["WATCHDOG_USEC"] = str(int(WATCHDOG * 1e6))
        self.writer = Writer.anonymous()
        self.teller = Teller(self.writer.fd, 0)
        self.teller.tend(Seconds(0))

    def complain(self, texts: range) -> None:
        for text in texts:
            self.writer.tell(Degraded(text=str(text)))
        self.teller.wake()

    def told(self, count: int) -> list[str]:
        """The numbers that `complain` told, and other messages in full, of the next `count` entries."""
        messages = (dict(fields(entry))["MESSAGE"] for entry in self.journald.datagrams(count))
        return [message.removeprefix("Missing on this host: ") for message in messages]

    def settle(self, sequence: int) -> None:
        """Waits for the ledger, which is kept up after each send."""
        end = time.monotonic() + PATIENCE
        while self.teller._ledger.told != sequence and time.monotonic() < end:
            time.sleep(0.01)

    def notified(self, count: int, *but: str) -> list[str]:
        """The next `count` lines to systemd that do not begin with any of `but`, by their names."""
        lines: list[str] = []
        while len(lines) < count and (datagram := self.systemd.read(PATIENCE)) is not None:
            names = (line.split("=")[0] for line in datagram.decode().split("\n"))
            lines.extend(name for name in names if name not in but)
        return lines


def fields(entry: bytes) -> Iterator[tuple[str, str]]:
    """The fields of an entry in journald's native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL)."""
    while entry:
        line, _, rest = entry.partition(b"\n")
        name, is_text, value = line.partition(b"=")
        if not is_text:
            size = int.from_bytes(rest[:8], "little")
            value, rest = rest[8 : 8 + size], rest[9 + size :]
        yield name.decode(), value.decode()
        entry = rest


def entries(stage: Stage) -> Found:
    """Every kind of event, told with hostile names."""
    events = one_of_each(HOSTILE)
    for event in events:
        stage.writer.tell(event)
    stage.teller.wake()
    return {"entries": [list(fields(entry)) for entry in stage.journald.datagrams(len(events))]}


def order(stage: Stage) -> Found:
    """A guard's life, as systemd sees it."""
    for what in (
        Lifecycle.STARTED,
        Lifecycle.RELOADING,
        Lifecycle.RELOADED,
        Lifecycle.RELOADING,
        Lifecycle.RELOAD_REFUSED,
        Lifecycle.STOPPING,
    ):
        stage.writer.tell(lifecycle(what))
        stage.teller.wake()
    return {"lines": stage.notified(8)}


def stalled_journald(stage: Stage) -> Found:
    """Journald does not read, for longer than the watchdog waits; then it does."""
    texts = range(60)
    stage.complain(texts)
    pings = 0
    began = time.monotonic()
    looks = 0
    # The telling process has to start first, which a busy host may be slow at.
    while (waited := time.monotonic() - began) < WATCHDOG + 1 or (pings < 2 and waited < 3 * PATIENCE):
        looks += 1
        stage.writer.state(replace(state(), polled_at=Seconds(looks)))
        datagram = stage.systemd.read(0.1)
        pings += datagram is not None and b"WATCHDOG=1" in datagram
    return {"pings": pings, "told": stage.told(len(texts)), "dropped": stage.teller.dropped()}


def overrun(stage: Stage) -> Found:
    """Journald does not read until the ring has gone round twice."""
    stage.complain(range(500))
    time.sleep(0.5)
    stage.complain(range(500, 1000))
    told: list[str] = []
    while "999" not in told and (more := stage.told(1)):
        told += more
    stage.settle(1000)
    return {"told": told, "dropped": stage.teller.dropped()}


def stalled_systemd(stage: Stage) -> Found:
    """Systemd does not read, and the journal is told all the same."""
    for _ in range(30):
        stage.writer.tell(lifecycle(Lifecycle.STARTED))
    stage.complain(range(5))
    return {"told": stage.told(35)[-5:], "notified": stage.notified(30, "STATUS", "WATCHDOG")}


def successor(stage: Stage) -> Found:
    """The telling process is killed; the next one goes on where it was."""
    stage.complain(range(5))
    told = stage.told(5)
    stage.settle(5)
    first = stage.teller.pid
    assert first is not None
    os.kill(first, 9)
    os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT)
    stage.complain(range(5, 8))
    stage.teller.tend(Seconds(1))
    too_early = stage.teller.pid
    stage.teller.tend(Seconds(10))
    return {
        "told": told + stage.told(3),
        "too_early": too_early,
        "anew": stage.teller.pid not in {None, first},
    }


def absent_journald(stage: Stage) -> Found:
    """There is no journald for a while."""
    socket_path = Path("/run/systemd/journal/socket")
    socket_path.unlink()
    stage.complain(range(3))
    time.sleep(0.5)
    stage.journald = Receiver(socket_path)
    return {"told": stage.told(3)}


SCENES: dict[str, Callable[[Stage], Found]] = {
    scene.__name__: scene
    for scene in (entries, order, stalled_journald, overrun, stalled_systemd, successor, absent_journald)
}


def main() -> None:
    os.chdir(tempfile.gettempdir())
    stage = Stage()
    found = SCENES[sys.argv[1]](stage)
    stage.teller.stop(Seconds(5))
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
