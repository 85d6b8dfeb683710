"""How long a machine waited for the CPUs of this host: what makes a run on a busy host worth nothing.

Only its own CPUs count, which are the threads of qemu that run most: the others wait for these.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil

from tests.vm.machine import CPUS

INTERVAL = 0.5
"""Seconds between two readings of the threads' waits: what a thread waits after its last one is missed."""
NANO = 1e-9


class Thread(NamedTuple):
    """Seconds that a thread ran, and that it was ready and had no CPU."""

    ran: float
    waited: float


class HostWait:
    """The waits of this process's children, by thread."""

    def __init__(self) -> None:
        self.share = 0.0
        """Seconds that CPUs were ready and had none, or the host had none itself (steal), per second."""
        self._threads: dict[int, Thread] = {}
        self._over = threading.Event()

    def watch(self) -> None:
        """Reads until told that it is over."""
        start, stolen = time.monotonic(), steal()
        while not self._over.wait(INTERVAL):
            for child in psutil.Process().children():
                self._threads.update(threads(Path("/proc") / str(child.pid)))
        cpus = sorted(self._threads.values(), reverse=True)[:CPUS]
        waited = sum(each.waited for each in cpus) + steal() - stolen
        self.share = round(waited / (time.monotonic() - start), 3)

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


def threads(process: Path) -> dict[int, Thread]:
    """The threads of a process by their ids; none where it has gone.

    From /proc/PID/task/TID/schedstat (Documentation/scheduler/sched-stats.rst).
    """
    found = {}
    try:
        for task in (process / "task").iterdir():
            ran, waited = (task / "schedstat").read_text().split()[:2]
            found[int(task.name)] = Thread(int(ran) * NANO, int(waited) * NANO)
    except (FileNotFoundError, ProcessLookupError):
        pass
    return found


def steal() -> float:
    """Seconds since boot that whoever is below this host took from its CPUs: proc(5), /proc/stat."""
    return int(Path("/proc/stat").read_text().split(maxsplit=9)[8]) / os.sysconf("SC_CLK_TCK")
