"""A machine that stands still, as in a live migration, and goes on: nobody dies of the gap.

Either its clocks stand still with it, and nothing in it can tell; or they go on, and all at once everything
is late. The machine has 1 GiB, no swap, and the TSC for its clock: qemu's HPET goes round in 43 s.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.vm.guest import guard
from tests.vm.guest.check import Clocks, ask_for_pause, check, measured
from tests.vm.guest.guard import GUARD, counter, events, journal, status
from tests.vm.guest.hog import hog, leaker_dies
from tests.vm.guest.host import eat, meminfo, until

LONG = 45
"""Seconds: longer than systemd waits for a life sign of the guard's (WatchdogSec=)."""
BEARABLE = 15
"""Shorter than it, with a life sign that was not due yet: by clocks that go on, it is no less than that."""
SHORT = 3
TICK = 0.05
RTC = Path("/sys/class/rtc/rtc0/since_epoch")
WIDE = """
[limits.available]
term = "40%"
kill = "1%"

[victim]
grace = "20s"
"""
"""Limits far apart, and a long grace: an episode in which there is time to stand still."""
BETWEEN = 250
"""MiB of available memory between these two."""
BYSTANDER = 150
"""MiB: not the worst while the hog is there, and the worst but one."""


@check(limit=120)
def starts() -> None:
    guard.install("")
    until(lambda: counter("polls") > 10, "polls")


@check(limit=180)
def in_calm_nobody_dies_and_it_goes_on() -> None:
    _in_calm(LONG, Clocks.STAND)


@check(limit=240)
def in_calm_the_clocks_going_on_nobody_dies_and_it_goes_on() -> None:
    _in_calm(BEARABLE, Clocks.GO_ON)


def _in_calm(seconds: int, clocks: Clocks) -> None:
    with _same_guard(), _bystander():
        kills, polls = counter("kills"), counter("polls")
        _pause(seconds, clocks)
        until(lambda: counter("polls") > polls + 10, "polls")
        assert counter("kills") == kills, events("killing")
        measured("the most that a poll was late since the start, s", status()["state"]["worst_lateness"])
        leaker_dies(f"leaker-{clocks.name.lower()}")


@check(limit=240)
def while_a_leak_runs_who_leaks_dies_and_nobody_else() -> None:
    _while_a_leak_runs(Clocks.STAND)


@check(limit=240)
def while_a_leak_runs_the_clocks_going_on_who_leaks_dies_and_nobody_else() -> None:
    _while_a_leak_runs(Clocks.GO_ON)


def _while_a_leak_runs(clocks: Clocks) -> None:
    with _same_guard(), _bystander(), hog("slow", "leak", "4000", "15") as leaker:
        for left in (600, 450, 300, 200):
            until(lambda left=left: meminfo("MemAvailable") < left, f"{left} MiB left")  # type: ignore[misc]
            _pause(SHORT, clocks)
        until(lambda: not leaker.alive, "its death")
        assert leaker.ending == "killed TERM", leaker.ending


@check(limit=60)
def takes_wide_limits() -> None:
    guard.reload(WIDE)


@check(limit=240)
def in_an_episode_the_victim_dies_and_nobody_else() -> None:
    _in_an_episode(LONG, Clocks.STAND)


@check(limit=240)
def in_an_episode_the_clocks_going_on_the_victim_dies_and_nobody_else() -> None:
    _in_an_episode(BEARABLE, Clocks.GO_ON)


def _in_an_episode(seconds: int, clocks: Clocks) -> None:
    """The victim was asked to end, does not, and has seconds left."""
    with _same_guard(), _bystander():
        asked, ended = counter("kills", signal="term"), counter("kills", signal="kill")
        with hog("deaf", "--deaf", "leak", _down_to_between(), "150") as victim:
            until(lambda: counter("kills", signal="term") > asked, "the request to end")
            _pause(seconds, clocks)
            until(lambda: not victim.alive, "its death")
            assert victim.ending == "killed KILL", victim.ending
        assert counter("kills", signal="term") == asked + 1, events("killing")
        assert counter("kills", signal="kill") == ended + 1, events("killing")


@check(limit=300)
def the_clocks_going_on_for_longer_than_the_watchdog_bears_the_victim_dies_and_nobody_else() -> None:
    """systemd ends the guard, as it may see that time is over before it can hear that the guard is well."""
    pid, asked = GUARD.pid, counter("kills", signal="term")
    # Not hog(): the guard itself may be ended, and would be found dead.
    with ExitStack() as stack:
        bystander = eat("bystander2", "flat", str(BYSTANDER))
        stack.callback(bystander.stop)
        until(lambda: bystander.rss >= BYSTANDER, "its size")
        victim = eat("deaf2", "--deaf", "leak", _down_to_between(), "150")
        stack.callback(victim.stop)
        until(lambda: counter("kills", signal="term") > asked, "the request to end")
        _pause(LONG, Clocks.GO_ON)
        start = time.monotonic()
        until(lambda: not victim.alive, "its death", limit=90)
        measured("from the gap to the victim's death, s", time.monotonic() - start)
        assert victim.ending == "killed KILL", victim.ending
        assert bystander.alive, bystander.ending
    until(lambda: GUARD["ActiveState"] == "active", "a guard")
    measured("other guards in its place", float(GUARD.pid != pid))
    leaker_dies("leaker-last")


def _down_to_between() -> str:
    """How much is to be taken, in MiB, to stay between the limits."""
    return str(meminfo("MemAvailable") - BETWEEN)


@check()
def nothing_failed() -> None:
    assert counter("failures") == counter("fallbacks") == 0, events("failed")


@contextmanager
def _same_guard() -> Iterator[None]:
    pid = GUARD.pid
    yield
    assert GUARD.pid == pid, f"another guard: {journal(GUARD)}"


@contextmanager
def _bystander() -> Iterator[None]:
    """Somebody who would be next, and is not."""
    with hog("bystander", "flat", str(BYSTANDER)) as unit:
        until(lambda: unit.rss >= BYSTANDER, "its size")
        yield
        assert unit.alive, unit.ending


def _pause(seconds: int, clocks: Clocks) -> None:
    """Comes back when the machine has stood still for so long, as the clock of its board tells."""
    # One clock around the other: the machine may stand still right between the two.
    before, board = time.monotonic(), _board()
    end = before + 30
    ask_for_pause(seconds, clocks)
    while True:
        time.sleep(TICK)
        at, now = time.monotonic(), _board()
        if now - board >= seconds:
            break
        assert at < end, "it did not stand still"
        before, board = at, now
    went_on = time.monotonic() - before
    measured(f"stood still for {seconds} s, its clocks {clocks}: of it on the monotonic clock, s", went_on)
    assert (went_on >= seconds) is (clocks is Clocks.GO_ON), f"{went_on:.1f} s"


def _board() -> int:
    """The real-time clock, which the host keeps, in seconds."""
    return int(RTC.read_text())
