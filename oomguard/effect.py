"""What an act brought: in available memory, and in the share of the time that the host stalled. Pure."""

from __future__ import annotations

from oomguard.frozen import frozen
from oomguard.pressure import Sample
from oomguard.units import Bytes, Seconds
from oomguard.window import Window

BEFORE = Seconds(3.0)
"""How long before an act the stall counts as that before it."""
PARTS = 20
"""Of it: readings that come denser are kept no denser."""


@frozen
class Effect:
    """The difference since an act was begun. What others did meanwhile is in it too."""

    gained: Bytes
    """How much more memory is available; may be negative."""
    stalled_before: float
    """The share of the time that the host stalled in full before it; 0 where the kernel does not tell."""
    stalled_after: float
    took: Seconds


@frozen
class Start:
    """How the host was when an act was begun."""

    at: Seconds
    available: Bytes
    stall: Seconds
    """In full, since boot."""
    stalled_before: float


class Watch:
    """Remembers the stall of the last seconds."""

    def __init__(self) -> None:
        self._stalls: Window[Seconds] = Window(BEFORE, Seconds(BEFORE / PARTS))

    def note(self, sample: Sample) -> None:
        """Take one more sample in."""
        self._stalls.add(sample.at, _stall(sample))

    def start(self, sample: Sample) -> Start:
        """How the host is, by the sample that was noted last."""
        since = sample.at - max(self._stalls.first[0], sample.at - BEFORE)
        return Start(
            at=sample.at,
            available=sample.memory.available,
            stall=_stall(sample),
            stalled_before=_share(self._stalls.rise(float), since),
        )


def effect(start: Start, sample: Sample) -> Effect:
    """What has come since `start`."""
    took = Seconds(sample.at - start.at)
    return Effect(
        gained=Bytes(sample.memory.available - start.available),
        stalled_before=start.stalled_before,
        stalled_after=_share(_stall(sample) - start.stall, took),
        took=took,
    )


def _stall(sample: Sample) -> Seconds:
    return sample.pressure.full if sample.pressure else Seconds(0.0)


def _share(stall: float, time: float) -> float:
    return min(max(stall / time, 0.0), 1.0) if time > 0 else 0.0
