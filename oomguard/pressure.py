"""Is memory short, and does it hurt? Samples in, an `Assessment` out; pure, time comes with the sample.

A limit is crossed when
- low_memory: MemAvailable and, where there is swap, free swap are both below their limits;
- stall: everybody waited for memory for longer than the budget within the window, while memory is low
  or thrashing. With plenty of memory, pressure is some control group's own limit, and nobody's to die for;
- commit_limit: under vm.overcommit_memory = 2, promises come near to what the kernel will promise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from oomguard.meminfo import Memory, Overcommit
from oomguard.psi import Pressure
from oomguard.stall import StallWindow
from oomguard.units import Amount, Bytes, Percent, Seconds, resolve
from oomguard.vmstat import VmStat


class Phase(StrEnum):
    """Where the loop is."""

    CALM = "calm"
    ARMED = "armed"
    ACTING = "acting"
    RECOVERING = "recovering"


class Level(StrEnum):
    """How bad the memory situation is."""

    CALM = "calm"
    ARMED = "armed"
    TERM = "term"
    KILL = "kill"


class Reason(StrEnum):
    """Why a limit counts as crossed: the same words everywhere."""

    LOW_MEMORY = "low_memory"
    STALL = "stall"
    EXHAUSTION_FORECAST = "exhaustion_forecast"
    COMMIT_LIMIT = "commit_limit"
    CGROUP_LIMIT = "cgroup_limit"
    CGROUP_STALL = "cgroup_stall"


class StallOf(StrEnum):
    """Whose stall counts against the budget."""

    BYSTANDERS = "bystanders"
    ANYONE = "anyone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """Below `term` a victim is asked to end, below `kill` it is ended."""

    term: Amount
    kill: Amount


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the operator allows: the [limits], [stall] and [commit] of the configuration."""

    available: Limit
    swap_free: Limit
    stall_budget: Seconds
    stall_window: Seconds
    stall_of: StallOf
    commit: Percent


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """The host's memory at one instant."""

    at: Seconds
    memory: Memory
    pressure: Pressure | None
    """None where the kernel does not account for it."""
    vmstat: VmStat


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What the limits were compared with when the decision was made."""

    available: Bytes
    available_limit: Bytes
    swap_free: Bytes
    swap_limit: Bytes
    stall: Seconds
    """The full stall within the window."""
    stall_budget: Seconds
    committed: Bytes
    commit_limit: Bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """How bad it is, why, and the figures that say so."""

    level: Level
    reasons: tuple[Reason, ...]
    headroom: float
    """How far it is from the limit of `term` (1) to that of `kill` (0), on the worst of the limits."""
    figures: Figures


ARMING_FACTOR = 2
"""Armed within twice the limits: time enough to know the candidates before one is needed."""
ARMING_STALL = 0.1
"""Armed once this share of the stall budget is spent, by `some`, which contains `full`."""
WORST_FILL = 4 << 30
"""Bytes a second at which one process can take memory: no sleep is longer than the way to the limit."""
LONGEST_PAUSE = Seconds(1.0)
ARMED_PAUSE = Seconds(0.1)
NEVER_OVERCOMMIT = 2
"""vm.overcommit_memory, `OVERCOMMIT_NEVER`."""
NOWHERE = math.inf
"""The distance from a limit that does not apply. Distances are 1 at `term`, 0 at `kill`."""


class Gauge:
    """Reads samples against the limits; remembers as many as the stall window needs."""

    def __init__(self, limits: Limits, overcommit: Overcommit, page_size: int) -> None:
        self._limits = limits
        self._overcommit = overcommit
        self._window = StallWindow(limits.stall_window, page_size)

    def restart(self) -> None:
        """Forget the stall so far: its culprit is gone, and what comes next is another's."""
        self._window.restart()

    def is_near(self, memory: Memory) -> bool:
        """Available memory is within reach of its limit: time to know it exactly."""
        return memory.available <= ARMING_FACTOR * resolve(self._limits.available.term, memory.total)

    def read(self, sample: Sample) -> Assessment:
        """The assessment of `sample` in the light of those before it."""
        self._window.add(sample.at, sample.memory, sample.pressure, sample.vmstat)
        figures = self._figures(sample)
        distances = (
            (Reason.LOW_MEMORY, self._memory_distance(sample.memory)),
            (Reason.STALL, self._stall_distance(sample, figures)),
            (Reason.COMMIT_LIMIT, self._commit_distance(figures)),
        )
        nearest = min(distance for _, distance in distances)
        if nearest > 1:
            level = Level.ARMED if self._arming(sample, figures) else Level.CALM
        else:
            level = Level.TERM if nearest > 0 else Level.KILL
        return Assessment(
            level=level,
            reasons=tuple(reason for reason, distance in distances if distance <= 1),
            headroom=min(max(nearest, 0.0), 1.0),
            figures=figures,
        )

    def _figures(self, sample: Sample) -> Figures:
        memory, limits = sample.memory, self._limits
        return Figures(
            available=memory.available,
            available_limit=resolve(limits.available.term, memory.total),
            swap_free=memory.swap_free,
            swap_limit=resolve(limits.swap_free.term, memory.swap_total),
            stall=self._window.full(),
            stall_budget=limits.stall_budget,
            committed=memory.committed,
            commit_limit=self._commit_limit(memory),
        )

    def _memory_distance(self, memory: Memory) -> float:
        available = _distance(memory.available, memory.total, self._limits.available)
        if not memory.swap_total:
            return available
        return max(available, _distance(memory.swap_free, memory.swap_total, self._limits.swap_free))

    def _stall_distance(self, sample: Sample, figures: Figures) -> float:
        """Twice the budget is the end of patience: whoever has not ended by then is ended."""
        if figures.available > figures.available_limit and not self._window.thrashing(sample.memory):
            return NOWHERE
        return 2 - figures.stall / figures.stall_budget

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

    def _arming(self, sample: Sample, figures: Figures) -> bool:
        memory = sample.memory
        low = figures.available <= ARMING_FACTOR * figures.available_limit and (
            not memory.swap_total or figures.swap_free <= ARMING_FACTOR * figures.swap_limit
        )
        near_commit = self._commit_distance(figures) <= ARMING_FACTOR
        return low or near_commit or self._window.some() >= ARMING_STALL * figures.stall_budget


def pause(assessment: Assessment) -> Seconds:
    """How long the loop may sleep: no longer than the fastest process needs to reach the limit."""
    if assessment.level is not Level.CALM:
        return ARMED_PAUSE
    figures = assessment.figures
    away = (figures.available - figures.available_limit) / WORST_FILL
    return Seconds(min(max(away, ARMED_PAUSE), LONGEST_PAUSE))


def _distance(value: Bytes, total: Bytes, limit: Limit) -> float:
    """Where `value` stands between `limit.term` (1) and `limit.kill` (0)."""
    term, kill = resolve(limit.term, total), resolve(limit.kill, total)
    if value <= kill:
        return 0.0
    return (value - kill) / (term - kill) if term > kill else NOWHERE
