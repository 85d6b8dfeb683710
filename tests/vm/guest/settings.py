"""Settings of the kernel that change what the guard has to look at."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.vm.guest import guard
from tests.vm.guest.check import check
from tests.vm.guest.guard import GUARD, counter, events, status
from tests.vm.guest.hog import hog
from tests.vm.guest.host import run, until


@check(limit=120)
def starts() -> None:
    guard.install("")


@contextmanager
def _sysctl(name: str, value: int) -> Iterator[None]:
    file = Path("/proc/sys", name)
    before = file.read_text()
    file.write_text(str(value))
    try:
        yield
    finally:
        file.write_text(before)


@check(limit=120)
def who_was_promised_most_dies_at_the_commit_limit() -> None:
    """vm.overcommit_memory = 2: memory is promised away, and next to none of it used."""
    with (
        hog("user", "flat", "150") as user,
        _sysctl("vm/overcommit_ratio", 80),
        _sysctl("vm/overcommit_memory", 2),
    ):
        until(lambda: user.rss >= 150, "its size")
        guard.reload("")
        until(lambda: status()["state"]["figures"]["commit_limit"] > 0, "the limit")
        with hog("promised", "promise", "4000", "20") as unit:
            until(lambda: not unit.alive, "its death", limit=60)
            assert unit.ending == "killed TERM", unit.ending
        assert user.alive, user.ending
    assert events("killing")[-1]["reasons"] == ["commit_limit"]
    guard.reload("")
    until(lambda: status()["state"]["figures"]["commit_limit"] == 0, "no limit")


@check(limit=120)
def a_proc_that_hides_processes_hides_none_from_the_guard() -> None:
    degraded = counter("degraded")
    run("mount", "-o", "remount,hidepid=2", "/proc")
    try:
        run("systemctl", "restart", GUARD.name)
        with hog("hidden", "leak", "4000", "200", properties=("User=nobody",)) as unit:
            until(lambda: not unit.alive, "its death", limit=60)
            assert unit.ending == "killed TERM", unit.ending
    finally:
        run("mount", "-o", "remount,hidepid=0", "/proc")
    assert counter("degraded") == degraded


@check(limit=180)
def who_comes_back_to_leak_again_is_stopped() -> None:
    guard.reload('[storm]\nkills = 2\naction = "stop-unit"\n')
    again = ("Restart=always", "RestartSec=1", "RemainAfterExit=no")
    with hog("again", "leak", "4000", "200", properties=again) as unit:
        until(lambda: unit["ActiveState"] == "inactive", "its end", limit=120)
    (storm,) = events("storm")
    assert (storm["unit"], storm["action"], storm["kills"]) == ("again.service", "stop-unit", 2), storm
    told = guard.journal(unit)
    assert told.count("Scheduled restart job") == 1, told
    guard.reload("")


@check()
def nothing_failed() -> None:
    assert counter("failures") == 0, events("failed")
