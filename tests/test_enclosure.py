from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oomguard.enclosure import Enclosure, Entry, Reading, is_near
from oomguard.gauge import ARMED_PAUSE, LONGEST_PAUSE
from oomguard.pressure import Assessment, GroupFigures, Level, Reason
from oomguard.units import Bytes, Percent, Seconds
from tests.builders import assessment, holdings, mib

ENTRY = Entry(name="pens", path="/pens/*", term=Percent(90.0), kill=Percent(95.0), budget=None)
PATIENT = replace(ENTRY, budget=Seconds(1.0))
HOST = assessment(available=500).figures
TAKES = Seconds(0.1)


def reading(
    current: float,
    *,
    at: float = 100,
    limit: float = 1000,
    cache: float = 0,
    swap: float = 0,
    swap_total: float = 0,
    stall: float | None = None,
) -> Reading:
    """In MiB."""
    return Reading(
        at=Seconds(at),
        limit=mib(limit),
        current=mib(current),
        holdings=replace(holdings(), reclaimable=mib(cache)),
        swap_used=mib(swap),
        swap_total=mib(swap_total),
        stall=None if stall is None else Seconds(stall),
    )


def read(*readings: Reading, entry: Entry = ENTRY) -> Assessment:
    enclosure = Enclosure(entry, "/pens/a", Seconds(10.0))
    return [enclosure.read(one, TAKES, HOST) for one in readings][-1]


def group(found: Assessment) -> GroupFigures:
    assert found.figures.group is not None
    return found.figures.group


@pytest.mark.parametrize(
    ("one", "level", "headroom"),
    [
        pytest.param(reading(100), Level.CALM, 1.0, id="plenty"),
        pytest.param(reading(799), Level.CALM, 1.0, id="not yet near"),
        pytest.param(reading(800), Level.ARMED, 1.0, id="near"),
        pytest.param(reading(899), Level.ARMED, 1.0, id="nearly"),
        pytest.param(reading(900), Level.TERM, 1.0, id="term"),
        pytest.param(reading(925), Level.TERM, 0.5, id="between"),
        pytest.param(reading(950), Level.KILL, 0.0, id="kill"),
        pytest.param(reading(1200), Level.KILL, 0.0, id="a limit that was lowered"),
        pytest.param(reading(1000, cache=300), Level.CALM, 1.0, id="page cache is no use"),
        pytest.param(reading(1000, cache=2000), Level.CALM, 1.0, id="figures of two instants"),
        pytest.param(reading(950, swap=500, swap_total=1000), Level.CALM, 1.0, id="it can swap"),
        pytest.param(reading(950, swap=800, swap_total=1000), Level.ARMED, 1.0, id="not for long"),
        pytest.param(reading(950, swap=925, swap_total=1000), Level.TERM, 0.5, id="not any more"),
        pytest.param(reading(500, swap=1000, swap_total=1000), Level.CALM, 1.0, id="swap alone"),
    ],
)
def test_the_limit(one: Reading, level: Level, headroom: float) -> None:
    found = read(one)
    assert (found.level, found.headroom) == (level, headroom)
    crossed = level in (Level.TERM, Level.KILL)
    assert found.reasons == ((Reason.CGROUP_LIMIT,) if crossed else ())


def test_the_figures_are_the_groups_own_beside_those_of_the_host() -> None:
    found = read(reading(930, cache=20, swap=930, swap_total=1000))
    assert replace(found.figures, group=None) == HOST
    figures = group(found)
    assert (figures.entry, figures.path) == ("pens", "/pens/a")
    assert (figures.used, figures.limit, figures.crossed_at) == (mib(910), mib(1000), mib(900))
    assert (figures.swap_used, figures.swap_limit, figures.free) == (mib(930), mib(1000), mib(90 + 70))
    assert found.holdings is not None
    assert (found.holdings.total, found.holdings.swap_used) == (mib(930), mib(930))


def test_nothing_is_left_of_a_limit_that_was_lowered() -> None:
    assert group(read(reading(1200, swap=20, swap_total=10))).free == 0


def test_equal_limits_kill_at_once() -> None:
    entry = replace(ENTRY, kill=Percent(90.0))
    assert read(reading(899), entry=entry).level is Level.ARMED
    assert read(reading(900), entry=entry).level is Level.KILL


@pytest.mark.parametrize(("pace", "level"), [(100, Level.TERM), (1000, Level.KILL), (-100, Level.TERM)])
def test_who_is_about_to_reach_the_limit_itself_is_not_asked(pace: float, level: Level) -> None:
    """In MiB a second; what is left lasts for 0.9 s, and for 0.09 s."""
    readings = (reading(910 - pace * (0.3 - at), at=100 + at) for at in (0.0, 0.1, 0.2, 0.3))
    assert read(*readings).level is level


def test_a_pace_alone_ends_nobody() -> None:
    """What grows fast in a small group mostly stops in time: it was sized for that."""
    readings = (reading(890 - 5000 * (0.15 - at), at=100 + at) for at in (0.0, 0.05, 0.1, 0.15))
    assert read(*readings).reasons == ()


@pytest.mark.parametrize(
    ("stalls", "current", "level"),
    [
        pytest.param((0, 0, 0), 1000, Level.CALM, id="none"),
        pytest.param((0, 0.1, 0.2), 1000, Level.ARMED, id="a little"),
        pytest.param((0, 0.5, 0.97), 1000, Level.TERM, id="spent by the time a kill takes"),
        pytest.param((0, 1, 2), 1000, Level.KILL, id="far beyond"),
        pytest.param((0, 2, 2), 1000, Level.ARMED, id="over"),
        pytest.param((0, 1, 2), 899, Level.ARMED, id="not at its own limit"),
        pytest.param((None, None, None), 1000, Level.CALM, id="not known"),
    ],
)
def test_the_stall(stalls: tuple[float | None, ...], current: float, level: Level) -> None:
    readings = (
        reading(current, cache=900, at=100 + second, stall=stall) for second, stall in enumerate(stalls)
    )
    found = read(*readings, entry=PATIENT)
    assert found.level is level
    crossed = level in (Level.TERM, Level.KILL)
    assert found.reasons == ((Reason.CGROUP_STALL,) if crossed else ())


def test_without_a_budget_a_stall_is_nobodys_business() -> None:
    readings = (reading(1000, cache=900, at=100 + second, stall=second) for second in range(4))
    assert read(*readings).level is Level.CALM


def test_both_limits() -> None:
    readings = (reading(960, at=100 + second, stall=2 * second) for second in range(3))
    assert read(*readings, entry=PATIENT).reasons == (Reason.CGROUP_LIMIT, Reason.CGROUP_STALL)


def test_the_stall_of_whoever_has_died_is_forgotten() -> None:
    enclosure = Enclosure(PATIENT, "/pens/a", Seconds(10.0))
    for second in range(3):
        enclosure.read(reading(1000, cache=900, at=100 + second, stall=second), TAKES, HOST)
    enclosure.restart()
    found = enclosure.read(reading(1000, cache=900, at=102.1, stall=2.1), TAKES, HOST)
    assert found.reasons == ()
    assert group(found).stall == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("entry", "current", "limit", "pause"),
    [
        pytest.param(ENTRY, 0, 100_000, LONGEST_PAUSE, id="far"),
        pytest.param(ENTRY, 0, 2000, 1800 / 4096, id="as far as the fastest needs"),
        pytest.param(PATIENT, 0, 100_000, 1 / 8, id="a budget wants readings"),
        pytest.param(ENTRY, 890, 1000, ARMED_PAUSE, id="armed"),
        pytest.param(ENTRY, 990, 1000, ARMED_PAUSE, id="crossed"),
    ],
)
def test_when_it_is_due_again(entry: Entry, current: float, limit: float, pause: float) -> None:
    enclosure = Enclosure(entry, "/pens/a", Seconds(10.0))
    enclosure.read(reading(current, limit=limit), TAKES, HOST)
    assert enclosure.due == pytest.approx(100 + pause)


@pytest.mark.parametrize(("current", "near"), [(799, False), (800, True), (1000, True)])
def test_what_the_memory_is_used_for_matters_near_the_limit(current: float, near: bool) -> None:
    assert is_near(ENTRY, mib(1000), mib(current)) is near


@given(st.integers(0, 1200), st.integers(0, 1200), st.integers(0, 1000))
def test_more_use_is_never_better(one: int, more: int, cache: int) -> None:
    levels = list(Level)
    fewer, most = sorted((one, more))
    calmer, worse = read(reading(fewer, cache=cache)), read(reading(most, cache=cache))
    assert levels.index(calmer.level) <= levels.index(worse.level)
    assert calmer.headroom >= worse.headroom


def test_no_limit_at_all_is_as_good_as_reached() -> None:
    assert read(reading(0, limit=0)).level is Level.KILL
    assert group(read(reading(0, limit=0))).free == Bytes(0)
