"""How long everybody waited for memory within the last seconds, and whether the machine thrashes. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from oomguard.meminfo import Memory
from oomguard.psi import Pressure
from oomguard.units import Seconds
from oomguard.vmstat import VmStat

RESOLUTION = 256
"""Parts of a window that are told apart: samples that come denser are kept no denser."""
THRASH_SHARE = 0.05
"""Refaulting this share of memory within the window is thrashing: what was evicted was still in use."""
STALLED_RATE = 0.01
"""Without PSI, an interval is a stall when tasks reclaimed and refaulted this share of memory a second."""


@dataclass(frozen=True, slots=True)
class _Point:
    at: Seconds
    some: Seconds
    full: Seconds
    refaults: int
    scanned: int
    allocstall: int


class StallWindow:
    """The growth of PSI's totals, and of what reclaim did, over the last `window` seconds."""

    def __init__(self, window: Seconds, page_size: int) -> None:
        self._window = window
        self._page_size = page_size
        self._points: deque[_Point] = deque()

    def restart(self) -> None:
        """Forget all but the latest sample."""
        while len(self._points) > 1:
            self._points.popleft()

    def add(self, at: Seconds, memory: Memory, pressure: Pressure | None, vmstat: VmStat) -> None:
        """Take one more sample in; without `pressure` the stall is estimated from `vmstat`."""
        points = self._points
        refaults = vmstat.refault_file + vmstat.refault_anon
        if pressure is None:
            stalled = self._estimated(at, memory, vmstat.allocstall, refaults)
            pressure = Pressure(some=stalled, full=stalled)
        if len(points) > 1 and points[-1].at - points[-2].at < self._window / RESOLUTION:
            points.pop()
        points.append(
            _Point(
                at=at,
                some=pressure.some,
                full=pressure.full,
                refaults=refaults,
                scanned=vmstat.pgscan_direct + vmstat.pgscan_kswapd,
                allocstall=vmstat.allocstall,
            )
        )
        while len(points) > 2 and points[1].at <= at - self._window:
            points.popleft()

    def full(self) -> Seconds:
        """How long nobody could run for want of memory."""
        return self._spent(lambda point: point.full)

    def some(self) -> Seconds:
        """How long at least one task waited for memory."""
        return self._spent(lambda point: point.some)

    def thrashing(self, memory: Memory) -> bool:
        """What was evicted in the window was needed again, and the whole machine's reclaim evicted it.

        Refaults are counted for control groups at their own limit too, scans for global reclaim only
        (mm/vmscan.c `cgroup_reclaim()`): refaults without scans are a group's own affair.
        """
        first, last = self._points[0], self._points[-1]
        refaulted = last.refaults - first.refaults
        enough = THRASH_SHARE * memory.total / self._page_size
        return refaulted >= enough and last.scanned - first.scanned >= refaulted / 2

    def _spent(self, total: Callable[[_Point], Seconds]) -> Seconds:
        """How much `total` rose within the window, from where it was when the window began."""
        first, last = self._points[0], self._points[-1]
        start: float = total(first)
        edge = last.at - self._window
        if first.at < edge:
            second = self._points[1]
            start += (total(second) - start) * (edge - first.at) / (second.at - first.at)
        return Seconds(max(total(last) - start, 0.0))

    def _estimated(self, at: Seconds, memory: Memory, allocstall: int, refaults: int) -> Seconds:
        """What PSI would say, from reclaim and refaults alone: a whole interval stalled, or none of it."""
        if not self._points:
            return Seconds(0.0)
        last = self._points[-1]
        elapsed = at - last.at
        enough = STALLED_RATE * elapsed * memory.total / self._page_size
        stalled = allocstall > last.allocstall and refaults - last.refaults >= enough
        return Seconds(last.full + elapsed) if stalled else last.full
