"""A machine that sleeps: the guard sleeps with it, and wakes as the one that it was."""

from __future__ import annotations

import time
from pathlib import Path

from tests.vm.guest import guard
from tests.vm.guest.check import check, measured
from tests.vm.guest.guard import GUARD, counter, events, journal, status
from tests.vm.guest.hog import leaker_dies
from tests.vm.guest.host import until

ALARM = Path("/sys/class/rtc/rtc0/wakealarm")
STATE, DEPTH = Path("/sys/power/state"), Path("/sys/power/mem_sleep")
AWAY = 45
"""Seconds: longer than systemd waits for a life sign of the guard's (WatchdogSec=)."""


@check(limit=120)
def starts() -> None:
    guard.install("")
    until(lambda: counter("polls") > 10, "polls")


@check(limit=180)
def suspended_to_idle_nobody_dies_and_it_goes_on() -> None:
    """These emulated CPUs know no idle state in which Linux would stop its clock: all of it is lateness."""
    _sleeps("freeze")


@check(limit=180)
def suspended_to_memory_nobody_dies_and_it_goes_on() -> None:
    """The clock stands still meanwhile, as on a laptop."""
    DEPTH.write_text("deep")
    _sleeps("mem")


@check(limit=180)
def a_leaker_dies_afterwards() -> None:
    leaker_dies("leaker")


@check()
def nothing_failed() -> None:
    assert counter("failures") == counter("fallbacks") == 0, events("failed")


def _sleeps(state: str) -> None:
    pid, kills, wall, clock = GUARD.pid, counter("kills"), time.time(), time.monotonic()
    ALARM.write_text("0")
    ALARM.write_text(f"+{AWAY}")
    # Comes back when the machine has woken up.
    STATE.write_text(state)
    away = time.time() - wall
    polls = counter("polls")
    measured(f"{state}: away, s", away)
    measured(f"{state}: of it on the monotonic clock, s", time.monotonic() - clock)
    assert away > AWAY - 5, f"it slept for {away:.1f} s"
    until(lambda: counter("polls") > polls + 10, "polls")
    worst = status()["state"]["worst_lateness"]
    measured(f"{state}: the most that a poll was late since the start, s", worst)
    assert GUARD.pid == pid, f"another guard: {journal(GUARD)}"
    assert counter("kills") == kills, events("killing")
