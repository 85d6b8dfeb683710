"""What an error of the guard's own may cost: never more than the step that it came up in.

An error that nobody thought of is counted each time, told once, and the loop goes on. When one poll after
the other decides nothing, the fallback decides instead, and each poll still tries to do better. Only once
that fails as well does the guard end, so that whoever started it starts another (systemd's Restart=).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from oomguard.counters import FAILURES
from oomguard.errors import OomguardError, origin
from oomguard.event import Event, Failed, Lifecycle, LifecycleChanged
from oomguard.fallback import Fallback
from oomguard.record import Writer

T = TypeVar("T")

IN_A_ROW = 3
"""So many polls that decide nothing are no accident."""
MOST_TOLD = 64
"""Kinds of errors; a guard that has so many of them has told enough."""


class Broken(OomguardError):
    """Neither the guard's own decisions work nor the fallback's."""


class Failsafe:
    """Counts and tells what goes wrong, and knows who decides."""

    def __init__(self, writer: Writer, wake: Callable[[], None]) -> None:
        """`wake`: whoever tells what stands in the record."""
        self._writer = writer
        self._wake = wake
        self._told: set[str] = set()
        self._undecided = 0
        self._broken = 0

    @property
    def stands_in(self) -> bool:
        """The fallback decides."""
        return self._undecided >= IN_A_ROW

    def attempt(self, step: Callable[[], T]) -> T | None:
        """What the step gives, or None where it failed."""
        try:
            return step()
        # A guard that goes on after an error of its own is worth more than one that ends by it.
        except Exception as error:  # noqa: BLE001
            self._note(error)
            return None

    def decided(self, fallback: Fallback) -> tuple[Event, ...]:
        """A poll has come to a decision of its own; what to tell of it."""
        stood_in, self._undecided, self._broken = self.stands_in, 0, 0
        if not stood_in:
            return ()
        fallback.end()
        return (LifecycleChanged(what=Lifecycle.RESUMED, text=""),)

    def undecided(self, fallback: Fallback) -> tuple[Event, ...]:
        """A poll has come to none; what to tell of it. Raises `Broken` once there is no more to try."""
        self._undecided += 1
        if not self.stands_in:
            return ()
        events: list[Event] = []
        if self._undecided == IN_A_ROW:
            text = f"{IN_A_ROW} polls in a row failed"
            events.append(LifecycleChanged(what=Lifecycle.FELL_BACK, text=text))
        try:
            killing = fallback.poll()
        except Exception as error:
            self._note(error)
            self._broken += 1
            if self._broken == IN_A_ROW:
                problem = "neither its own decisions work nor the fallback's; the journal has the errors"
                raise Broken(problem) from error
        else:
            self._broken = 0
            if killing is not None:
                events.append(killing)
        return tuple(events)

    def _note(self, error: Exception) -> None:
        self._writer.count(FAILURES)
        # It is counted; where telling is what fails, that has to do.
        with suppress(Exception):
            failure = origin(error)
            if failure not in self._told and len(self._told) < MOST_TOLD:
                self._told.add(failure)
                self._writer.tell(Failed(text=failure))
                self._wake()
