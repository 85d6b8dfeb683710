"""Is memory short, and does it hurt? Samples in, an `Assessment` out; pure, time comes with the sample.

A limit is crossed when
- low_memory: what is available and, where there is swap, the room in it are both below their limits;
- stall: the bystanders will have waited for memory for longer than the budget within the window by the
  time that a kill takes, while memory is low, or near its limit and thrashing. With plenty of memory,
  pressure is some control group's own limit, or heavy use of files, and nobody's to die for;
- exhaustion_forecast: at its present pace, memory is gone before a later kill could bring some back;
- commit_limit: under vm.overcommit_memory = 2, promises come near to what the kernel will promise.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection

from oomguard.bystanders import Appetite, Bystanders, Neighbours
from oomguard.forecast import Backlog, Exhaustion, Slope
from oomguard.meminfo import Memory, Overcommit
from oomguard.pressure import Assessment, Figures, Level, Limit, Limits, Reason, Sample, StallOf
from oomguard.stall import StallWindow
from oomguard.units import Bytes, Seconds, resolve

ARMING_FACTOR = 2
"""Armed within twice the limits: time enough to know the candidates before one is needed."""
ARMING_STALL = 0.1
"""Armed once this share of the stall budget is spent, by `some`, which contains `full`."""
ARMING_FORECAST = 10
"""Armed once memory lasts for less than this many times what a kill takes."""
LAST_STRAW = 0.25
"""Beyond the budget, this share of it is the end of patience: whoever has not ended by then is ended."""
SECOND_STALL = 0.25
"""What there is of the budget while memory is low, for a window's length after a stall has cost a life."""
WORST_FILL = 4 << 30
"""Bytes a second at which one process can take memory: no sleep is longer than the way to the limit."""
FASTEST_FILL = 8 << 30
"""The same by huge pages, or of several: no sleep beyond `LONGEST_PAUSE` is longer than their way."""
LONGEST_PAUSE = Seconds(1.0)
LONGEST_REST = Seconds(4.0)
"""Where the kernel wakes the loop as soon as memory stalls, and the way is this long."""
ARMED_PAUSE = Seconds(0.05)
NEVER_OVERCOMMIT = 2
"""vm.overcommit_memory, `OVERCOMMIT_NEVER`."""
NOWHERE = math.inf
"""The distance from a limit that does not apply. Distances are 1 at `term`, 0 at `kill`."""


class Gauge:
    """Reads samples against the limits; remembers as many as the stall window needs."""

    def __init__(self, limits: Limits, overcommit: Overcommit, page_size: int) -> None:
        self.culprit: str | None = None
        """The control group of whoever would die next, so that all others are bystanders."""
        self._limits = limits
        self._overcommit = overcommit
        self._window = StallWindow(limits.stall_window, page_size)
        self._bystanders = Bystanders(limits.stall_window)
        self._neighbours = Neighbours(limits.stall_window)
        self._appetite = Appetite()
        self._stalling = Slope()
        self._exhaustion = Exhaustion()
        self._backlog = Backlog()
        self._full_budget_at = Seconds(0.0)

    def restart(self, at: Seconds) -> None:
        """The stall's culprit has exited: what comes next is another's, and has less of the budget."""
        self._window.restart()
        self._bystanders.restart()
        self._neighbours.restart()
        self._stalling.restart()
        self._full_budget_at = Seconds(at + self._limits.stall_window)

    def is_near(self, memory: Memory) -> bool:
        """Available memory is within reach of its limit: time to know it exactly."""
        return memory.available <= ARMING_FACTOR * resolve(self._limits.available.term, memory.total)

    def read(self, sample: Sample, kill_takes: Seconds) -> Assessment:
        """The assessment of `sample` after those before it; `kill_takes`: how long a kill takes here."""
        memory = sample.memory
        self._window.add(sample.at, memory, sample.pressure, sample.vmstat)
        self._bystanders.add(sample)
        self._neighbours.add(sample.at, sample.delays)
        self._appetite.add(sample.at, self.culprit, sample.stalls)
        self._exhaustion.add(sample.at, memory.available, memory.swap_free)
        self._backlog.add(sample.at, sample.vmstat.pswpout, sample.vmstat.writeback)
        figures = self._figures(sample)
        self._stalling.add(sample.at, figures.stall)
        distances = (
            (Reason.LOW_MEMORY, self._memory_distance(sample)),
            (Reason.STALL, self._stall_distance(sample, figures, kill_takes)),
            (Reason.EXHAUSTION_FORECAST, _forecast_distance(figures, kill_takes)),
            (Reason.COMMIT_LIMIT, self._commit_distance(figures)),
        )
        return assess(distances, figures, lambda: self._arming(sample, figures, kill_takes))

    def _figures(self, sample: Sample) -> Figures:
        memory, limits = sample.memory, self._limits
        available_limit = resolve(limits.available.term, memory.total)
        is_low = memory.available <= available_limit
        stall, stall_of = self._stall(is_low=is_low)
        # Where a death has brought memory back, the stall that is left is that of fetching it from swap.
        is_second = sample.at < self._full_budget_at and is_low
        share = SECOND_STALL if is_second else 1.0
        return Figures(
            available=memory.available,
            available_limit=available_limit,
            swap_free=sample.swap_room,
            swap_limit=resolve(limits.swap_free.term, memory.swap_total),
            stall=stall,
            stall_of=stall_of,
            stall_budget=Seconds(share * limits.stall_budget),
            exhausted_in=self._exhaustion.left(sample.swap_cost),
            backlog=self._backlog.lasts() if self._drains() else Seconds(0.0),
            committed=memory.committed,
            commit_limit=self._commit_limit(memory),
        )

    def _memory_distance(self, sample: Sample) -> float:
        memory = sample.memory
        available = _distance(memory.available, memory.total, self._limits.available)
        if not memory.swap_total:
            return available
        return max(available, _distance(sample.swap_room, memory.swap_total, self._limits.swap_free))

    def _stall(self, *, is_low: bool) -> tuple[Seconds, StallOf]:
        if self._limits.stall_of is StallOf.BYSTANDERS and self.culprit is not None:
            bystanders = self._bystanders
            groups = bystanders.likely(self.culprit) if is_low else bystanders.told(self.culprit)
            told = (groups, self._neighbours.worst())
            known = [worst for worst in told if worst is not None]
            if known:
                return max(known), StallOf.BYSTANDERS
        return self._window.full(), StallOf.ANYONE

    def _drains(self) -> bool:
        """Time alone ends it: who waits for memory himself sends more to swap as soon as he gets some."""
        return self._backlog.drains() and not self._appetite.is_there()

    def _stall_distance(self, sample: Sample, figures: Figures, kill_takes: Seconds) -> float:
        """At `term` the budget will be spent before it is over, if they stall on as they do until then.

        That takes a kill, and then the disk has yet to write what is on its way into swap. A stall that is
        over is let be, however long it was.
        """
        pace = min(self._stalling.rate(), 1.0)
        if pace <= 0:
            return NOWHERE
        if not figures.is_low and not (self.is_near(sample.memory) and self._window.thrashing(sample.memory)):
            return NOWHERE
        budget = figures.stall_budget
        to_come = min(kill_takes, budget / 2) + self._backlog.lasts()
        return budget_distance(budget, figures.stall + to_come * pace)

    def _commit_limit(self, memory: Memory) -> Bytes:
        """What `__vm_enough_memory()` lets an ordinary task reach; 0 where promises are not bounded."""
        if self._overcommit.mode != NEVER_OVERCOMMIT:
            return Bytes(0)
        reserved = self._overcommit.admin_reserve + self._overcommit.user_reserve
        return Bytes(max(memory.commit_limit - reserved, 0))

    def _commit_distance(self, figures: Figures) -> float:
        if not figures.commit_limit:
            return NOWHERE
        term = self._limits.commit.of(figures.commit_limit)
        left = figures.commit_limit - figures.committed
        return left / max(figures.commit_limit - term, 1)

    def _arming(self, sample: Sample, figures: Figures, kill_takes: Seconds) -> bool:
        memory, left = sample.memory, figures.exhausted_in
        low = figures.available <= ARMING_FACTOR * figures.available_limit and (
            not memory.swap_total or figures.swap_free <= ARMING_FACTOR * figures.swap_limit
        )
        near_commit = self._commit_distance(figures) <= ARMING_FACTOR
        soon = left is not None and left <= ARMING_FORECAST * kill_takes
        return low or near_commit or soon or self._window.some() >= ARMING_STALL * figures.stall_budget


def assess(
    distances: Collection[tuple[Reason, float]], figures: Figures, is_arming: Callable[[], bool]
) -> Assessment:
    """How bad it is, by the distance from each limit."""
    nearest = min(distance for _, distance in distances)
    if nearest > 1:
        level = Level.ARMED if is_arming() else Level.CALM
    else:
        level = Level.TERM if nearest > 0 else Level.KILL
    return Assessment(
        level=level,
        reasons=tuple(reason for reason, distance in distances if distance <= 1),
        headroom=min(max(nearest, 0.0), 1.0),
        figures=figures,
    )


def budget_distance(budget: Seconds, spent: float) -> float:
    """The distance from a stall budget of which so many seconds are `spent`."""
    return 1 + (budget - spent) / (LAST_STRAW * budget)


def pause(assessment: Assessment, longest: Seconds) -> Seconds:
    """How long the loop may sleep, `longest` at the most: no longer than it takes to reach the limit.

    Promises are made at no pace at all, so where they are bounded nobody sleeps beyond `LONGEST_PAUSE`.
    """
    if assessment.level is not Level.CALM:
        return ARMED_PAUSE
    figures = assessment.figures
    return rest(
        figures.available - figures.available_limit, LONGEST_PAUSE if figures.commit_limit else longest
    )


def rest(away: int, longest: Seconds) -> Seconds:
    """How long the loop may sleep in calm with the limit of available memory so many bytes `away`."""
    if away <= FASTEST_FILL * LONGEST_PAUSE:
        return Seconds(min(max(away / WORST_FILL, ARMED_PAUSE), LONGEST_PAUSE))
    return Seconds(min(away / FASTEST_FILL, longest))


def _forecast_distance(figures: Figures, kill_takes: Seconds) -> float:
    """Not before the last moment: most of what grows fast stops in time."""
    left = figures.exhausted_in
    return 0.0 if left is not None and left <= kill_takes + ARMED_PAUSE else NOWHERE


def _distance(value: Bytes, total: Bytes, limit: Limit) -> float:
    """Where `value` stands between `limit.term` (1) and `limit.kill` (0)."""
    term, kill = resolve(limit.term, total), resolve(limit.kill, total)
    if value <= kill:
        return 0.0
    return (value - kill) / (term - kill) if term > kill else NOWHERE
