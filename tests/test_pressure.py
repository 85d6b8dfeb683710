from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oomguard.meminfo import Memory, Overcommit
from oomguard.pressure import (
    ARMED_PAUSE,
    LONGEST_PAUSE,
    Assessment,
    Gauge,
    Level,
    Limit,
    Limits,
    Reason,
    Sample,
    pause,
)
from oomguard.psi import Pressure
from oomguard.units import Amount, Percent, Seconds
from tests.builders import (
    HEURISTIC,
    LIMITS,
    NEVER,
    PAGE,
    TOTAL,
    assessment,
    memory,
    mib,
    psi,
    sample,
    vmstat,
)

CALM, ARMED, TERM, KILL = Level.CALM, Level.ARMED, Level.TERM, Level.KILL
SEVERITY = {level: number for number, level in enumerate(Level)}
LOW, STALL, COMMIT = Reason.LOW_MEMORY, Reason.STALL, Reason.COMMIT_LIMIT
PAGES = TOTAL // PAGE

MIBS = st.integers(0, 1000)


def read(*samples: Sample, limits: Limits = LIMITS, overcommit: Overcommit = HEURISTIC) -> Assessment:
    gauge = Gauge(limits, overcommit, PAGE)
    return [gauge.read(one) for one in samples][-1]


def read_host(host: Memory, limits: Limits = LIMITS, overcommit: Overcommit = HEURISTIC) -> Assessment:
    return read(sample(host=host), limits=limits, overcommit=overcommit)


def stalled(
    seconds: float, host: Memory, some: float | None = None, scans: int = 0, refaults: int = 0
) -> tuple[Sample, Sample]:
    """Two samples, four seconds apart, with a stall in between."""
    return (
        sample(100, host, psi(7, 7), vmstat()),
        sample(
            104,
            host,
            psi(7 + seconds, 7 + (seconds if some is None else some)),
            vmstat(direct=scans, file=refaults),
        ),
    )


def of_available(term: Amount, kill: Amount) -> Limits:
    return replace(LIMITS, available=Limit(term=term, kill=kill))


@pytest.mark.parametrize(
    ("host", "level", "headroom"),
    [
        pytest.param(memory(900), CALM, 1, id="plenty"),
        pytest.param(memory(201), CALM, 1, id="above twice the limit"),
        pytest.param(memory(200), ARMED, 1, id="twice the limit"),
        pytest.param(memory(101), ARMED, 1, id="above the limit"),
        pytest.param(memory(100), TERM, 1, id="at the limit"),
        pytest.param(memory(75), TERM, 0.5, id="halfway"),
        pytest.param(memory(51), TERM, 0.02, id="nearly out"),
        pytest.param(memory(50), KILL, 0, id="at the limit of kill"),
        pytest.param(memory(0), KILL, 0, id="nothing left"),
        pytest.param(memory(10, swap_total=500, swap_free=500), CALM, 1, id="swap is free"),
        pytest.param(memory(10, swap_total=500, swap_free=100), ARMED, 1, id="swap is near its limit"),
        pytest.param(memory(10, swap_total=500, swap_free=51), ARMED, 1, id="swap above its limit"),
        pytest.param(memory(10, swap_total=500, swap_free=50), TERM, 1, id="both crossed"),
        pytest.param(memory(10, swap_total=500, swap_free=35), TERM, 0.4, id="as far as the better of them"),
        pytest.param(memory(10, swap_total=500, swap_free=25), KILL, 0, id="both at kill"),
        pytest.param(memory(60, swap_total=500, swap_free=0), TERM, 0.2, id="swap is full, memory is not"),
        pytest.param(memory(900, swap_total=500, swap_free=0), CALM, 1, id="only swap is full"),
    ],
)
def test_low_memory(host: Memory, level: Level, headroom: float) -> None:
    found = read_host(host)
    assert found.level is level
    assert found.headroom == pytest.approx(headroom)
    assert found.reasons == ((LOW,) if level in {TERM, KILL} else ())


@pytest.mark.parametrize(
    ("limits", "available", "level"),
    [
        pytest.param(of_available(Percent(10), Percent(10)), 101, ARMED, id="equal limits, above"),
        pytest.param(of_available(Percent(10), Percent(10)), 100, KILL, id="equal limits, at them"),
        pytest.param(of_available(mib(300), mib(30)), 300, TERM, id="sizes"),
        pytest.param(of_available(mib(300), mib(30)), 30, KILL, id="sizes, kill"),
        pytest.param(of_available(mib(0), mib(0)), 0, KILL, id="none allowed, none left"),
        pytest.param(of_available(mib(0), mib(0)), 1, CALM, id="none allowed, some left"),
        pytest.param(of_available(Percent(10), mib(150)), 150, KILL, id="kill above term on this host"),
        pytest.param(of_available(Percent(10), mib(150)), 151, ARMED, id="above both"),
    ],
)
def test_limits_of_either_kind(limits: Limits, available: int, level: Level) -> None:
    assert read_host(memory(available), limits).level is level


@given(MIBS, MIBS, MIBS, st.sampled_from([0, 500]), st.floats(0, 5))
def test_less_memory_is_never_less_bad(one: int, other: int, swap_free: int, swap: int, full: float) -> None:
    more, less = (
        read(*stalled(full, memory(available, swap_total=swap, swap_free=min(swap, swap_free))))
        for available in (max(one, other), min(one, other))
    )
    assert SEVERITY[less.level] >= SEVERITY[more.level]
    assert less.headroom <= more.headroom
    assert set(less.reasons) >= set(more.reasons)


@given(MIBS, MIBS, st.floats(0, 4), st.integers(0, 600), st.booleans())
def test_laws_of_the_assessment(
    available: int, swap_free: int, full: float, committed: int, strict: bool
) -> None:
    host = memory(
        available, swap_total=500, swap_free=min(swap_free, 500), committed=committed, commit_limit=500
    )
    found = read(*stalled(full, host), overcommit=NEVER if strict else HEURISTIC)
    assert (found.level in {TERM, KILL}) == bool(found.reasons)
    assert 0 <= found.headroom <= 1
    assert (found.headroom == 0) == (found.level is KILL)


@pytest.mark.parametrize(
    ("available", "full", "reasons", "level"),
    [
        pytest.param(100, 1.99, (LOW,), TERM, id="within the budget"),
        pytest.param(100, 2.0, (LOW, STALL), TERM, id="the budget is spent"),
        pytest.param(100, 3.9, (LOW, STALL), TERM, id="nearly twice"),
        pytest.param(100, 4.0, (LOW, STALL), KILL, id="twice the budget"),
        pytest.param(101, 4.0, (), ARMED, id="memory is not low"),
        pytest.param(900, 0.1, (), CALM, id="a tenth of a budget is twice as much"),
        pytest.param(900, 0.2, (), ARMED, id="a tenth of the budget"),
    ],
)
def test_stall(available: int, full: float, reasons: tuple[Reason, ...], level: Level) -> None:
    found = read(*stalled(full, memory(available)))
    assert (found.reasons, found.level) == (reasons, level)
    assert found.figures.stall == pytest.approx(full)


def test_stall_without_low_swap() -> None:
    """Swap that is still free is no comfort to who waits for it."""
    host = memory(10, swap_total=500, swap_free=500)
    assert read(*stalled(2.5, host)).reasons == (STALL,)


def test_some_alone_arms_and_no_more() -> None:
    assert read(*stalled(0, memory(900), some=0.19)).level is CALM
    assert read(*stalled(0, memory(900), some=0.2)).level is ARMED
    assert read(*stalled(0, memory(100), some=4)).reasons == (LOW,)


@given(st.floats(0, 4), st.integers(0, 10 * PAGES))
def test_pressure_in_plenty_is_no_reason(full: float, refaults: int) -> None:
    """PSI and refaults are a control group's own affair where the host as a whole does not reclaim."""
    found = read(*stalled(full, memory(900), refaults=refaults))
    assert found.reasons == ()
    assert found.level in {CALM, ARMED}


@pytest.mark.parametrize(
    ("refaults", "scans", "reasons"),
    [(PAGES // 20, PAGES // 20, (STALL,)), (PAGES // 20, 0, ()), (PAGES // 21, PAGES, ())],
    ids=["thrashing", "a group's own limit", "a cache at work"],
)
def test_thrashing_stands_in_for_low_memory(refaults: int, scans: int, reasons: tuple[Reason, ...]) -> None:
    assert read(*stalled(2.5, memory(300), refaults=refaults, scans=scans)).reasons == reasons


def test_restart_forgives_the_stall() -> None:
    gauge = Gauge(LIMITS, HEURISTIC, PAGE)
    before, after = stalled(2.5, memory(100))
    gauge.read(before)
    assert STALL in gauge.read(after).reasons
    gauge.restart()
    assert gauge.read(sample(105, memory(100), psi(9.5))).figures.stall == pytest.approx(0)


def test_without_psi_reclaim_and_refaults_tell_the_stall() -> None:
    counts = [vmstat(allocstall=n, direct=n * PAGES, file=n * PAGES // 50) for n in range(4)]
    samples = [sample(100 + n, memory(100), None, stats) for n, stats in enumerate(counts)]
    assert [read(*samples[: n + 1]).figures.stall for n in range(4)] == pytest.approx([0, 1, 2, 3])
    assert read(*samples).reasons == (LOW, STALL)


@pytest.mark.parametrize(
    ("committed", "level", "headroom"),
    [
        pytest.param(319, CALM, 1, id="far"),
        pytest.param(320, ARMED, 1, id="twice as far as the limit"),
        pytest.param(359, ARMED, 1, id="near"),
        pytest.param(360, TERM, 1, id="at 90 %"),
        pytest.param(380, TERM, 0.5, id="halfway"),
        pytest.param(400, KILL, 0, id="at the limit less the reserves"),
        pytest.param(480, KILL, 0, id="beyond"),
    ],
)
def test_commit_limit(committed: int, level: Level, headroom: float) -> None:
    host = memory(900, committed=committed, commit_limit=500)
    found = read_host(host, overcommit=NEVER)
    assert found.level is level
    assert found.headroom == pytest.approx(headroom)
    assert found.reasons == ((COMMIT,) if level in {TERM, KILL} else ())
    assert found.figures.commit_limit == mib(400)
    for mode in (0, 1):
        free = read_host(host, overcommit=replace(NEVER, mode=mode))
        assert (free.level, free.reasons, free.figures.commit_limit) == (CALM, (), 0)


def test_reserves_beyond_the_commit_limit() -> None:
    host = memory(900, committed=90, commit_limit=100)
    assert read_host(host, overcommit=NEVER).level is CALM


def test_a_commit_limit_to_the_last_byte() -> None:
    limits = replace(LIMITS, commit=Percent(100))
    assert read_host(memory(committed=399), limits, NEVER).reasons == ()
    assert read_host(memory(committed=400), limits, NEVER).reasons == (COMMIT,)


def test_figures() -> None:
    host = memory(300, swap_total=400, swap_free=123, committed=77)
    figures = read_host(host, overcommit=NEVER).figures
    assert (figures.available, figures.available_limit) == (mib(300), mib(100))
    assert (figures.swap_free, figures.swap_limit) == (mib(123), mib(40))
    assert (figures.committed, figures.commit_limit) == (mib(77), mib(400))
    assert (figures.stall, figures.stall_budget) == (Seconds(0), Seconds(2))


@given(st.sampled_from(Level), MIBS, MIBS)
def test_pause(level: Level, available: int, limit: int) -> None:
    found = assessment(level=level, available=available, limit=limit)
    rest = pause(found)
    if level is not CALM:
        assert rest == ARMED_PAUSE
        return
    assert ARMED_PAUSE <= rest <= LONGEST_PAUSE
    if available > limit:
        assert rest <= max(ARMED_PAUSE, (available - limit) / 4096 + 1e-9)


def test_a_large_host_may_sleep_long() -> None:
    assert pause(assessment(level=CALM, available=64 * 1024)) == LONGEST_PAUSE


def test_the_first_sample_tells_no_stall() -> None:
    pressure = Pressure(some=Seconds(9e5), full=Seconds(9e5))
    assert read(sample(100, memory(10), pressure)).figures.stall == pytest.approx(0)


@pytest.mark.parametrize(("available", "near"), [(201, False), (200, True), (50, True), (900, False)])
def test_near_is_within_twice_the_limit(available: float, near: bool) -> None:
    assert Gauge(LIMITS, HEURISTIC, PAGE).is_near(memory(available)) is near
