from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from oomguard import teller
from oomguard.record import Writer
from oomguard.teller import Ledger, Teller
from oomguard.units import Seconds

GUARD = """
import os, signal, sys, time
from oomguard.event import Degraded
from oomguard.record import Writer
from oomguard.teller import Teller
from oomguard.units import Seconds
writer = Writer.anonymous()
writer.tell(Degraded(text="told before"))
teller = Teller(writer.fd, 1)
teller.tend(Seconds(0))
{life}
"""


def standard_error_of(life: str) -> list[str]:
    """The lines that the guard of this life and its telling process leave, until both have ended."""
    command = [sys.executable, "-c", GUARD.format(life=life)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    return done.stderr.splitlines()


def test_stop_lets_the_rest_be_told() -> None:
    lines = standard_error_of("writer.tell(Degraded(text='last words')); teller.stop(Seconds(10))")
    assert lines == ["oomguard: Missing on this host: last words"]


@pytest.mark.parametrize("end", ["os._exit(1)", "os.kill(os.getpid(), signal.SIGKILL)"])
def test_a_guard_that_dies_has_its_last_words_told(end: str) -> None:
    lines = standard_error_of(f"writer.tell(Degraded(text='last words')); {end}")
    assert lines == ["oomguard: Missing on this host: last words"]


def test_signals_to_all_leave_the_last_words_be() -> None:
    life = """
os.setpgid(0, 0)
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    os.kill(teller.pid, number)
time.sleep(0.2)
writer.tell(Degraded(text='last words'))
teller.stop(Seconds(10))
"""
    assert standard_error_of(life) == ["oomguard: Missing on this host: last words"]


def test_a_telling_process_that_does_not_end_is_ended() -> None:
    life = """
os.kill(teller.pid, signal.SIGSTOP)
pid = teller.pid
teller.stop(Seconds(0.2))
os.kill(pid, 0)
"""
    lines = standard_error_of(life)
    assert lines[-1] == "ProcessLookupError: [Errno 3] No such process"


def test_it_is_ordinary_where_the_guard_is_not() -> None:
    life = """
os.kill(teller.pid, signal.SIGKILL)
os.setpriority(os.PRIO_PROCESS, 0, -5)
time.sleep(0.1)
teller.tend(Seconds(10))
writer.tell(Degraded(text='x'))
teller.wake()
time.sleep(0.5)
print(os.getpriority(os.PRIO_PROCESS, 0), os.getpriority(os.PRIO_PROCESS, teller.pid), file=sys.stderr)
teller.stop(Seconds(10))
"""
    if os.geteuid() != 0:
        pytest.skip("not root: no priority to give back")
    assert standard_error_of(life)[-1] == "-5 0"


@pytest.fixture
def idle() -> Iterator[Teller]:
    """One whose process is not started."""
    writer = Writer.anonymous()
    teller = Teller(writer.fd, 0)
    yield teller
    teller.stop(Seconds(1))
    writer.close()


def test_waking_never_waits_nor_fails(idle: Teller) -> None:
    for _ in range(100_000):
        idle.wake()


def test_a_process_that_cannot_be_started_is_tried_again(
    idle: Teller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent")
    idle.tend(Seconds(5))
    assert idle.pid is None
    monkeypatch.undo()
    idle.tend(Seconds(5 + teller.RESPAWN_PAUSE - 0.1))
    assert idle.pid is None
    idle.tend(Seconds(5 + teller.RESPAWN_PAUSE))
    first = idle.pid
    assert first is not None
    idle.tend(Seconds(1000))
    assert idle.pid == first


def test_tend_starts_a_new_process_for_one_that_ended(idle: Teller) -> None:
    idle.tend(Seconds(0))
    first = idle.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT)
    idle.tend(Seconds(teller.RESPAWN_PAUSE))
    assert idle.pid not in {None, first}


def test_the_ledger_is_shared() -> None:
    ours = Ledger.create(7)
    theirs = Ledger(ours.fd)
    assert (theirs.told, theirs.notified, theirs.dropped, theirs.admitted) == (7, 7, 0, 0)
    theirs.told, theirs.notified, theirs.dropped, theirs.admitted = 8, 9, 1 << 40, 6
    assert (ours.told, ours.notified, ours.dropped, ours.admitted) == (8, 9, 1 << 40, 6)


def test_drops_are_reported_once(idle: Teller) -> None:
    ledger = idle._ledger  # as the telling process has it
    ledger.dropped += 3
    assert (idle.dropped(), idle.dropped()) == (3, 0)
    ledger.dropped += 2
    assert idle.dropped() == 2
