"""A host that thrashes, and a guard that does not: it waits for no page of its own, and is not late."""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.vm.guest import guard
from tests.vm.guest.check import check, measured
from tests.vm.guest.guard import GUARD, counter, status
from tests.vm.guest.hog import hog
from tests.vm.guest.host import until

BOUND = 0.5
"""Seconds: what docs/reliability.md states. Beyond what the machine itself is late, on its emulated CPUs."""
TICK = 0.05
MCL_CURRENT, MCL_FUTURE = 1, 2


@check(limit=120)
def starts() -> None:
    guard.install("")
    until(lambda: counter("polls") > 10, "polls")


@check(limit=150)
def it_waits_for_no_page_and_is_not_late_while_swap_thrashes() -> None:
    with _steady("swap"), hog("swapper", "work", "1100") as unit:
        until(lambda: not unit.alive, "its death", limit=100)


@check()
def nothing_failed() -> None:
    assert counter("failures") == counter("fallbacks") == 0


@contextmanager
def _steady(what: str) -> Iterator[None]:
    """Nothing that the guard has is in memory by chance before, and all that it needs is throughout."""
    Path("/proc/sys/vm/drop_caches").write_text("3")
    pid = GUARD.pid
    helpers = tuple(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))
    own, theirs = _major_faults(pid), sum(map(_major_faults, helpers))
    with _clock() as lateness:
        yield
        machine, worst = lateness(), status()["state"]["worst_lateness"]
    measured(f"{what}: major faults of the guard", faults := _major_faults(pid) - own)
    measured(f"{what}: major faults of its helpers", sum(map(_major_faults, helpers)) - theirs)
    measured(f"{what}: the most that a poll was late since the start, s", worst)
    measured(f"{what}: the most that a locked real-time process was late, s", machine)
    assert GUARD.pid == pid, "another guard"
    assert not faults, f"{faults} major faults"
    assert worst <= machine + BOUND, f"{worst:.2f} s late, the machine {machine:.2f} s"


@contextmanager
def _clock() -> Iterator[Callable[[], float]]:
    """A process that no shortage touches: the most that it was late is the machine's own doing."""
    told = mmap.mmap(-1, mmap.PAGESIZE)
    pid = os.fork()
    if not pid:
        ctypes.CDLL(None).mlockall(MCL_CURRENT | MCL_FUTURE)
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(2))
        worst, last = 0.0, time.monotonic()
        while True:
            time.sleep(TICK)
            now = time.monotonic()
            worst, last = max(worst, now - last - TICK), now
            struct.pack_into("d", told, 0, worst)
    try:
        yield lambda: float(struct.unpack_from("d", told)[0])
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _major_faults(pid: int) -> int:
    """majflt of proc_pid_stat(5); 0 for who has ended."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[9])
    except FileNotFoundError:
        return 0
