"""How bad is it? The values that say so, from samples and limits to the `Assessment`. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from oomguard.frozen import frozen
from oomguard.meminfo import Holdings, Memory
from oomguard.process import Key
from oomguard.psi import Pressure
from oomguard.taskstats import Delays
from oomguard.units import Amount, Bytes, Percent, Seconds
from oomguard.vmstat import VmStat


class Phase(StrEnum):
    """Where the loop is."""

    CALM = "calm"
    ARMED = "armed"
    ACTING = "acting"
    RECOVERING = "recovering"
    FALLBACK = "fallback"
    """Its own decisions fail, and the kernel's choice stands in (`fallback`)."""


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


@frozen
class Limit:
    """Below `term` a victim is asked to end, below `kill` it is ended."""

    term: Amount
    kill: Amount


@frozen
class Limits:
    """What the operator allows: the [limits], [stall] and [commit] of the configuration."""

    available: Limit
    swap_free: Limit
    stall_budget: Seconds
    stall_window: Seconds
    stall_of: StallOf
    commit: Percent


NOTHING: Mapping[Any, Any] = {}
"""Known of nobody."""


@frozen
class Sample:
    """The host's memory at one instant."""

    at: Seconds
    memory: Memory
    pressure: Pressure | None
    """None where the kernel does not account for it."""
    vmstat: VmStat
    stalls: Mapping[str, Seconds] = NOTHING
    """The full stall of each control group that is watched, since it was made."""
    disk_waits: Mapping[str, Seconds] = NOTHING
    """How long all of each of them has waited for disks, whatever for; empty with plenty of memory."""
    delays: Mapping[Key, Delays] = NOTHING
    """What each process that is watched has waited for, as of the poll before; empty where nobody knows."""
    swap_cost: float = 0.0
    """What a byte of free swap takes of memory once it is used: 0 on a disk, up to 1 in compressed memory."""

    @property
    def swap_room(self) -> Bytes:
        """The room that free swap makes."""
        return Bytes(int(self.memory.swap_free * (1 - self.swap_cost)))

    @property
    def room(self) -> Bytes:
        """What can be had before memory has run out: what is available, and what swapping makes so."""
        return Bytes(self.memory.available + self.swap_room)


@frozen
class GroupFigures:
    """What a control group that is watched on its own holds, and may hold."""

    entry: str
    """The name of its [[cgroup]] in the configuration."""
    path: str
    used: Bytes
    """Less what the kernel can drop."""
    limit: Bytes
    crossed_at: Bytes
    """Of memory: a share of the limit."""
    swap_used: Bytes
    swap_limit: Bytes
    """How much it may swap; 0 where it may not."""
    stall: Seconds
    """Its own full stall within the window."""
    stall_budget: Seconds
    """0 for none."""

    @property
    def free(self) -> Bytes:
        """What is left to it, in memory and in swap."""
        return Bytes(max(0, self.limit - self.used) + max(0, self.swap_limit - self.swap_used))


@frozen
class Figures:
    """What the limits were compared with when the decision was made."""

    available: Bytes
    available_limit: Bytes
    swap_free: Bytes
    """Free swap, less the memory that it takes: `Sample.swap_room`."""
    swap_limit: Bytes
    stall: Seconds
    """The full stall within the window."""
    stall_of: StallOf
    """Whose stall that is: the host's stands in where the bystanders' is not known."""
    stall_budget: Seconds
    """What of the budget there is: less than the operator's while an earlier stall is still in the window."""
    exhausted_in: Seconds | None
    """When memory and swap will have run out at their present pace; None while they do not fall."""
    backlog: Seconds
    """How long the disk has yet to write what was swapped out; 0 while more is being sent there."""
    committed: Bytes
    commit_limit: Bytes
    group: GroupFigures | None = None
    """The control group that the decision is about; None: the whole host."""

    @property
    def is_low(self) -> bool:
        """Little memory is available, however much swap there is."""
        return self.available <= self.available_limit


def memory_alone(
    *, available: Bytes, available_limit: Bytes, swap_free: Bytes, swap_limit: Bytes, stall_budget: Seconds
) -> Figures:
    """The figures of who has looked at memory, and at nothing else."""
    nothing, no_time = Bytes(0), Seconds(0.0)
    return Figures(
        available=available,
        available_limit=available_limit,
        swap_free=swap_free,
        swap_limit=swap_limit,
        stall=no_time,
        stall_of=StallOf.ANYONE,
        stall_budget=stall_budget,
        exhausted_in=None,
        backlog=no_time,
        committed=nothing,
        commit_limit=nothing,
    )


@frozen
class Assessment:
    """How bad it is, why, and the figures that say so."""

    level: Level
    reasons: tuple[Reason, ...]
    headroom: float
    """How far it is from the limit of `term` (1) to that of `kill` (0), on the worst of the limits."""
    figures: Figures
    holdings: Holdings | None = None
    """What the memory of `figures.group` is used for, as far as that was read; None: ask the host."""
