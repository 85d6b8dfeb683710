"""The guard's helper processes, together: who tells, who relieves, who shows the metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from oomguard.companion import Companion
from oomguard.reliever import Reliever
from oomguard.teller import Teller
from oomguard.units import Pid, Seconds

LAST_WORDS = Seconds(2.0)
"""What one has to tell that the guard stops, the other to undo what it did."""


class Helpers:
    """None of them runs before it is tended, and the guard waits for none but at its own end."""

    def __init__(self, teller: Teller, reliever: Reliever, exporter: Companion | None) -> None:
        self.teller = teller
        self.reliever = reliever
        self._exporter = exporter

    def pids(self) -> frozenset[Pid]:
        """Of those that run."""
        exporter = None if self._exporter is None else self._exporter.pid
        pids = (self.teller.pid, self.reliever.pid, exporter)
        return frozenset(pid for pid in pids if pid is not None)

    def tend(self, at: Seconds, *, is_relief_wanted: bool) -> Iterator[str]:
        """Start who is missing, for calm moments; gives what to tell, in words.

        Whatever an earlier guard left restrained is undone, relief wanted or not.
        """
        self.teller.tend(at)
        told = []
        if is_relief_wanted or self.reliever.left_behind():
            told.append(self.reliever.tend(at))
        else:
            self.reliever.retire()
        if self._exporter is not None:
            told.append(self._exporter.tend(at))
        return (text for text in told if text is not None)

    def endings(self) -> Iterator[Callable[[], None]]:
        """The steps that end them, the exporter first, and who tells last."""
        yield self.teller.wake
        if self._exporter is not None:
            yield self._exporter.stop
        yield partial(self.reliever.stop, LAST_WORDS)
        yield partial(self.teller.stop, LAST_WORDS)
