"""Is one control group short of memory of its own? Readings in, an `Assessment` out; pure.

A group is limited by the smallest of memory.max and memory.high, its own and those above it. Crossed is
- cgroup_limit: what it uses and the kernel cannot drop, and where it may swap its swap too, is above its
  share of the limit. The kernel itself kills at the limit (mm/memcontrol.c `try_charge_memcg()`);
- cgroup_stall: its tasks waited for memory for longer than its budget, while it is at that limit. A stall
  elsewhere is the host's shortage, and the host's to end.
"""

from __future__ import annotations

from oomguard.forecast import Exhaustion, Slope
from oomguard.frozen import frozen, replace
from oomguard.gauge import (
    ARMED_PAUSE,
    ARMING_FACTOR,
    ARMING_STALL,
    LONGEST_PAUSE,
    NOWHERE,
    WORST_FILL,
    assess,
    budget_distance,
)
from oomguard.meminfo import Holdings
from oomguard.pressure import Assessment, Figures, GroupFigures, Level, Reason
from oomguard.units import Bytes, Percent, Seconds
from oomguard.window import Window

RESOLUTION = 64
"""Parts of the stall window that are told apart."""
STALLS_SEEN = 8
"""So many readings of a group's stall within its budget."""


@frozen
class Entry:
    """One [[cgroup]] of the configuration: groups that are watched, each on its own."""

    name: str
    path: str
    """From the root that the guard sees; a glob in the last part matches children of a group."""
    term: Percent
    kill: Percent
    budget: Seconds | None
    """How long a group may stall within [stall] window; None: for as long as it likes."""


@frozen
class Reading:
    """A limited group at one instant."""

    at: Seconds
    limit: Bytes
    current: Bytes
    """What it is charged, page cache included."""
    holdings: Holdings | None
    """What that is used for; None where `is_near` says that it does not matter."""
    swap_used: Bytes
    swap_total: Bytes
    """How much it may swap: what it has in swap, and what is left to it there."""
    stall: Seconds | None
    """Its full stall since it was made; None where that is not asked for, or not known."""


def is_near(entry: Entry, limit: Bytes, current: Bytes) -> bool:
    """Within reach of the limit, so that it matters what the memory is used for."""
    return current >= limit - ARMING_FACTOR * (limit - entry.term.of(limit))


class Enclosure:
    """One group that is watched: remembers what the stall window needs."""

    def __init__(self, entry: Entry, path: str, window: Seconds) -> None:
        self.entry = entry
        self.path = path
        self.due = Seconds(0.0)
        """When to read it again, so that the fastest process cannot cross the limit unseen."""
        self._stalls: Window[Seconds] = Window(window, Seconds(window / RESOLUTION))
        self._stalling = Slope()
        self._exhaustion = Exhaustion()

    def restart(self) -> None:
        """Forget the stall so far: its culprit has exited."""
        self._stalls.restart()
        self._stalling.restart()

    def read(self, reading: Reading, kill_takes: Seconds, host: Figures) -> Assessment:
        """How bad it is for the group, with the figures of the `host` beside its own."""
        figures = self._figures(reading)
        self._exhaustion.add(reading.at, figures.free, Bytes(0))
        self._stalling.add(reading.at, figures.stall)
        distances = (
            (Reason.CGROUP_LIMIT, self._limit_distance(figures, kill_takes)),
            (Reason.CGROUP_STALL, self._stall_distance(reading, figures, kill_takes)),
        )
        found = assess(distances, replace(host, group=figures), lambda: _arming(self.entry, figures))
        self.due = Seconds(reading.at + self._pause(found.level, figures))
        used = reading.holdings
        return replace(
            found,
            holdings=used and replace(used, total=reading.current, swap_used=reading.swap_used),
        )

    def _figures(self, reading: Reading) -> GroupFigures:
        if reading.stall is not None:
            self._stalls.add(reading.at, reading.stall)
        reclaimable = reading.holdings.reclaimable if reading.holdings else 0
        return GroupFigures(
            entry=self.entry.name,
            path=self.path,
            used=Bytes(max(0, reading.current - reclaimable)),
            limit=reading.limit,
            crossed_at=self.entry.term.of(reading.limit),
            swap_used=reading.swap_used,
            swap_limit=reading.swap_total,
            stall=Seconds(self._stalls.rise(float) if self._stalls else 0.0),
            stall_budget=self.entry.budget or Seconds(0.0),
        )

    def _limit_distance(self, figures: GroupFigures, kill_takes: Seconds) -> float:
        """Once `term` is crossed, a limit that is reached before a kill could help is as good as reached."""
        distance = _distance(self.entry, figures.used, figures.limit)
        if figures.swap_limit:
            distance = max(distance, _distance(self.entry, figures.swap_used, figures.swap_limit))
        # What it has in swap is not charged to it, wherever the host keeps it.
        left = self._exhaustion.left(swap_cost=0.0)
        if distance <= 1 and left is not None and left <= kill_takes + ARMED_PAUSE:
            return 0.0
        return distance

    def _stall_distance(self, reading: Reading, figures: GroupFigures, kill_takes: Seconds) -> float:
        """At 1 the budget will be spent by the time that a kill takes; a stall that is over is let be."""
        budget = figures.stall_budget
        pace = min(self._stalling.rate(), 1.0)
        if not budget or pace <= 0 or reading.current < figures.crossed_at:
            return NOWHERE
        return budget_distance(budget, figures.stall + min(kill_takes, budget / 2) * pace)

    def _pause(self, level: Level, figures: GroupFigures) -> Seconds:
        if level is not Level.CALM:
            return ARMED_PAUSE
        pause = (figures.crossed_at - figures.used) / WORST_FILL
        if figures.stall_budget:
            pause = min(pause, figures.stall_budget / STALLS_SEEN)
        return Seconds(min(max(pause, ARMED_PAUSE), LONGEST_PAUSE))


def _arming(entry: Entry, figures: GroupFigures) -> bool:
    if 0 < ARMING_STALL * figures.stall_budget <= figures.stall:
        return True
    near_swap = not figures.swap_limit or is_near(entry, figures.swap_limit, figures.swap_used)
    return is_near(entry, figures.limit, figures.used) and near_swap


def _distance(entry: Entry, used: Bytes, limit: Bytes) -> float:
    """Where `used` stands between `term` (1) and `kill` (0) of `limit`."""
    term, kill = entry.term.of(limit), entry.kill.of(limit)
    if used >= kill:
        return 0.0
    return (kill - used) / (kill - term) if kill > term else NOWHERE
