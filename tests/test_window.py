from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oomguard.units import Seconds
from oomguard.window import Window

LENGTH, APART = Seconds(10.0), Seconds(0.5)
Points = list[tuple[float, float]]


def spent(points: Points) -> float:
    found: Window[float] = Window(LENGTH, APART)
    for at, total in points:
        found.add(Seconds(at), total)
    return found.rise(float)


@pytest.mark.parametrize(
    ("points", "rise"),
    [
        pytest.param([(0, 7)], 0, id="one reading says nothing"),
        pytest.param([(0, 7), (1, 7.5)], 0.5, id="two"),
        pytest.param([(0, 0), (20, 4)], 2, id="half of a gap"),
        pytest.param([(0, 0), (5, 5), (10, 5), (15, 5)], 0, id="just out of the window"),
        pytest.param([(0, 0), (5, 5), (10, 6), (14, 6)], 2, id="a fifth of a step is left"),
        pytest.param([(0, 9), (1, 3)], 0, id="a group of that name was made anew"),
    ],
)
def test_spent(points: Points, rise: float) -> None:
    assert spent(points) == pytest.approx(rise)


@pytest.mark.parametrize(
    ("at", "found"),
    [(0.0, 1.0), (1.0, 1.0), (1.1, 2.0), (2.0, 2.0), (2.5, 3.0), (4.0, 3.0), (9.0, 3.0)],
)
def test_since(at: float, found: float) -> None:
    """The last one is what it is compared with."""
    window: Window[float] = Window(LENGTH)
    for when in (1.0, 2.0, 3.0, 4.0):
        window.add(Seconds(when), -when)
    assert window.since(Seconds(at)) == (found, -found)


def test_restart_forgets_all_but_the_latest() -> None:
    found: Window[float] = Window(LENGTH, APART)
    for at, total in ((0, 0), (1, 1), (2, 2)):
        found.add(Seconds(at), total)
    found.restart()
    assert found.rise(float) == 0.0
    found.add(Seconds(3), Seconds(2.5))
    assert found.rise(float) == pytest.approx(0.5)


@given(st.lists(st.tuples(st.floats(0.02, 3), st.floats(0, 1)), min_size=1, max_size=400))
def test_readings_that_come_dense_lose_no_more_than_a_part(steps: Points) -> None:
    at, total, points = 0.0, 0.0, [(0.0, 0.0)]
    for step, share in steps:
        at, total = at + step, total + step * share
        points.append((at, total))
    edge = at - LENGTH
    exact = total - next(
        (
            v0 + (v1 - v0) * (edge - t0) / (t1 - t0)
            for (t0, v0), (t1, v1) in pairwise(points)
            if t0 <= edge < t1
        ),
        0.0,
    )
    assert spent(points) == pytest.approx(exact, abs=APART + 1e-6)


def test_readings_that_come_dense_are_kept_no_denser() -> None:
    found: Window[int] = Window(LENGTH, APART)
    for step in range(2000):
        found.add(Seconds(step / 100), step)
        assert found.last == (Seconds(step / 100), step)
    times = [at for at, _ in found]
    assert all(later - earlier >= APART for earlier, later in pairwise(times[:-1]))
    assert len(times) <= LENGTH / APART + 3


def test_what_is_kept() -> None:
    """All of the window, and the last reading before it."""
    found: Window[int] = Window(LENGTH)
    assert not found
    for at in range(20):
        found.add(Seconds(at), at)
    assert [reading for _, reading in found] == list(range(9, 20))
    assert (found.first, found.last) == ((Seconds(9), 9), (Seconds(19), 19))
    found.clear()
    assert list(found) == []
