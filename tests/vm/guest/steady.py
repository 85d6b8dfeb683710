"""A host that thrashes, and a guard that does not: it waits for no page of its own, and is never late."""

from __future__ import annotations

import ctypes
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.vm.guest import guard
from tests.vm.guest.check import check, measured
from tests.vm.guest.guard import GUARD, counter, status
from tests.vm.guest.hog import hog
from tests.vm.guest.host import meminfo, until


@check(limit=120)
def starts() -> None:
    guard.install("")
    until(lambda: counter("polls") > 10, "polls")


@check(limit=240)
def no_page() -> None:
    Path("/proc/sys/vm/drop_caches").write_text("3")
    pid = GUARD.pid
    before, helpers = _major_faults(pid), _helpers(pid)
    measured("majflt start", before)
    others = sum(map(_major_faults, helpers))
    for line in _file_pages(pid):
        measured(line, 0)
    measured("late before", status()["state"]["worst_lateness"])
    measured("avail", meminfo("MemAvailable"))
    r, w = os.pipe()
    child = os.fork()
    if child == 0:
        ctypes.CDLL(None).mlockall(3)
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(2))
        end, worst, last = time.monotonic() + 60, 0.0, time.monotonic()
        while time.monotonic() < end:
            time.sleep(0.05)
            now = time.monotonic()
            worst, last = max(worst, now - last - 0.05), now
        os.write(w, str(worst).encode())
        os._exit(0)
    try:
        with hog("thrash", "work", "1100") as unit:
            until(lambda: not unit.alive, "its death", limit=200)
            measured("faults at death", _major_faults(pid) - before)
            measured("ending", unit.ending)
    except AssertionError as error:
        measured(str(error), 0)
    measured("avail", meminfo("MemAvailable"))
    assert GUARD.pid == pid
    measured("probe late", float(os.read(r, 100)))
    measured("late after", status()["state"]["worst_lateness"])
    measured("major faults of the guard", _major_faults(pid) - before)
    measured("major faults of its helpers", sum(map(_major_faults, helpers)) - others)
    for line in _file_pages(pid):
        measured(line, 0)
    measured(json.dumps(status()["events"][-6:])[:3000], 0)


def _major_faults(pid: int) -> int:
    """majflt of proc_pid_stat(5)."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[9])


def _helpers(pid: int) -> tuple[int, ...]:
    told = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return tuple(map(int, told.split()))


def _file_pages(pid: int) -> list[str]:
    found, name = {}, ""
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        words = line.split()
        if "-" in words[0] and not words[0].endswith(":"):
            name = words[-1] + words[1] if len(words) > 5 else "anon"
        elif words[0] in {"Size:", "Rss:", "Locked:"}:
            found.setdefault(name, {}).setdefault(words[0], 0)
            found[name][words[0]] += int(words[1])
    return [f"{name} {sizes}" for name, sizes in found.items()]
