"""How fast figures move, when memory will have run out at that pace, and how long a kill takes here. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TypeVar

from oomguard.units import Bytes, Seconds
from oomguard.window import Window

T = TypeVar("T")

SPAN = Seconds(0.5)
"""What came before does not tell how fast a figure moves now."""
LEAST = Seconds(0.1)
"""Over less than this, a pace is noise."""
FIRST_GUESS = Seconds(0.1)
"""How long a kill takes, while none has been seen: exit and release of a gigabyte on common hardware."""
LONGEST = Seconds(1.0)
"""A victim that took its time to end by itself says nothing of how long a kill takes."""
REMEMBERED = 4
STILL_SENT = 0.1
"""More than this share of what the disk writes, sent anew, keeps it from draining."""
RECENT = Seconds(5.0)
"""What went to swap longer ago is there."""
SLOWEST = 1024.0
"""Pages a second, 4 MiB: a disk that seems to write less has nothing to do."""


class Slope:
    """How fast a figure rises, in units a second, over the last `SPAN`."""

    def __init__(self) -> None:
        self._points: Window[float] = Window(SPAN)

    def restart(self) -> None:
        """Forget all of it."""
        self._points.clear()

    def add(self, at: Seconds, value: float) -> None:
        """Take one more reading in; time never goes back."""
        self._points.add(at, value)

    def rate(self) -> float:
        """The rise a second; 0 while too little has been seen."""
        return _rate(self._points, float)


class Exhaustion:
    """When available memory and free swap will have run out together, if they fall on as they do."""

    def __init__(self) -> None:
        self._points: Window[tuple[Bytes, Bytes]] = Window(SPAN)

    def add(self, at: Seconds, available: Bytes, swap_free: Bytes) -> None:
        """Take one more sample in; time never goes back."""
        self._points.add(at, (available, swap_free))

    def left(self, swap_cost: float) -> Seconds | None:
        """How long that is from the last sample on; None while they do not fall.

        `swap_cost`, as it is now, counts for all of the samples: that it was another a moment ago, as little
        had been stored yet, is no pace.
        """

        def room(reading: tuple[Bytes, Bytes]) -> float:
            available, swap_free = reading
            return available + swap_free * (1 - swap_cost)

        rate = _rate(self._points, room)
        return Seconds(room(self._points.last[1]) / -rate) if rate < 0 else None


class Backlog:
    """What is on its way into swap, and how long the disk will be busy with it.

    It cannot be called back, and whoever needs a page from there waits behind it: also once the memory of a
    victim has come back.
    """

    def __init__(self) -> None:
        self._sent = Slope()
        self._written = Slope()
        self._latest: Window[int] = Window(RECENT)
        self._pages = 0
        self._pace = 0.0
        self._paced_at = Seconds(0.0)

    def add(self, at: Seconds, swapped_out: int, writeback: int) -> None:
        """Take one more sample in: pages that were sent to swap since boot, and pages being written now."""
        self._latest.add(at, swapped_out)
        # Files are written as well; not more of it is swap than was sent there of late.
        _, before = self._latest.first
        self._pages = min(writeback, swapped_out - before)
        self._sent.add(at, swapped_out)
        self._written.add(at, swapped_out - self._pages)
        pace = self._written.rate() if self._pages else 0.0
        if pace >= self._pace or at > self._paced_at + RECENT:
            self._pace, self._paced_at = pace, at

    def lasts(self) -> Seconds:
        """How long that is at the most that the disk wrote of late; 0 while it has written nothing.

        What it writes now says little: where little was sent, it writes little.
        """
        return Seconds(self._pages / max(self._pace, SLOWEST)) if self._pace else Seconds(0.0)

    def drains(self) -> bool:
        """Next to nothing is added to it any more: the disk alone is what it takes."""
        return self._sent.rate() <= STILL_SENT * self._written.rate()


class Pace:
    """How long the guard's own kills took here, from the signal to the exit."""

    def __init__(self) -> None:
        self._latest: deque[Seconds] = deque(maxlen=REMEMBERED)

    def note(self, took: Seconds) -> None:
        """One more victim has exited."""
        self._latest.append(min(took, LONGEST))

    def takes(self) -> Seconds:
        """How long the next one may take: as long as the slowest of the latest."""
        return max(self._latest, default=FIRST_GUESS)


def _rate(points: Window[T], value: Callable[[T], float]) -> float:
    """The lesser of the pace of all of it and that of its later half: what has stopped has stopped."""
    if len(points) < 2:
        return 0.0
    (start, first), (end, last) = points.first, points.last
    if end - start < LEAST:
        return 0.0
    top = value(last)
    whole = (top - value(first)) / (end - start)
    if not whole:
        return 0.0
    halfway, later = points.since(Seconds(end - SPAN / 2))
    late = (top - value(later)) / (end - halfway) if end > halfway else whole
    return min(whole, late, key=abs) if whole * late > 0 else 0.0
