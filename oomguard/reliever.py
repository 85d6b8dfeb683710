"""The guard's end of relief: starts the relieving process, hands it orders, reads its reports. Never waits.

The process (`valve`) undoes what is in force once the pipe of its orders is at its end, so the guard need
not do anything when it dies.
"""

from __future__ import annotations

import os
import select
from contextlib import suppress

from oomguard.child import has_ended, spawn
from oomguard.orders import Order, Report, decode_report, encode_order
from oomguard.units import Pid, Seconds

RESPAWN_PAUSE = Seconds(10)
"""At least this long from one start of the relieving process to the next."""


class Reliever:
    """The relieving process, as the guard has it."""

    def __init__(self, notes: str) -> None:
        """`notes`: the path of its notes. Nothing is started before `tend`."""
        self._notes = notes
        self._orders: int | None = None
        self._reports: int | None = None
        self._rest = b""
        self._pid: Pid | None = None
        self._spawned: Seconds | None = None

    @property
    def pid(self) -> Pid | None:
        """Of the relieving process; None while there is none."""
        return self._pid

    @property
    def is_there(self) -> bool:
        """Whether orders can be handed over."""
        return self._orders is not None

    def left_behind(self) -> bool:
        """Whether a dead guard has restrained somebody who is still restrained."""
        try:
            return os.stat(self._notes).st_size > 0
        except OSError:
            return False

    def tend(self, now: Seconds) -> str | None:
        """Start the process where there is none, at most once in `RESPAWN_PAUSE`; for calm moments.

        Gives what to tell, in words.
        """
        if self._alive() or (self._spawned is not None and now < self._spawned + RESPAWN_PAUSE):
            return None
        self._spawned = now
        try:
            self._spawn()
        except OSError as error:
            why = error.strerror
            return f"the relieving process cannot be started: {why}; nothing is tried before a kill"
        return None

    def order(self, order: Order) -> bool:
        """Hand it over; False where it cannot be: the process is gone, busy, or the order too long."""
        line = encode_order(order)
        if self._orders is None or len(line) > select.PIPE_BUF:
            return False
        try:
            os.write(self._orders, line)
        except OSError:
            return False
        return True

    def reports(self) -> tuple[Report, ...]:
        """What it has told since the last call."""
        if self._reports is None:
            return ()
        with suppress(OSError):
            *lines, self._rest = (self._rest + os.read(self._reports, select.PIPE_BUF)).split(b"\n")
            return tuple(map(decode_report, lines))
        return ()

    def retire(self) -> None:
        """Have all undone, and the process end once that is done."""
        if self._orders is not None:
            os.close(self._orders)
            self._orders = None
        self._alive()

    def stop(self, timeout: Seconds) -> None:
        """The same, and wait for it, for `timeout` at the most: it goes on without us."""
        self.retire()
        if self._pid is not None:
            pidfd = os.pidfd_open(self._pid)
            ended = select.poll()
            ended.register(pidfd, select.POLLIN)
            ended.poll(timeout * 1000)
            os.close(pidfd)

    def _alive(self) -> bool:
        if self._pid is not None and has_ended(self._pid):
            self._pid = None
            self._close()
        return self._pid is not None

    def _close(self) -> None:
        for fd in (self._orders, self._reports):
            if fd is not None:
                os.close(fd)
        self._orders = self._reports = None
        self._rest = b""

    def _spawn(self) -> None:
        theirs, self._orders = os.pipe()
        self._reports, their_reports = os.pipe()
        os.set_blocking(self._orders, False)
        os.set_blocking(self._reports, False)
        fds = (theirs, their_reports)
        try:
            self._pid = spawn("oomguard.valve", (self._notes,), fds)
        except OSError:
            self._close()
            raise
        finally:
            for fd in fds:
                os.close(fd)
