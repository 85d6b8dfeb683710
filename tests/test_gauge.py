from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oomguard.gauge import ARMED_PAUSE, LAST_STRAW, LONGEST_PAUSE, LONGEST_REST, SECOND_STALL, Gauge, pause
from oomguard.meminfo import Memory, Overcommit
from oomguard.pressure import Assessment, Level, Limit, Limits, Reason, Sample, StallOf
from oomguard.process import Key
from oomguard.psi import Pressure
from oomguard.taskstats import Delays
from oomguard.units import Amount, Percent, Pid, Seconds, Ticks
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

AT_ONCE = Seconds(0.0)
"""How long a kill takes, where a test is not about that."""
MIBS = st.integers(0, 1000)


def read(*samples: Sample, limits: Limits = LIMITS, overcommit: Overcommit = HEURISTIC) -> Assessment:
    gauge = Gauge(limits, overcommit, PAGE)
    return [gauge.read(one, AT_ONCE) for one in samples][-1]


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
        pytest.param(100, 2 * (1 + LAST_STRAW) - 0.01, (LOW, STALL), TERM, id="nearly out of patience"),
        pytest.param(100, 2 * (1 + LAST_STRAW), (LOW, STALL), KILL, id="out of patience"),
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
    ("available", "refaults", "scans", "reasons"),
    [
        pytest.param(200, PAGES // 20, PAGES // 20, (STALL,), id="thrashing"),
        pytest.param(200, PAGES // 20, 0, (), id="a group's own limit"),
        pytest.param(200, PAGES // 21, PAGES, (), id="a cache at work"),
        pytest.param(201, PAGES, PAGES, (), id="heavy use of files, in plenty"),
    ],
)
def test_thrashing_stands_in_for_low_memory(
    available: float, refaults: int, scans: int, reasons: tuple[Reason, ...]
) -> None:
    found = read(*stalled(2.5, memory(available), refaults=refaults, scans=scans))
    assert found.reasons == reasons


@pytest.mark.parametrize(("takes", "stall"), [(0.0, None), (0.1, None), (0.45, 1.6), (0.95, 1.1), (60, 1.0)])
def test_a_stall_is_ended_before_the_budget_is_spent(takes: float, stall: float | None) -> None:
    """What the kill takes counts too, up to half of the budget, at the pace of the stall."""
    gauge = Gauge(LIMITS, HEURISTIC, PAGE)
    read = (gauge.read(sample(100 + n / 16, memory(100), psi(7 + n / 16)), Seconds(takes)) for n in range(29))
    crossed = next((found for found in read if STALL in found.reasons), None)
    assert (crossed is None) == (stall is None)
    assert crossed is None or crossed.figures.stall == pytest.approx(stall, abs=1 / 16)


def test_what_the_disk_has_yet_to_write_counts_too() -> None:
    """The bystanders wait behind it: here for a second more, at a stall of one so far."""
    for queued, crossed in ((6000, True), (0, False)):
        gauge = Gauge(LIMITS, HEURISTIC, PAGE)
        for step in range(11):
            swap = vmstat(swapped_out=500 * step + queued, writeback=queued)
            now = sample(100 + step / 10, memory(100), psi(7 + step / 10), swap if step else vmstat())
            found = gauge.read(now, AT_ONCE)
        assert (STALL in found.reasons) is crossed


@pytest.mark.parametrize(
    ("sent", "culprit_waits", "backlog"),
    [
        pytest.param(0, 0.0, 5000 / 4000, id="nothing is added to it"),
        pytest.param(500, 0.0, 0.0, id="more is sent"),
        pytest.param(0, 1.0, 0.0, id="more will be sent"),
    ],
)
def test_a_backlog_shows_once_it_drains(sent: int, culprit_waits: float, backlog: float) -> None:
    gauge = Gauge(OF_BYSTANDERS, HEURISTIC, PAGE)
    gauge.culprit = "/hog"
    for step in range(11):
        swap = vmstat(swapped_out=(9000 if step else 0) + sent * step, writeback=max(9000 - 400 * step, 0))
        stalls = {"/hog": culprit_waits * step / 10, "/db": step / 10}
        found = gauge.read(sample(100 + step / 10, memory(100), psi(7 + step / 10), swap, stalls), AT_ONCE)
    assert found.figures.backlog == pytest.approx(backlog)


@pytest.mark.parametrize("spent", [1.6, 2.4])
def test_a_stall_that_is_over_is_let_be(spent: float) -> None:
    """Even one that was longer than the budget."""
    gauge = Gauge(LIMITS, HEURISTIC, PAGE)
    low = memory(100)
    read = [
        gauge.read(sample(100 + step / 10, low, psi(7 + min(step / 10, spent))), Seconds(0.5))
        for step in range(40)
    ]
    assert STALL in read[round(10 * spent)].reasons
    assert STALL not in read[-1].reasons
    assert read[-1].figures.stall == pytest.approx(spent)


def test_restart_forgives_the_stall_and_leaves_less_of_the_budget() -> None:
    gauge = Gauge(LIMITS, HEURISTIC, PAGE)
    before, after = stalled(2.5, memory(100))
    gauge.read(before, AT_ONCE)
    assert STALL in gauge.read(after, AT_ONCE).reasons
    gauge.restart(after.at)
    first = gauge.read(sample(105, memory(100), psi(9.5)), AT_ONCE)
    assert first.figures.stall == pytest.approx(0)
    assert first.reasons == (LOW,)
    assert first.figures.stall_budget == pytest.approx(SECOND_STALL * 2)
    assert STALL in gauge.read(sample(107, memory(100), psi(9.5 + SECOND_STALL * 2)), AT_ONCE).reasons
    plenty = gauge.read(sample(107.1, memory(101), psi(9.5 + SECOND_STALL * 2)), AT_ONCE)
    assert plenty.figures.stall_budget == pytest.approx(2)
    later = gauge.read(sample(104 + LIMITS.stall_window, memory(100), psi(10)), AT_ONCE)
    assert later.figures.stall_budget == pytest.approx(2)


@pytest.mark.parametrize("takes", [0.0, 0.1, 0.25])
def test_a_second_stall_is_seen_as_soon_as_the_first(takes: float) -> None:
    """The fall of the figure at the restart is no sign that the stall is over."""
    gauge = Gauge(LIMITS, HEURISTIC, PAGE)
    crossed = None
    for step in range(120):
        at = 100 + step / 40
        found = gauge.read(sample(at, memory(100), psi(7 + step / 40)), Seconds(takes))
        if step == 80:
            gauge.restart(Seconds(at))
        elif step > 80 and crossed is None and STALL in found.reasons:
            crossed = at - 102
    assert crossed == pytest.approx(SECOND_STALL * 2 - takes, abs=1 / 40)


OF_BYSTANDERS = replace(LIMITS, stall_of=StallOf.BYSTANDERS)


def test_restart_forgives_the_bystanders_stall_too() -> None:
    gauge = Gauge(OF_BYSTANDERS, HEURISTIC, PAGE)
    gauge.culprit = "/hog"
    low = memory(100)
    gauge.read(sample(100, low, psi(7), stalls={"/db": 0.0}), AT_ONCE)
    assert gauge.read(sample(104, low, psi(10), stalls={"/db": 2.5}), AT_ONCE).figures.stall == 2.5
    gauge.restart(Seconds(104))
    found = gauge.read(sample(105, low, psi(10.3), stalls={"/db": 2.8}), AT_ONCE)
    assert found.figures.stall_of is StallOf.BYSTANDERS
    assert found.figures.stall == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("limits", "culprit", "after", "stall", "whose"),
    [
        pytest.param(OF_BYSTANDERS, "/hog", {"/hog": 3.0, "/db": 0.0}, 0.0, StallOf.BYSTANDERS, id="its own"),
        pytest.param(OF_BYSTANDERS, "/hog", {"/hog": 0.1, "/db": 3.5}, 3.5, StallOf.BYSTANDERS, id="hers"),
        pytest.param(
            OF_BYSTANDERS, "/", {"/hog": 3.0, "/db": 0.5}, 3, StallOf.ANYONE, id="everybody's group"
        ),
        pytest.param(OF_BYSTANDERS, None, {"/hog": 3.0, "/db": 0.5}, 3, StallOf.ANYONE, id="not known"),
        pytest.param(OF_BYSTANDERS, "/hog", {}, 3, StallOf.ANYONE, id="no groups"),
        pytest.param(LIMITS, "/hog", {"/hog": 3.0, "/db": 0.5}, 3, StallOf.ANYONE, id="anyone's"),
    ],
)
def test_whose_stall(
    limits: Limits, culprit: str | None, after: dict[str, float], stall: float, whose: StallOf
) -> None:
    gauge = Gauge(limits, HEURISTIC, PAGE)
    gauge.culprit = culprit
    low = memory(100)
    gauge.read(sample(100, low, psi(7), stalls=dict.fromkeys(after, 0.0)), AT_ONCE)
    found = gauge.read(sample(104, low, psi(10), stalls=after), AT_ONCE)
    assert found.figures.stall == pytest.approx(stall)
    assert found.figures.stall_of is whose
    assert (STALL in found.reasons) == (stall >= 2)


@pytest.mark.parametrize(("available", "stall"), [(100, 2.0), (101, 0.6)])
def test_what_no_group_tells_counts_while_memory_is_low(available: float, stall: float) -> None:
    gauge = Gauge(OF_BYSTANDERS, HEURISTIC, PAGE)
    gauge.culprit = "/hog"
    for at, share in ((100, 0.0), (109, 1.0)):
        now = sample(
            at, memory(available), psi(7 + 3 * share), stalls={"/hog": 3 * share, "/db": 0.6 * share}
        )
        found = gauge.read(replace(now, disk_waits={"/db": Seconds(2 * share)}), AT_ONCE)
    assert found.figures.stall == pytest.approx(stall)
    assert found.figures.stall_of is StallOf.BYSTANDERS


@pytest.mark.parametrize(
    ("limits", "groups", "waited", "stall", "whose"),
    [
        pytest.param(OF_BYSTANDERS, {}, 0.0, 0.0, StallOf.BYSTANDERS, id="a hog stalls itself"),
        pytest.param(OF_BYSTANDERS, {}, 2.5, 2.5, StallOf.BYSTANDERS, id="a hog stalls the database"),
        pytest.param(OF_BYSTANDERS, {}, None, 3.0, StallOf.ANYONE, id="not known"),
        pytest.param(
            OF_BYSTANDERS, {"/db": 0.8}, 0.1, 0.8, StallOf.BYSTANDERS, id="more outside of its group"
        ),
        pytest.param(OF_BYSTANDERS, {"/db": 0.5}, 2.5, 2.5, StallOf.BYSTANDERS, id="more within its group"),
        pytest.param(LIMITS, {}, 0.0, 3.0, StallOf.ANYONE, id="anyone's"),
    ],
)
def test_whose_stall_by_delays(
    limits: Limits, groups: dict[str, float], waited: float | None, stall: float, whose: StallOf
) -> None:
    """The host as a whole stalls for 3 s all the same."""
    gauge = Gauge(limits, HEURISTIC, PAGE)
    gauge.culprit = "/hog"
    low = memory(100)
    for at, share in ((100, 0.0), (104, 1.0)):
        stalls = {group: share * total for group, total in groups.items()}
        now = sample(at, low, psi(7 + 3 * share), stalls=stalls)
        if waited is not None:
            key = Key(pid=Pid(7), starttime=Ticks(0))
            delays = Delays(waited=Seconds(share * waited), wanted=Seconds(share * waited))
            now = replace(now, delays={key: delays})
        found = gauge.read(now, AT_ONCE)
    assert found.figures.stall == pytest.approx(stall)
    assert found.figures.stall_of is whose
    assert (STALL in found.reasons) == (stall >= 2)
    gauge.restart(now.at)
    assert gauge.read(replace(now, at=Seconds(now.at + 0.1)), AT_ONCE).figures.stall == pytest.approx(0)


@pytest.mark.parametrize(
    ("free", "takes", "reasons", "level"),
    [
        pytest.param((900, 700, 500, 300), 0.1, (), ARMED, id="soon"),
        pytest.param((900, 700, 500, 300), 0.22, (Reason.EXHAUSTION_FORECAST,), KILL, id="too soon"),
        pytest.param((900, 600, 300, 290), 0.2, (), CALM, id="it has stopped"),
        pytest.param((300, 500, 700, 900), 0.2, (), CALM, id="it comes back"),
        pytest.param((900, 899, 898, 897), 0.2, (), CALM, id="slowly"),
    ],
)
def test_forecast(free: tuple[float, ...], takes: float, reasons: tuple[Reason, ...], level: Level) -> None:
    gauge = Gauge(replace(LIMITS, available=Limit(term=Percent(1), kill=Percent(0))), HEURISTIC, PAGE)
    for step, mibs in enumerate(free):
        found = gauge.read(sample(100 + step / 6, memory(mibs)), Seconds(takes))
    assert (found.reasons, found.level) == (reasons, level)


def test_free_swap_puts_exhaustion_off() -> None:
    gauge = Gauge(LIMITS, HEURISTIC, PAGE)
    for step, mibs in enumerate((900, 700, 500, 300)):
        host = memory(mibs, swap_total=500, swap_free=500)
        found = gauge.read(sample(100 + step / 6, host), Seconds(0.2))
    assert found.reasons == ()
    assert found.figures.exhausted_in == pytest.approx(800 / 1200)


@pytest.mark.parametrize(
    ("swap_free", "swap_cost", "level"),
    [
        pytest.param(500, 0.0, CALM, id="on a disk"),
        pytest.param(500, 0.5, CALM, id="half of it"),
        pytest.param(200, 0.5, ARMED, id="half of what is left"),
        pytest.param(60, 0.5, TERM, id="half of little"),
        pytest.param(500, 1.0, KILL, id="all of it"),
    ],
)
def test_free_swap_counts_less_the_memory_that_it_takes(
    swap_free: float, swap_cost: float, level: Level
) -> None:
    host = memory(10, swap_total=500, swap_free=swap_free)
    found = read(sample(host=host, swap_cost=swap_cost))
    assert found.level is level
    assert found.figures.swap_free == mib(swap_free * (1 - swap_cost))


def test_swap_in_memory_does_not_put_exhaustion_off() -> None:
    gauge = Gauge(LIMITS, HEURISTIC, PAGE)
    for step, mibs in enumerate((900, 700, 500, 300)):
        host = memory(mibs, swap_total=500, swap_free=500)
        found = gauge.read(sample(100 + step / 6, host, swap_cost=1.0), Seconds(0.22))
    assert found.reasons == (Reason.EXHAUSTION_FORECAST,)


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


@given(st.sampled_from(Level), MIBS, MIBS, st.sampled_from((LONGEST_PAUSE, LONGEST_REST)))
def test_pause(level: Level, available: int, limit: int, longest: Seconds) -> None:
    found = assessment(level=level, available=available, limit=limit)
    rest = pause(found, longest)
    if level is not CALM:
        assert rest == ARMED_PAUSE
        return
    assert ARMED_PAUSE <= rest <= longest
    if available > limit:
        assert rest <= max(ARMED_PAUSE, (available - limit) / 4096 + 1e-9)


@pytest.mark.parametrize(
    ("gib", "commit_limit", "longest", "expected"),
    [
        (0.4, 0, LONGEST_REST, 0.1),
        (4, 0, LONGEST_REST, 1),
        (8, 0, LONGEST_REST, 1),
        (16, 0, LONGEST_REST, 2),
        (31, 0, LONGEST_REST, 31 / 8),
        (64, 0, LONGEST_REST, 4),
        (64, 0, LONGEST_PAUSE, 1),
        (64, 1, LONGEST_REST, 1),
    ],
)
def test_a_large_host_may_sleep_long(
    gib: float, commit_limit: int, longest: Seconds, expected: float
) -> None:
    found = assessment(level=CALM, available=0, limit=0)
    figures = replace(found.figures, available=mib(gib * 1024), commit_limit=mib(commit_limit))
    assert pause(replace(found, figures=figures), longest) == pytest.approx(expected)


def test_the_first_sample_tells_no_stall() -> None:
    pressure = Pressure(some=Seconds(9e5), full=Seconds(9e5))
    assert read(sample(100, memory(10), pressure)).figures.stall == pytest.approx(0)


@pytest.mark.parametrize(("available", "near"), [(201, False), (200, True), (50, True), (900, False)])
def test_near_is_within_twice_the_limit(available: float, near: bool) -> None:
    assert Gauge(LIMITS, HEURISTIC, PAGE).is_near(memory(available)) is near
