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
def suspended_to_memory_nobody_dies_and_it_goes_on() -> None:
    pid, kills, wall, clock = GUARD.pid, counter("kills"), time.time(), time.monotonic()
    _sleep()
    away, went_on = time.time() - wall, time.monotonic() - clock
    polls = counter("polls")
    measured("away, s", away)
    measured("of it on the monotonic clock, s", went_on)
    assert away > AWAY - 5, f"it slept for {away:.1f} s"
    until(lambda: counter("polls") > polls + 10, "polls")
    measured("the most that a poll was late since the start, s", status()["state"]["worst_lateness"])
    assert GUARD.pid == pid, f"another guard: {journal(GUARD)}"
    assert counter("kills") == kills, events("killing")


@check(limit=180)
def a_leaker_dies_afterwards() -> None:
    leaker_dies("leaker")


@check()
def nothing_failed() -> None:
    assert counter("failures") == counter("fallbacks") == 0, events("failed")


def _sleep() -> None:
    """Comes back when the machine's clock has woken it. To idle (`freeze`) nothing in it would wake it."""
    ALARM.write_text(f"+{AWAY}")
    DEPTH.write_text("deep")
    STATE.write_text("mem")
