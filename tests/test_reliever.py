"""With the real relieving process; nothing that it is told to do can be done on this host."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from oomguard import reliever
from oomguard.orders import Report, SendOrder, Tried
from oomguard.process import Key
from oomguard.reliever import RESPAWN_PAUSE, Reliever
from oomguard.remedy import Result
from oomguard.rules import Signal
from oomguard.units import Bytes, Pid, Seconds, Ticks

NOBODY = SendOrder(number=1, key=Key(Pid(1 << 22), Ticks(1)), signal=Signal.USR1)
NOW = Seconds(100.0)
GUARD = """
import os, sys
from oomguard.reliever import Reliever
from oomguard.units import Seconds
one = Reliever(sys.argv[1])
one.tend(Seconds(0))
print(one.pid, flush=True)
os.kill(os.getpid(), 9)
"""


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Reliever]:
    one = Reliever(str(tmp_path / "record.relief"))
    yield one
    one.stop(Seconds(30.0))
    one.retire()
    assert one.pid is None


def report(one: Reliever) -> Report:
    until = time.monotonic() + 30
    while time.monotonic() < until:
        if found := one.reports():
            return found[0]
        time.sleep(0.01)
    raise AssertionError("nothing told")


def test_an_order_is_answered(one: Reliever) -> None:
    assert (one.order(NOBODY), one.reports(), one.pid) == (False, (), None)
    one.tend(NOW)
    pid = one.pid
    one.tend(Seconds(NOW + RESPAWN_PAUSE))
    assert one.pid == pid is not None
    assert one.order(NOBODY)
    assert report(one) == Tried(number=1, result=Result.VANISHED, amount=Bytes(0))
    assert one.reports() == ()


def test_who_was_killed_is_followed_by_another(one: Reliever) -> None:
    one.tend(NOW)
    first = one.pid
    assert first is not None
    os.kill(first, 9)
    os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT)
    one.tend(Seconds(NOW + RESPAWN_PAUSE - 1))
    assert (one.pid, one.order(NOBODY)) == (None, False)
    one.tend(Seconds(NOW + RESPAWN_PAUSE))
    assert one.order(NOBODY)
    assert report(one) == Tried(number=1, result=Result.VANISHED, amount=Bytes(0))


def test_a_host_without_processes_to_spare(one: Reliever, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    with monkeypatch.context() as patched:
        patched.setattr(os, "posix_spawn", refuse)
        told = one.tend(NOW)
    assert told == (
        "the relieving process cannot be started: Resource temporarily unavailable; "
        "nothing is tried before a kill"
    )
    assert not one.is_there
    assert (one.pid, one.order(NOBODY), one.reports()) == (None, False, ())
    assert one.tend(Seconds(NOW + RESPAWN_PAUSE)) is None
    assert one.pid is not None
    assert one.is_there


def test_what_cannot_be_handed_over_is_not(one: Reliever, monkeypatch: pytest.MonkeyPatch) -> None:
    one.tend(NOW)
    monkeypatch.setattr(reliever, "encode_order", lambda _: b"x" * (select.PIPE_BUF + 1))
    assert not one.order(NOBODY)

    def full(*_: object) -> int:
        raise BlockingIOError

    monkeypatch.undo()
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        assert not one.order(NOBODY)


def test_it_retires(one: Reliever) -> None:
    one.tend(NOW)
    pid = one.pid
    assert pid is not None
    one.retire()
    assert not one.order(NOBODY)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    one.retire()
    assert one.pid is None


def test_who_stops_does_not_wait_for_ever(one: Reliever) -> None:
    one.tend(NOW)
    assert one.pid is not None
    os.kill(one.pid, 19)
    one.stop(Seconds(0.1))
    os.kill(one.pid, 18)


def test_it_ends_with_its_guard(tmp_path: Path) -> None:
    words = (sys.executable, "-c", GUARD, str(tmp_path / "record.relief"))
    pid = int(subprocess.run(words, check=False, capture_output=True, text=True).stdout)
    until = time.monotonic() + 30
    while Path(f"/proc/{pid}/statm").exists() and "valve" in Path(f"/proc/{pid}/cmdline").read_text():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_what_is_left_behind_is_seen(one: Reliever, tmp_path: Path) -> None:
    notes = tmp_path / "record.relief"
    assert not one.left_behind()
    notes.touch()
    assert not one.left_behind()
    notes.write_text("{}\n")
    assert one.left_behind()
