"""On a tree of plain files; and one of a kernel's, where this host lets us make a control group (root)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import IO

import pytest

from oomguard import restraint, valve
from oomguard.cgroupfs import CgroupFS
from oomguard.notes import Notes
from oomguard.orders import (
    Found,
    Order,
    ReclaimOrder,
    Report,
    RestrainOrder,
    SendOrder,
    Tried,
    Undone,
    UndoOrder,
    decode_report,
    encode_order,
)
from oomguard.process import Key
from oomguard.remedy import Action, Ending, Result
from oomguard.restraint import CHUNK, SLACK, Refusal
from oomguard.rules import Signal
from oomguard.units import Bytes, Pid, Seconds, Ticks
from oomguard.valve import Valve

NOW = Seconds(100.0)
PROGRAM = "import sys; from oomguard import valve; valve.CGROUPS = sys.argv.pop(1); valve.main()"
FREEZE = RestrainOrder(number=1, action=Action.FREEZE, cgroup="/a", members=(Pid(5),), lasts=Seconds(10.0))
THROTTLE = replace(FREEZE, number=2, action=Action.THROTTLE)
UNIFIED = Path("/sys/fs/cgroup/unified")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "cgroup.controllers").touch()
    group = tmp_path / "a"
    group.mkdir()
    (group / "cgroup.procs").write_text("5\n")
    (group / "cgroup.freeze").write_text("0\n")
    (group / "cgroup.events").write_text("frozen 0\n")
    (group / "memory.high").write_text("max\n")
    (group / "memory.current").write_text("4096\n")
    (group / "memory.reclaim").touch()
    return tmp_path


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    return tmp_path / "record.relief"


@pytest.fixture
def told() -> list[Report]:
    return []


@pytest.fixture
def one(root: Path, notes: Path, told: list[Report]) -> Valve:
    return Valve(CgroupFS(str(root)), Notes(str(notes)), told.append)


def frozen(root: Path) -> str:
    return (root / "a/cgroup.freeze").read_text().strip()


def high(root: Path) -> str:
    return (root / "a/memory.high").read_text().strip()


def noted(notes: Path) -> list[str]:
    return [json.loads(line)["action"] for line in notes.read_text().splitlines()]


def test_it_is_undone_when_its_time_is_over(one: Valve, root: Path, notes: Path, told: list[Report]) -> None:
    one.obey(FREEZE, NOW)
    one.obey(THROTTLE, Seconds(NOW + 1))
    held_to = Bytes(4096 + SLACK)
    assert told == [
        Tried(number=1, result=Result.DONE, amount=Bytes(0)),
        Tried(number=2, result=Result.DONE, amount=held_to),
    ]
    assert (frozen(root), high(root), noted(notes)) == ("1", str(held_to), ["freeze", "throttle"])
    one.tend(Seconds(NOW + 9.9))
    assert frozen(root) == "1"
    assert one.pause(Seconds(NOW + 9.9)) == pytest.approx(0.1)
    one.tend(Seconds(NOW + 10))
    assert (frozen(root), noted(notes)) == ("0", ["throttle"])
    assert told[2:] == [Undone(number=1, ending=Ending.TIME)]
    assert one.pause(Seconds(NOW + 20)) == Seconds(0.0)
    one.tend(Seconds(NOW + 20))
    assert (high(root), noted(notes), one.pause(NOW)) == ("max", [], valve.TICK)


def test_it_is_undone_when_ordered(one: Valve, root: Path, notes: Path, told: list[Report]) -> None:
    one.obey(FREEZE, NOW)
    one.obey(UndoOrder(number=1, ending=Ending.VICTIM), NOW)
    one.obey(UndoOrder(number=7, ending=Ending.VICTIM), NOW)
    assert (frozen(root), noted(notes)) == ("0", [])
    assert told[1:] == [Undone(number=1, ending=Ending.VICTIM)]


def test_it_is_undone_at_the_end(one: Valve, root: Path, notes: Path) -> None:
    one.obey(FREEZE, NOW)
    one.close()
    assert (frozen(root), noted(notes)) == ("0", [])


def test_what_is_refused_leaves_no_note(one: Valve, root: Path, notes: Path, told: list[Report]) -> None:
    (root / "a/cgroup.procs").write_text("5\n6\n")
    one.obey(FREEZE, NOW)
    one.obey(replace(FREEZE, cgroup="/b"), NOW)
    assert [report.result for report in told if isinstance(report, Tried)] == [
        Result.CHANGED,
        Result.VANISHED,
    ]
    assert (frozen(root), noted(notes)) == ("0", [])


def test_what_cannot_be_noted_is_not_done(
    one: Valve, root: Path, told: list[Report], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", refuse)
    one.obey(FREEZE, NOW)
    assert told == [Tried(number=1, result=Result.REFUSED, amount=Bytes(0))]
    assert frozen(root) == "0"


def test_without_notes_nobody_is_restrained(root: Path, told: list[Report]) -> None:
    one = Valve(CgroupFS(str(root)), None, told.append)
    one.obey(FREEZE, NOW)
    assert told == [Tried(number=1, result=Result.REFUSED, amount=Bytes(0))]
    assert frozen(root) == "0"
    one.close()


def test_it_is_noted_before_it_is_done(
    one: Valve, root: Path, notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever dies in between leaves a note of what was not done: undoing that does nothing."""
    monkeypatch.setattr(restraint, "restrain", lambda *_: noted(notes)[0] == "freeze" or pytest.fail())
    one.obey(FREEZE, NOW)
    assert frozen(root) == "0"
    one.close()
    assert frozen(root) == "0"


def test_what_could_not_be_undone_is_tried_again(
    one: Valve, root: Path, notes: Path, told: list[Report], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise Refusal(Result.REFUSED)

    one.obey(FREEZE, NOW)
    with monkeypatch.context() as patched:
        patched.setattr(restraint, "undo", refuse)
        one.tend(Seconds(NOW + 10))
    assert (frozen(root), noted(notes), len(told)) == ("1", ["freeze"], 1)
    one.tend(Seconds(NOW + 10.5))
    assert frozen(root) == "1"
    one.tend(Seconds(NOW + 11))
    assert (frozen(root), told[1:]) == ("0", [Undone(number=1, ending=Ending.TIME)])


def test_memory_is_reclaimed_on_the_side(root: Path, told: list[Report]) -> None:
    one = Valve(CgroupFS(str(root)), None, told.append)
    order = ReclaimOrder(
        number=3, cgroup="/a", members=(Pid(5),), amount=Bytes(2 * CHUNK), lasts=Seconds(10.0)
    )
    one.obey(order, Seconds(time.monotonic()))
    assert _soon(told) == Tried(number=3, result=Result.DONE, amount=Bytes(2 * CHUNK))
    one.obey(replace(order, members=()), Seconds(time.monotonic()))
    assert _soon(told) == Tried(number=3, result=Result.CHANGED, amount=Bytes(0))
    one.obey(replace(order, lasts=Seconds(0.0)), Seconds(time.monotonic()))
    assert _soon(told) == Tried(number=3, result=Result.PARTLY, amount=Bytes(0))
    one.obey(UndoOrder(number=4, ending=Ending.WELL), NOW)
    one.obey(replace(order, number=4), Seconds(time.monotonic()))
    assert _soon(told) == Tried(number=4, result=Result.PARTLY, amount=Bytes(0))


def _soon(told: list[Report]) -> Report:
    until = time.monotonic() + 30
    while not told and time.monotonic() < until:
        time.sleep(0.01)
    return told.pop()


def test_a_signal_for_nobody(one: Valve, told: list[Report]) -> None:
    one.obey(SendOrder(number=5, key=Key(Pid(1 << 22), Ticks(1)), signal=Signal.USR1), NOW)
    assert told == [Tried(number=5, result=Result.VANISHED, amount=Bytes(0))]


class Process:
    """The relieving process, with us as its guard."""

    def __init__(self, root: Path, notes: Path) -> None:
        theirs, self.orders = os.pipe()
        self.reports, their_reports = os.pipe()
        words = (sys.executable, "-c", PROGRAM, str(root), str(notes), str(theirs), str(their_reports))
        self._child = subprocess.Popen(words, pass_fds=(theirs, their_reports))
        os.close(theirs)
        os.close(their_reports)
        self._lines: IO[bytes] = os.fdopen(self.reports, "rb")

    def order(self, order: Order) -> None:
        os.write(self.orders, encode_order(order))

    def report(self) -> Report:
        return decode_report(self._lines.readline())

    def kill(self) -> None:
        self._child.kill()
        self._child.wait()

    def wait(self) -> int:
        return self._child.wait(30)

    def close(self) -> None:
        self._lines.close()
        with suppress(OSError):
            os.close(self.orders)
        self.kill()


@contextmanager
def running(root: Path, notes: Path) -> Iterator[Process]:
    process = Process(root, notes)
    yield process
    process.close()


def test_the_end_of_the_guard_undoes_all(root: Path, notes: Path) -> None:
    with running(root, notes) as process:
        process.order(FREEZE)
        assert process.report() == Tried(number=1, result=Result.DONE, amount=Bytes(0))
        assert frozen(root) == "1"
        os.close(process.orders)
        assert process.wait() == 0
        assert (frozen(root), noted(notes)) == ("0", [])


def test_orders_that_come_at_once_and_in_halves(root: Path, notes: Path) -> None:
    with running(root, notes) as process:
        text = (
            encode_order(FREEZE)
            + encode_order(THROTTLE)
            + encode_order(UndoOrder(number=1, ending=Ending.WELL))
        )
        os.write(process.orders, text[:-20])
        assert [process.report(), process.report()][1] == Tried(
            number=2, result=Result.DONE, amount=Bytes(4096 + SLACK)
        )
        os.write(process.orders, text[-20:])
        assert process.report() == Undone(number=1, ending=Ending.WELL)


def test_what_a_dead_one_left_behind_is_undone_by_the_next(root: Path, notes: Path) -> None:
    with running(root, notes) as process:
        process.order(FREEZE)
        process.report()
        process.kill()
    assert (frozen(root), noted(notes)) == ("1", ["freeze"])
    with running(root, notes) as process:
        assert process.report() == Found(action=Action.FREEZE, cgroup="/a")
        assert (frozen(root), noted(notes)) == ("0", [])


def test_or_by_systemd(root: Path, notes: Path) -> None:
    undo = (sys.executable, "-c", PROGRAM, str(root), str(notes))
    assert subprocess.run(undo, check=False).returncode == 0
    assert not notes.exists()
    with running(root, notes) as process:
        process.order(FREEZE)
        process.report()
        process.kill()
    assert subprocess.run(undo, check=False).returncode == 0
    assert (frozen(root), noted(notes)) == ("0", [])


def test_the_next_waits_for_the_last(root: Path, notes: Path) -> None:
    with running(root, notes) as last:
        last.order(FREEZE)
        last.report()
        with running(root, notes) as following:
            following.order(replace(THROTTLE, number=9))
            os.close(last.orders)
            assert last.wait() == 0
            report = following.report()
            assert isinstance(report, Tried)
            assert (report.number, frozen(root)) == (9, "0")


def test_without_a_folder_for_its_notes_it_goes_on(root: Path, tmp_path: Path) -> None:
    with running(root, tmp_path / "missing/record.relief") as process:
        process.order(FREEZE)
        assert process.report() == Tried(number=1, result=Result.REFUSED, amount=Bytes(0))


@pytest.fixture
def real() -> Iterator[Path]:
    """A control group of our own, with one process of our own in it."""
    group = UNIFIED / f"oomguard-test-{os.getpid()}"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"no control group of our own: {error.strerror}")
    with subprocess.Popen(("sleep", "1000")) as sleeper:
        (group / "cgroup.procs").write_text(str(sleeper.pid))
        yield group
        sleeper.kill()
        sleeper.wait()
    group.rmdir()


def test_a_kernel_freezes_and_thaws(real: Path, notes: Path) -> None:
    pid = Pid(int((real / "cgroup.procs").read_text()))
    order = replace(FREEZE, cgroup=f"/{real.name}", members=(pid,))
    with running(UNIFIED, notes) as process:
        process.order(order)
        assert process.report() == Tried(number=1, result=Result.DONE, amount=Bytes(0))
        # The write returns before all have stopped (kernel/cgroup/freezer.c `cgroup_do_freeze()`).
        until = time.monotonic() + 30
        while "frozen 0" in (real / "cgroup.events").read_text():
            assert time.monotonic() < until
            time.sleep(0.01)
        process.order(replace(order, number=2))
        assert process.report() == Tried(number=2, result=Result.ALREADY, amount=Bytes(0))
        process.order(replace(order, number=3, action=Action.THROTTLE))
        assert process.report() == Tried(number=3, result=Result.UNSUPPORTED, amount=Bytes(0))
        os.kill(pid, signal.SIGTERM)
        process.order(UndoOrder(number=1, ending=Ending.VICTIM))
        assert process.report() == Undone(number=1, ending=Ending.VICTIM)
        assert (real / "cgroup.freeze").read_text() == "0\n"
