"""Stopping a unit that is killed again and again: `systemctl stop`, for the telling process.

Nothing here waits: the guard's life signs to systemd must not be late because systemd is.
"""

from __future__ import annotations

import os
from collections import deque

from oomguard.errand import Errand
from oomguard.event import Event, Mode, Storming
from oomguard.storm import Response, may_be_stopped
from oomguard.units import Seconds

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


class Stopper:
    """Stops units, one at a time."""

    def __init__(self, programs: tuple[str, ...] = SYSTEMCTL) -> None:
        """The first of `programs` that is there is systemctl."""
        self.failed: deque[tuple[str, str]] = deque(maxlen=MOST_DUE)
        """Units that could not be stopped and why, for whoever tells it to take them out."""
        self._programs = programs
        self._due: deque[str] = deque(maxlen=MOST_DUE)
        self._order: tuple[str, Errand] | None = None

    @property
    def is_busy(self) -> bool:
        """A unit is to be stopped, or its stopping is waited for."""
        return self._order is not None or bool(self._due)

    def ask(self, unit: str) -> None:
        """Have `unit` stopped; `may_be_stopped` must be true of it."""
        self._due.append(unit)

    def tend(self, now: Seconds) -> None:
        """Go on with what was asked for; to be called again and again."""
        if self._order is not None:
            self._follow(*self._order, now)
        if self._order is None and self._due:
            self._begin(self._due.popleft(), now)

    def _begin(self, unit: str, now: Seconds) -> None:
        program = next((path for path in self._programs if os.access(path, os.X_OK)), None)
        if program is None:
            self.failed.append((unit, "there is no systemctl"))
            return
        try:
            self._order = unit, Errand((program, "stop", "--no-block", "--", unit), {}, now, PATIENCE)
        except OSError as error:
            self.failed.append((unit, f"systemctl cannot be started: {error.strerror}"))

    def _follow(self, unit: str, errand: Errand, now: Seconds) -> None:
        end = errand.tend(now)
        if end is None:
            return
        self._order = None
        if end.problem is not None:
            said = f": {end.output}" if end.output else ""
            self.failed.append((unit, f"systemctl {end.problem}{said}"))
