"""How long everybody waited for memory within the last seconds, and whether the machine thrashes. Pure."""

from __future__ import annotations

from oomguard.frozen import positional
from oomguard.meminfo import Memory
from oomguard.psi import Pressure
from oomguard.units import Seconds
from oomguard.vmstat import VmStat
from oomguard.window import Window

RESOLUTION = 256
"""Parts of a window that are told apart: samples that come denser are kept no denser."""
THRASH_SHARE = 0.05
"""Refaulting this share of memory within the window is thrashing: what was evicted was still in use."""
STALLED_RATE = 0.01
"""Without PSI, an interval is a stall when tasks reclaimed and refaulted this share of memory a second."""


@positional
class _Totals:
    """Since boot."""

    some: Seconds
    full: Seconds
    refaults: int
    scanned: int
    allocstall: int


class StallWindow:
    """The growth of PSI's totals, and of what reclaim did, over the last `window` seconds."""

    def __init__(self, window: Seconds, page_size: int) -> None:
        self._page_size = page_size
        self._window: Window[_Totals] = Window(window, Seconds(window / RESOLUTION))

    def restart(self) -> None:
        """Forget all but the latest sample."""
        self._window.restart()

    def add(self, at: Seconds, memory: Memory, pressure: Pressure | None, vmstat: VmStat) -> None:
        """Take one more sample in; without `pressure` the stall is estimated from `vmstat`."""
        refaults = vmstat.refault_file + vmstat.refault_anon
        if pressure is None:
            stalled = self._estimated(at, memory, vmstat.allocstall, refaults)
            pressure = Pressure(some=stalled, full=stalled)
        totals = _Totals(
            some=pressure.some,
            full=pressure.full,
            refaults=refaults,
            scanned=vmstat.pgscan_direct + vmstat.pgscan_kswapd,
            allocstall=vmstat.allocstall,
        )
        self._window.add(at, totals)

    def full(self) -> Seconds:
        """How long nobody could run for want of memory."""
        return Seconds(self._window.rise(lambda totals: totals.full))

    def some(self) -> Seconds:
        """How long at least one task waited for memory."""
        return Seconds(self._window.rise(lambda totals: totals.some))

    def thrashing(self, memory: Memory) -> bool:
        """What was evicted in the window was needed again, and the whole machine's reclaim evicted it.

        Refaults are counted for control groups at their own limit too, scans for global reclaim only
        (mm/vmscan.c `cgroup_reclaim()`): refaults without scans are a group's own affair.
        """
        (_, first), (_, last) = self._window.first, self._window.last
        refaulted = last.refaults - first.refaults
        enough = THRASH_SHARE * memory.total / self._page_size
        return refaulted >= enough and last.scanned - first.scanned >= refaulted / 2

    def _estimated(self, at: Seconds, memory: Memory, allocstall: int, refaults: int) -> Seconds:
        """What PSI would say, from reclaim and refaults alone: a whole interval stalled, or none of it."""
        if not self._window:
            return Seconds(0.0)
        last_at, last = self._window.last
        elapsed = at - last_at
        enough = STALLED_RATE * elapsed * memory.total / self._page_size
        stalled = allocstall > last.allocstall and refaults - last.refaults >= enough
        return Seconds(last.full + elapsed) if stalled else last.full
