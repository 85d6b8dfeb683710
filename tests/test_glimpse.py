"""A glimpse in place of a poll: that it misses nothing, and what the gauge knows after it."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oomguard.cgroupfs import GroupStalls
from oomguard.gauge import LONGEST_REST, Gauge, pause
from oomguard.glimpse import AT_MOST, STEADY, Glimpse, lull
from oomguard.meminfo import Memory, Room
from oomguard.pressure import Assessment, Level, Sample
from oomguard.procfs import ProcFS
from oomguard.psi import Pressure
from oomguard.sampler import Sampler
from oomguard.units import Bytes, Seconds
from oomguard.vmstat import VmStat
from tests.builders import HEURISTIC, LIMITS, NEVER, PAGE, assessment, memory, mib, psi, sample, vmstat

CALM, ARMED = Level.CALM, Level.ARMED
GIB = 1024
LARGE, LIMIT = 64 * GIB, 6 * GIB


def large(available: float, *, swap_free: float = 0, committed: float = 0) -> Memory:
    """Figures in MiB, of 64 GiB."""
    small = memory(available, swap_total=LARGE, swap_free=swap_free, committed=committed)
    return replace(small, total=mib(LARGE))


def calm(available: float = 32 * GIB) -> Assessment:
    found = assessment(level=CALM, available=available, limit=LIMIT)
    return replace(found, reasons=())


def room(available: float, swap_free: float) -> Room:
    return Room(available=mib(available), swap_free=mib(swap_free))


@pytest.mark.parametrize(
    ("at", "available", "swap_free", "pressure", "lasts"),
    [
        (104.0, 32, 8, psi(7, 7), True),
        (104.0, 32 * (1 + STEADY) - 0.001, 8 * (1 + STEADY) - 0.001, psi(7, 7), True),
        (104.0, 32 * (1 + STEADY) + 0.001, 8, psi(7, 7), False),
        (104.0, 32, 8 * (1 + STEADY) + 0.001, psi(7, 7), False),
        (104.0, 32 * (1 - STEADY) + 0.001, 8, psi(7, 7), True),
        (104.0, 32 * (1 - STEADY) - 0.001, 8, psi(7, 7), False),
        (104.0, 32, 8 * (1 - STEADY) - 0.001, psi(7, 7), False),
        (104.0, 32, 8, psi(7, 7.000001), False),
        (104.0, 32, 8, psi(7.000001, 7.000001), False),
        (104.0, 32, 8, None, False),
        (100 + AT_MOST - 0.001, 32, 8, psi(7, 7), True),
        (100 + AT_MOST, 32, 8, psi(7, 7), False),
    ],
)
def test_calm_lasts_while_nobody_waits_and_as_much_is_left(
    at: float, available: float, swap_free: float, pressure: Pressure | None, lasts: bool
) -> None:
    found = lull(sample(100, large(32 * GIB, swap_free=8 * GIB), psi(7, 7)), calm(), LONGEST_REST)
    assert found is not None
    seen = Glimpse(at=Seconds(at), room=room(available * GIB, swap_free * GIB), pressure=pressure)
    assert found.lasts(seen) is lasts


@pytest.mark.parametrize(
    ("available", "slept", "expected"),
    [
        # By the distance of 26 GiB, over 8 GiB a second.
        (32, LONGEST_REST, 3.25),
        (31.8, LONGEST_REST, 3.225),
        (60, LONGEST_REST, 3.25),
        (60, 1.0, 1.0),
        # Of 4.4 GiB, over 4 GiB a second.
        (10.4, LONGEST_REST, 1.0),
    ],
)
def test_a_rest_is_as_long_as_the_way_and_no_longer_than_the_poll_said(
    available: float, slept: float, expected: float
) -> None:
    found = lull(sample(100, large(32 * GIB), psi(0)), calm(), Seconds(slept))
    assert found is not None
    seen = Glimpse(at=Seconds(103), room=room(available * GIB, 0), pressure=psi(0))
    assert found.rest(seen) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("available", "pressure", "level", "commit_limit", "tells"),
    [
        (32 * GIB, psi(0), CALM, 0, True),
        (32 * GIB, psi(0), ARMED, 0, False),
        (32 * GIB, None, CALM, 0, False),
        (32 * GIB, psi(0), CALM, 1, False),
        (2 * LIMIT + 1, psi(0), CALM, 0, True),
        (2 * LIMIT, psi(0), CALM, 0, False),
    ],
)
def test_where_a_glimpse_tells(
    available: float, pressure: Pressure | None, level: Level, commit_limit: int, tells: bool
) -> None:
    found = calm(available)
    figures = replace(found.figures, commit_limit=mib(commit_limit))
    host = replace(found, level=level, figures=figures)
    assert (lull(sample(100, large(available), pressure), host, LONGEST_REST) is not None) is tells


@pytest.mark.parametrize(("away", "tells"), [(2 * GIB, True), (2 * GIB - 1, False)])
def test_where_looks_are_dense_it_tells_nothing(away: float, tells: bool) -> None:
    limit = 1 * GIB
    host = replace(assessment(level=CALM, available=limit + away, limit=limit), reasons=())
    assert (lull(sample(100, large(limit + away), psi(0)), host, LONGEST_REST) is not None) is tells


@dataclass(slots=True)
class Now:
    """The host at one moment."""

    at: float
    memory: Memory
    pressure: Pressure
    vmstat: VmStat


class Nobody(GroupStalls):
    """No group is watched."""

    def __init__(self) -> None:
        pass

    def read(self) -> dict[str, Seconds]:
        return {}


class Told(ProcFS):
    """A host that is as it is told to be."""

    def __init__(self) -> None:
        super().__init__()
        self.now = Now(100.0, memory(), psi(0), vmstat())

    def memory(self) -> Memory:
        return self.now.memory

    def room(self) -> Room:
        return Room(available=self.now.memory.available, swap_free=self.now.memory.swap_free)

    def pressure(self) -> Pressure:
        return self.now.pressure

    def vmstat(self) -> VmStat:
        return self.now.vmstat

    def per_cpu_free(self) -> Bytes:
        return Bytes(0)

    def swap_areas(self) -> tuple[()]:
        return ()

    def group_stalls(self) -> GroupStalls:
        return Nobody()

    def group_disk_waits(self) -> GroupStalls:
        return Nobody()


MOVES = st.one_of(
    st.just(0.0),
    st.floats(-0.02, 0.02),
    st.floats(-1.0, 1.0),
)
"""Shares by which something grows or falls."""
STEPS = st.tuples(
    # How much later than planned, what becomes of memory and of swap, how long somebody waited, and how many
    # pages went to swap.
    st.sampled_from((0.0, 0.0, 0.001, 0.3, 20.0)),
    MOVES,
    MOVES,
    st.sampled_from((0.0, 0.0, 0.0, 0.0, 0.01, 0.5)),
    st.integers(0, 100_000),
)


@given(
    st.floats(0.2, 1.0),
    st.floats(0.0, 1.0),
    st.floats(0.1, 1.0),
    st.sampled_from((HEURISTIC, HEURISTIC, HEURISTIC, NEVER)),
    st.sampled_from((4 * GIB, 8 * GIB, LARGE)),
    st.lists(STEPS, min_size=2, max_size=40),
)
def test_no_glimpse_hides_what_a_poll_would_see(
    available: float,
    swap_free: float,
    kill_takes: float,
    overcommit: object,
    size: int,
    steps: Iterable[tuple[float, float, float, float, int]],
) -> None:
    """Beside a gauge that reads all that the host goes through stands one that is spared what glimpses see.

    Where the first one leaves calm, the glimpse asks for a poll; and at each poll both find the same.
    """
    procfs, overcommit = Told(), NEVER if overcommit is NEVER else HEURISTIC
    always, spared = Sampler(procfs), Sampler(procfs)
    watcher, guard = (Gauge(LIMITS, overcommit, PAGE) for _ in range(2))
    takes, calm_until, rest = Seconds(kill_takes), None, Seconds(0.0)
    total = mib(size)
    waited = swapped = 0.0
    for late, taken, unswapped, wait, pages in ((0.0, 0.0, 0.0, 0.0, 0), *steps):
        available = min(1.0, max(0.0, available * (1 + taken)))
        swap_free = min(1.0, max(0.0, swap_free * (1 + unswapped)))
        waited += wait
        swapped += pages if wait else 0
        host = replace(
            memory(swap_total=size),
            total=total,
            available=Bytes(int(available * total)),
            swap_free=Bytes(int(swap_free * total)),
        )
        at = procfs.now.at + rest + late
        procfs.now = Now(at, host, psi(waited), vmstat(swapped_out=int(swapped)))
        with mock.patch.object(time, "monotonic", lambda: procfs.now.at):
            whole = watcher.read(always.take(watcher.is_near), takes)
            seen = spared.glimpse()
            if calm_until is not None and calm_until.lasts(seen):
                assert whole.level is CALM
                spared.remember(seen)
                rest = calm_until.rest(seen)
                assert rest <= pause(whole, LONGEST_REST) + 1e-9
                continue
            for missed in spared.remembered():
                guard.read(missed, takes)
            found = guard.read(spared.take(guard.is_near), takes)
        assert (found.level, found.reasons) == (whole.level, whole.reasons)
        assert found.headroom == pytest.approx(whole.headroom)
        assert found.figures.stall == pytest.approx(whole.figures.stall, abs=1e-6)
        assert found.figures.exhausted_in == pytest.approx(whole.figures.exhausted_in)
        calm_until = lull(spared.latest or always.take(guard.is_near), found, LONGEST_REST)
        rest = pause(found, LONGEST_REST)


def test_what_was_seen_counts_once_and_only_as_far_as_it_tells_a_pace() -> None:
    procfs = Told()
    sampler = Sampler(procfs)
    assert sampler.remembered() == ()
    for at, available in ((100.0, 900), (100.3, 890), (100.6, 880), (100.9, 870), (101.0, 860)):
        procfs.now = Now(at, memory(available), psi(0), vmstat())
        with mock.patch.object(time, "monotonic", lambda: procfs.now.at):
            if at > 100:
                sampler.remember(sampler.glimpse())
            else:
                first = sampler.take(lambda _: False)
    made_up: tuple[Sample, ...] = sampler.remembered()
    assert [(one.at, one.memory.available) for one in made_up] == [
        (100.3, mib(890)),
        (100.6, mib(880)),
        (100.9, mib(870)),
        (101.0, mib(860)),
    ]
    assert made_up[0] == replace(first, at=Seconds(100.3), memory=replace(first.memory, available=mib(890)))
    assert sampler.remembered() == ()
