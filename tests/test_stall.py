from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oomguard.psi import Pressure
from oomguard.stall import STALLED_RATE, THRASH_SHARE, StallWindow
from oomguard.units import Seconds
from oomguard.vmstat import VmStat
from tests.builders import PAGE, TOTAL, memory, psi, vmstat

WINDOW = Seconds(10.0)
HOST = memory()
ENOUGH = int(THRASH_SHARE * TOTAL / PAGE)
RATE = int(STALLED_RATE * TOTAL / PAGE)

Points = list[tuple[float, float]]
"""When, and how long everybody had waited by then."""

STEPS = st.lists(st.tuples(st.floats(0.05, 3), st.floats(0, 1)), min_size=1, max_size=60)


def window_of(points: Points, window: Seconds = WINDOW) -> StallWindow:
    stall = StallWindow(window, PAGE)
    for at, full in points:
        stall.add(Seconds(at), HOST, psi(full), vmstat())
    return stall


def grown(steps: Points) -> Points:
    at, full, points = 100.0, 5.0, []
    for step, share in steps:
        at += step
        full += step * share
        points.append((at, full))
    return points


def brute_force(points: Points, window: float) -> float:
    """The rise of the straight lines between all points, from where they were when the window began."""
    end, last = points[-1]
    edge = end - window
    start = points[0][1]
    for (t0, v0), (t1, v1) in pairwise(points):
        if t0 <= edge < t1:
            start = v0 + (v1 - v0) * (edge - t0) / (t1 - t0)
    return last - start


@pytest.mark.parametrize(
    ("points", "full"),
    [
        pytest.param([(0, 7)], 0, id="one sample says nothing"),
        pytest.param([(0, 7), (1, 7.5)], 0.5, id="two"),
        pytest.param([(0, 0), (10, 4)], 4, id="as long as the window"),
        pytest.param([(0, 0), (20, 4)], 2, id="half of a gap"),
        pytest.param([(0, 0), (5, 5), (10, 5), (15, 5)], 0, id="just out of the window"),
        pytest.param([(0, 0), (5, 5), (10, 5), (14, 5)], 1, id="partly in it"),
        pytest.param([(0, 9), (1, 0)], 0, id="a total that falls"),
        pytest.param([(3, 1), (3, 1)], 0, id="no time between"),
    ],
)
def test_full(points: Points, full: float) -> None:
    assert window_of(points).full() == pytest.approx(full)


@given(STEPS, st.floats(1, 60))
def test_the_window_is_what_brute_force_says(steps: Points, window: float) -> None:
    points = grown(steps)
    step = window / 256
    assert window_of(points, Seconds(window)).full() == pytest.approx(
        brute_force(points, window), abs=2 * step + 1e-9
    )


@given(STEPS)
def test_the_window_is_exact_for_samples_that_are_not_too_dense(steps: Points) -> None:
    points = grown(steps)
    assert window_of(points).full() == pytest.approx(brute_force(points, WINDOW), abs=1e-9)


@given(STEPS)
def test_never_more_than_the_window(steps: Points) -> None:
    full = window_of(grown(steps)).full()
    assert 0 <= full <= WINDOW + 1e-9


@pytest.mark.parametrize("window", [10, 60])
def test_dense_samples_do_not_shorten_the_window(window: float) -> None:
    points = [(n * 0.02, n * 0.02) for n in range(5000)]
    assert window_of(points, Seconds(window)).full() == pytest.approx(window, rel=0.01)


def test_some_is_apart_from_full() -> None:
    stall = StallWindow(WINDOW, PAGE)
    for at in range(5):
        stall.add(Seconds(at), HOST, psi(full=at / 10, some=at / 2), vmstat())
    assert stall.full() == pytest.approx(0.4)
    assert stall.some() == pytest.approx(2.0)


def test_restart_forgets_all_but_the_latest() -> None:
    stall = window_of([(0, 0), (1, 1), (2, 2)])
    stall.restart()
    assert stall.full() == pytest.approx(0)
    stall.add(Seconds(3), HOST, psi(2.25), vmstat())
    assert stall.full() == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("first", "last", "thrashing"),
    [
        pytest.param(vmstat(), vmstat(), False, id="nothing happens"),
        pytest.param(vmstat(), vmstat(file=ENOUGH, direct=ENOUGH), True, id="file pages"),
        pytest.param(vmstat(), vmstat(anon=ENOUGH, kswapd=ENOUGH), True, id="swapped pages"),
        pytest.param(vmstat(), vmstat(file=ENOUGH, kswapd=ENOUGH // 2), True, id="half scanned"),
        pytest.param(
            vmstat(), vmstat(file=ENOUGH, kswapd=ENOUGH // 2 - 1), False, id="less than half scanned"
        ),
        pytest.param(vmstat(), vmstat(file=ENOUGH - 1, direct=ENOUGH), False, id="too few"),
        pytest.param(vmstat(), vmstat(file=10 * ENOUGH), False, id="a control group at its own limit"),
        pytest.param(vmstat(), vmstat(kswapd=10 * ENOUGH), False, id="a cache at work"),
        pytest.param(
            vmstat(file=ENOUGH, direct=ENOUGH), vmstat(file=ENOUGH, direct=ENOUGH), False, id="long ago"
        ),
    ],
)
@pytest.mark.parametrize("pressure", [psi(1), None], ids=["PSI", "no PSI"])
def test_thrashing(first: VmStat, last: VmStat, thrashing: bool, pressure: Pressure | None) -> None:
    stall = StallWindow(WINDOW, PAGE)
    stall.add(Seconds(0), HOST, pressure, first)
    stall.add(Seconds(1), HOST, pressure, last)
    assert stall.thrashing(HOST) is thrashing


def test_thrashing_leaves_the_window() -> None:
    stall = StallWindow(WINDOW, PAGE)
    stall.add(Seconds(0), HOST, psi(0), vmstat())
    for at in range(1, 13):
        stall.add(Seconds(at), HOST, psi(0), vmstat(file=ENOUGH, direct=ENOUGH))
    assert not stall.thrashing(HOST)


@pytest.mark.parametrize(
    ("changes", "full"),
    [
        pytest.param([vmstat(allocstall=1, file=RATE)], 1, id="reclaims and refaults"),
        pytest.param([vmstat(allocstall=1, file=RATE // 2, anon=RATE - RATE // 2)], 1, id="of both kinds"),
        pytest.param([vmstat(allocstall=1, file=RATE - 1)], 0, id="too few refaults"),
        pytest.param([vmstat(file=9 * RATE)], 0, id="nobody has to reclaim"),
        pytest.param([vmstat(allocstall=1, file=RATE)] * 3, 1, id="and then no more"),
        pytest.param([vmstat(allocstall=n, file=n * RATE) for n in range(1, 4)], 3, id="again and again"),
        pytest.param([vmstat(allocstall=n, file=n * RATE) for n in range(1, 40)], 10, id="all of the window"),
    ],
)
def test_the_estimate_without_psi(changes: list[VmStat], full: float) -> None:
    stall = StallWindow(WINDOW, PAGE)
    for at, stats in enumerate([vmstat(), *changes]):
        stall.add(Seconds(at), HOST, None, stats)
    assert stall.full() == pytest.approx(full)
    assert stall.some() == stall.full()
