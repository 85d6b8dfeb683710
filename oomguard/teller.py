"""The guard's end of telling: it starts the telling process and wakes it, and never waits for it.

What is to be told lies in the record; one byte through a pipe says that there is more. The telling
process (`journal`) answers in the ledger, a page that both map, so that the guard reads without a system
call what became of it.
"""

from __future__ import annotations

import mmap
import os
import select
import signal
from contextlib import suppress

from oomguard.child import has_ended, spawn
from oomguard.units import Pid, Seconds

RESPAWN_PAUSE = Seconds(10)
"""At least this long from one start of the telling process to the next."""

_TOLD, _NOTIFIED, _DROPPED, _ADMITTED = range(4)


class Ledger:
    """How far telling has come; it outlives a telling process, so that the next one goes on from there."""

    def __init__(self, fd: int) -> None:
        """Maps the ledger of `create`."""
        self.fd = fd
        self._cells = memoryview(mmap.mmap(fd, mmap.PAGESIZE)).cast("Q")

    @classmethod
    def create(cls, after: int) -> Ledger:
        """A ledger that says: up to the event `after`, all is told. Raises OSError."""
        fd = os.memfd_create("oomguard-ledger")
        os.ftruncate(fd, mmap.PAGESIZE)
        ledger = cls(fd)
        ledger.told = ledger.notified = after
        return ledger

    @property
    def told(self) -> int:
        """The sequence number of the last event that journal or standard error took, or that was dropped."""
        return self._cells[_TOLD]

    @told.setter
    def told(self, sequence: int) -> None:
        self._cells[_TOLD] = sequence

    @property
    def notified(self) -> int:
        """The sequence number of the last event that systemd was notified of, where it concerns it."""
        return self._cells[_NOTIFIED]

    @notified.setter
    def notified(self, sequence: int) -> None:
        self._cells[_NOTIFIED] = sequence

    @property
    def dropped(self) -> int:
        """How many events were overwritten before they were told."""
        return self._cells[_DROPPED]

    @dropped.setter
    def dropped(self, count: int) -> None:
        self._cells[_DROPPED] = count

    @property
    def admitted(self) -> int:
        """How many of the dropped the journal or standard error was told of."""
        return self._cells[_ADMITTED]

    @admitted.setter
    def admitted(self, count: int) -> None:
        self._cells[_ADMITTED] = count


class Teller:
    """The telling process, as the guard has it. No method waits, but `stop`."""

    def __init__(self, record_fd: int, after: int) -> None:
        """Of the record behind `record_fd`, events later than `after` will be told. Raises OSError.

        `tend` starts the process.
        """
        self._record_fd = record_fd
        self._ledger = Ledger.create(after)
        self._dropped = 0
        self._woken, self._wake = os.pipe()
        os.set_blocking(self._wake, False)
        self._pid: Pid | None = None
        self._spawned: Seconds | None = None

    @property
    def pid(self) -> Pid | None:
        """Of the telling process; None while there is none."""
        return self._pid

    def tend(self, now: Seconds) -> None:
        """Starts the telling process where there is none, at most once in `RESPAWN_PAUSE`.

        For calm moments (`child.spawn`).
        """
        if self._alive() or (self._spawned is not None and now < self._spawned + RESPAWN_PAUSE):
            return
        self._spawned = now
        # A host that is out of processes or memory may have some at the next turn.
        with suppress(OSError):
            fds = (self._record_fd, self._woken, self._ledger.fd)
            self._pid = spawn("oomguard.journal", (), fds)

    def wake(self) -> None:
        """Says that there is something to tell."""
        # A full pipe wakes as well.
        with suppress(OSError):
            os.write(self._wake, b"\0")

    def dropped(self) -> int:
        """How many events were lost untold since the last call."""
        total = self._ledger.dropped
        since, self._dropped = total - self._dropped, total
        return since

    def stop(self, timeout: Seconds) -> None:
        """Lets it tell what is left and end, for which it has `timeout`. Nothing can be told afterwards."""
        os.close(self._wake)
        if self._pid is not None:
            pidfd = os.pidfd_open(self._pid)
            ended = select.poll()
            ended.register(pidfd, select.POLLIN)
            if not ended.poll(timeout * 1000):
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            os.close(pidfd)
            os.waitpid(self._pid, 0)
            self._pid = None
        os.close(self._woken)

    def _alive(self) -> bool:
        if self._pid is not None and has_ended(self._pid):
            self._pid = None
        return self._pid is not None
