from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oomguard.forecast import (
    FIRST_GUESS,
    LONGEST,
    REMEMBERED,
    SLOWEST,
    SPAN,
    Backlog,
    Exhaustion,
    Pace,
    Slope,
)
from oomguard.units import Seconds
from tests.builders import mib

Points = list[tuple[float, float]]


def slope(points: Points) -> float:
    found = Slope()
    for at, value in points:
        found.add(Seconds(at), value)
    return found.rate()


@pytest.mark.parametrize(
    ("points", "rate"),
    [
        pytest.param([], 0, id="nothing"),
        pytest.param([(0, 5)], 0, id="one reading"),
        pytest.param([(0, 5), (0.05, 9)], 0, id="too short"),
        pytest.param([(0, 5), (0.1, 7)], 20, id="two"),
        pytest.param([(0, 5), (1, 7)], 2, id="two, far apart"),
        pytest.param([(0, 0), (0.1, 1), (0.2, 2), (0.3, 3), (0.4, 4)], 10, id="steady"),
        pytest.param([(0, 0), (0.2, 8), (0.4, 8)], 0, id="has stopped"),
        pytest.param([(0, 0), (0.2, 8), (0.4, 6)], 0, id="has turned"),
        pytest.param([(0, 0), (0.2, 0), (0.4, 8)], 20, id="has begun: the pace of all of it"),
        pytest.param([(0, 0), (0.2, 8), (0.4, 9)], 5, id="slower: the pace now"),
        pytest.param([(0, 100), (5, 0), (5.2, 2), (5.4, 4), (5.6, 6)], 10, id="what came before is over"),
        pytest.param([(0, 9), (0.1, 7), (0.2, 5)], -20, id="falling"),
        pytest.param([(0, 0), (0.4, 2), (0.4, 4)], 10, id="two at one time"),
    ],
)
def test_rate(points: Points, rate: float) -> None:
    assert slope(points) == pytest.approx(rate)


READINGS = st.lists(st.tuples(st.floats(0.01, 2), st.floats(-100, 100)), min_size=1, max_size=40)


@given(READINGS)
def test_no_pace_is_beyond_the_steepest_step(steps: Points) -> None:
    at, value, points = 0.0, 0.0, []
    for step, change in steps:
        at, value = at + step, value + change
        points.append((at, value))
    steepest = max((abs(change) / step for step, change in steps[1:]), default=0.0)
    assert abs(slope(points)) <= steepest * (1 + 1e-6) + 1e-6


@given(st.floats(-100, 100), st.integers(2, 40))
def test_a_steady_pace_is_seen_as_it_is(pace: float, count: int) -> None:
    points = [(n * SPAN / 5, n * SPAN / 5 * pace) for n in range(count)]
    assert slope(points) == pytest.approx(pace, abs=1e-6)


def test_restart_forgets() -> None:
    found = Slope()
    found.add(Seconds(0), 0)
    found.add(Seconds(1), 9)
    found.restart()
    found.add(Seconds(2), 99)
    assert found.rate() == 0


@pytest.mark.parametrize(
    ("frees", "swap", "left"),
    [
        pytest.param((400, 300, 200), (0, 0, 0), 0.4, id="memory falls"),
        pytest.param((100, 50, 0), (300, 300, 300), 1.2, id="swap is there still"),
        pytest.param((0, 0, 0), (300, 200, 100), 0.2, id="swap falls"),
        pytest.param((200, 100, 0), (0, 100, 200), None, id="one for the other"),
        pytest.param((200, 200, 200), (0, 0, 0), None, id="still"),
        pytest.param((100, 200, 300), (0, 0, 0), None, id="rises"),
    ],
)
def test_exhaustion(frees: tuple[int, ...], swap: tuple[int, ...], left: float | None) -> None:
    found = Exhaustion()
    for step, (available, swap_free) in enumerate(zip(frees, swap, strict=True)):
        found.add(Seconds(step / 5), mib(available), mib(swap_free))
    assert found.left(0.0) == (None if left is None else pytest.approx(left))


@pytest.mark.parametrize(
    ("swap_cost", "left"),
    [
        pytest.param(0.0, 1.2, id="on a disk"),
        pytest.param(0.5, 0.7, id="half of it is taken"),
        pytest.param(1.0, 0.2, id="what cannot be compressed takes what it gives"),
    ],
)
def test_swap_in_memory_puts_exhaustion_off_by_what_it_saves(swap_cost: float, left: float) -> None:
    found = Exhaustion()
    for step, available in enumerate((300, 200, 100)):
        found.add(Seconds(step / 5), mib(available), mib(500))
    assert found.left(swap_cost) == pytest.approx(left)


def test_another_cost_of_swap_is_no_pace() -> None:
    """As when it becomes known: 500 MiB that are not to be had after all have not been taken just now."""
    found = Exhaustion()
    for step in range(4):
        found.add(Seconds(step / 5), mib(300), mib(500))
        assert found.left(0.5 if step < 3 else 1.0) is None


@pytest.mark.parametrize(
    ("readings", "lasts"),
    [
        pytest.param([(0, 0, 0), (0.2, 0, 500)], 0, id="files are written, nothing is swapped"),
        pytest.param([(0, 0, 0), (0.2, 3000, 2000), (0.4, 6000, 4000)], 4000 / 5000, id="it piles up"),
        pytest.param(
            [(0, 0, 0), (0.2, 3000, 1000), (0.4, 5000, 1000), (2, 5000, 0), (2.2, 5068, 66)],
            66 / 10000,
            id="little is sent to a fast disk",
        ),
        pytest.param(
            [(0, 0, 0), (0.2, 3000, 1000), (8, 3000, 0), (8.2, 3068, 66)],
            66 / SLOWEST,
            id="what it can was long ago",
        ),
        pytest.param([(0, 0, 0), (0.2, 300, 300), (0.4, 600, 600)], 0, id="none has been written yet"),
        pytest.param([(0, 0, 0), (0.2, 100, 0), (0.4, 200, 0)], 0, id="the disk keeps up"),
        pytest.param([(0, 9000, 0), (0.2, 9100, 900), (0.4, 9200, 900)], 0, id="files, and a little swap"),
        pytest.param([(0, 0, 0), (1, 900, 900), (9, 900, 400), (9.2, 900, 300)], 0, id="of long ago: files"),
    ],
)
def test_backlog(readings: list[tuple[float, int, int]], lasts: float) -> None:
    found = Backlog()
    for at, swapped_out, writeback in readings:
        found.add(Seconds(at), swapped_out, writeback)
    assert found.lasts() == pytest.approx(lasts)


@pytest.mark.parametrize(
    ("readings", "drains"),
    [
        pytest.param([(0, 0, 0), (0.2, 300, 200), (0.4, 600, 400)], False, id="it piles up"),
        pytest.param(
            [(0, 0, 0), (0.2, 900, 900), (0.4, 900, 600), (0.8, 900, 300)], True, id="no more is sent"
        ),
        pytest.param([(0, 0, 0), (0.2, 100, 0), (0.4, 200, 0)], False, id="the disk keeps up"),
        pytest.param([(0, 0, 0), (0.2, 0, 0)], True, id="nothing at all"),
    ],
)
def test_drains(readings: list[tuple[float, int, int]], drains: bool) -> None:
    found = Backlog()
    for at, swapped_out, writeback in readings:
        found.add(Seconds(at), swapped_out, writeback)
    assert found.drains() is drains


def test_pace_is_that_of_the_slowest_of_the_latest() -> None:
    pace = Pace()
    assert pace.takes() == FIRST_GUESS
    for took in (0.8, *(0.3,) * (REMEMBERED - 1)):
        pace.note(Seconds(took))
    assert pace.takes() == 0.8
    pace.note(Seconds(0.2))
    assert pace.takes() == 0.3
    pace.note(Seconds(60))
    assert pace.takes() == LONGEST
