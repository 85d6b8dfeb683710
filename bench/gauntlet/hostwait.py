"""How long a machine waited for the CPUs of this host: what makes a run on a busy host worth nothing."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

INTERVAL = 0.5
"""Seconds between two readings of the threads' waits: what a thread waits after its last one is missed."""
NANO = 1e-9


class HostWait:
    """The waits of all threads of this process's children, by thread."""

    def __init__(self) -> None:
        self.share = 0.0
        """Seconds that threads were ready and had no CPU, or the host had none itself (steal), per second."""
        self._waits: dict[int, float] = {}
        self._over = threading.Event()

    def watch(self) -> None:
        """Reads until told that it is over."""
        start, stolen = time.monotonic(), steal()
        while not self._over.wait(INTERVAL):
            for child in psutil.Process().children():
                self._waits.update(waits(Path("/proc") / str(child.pid)))
        self.share = round((sum(self._waits.values()) + steal() - stolen) / (time.monotonic() - start), 3)

    def end(self) -> None:
        """It is over."""
        self._over.set()


@contextmanager
def host_wait() -> Iterator[HostWait]:
    """Measures what runs in the block; the share is there once that is through."""
    measured = HostWait()
    thread = threading.Thread(target=measured.watch)
    thread.start()
    try:
        yield measured
    finally:
        measured.end()
        thread.join()


def waits(process: Path) -> dict[int, float]:
    """Seconds that each thread of a process was ready and had no CPU; none where it has gone.

    The second figure of /proc/PID/task/TID/schedstat (Documentation/scheduler/sched-stats.rst).
    """
    found = {}
    try:
        for task in (process / "task").iterdir():
            found[int(task.name)] = int((task / "schedstat").read_text().split()[1]) * NANO
    except (FileNotFoundError, ProcessLookupError):
        pass
    return found


def steal() -> float:
    """Seconds since boot that whoever is below this host took from its CPUs: proc(5), /proc/stat."""
    return int(Path("/proc/stat").read_text().split(maxsplit=9)[8]) / os.sysconf("SC_CLK_TCK")
