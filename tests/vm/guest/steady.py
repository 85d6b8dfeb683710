"""A host that thrashes, and a guard that does not: it waits for no page of its own, and is never late."""

from __future__ import annotations

from pathlib import Path

from tests.vm.guest import guard
from tests.vm.guest.check import check, measured
from tests.vm.guest.guard import GUARD, counter, status
from tests.vm.guest.hog import hog
from tests.vm.guest.host import until

LATE = 0.5
"""Seconds: what docs/reliability.md promises, on two emulated CPUs."""


@check(limit=120)
def starts() -> None:
    guard.install("")
    until(lambda: counter("polls") > 10, "polls")


@check(limit=240)
def no_page_of_its_own_is_read_from_disk_while_the_host_thrashes() -> None:
    # Nothing that it has is in memory by chance.
    Path("/proc/sys/vm/drop_caches").write_text("3")
    pid = GUARD.pid
    before, helpers = _major_faults(pid), _helpers(pid)
    others = sum(map(_major_faults, helpers))
    for line in _file_pages(pid):
        print(line, flush=True)
    with hog("thrash", "work", "1100") as unit:
        until(lambda: not unit.alive, "its death", limit=200)
    assert GUARD.pid == pid
    faults = _major_faults(pid) - before
    measured("major faults of the guard", faults)
    measured("major faults of its helpers", sum(map(_major_faults, helpers)) - others)
    for line in _file_pages(pid):
        print(line, flush=True)
    assert faults == 0, faults


@check(limit=60)
def no_poll_was_late() -> None:
    worst = status()["state"]["worst_lateness"]
    measured("the most that a poll was late, in seconds", worst)
    assert worst <= LATE, worst


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
            name = words[-1] if len(words) > 5 else "anon"
        elif words[0] in {"Size:", "Rss:", "Locked:"}:
            found.setdefault(name, {}).setdefault(words[0], 0)
            found[name][words[0]] += int(words[1])
    return [f"{name} {sizes}" for name, sizes in found.items()]
