"""Stopping a unit that is killed again and again: `systemctl stop`, for the telling process.

Nothing here waits: the guard's life signs to systemd must not be late because systemd is.
"""

from __future__ import annotations

import os
import signal
from collections import deque
from dataclasses import dataclass

from oomguard.event import Event, Mode, Storming
from oomguard.storm import Response, may_be_stopped
from oomguard.units import Pid, Seconds

SYSTEMCTL = ("/usr/bin/systemctl", "/bin/systemctl")
PATIENCE = Seconds(10)
"""For one systemctl, which only has to hand in its order; on a host that stalls it takes a while to load."""
MOST_DUE = 16
"""Units that wait for their turn; who is too many is told of again, as its storm goes on."""


def unit_to_stop(event: Event) -> str | None:
    """The unit that `event` says is stopped, where that is for us to do."""
    match event:
        # Looked at once more: too long a name is cut on its way through the record.
        case Storming(mode=Mode.ENFORCE, action=Response.STOP_UNIT, unit=str(unit)) if may_be_stopped(unit):
            return unit
        case _:
            return None


@dataclass(frozen=True, slots=True)
class _Order:
    """A systemctl that runs."""

    unit: str
    pid: Pid
    until: Seconds


class Stopper:
    """Stops units, one at a time."""

    def __init__(self, programs: tuple[str, ...] = SYSTEMCTL) -> None:
        """The first of `programs` that is there is systemctl."""
        self.failed: deque[tuple[str, str]] = deque(maxlen=MOST_DUE)
        """Units that could not be stopped and why, for whoever tells it to take them out."""
        self._programs = programs
        self._due: deque[str] = deque(maxlen=MOST_DUE)
        self._order: _Order | None = None

    def ask(self, unit: str) -> None:
        """Have `unit` stopped; `may_be_stopped` must be true of it."""
        self._due.append(unit)

    def tend(self, now: Seconds) -> None:
        """Go on with what was asked for; to be called again and again."""
        if self._order is not None:
            self._follow(self._order, now)
        if self._order is None and self._due:
            self._begin(self._due.popleft(), now)

    def _begin(self, unit: str, now: Seconds) -> None:
        program = next((path for path in self._programs if os.access(path, os.X_OK)), None)
        if program is None:
            self.failed.append((unit, "there is no systemctl"))
            return
        try:
            pid = os.posix_spawn(
                program,
                (program, "stop", "--no-block", "--", unit),
                {},
                file_actions=[(os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_RDWR, 0) for fd in range(3)],
                setsigmask=(),
            )
        except OSError as error:
            self.failed.append((unit, f"systemctl cannot be started: {error.strerror}"))
            return
        self._order = _Order(unit, Pid(pid), Seconds(now + PATIENCE))

    def _follow(self, order: _Order, now: Seconds) -> None:
        pid, status = os.waitpid(order.pid, os.WNOHANG)
        if pid == 0:
            if now >= order.until:
                os.kill(order.pid, signal.SIGKILL)
            return
        self._order = None
        code = os.waitstatus_to_exitcode(status)
        if code > 0:
            self.failed.append((order.unit, f"systemctl ended with status {code}"))
        elif code < 0:
            self.failed.append((order.unit, f"systemctl was ended by signal {-code}"))
