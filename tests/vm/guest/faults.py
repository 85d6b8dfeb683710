"""What the guard leans on breaks: the journal, the disk, /run."""

from __future__ import annotations

import errno
import os
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from socket import AF_UNIX, SOCK_DGRAM, SOCK_NONBLOCK, socket

from tests.vm.guest import guard
from tests.vm.guest.check import check
from tests.vm.guest.guard import GUARD, OOMGUARD, counter, journal, metrics, status
from tests.vm.guest.hog import leaker_dies
from tests.vm.guest.host import eat, fails, run, until

RECORD = Path("/run/oomguard/record")
JOURNAL = "/run/systemd/journal/socket"
RELOADS = 70
"""Each is told twice, and the record has room for 128 events."""


@check(limit=120)
def starts() -> None:
    guard.install("")


@check(limit=180)
def a_journal_that_hangs_delays_no_kill() -> None:
    start = time.monotonic()
    leaker_dies("leaker")
    took, dropped = time.monotonic() - start, counter("events_dropped")
    with _stopped("systemd-journald.service"):
        _fill_socket(JOURNAL)
        start = time.monotonic()
        leaker_dies("unheard")
        took_unheard = time.monotonic() - start
    assert took_unheard < took + 3, f"{took_unheard:.1f} s, and {took:.1f} s with a journal"
    until(lambda: "unheard.service" in journal(GUARD), "the kill in the journal, once it goes on")
    assert counter("events_dropped") == dropped


@check(limit=240)
def what_the_journal_missed_is_counted_and_told() -> None:
    dropped = counter("events_dropped")
    with _stopped("systemd-journald.service"):
        _fill_socket(JOURNAL)
        _reload_often()
        until(lambda: counter("events_dropped") > dropped, "the count")
    until(lambda: "faster than they could be told" in journal(GUARD), "the loss in the journal")


def _reload_often() -> None:
    """Signals that come while a reload is due are one, and how long a reload takes is the machine's."""
    wanted, pid = counter("config_reloads") + RELOADS, GUARD.pid
    while (missing := wanted - counter("config_reloads")) > 0:
        for _ in range(missing):
            os.kill(pid, signal.SIGHUP)
            time.sleep(0.3)


@contextmanager
def _stopped(unit: str) -> Iterator[None]:
    run("systemctl", "kill", "--signal=STOP", unit)
    try:
        yield
    finally:
        run("systemctl", "kill", "--signal=CONT", unit)


def _fill_socket(path: str) -> None:
    """Until it takes no more, from whomever: each sender alone may have but a few hundred under way."""
    with ExitStack() as stack:
        sent = 1
        while sent:
            sender = stack.enter_context(socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK))
            sender.connect(path)
            sent = 0
            with suppress(BlockingIOError):
                while True:
                    sender.send(b"MESSAGE=filler\n")
                    sent += 1


@check(limit=180)
def a_full_disk_stops_nothing() -> None:
    with _full(Path("/var/tmp")):
        run("systemctl", "restart", GUARD.name)
        leaker_dies("leaker-disk")


@check(limit=180)
def a_full_run_stops_nothing() -> None:
    """The record is there already: it takes no more space, not even for a guard that starts anew."""
    with _asleep("leaker-run"):
        polls, pid = counter("polls"), GUARD.pid
        until(lambda: counter("polls") > polls, "polls")
        run("systemctl", "kill", "--signal=KILL", "--kill-whom=main", GUARD.name)
        guard.comes_back(pid)
        until(lambda: counter("polls") > polls, "the old record, and more polls")


@check(limit=180)
def without_space_for_a_record_it_guards_and_says_so() -> None:
    run("systemctl", "stop", GUARD.name)
    assert not RECORD.exists()
    with _asleep("leaker-record"):
        run("systemctl", "start", GUARD.name)
        until(lambda: "cannot keep the record" in journal(GUARD), "the complaint")
        assert "no guard runs" in fails(OOMGUARD, "status")
        until(lambda: "\noomguard_up 0.0\n" in metrics(), "its loss in the metrics")
        assert GUARD["ActiveState"] == "active", GUARD["ActiveState"]
    run("systemctl", "restart", GUARD.name)
    until(lambda: status()["state"]["pid"] == GUARD.pid, "a record, now that there is space")


@contextmanager
def _asleep(name: str) -> Iterator[None]:
    """A leaker that wakes at the end, and dies. systemd cannot start one while /run is full."""
    # Not hog(): the guard itself is ended meanwhile, and would be found dead.
    unit = eat(name, "leak", "4000", "100")
    try:
        run("systemctl", "kill", "--signal=STOP", unit.name)
        with _full(Path("/run")):
            yield
            run("systemctl", "kill", "--signal=CONT", unit.name)
            until(lambda: not unit.alive, "its death", limit=60)
        assert unit.ending == "killed TERM", unit.ending
    finally:
        unit.stop()


@contextmanager
def _full(folder: Path) -> Iterator[None]:
    """The file system of `folder`, full to the last page."""
    filler = folder / "filler"
    try:
        _fill(filler)
        yield
    finally:
        filler.unlink()


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        size = 0
        for chunk in (64 << 20, 1 << 20, 4096):
            with suppress(OSError):
                while True:
                    os.posix_fallocate(file.fileno(), size, chunk)
                    size += chunk
        try:
            os.pwrite(file.fileno(), b"more", size)
        except OSError as error:
            assert error.errno == errno.ENOSPC, error
        else:
            raise AssertionError("there is still space")


@check()
def nothing_failed() -> None:
    assert counter("failures") == 0
