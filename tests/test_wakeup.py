"""Waiting, on real descriptors and for real signals."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest

from oomguard.gauge import LONGEST_PAUSE, LONGEST_REST
from oomguard.units import Seconds
from oomguard.wakeup import HEEDED, Wakeup

LONG = Seconds(10.0)
"""A wait that lasts so long was not woken."""


@pytest.fixture
def wakeup() -> Iterator[Wakeup]:
    before = {number: signal.getsignal(number) for number in HEEDED}
    yield Wakeup()
    signal.set_wakeup_fd(-1)
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def dying() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(("sleep", "60")) as one:
        yield one
        one.kill()


def is_woken(wakeup: Wakeup, pause: Seconds = LONG) -> bool:
    began = time.monotonic()
    assert wakeup.wait(pause) == frozenset()
    woken = time.monotonic() - began < pause
    assert wakeup.rested is not woken
    return woken


def test_nothing_happens_for_the_whole_pause(wakeup: Wakeup) -> None:
    assert not is_woken(wakeup, Seconds(0.05))


@pytest.mark.parametrize("number", HEEDED)
def test_a_signal_wakes_and_is_given_once(wakeup: Wakeup, number: int) -> None:
    assert not wakeup.rested
    os.kill(os.getpid(), number)
    assert wakeup.wait(LONG) == {number}
    assert not wakeup.rested
    assert not is_woken(wakeup, Seconds(0.05))


def test_signals_that_come_together_are_given_together(wakeup: Wakeup) -> None:
    os.kill(os.getpid(), signal.SIGHUP)
    os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGHUP)
    assert wakeup.wait(LONG) == {signal.SIGHUP, signal.SIGTERM}


def test_the_ends_of_children_can_be_learnt(request: pytest.FixtureRequest) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    request.getfixturevalue("wakeup")
    assert signal.getsignal(signal.SIGCHLD) is signal.SIG_DFL


def test_the_exit_of_a_victim_wakes_once(wakeup: Wakeup, dying: subprocess.Popen[bytes]) -> None:
    pidfd = os.pidfd_open(dying.pid)
    wakeup.watch((pidfd,))
    dying.kill()
    assert is_woken(wakeup)
    assert not is_woken(wakeup, Seconds(0.05))
    os.close(pidfd)


@pytest.mark.parametrize("duplicated", [False, True], ids=["closed", "closed, and held elsewhere"])
def test_victims_whose_descriptors_are_closed_are_let_go(
    wakeup: Wakeup, dying: subprocess.Popen[bytes], duplicated: bool
) -> None:
    """As an episode ends: its descriptors are closed before the loop stops to watch them."""
    pidfd = os.pidfd_open(dying.pid)
    held = [os.dup(pidfd)] if duplicated else []
    wakeup.watch((pidfd,))
    os.close(pidfd)
    wakeup.watch(())
    again = os.pidfd_open(dying.pid)
    wakeup.watch((again,))
    dying.kill()
    assert is_woken(wakeup)
    for fd in (*held, again):
        os.close(fd)


def test_whoever_is_watched_no_more_wakes_no_more(wakeup: Wakeup, dying: subprocess.Popen[bytes]) -> None:
    pidfd = os.pidfd_open(dying.pid)
    wakeup.watch((pidfd,))
    wakeup.watch(())
    dying.kill()
    dying.wait()
    assert not is_woken(wakeup, Seconds(0.05))
    os.close(pidfd)


def test_a_trigger_whose_group_is_gone_is_dropped(wakeup: Wakeup) -> None:
    """A pipe without a reader polls EPOLLERR as a trigger without its control group does."""
    reader, writer = os.pipe()
    assert wakeup.longest == LONGEST_PAUSE
    wakeup.add_trigger(writer)
    assert wakeup.longest == LONGEST_REST
    assert not is_woken(wakeup, Seconds(0.05))
    os.close(reader)
    assert is_woken(wakeup)
    assert wakeup.longest == LONGEST_PAUSE
    assert not is_woken(wakeup, Seconds(0.05))
    os.close(writer)
