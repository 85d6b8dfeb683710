"""What the guard publishes of itself at each poll: its `State`. Pure."""

from __future__ import annotations

from oomguard.errors import RecordError
from oomguard.event import Mode
from oomguard.frozen import frozen, replace
from oomguard.meminfo import Memory
from oomguard.pressure import Figures, Level, Limits, Phase, Reason
from oomguard.units import Bytes, Pid, Seconds, resolve


@frozen
class Thresholds:
    """The limits of the configuration, in the bytes that they come to on this host."""

    available_term: Bytes
    available_kill: Bytes
    swap_term: Bytes
    swap_kill: Bytes
    commit_term: Bytes
    """0 where the kernel sets no commit limit."""
    stall_window: Seconds


def thresholds(limits: Limits, memory: Memory, figures: Figures) -> Thresholds:
    """What `limits` come to on a host with this `memory`."""
    return Thresholds(
        available_term=figures.available_limit,
        available_kill=resolve(limits.available.kill, memory.total),
        swap_term=figures.swap_limit,
        swap_kill=resolve(limits.swap_free.kill, memory.swap_total),
        commit_term=limits.commit.of(figures.commit_limit),
        stall_window=limits.stall_window,
    )


@frozen
class Watched:
    """The control groups of one [[cgroup]] of the configuration."""

    entry: str
    """Its name."""
    groups: int
    """How many there are."""
    crossed: int
    """How many of them have crossed a limit."""


@frozen
class State:
    """The guard as of its last poll, or the last glimpse after it. Wall times are seconds since the epoch."""

    pid: Pid
    started: float
    """Wall time at which this guard started."""
    mode: Mode
    phase: Phase
    level: Level
    reasons: tuple[Reason, ...]
    """In the order of `Reason`."""
    figures: Figures
    thresholds: Thresholds
    polls: int
    """Completed by this guard as of the last poll; unlike the counter, it starts anew with each guard."""
    polled: float
    """Wall time at which memory was last looked at, by a poll or a glimpse (`glimpse`)."""
    polled_at: Seconds
    """The same instant on CLOCK_MONOTONIC."""
    poll_took: Seconds
    """The last poll."""
    pause: Seconds
    """Until the next look, at most: a state much older than this has no guard behind it."""
    worst_lateness: Seconds
    """The most that a poll of this guard began later than planned by the one before it."""
    configured: float
    """Wall time at which the configuration in force was loaded."""
    config_ok: bool
    """The last attempt to load a configuration succeeded."""
    psi: bool
    """The kernel accounts for memory pressure."""
    candidates: int
    """Processes that may be chosen, as of the last look at all of them."""
    spared: int
    """Processes that may not."""
    watched: tuple[Watched, ...] = ()


def as_of(state: State, at: Seconds) -> State:
    """`state`, which was still true when the guard looked `at` (CLOCK_MONOTONIC), if that was later."""
    later = at - state.polled_at
    return replace(state, polled=state.polled + later, polled_at=at) if later > 0 else state


SLACK = Seconds(5)
"""How late a poll may be on a host that suffers before its guard counts as gone."""


def age(state: State, now: Seconds) -> Seconds:
    """How long ago `state` was true; `now` on CLOCK_MONOTONIC of the same boot."""
    return Seconds(max(0.0, now - state.polled_at))


def current(state: State | None, now: Seconds) -> State:
    """`state`, if it is not so old that no guard can be running. Raises `RecordError`."""
    if state is None:
        raise RecordError("nothing is recorded yet")
    if age(state, now) > state.pause + SLACK:
        raise RecordError(f"pid {state.pid} last looked at memory {age(state, now):.0f} s ago")
    return state
