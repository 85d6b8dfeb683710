from __future__ import annotations

from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oomguard.spell import LONGEST, SHORTEST, Spell, Toll
from oomguard.units import Seconds

GAPS = st.lists(st.floats(0.02, 5000), min_size=1, max_size=300)


def told(*times: float) -> list[float]:
    spell = Spell()
    return [at for at in times if spell.seen(Seconds(at))]


@pytest.mark.parametrize(
    ("seen", "news"),
    [
        pytest.param((0, 1, 59, 118), [0], id="short breaks are part of it"),
        pytest.param((0, 60), [0, 60], id="away for a minute"),
        pytest.param((0, 60, 179), [0, 60], id="the second time, a minute is short"),
        pytest.param((0, 60, 180, 419), [0, 60, 180], id="and the third, two"),
        pytest.param((0, 60, 180, 420), [0, 60, 180, 420], id="it doubles"),
        pytest.param((0, 60, 3660, 3719), [0, 60, 3660], id="away for an hour, and it is forgotten"),
        pytest.param((0, 60, 3660, 3720), [0, 60, 3660, 3720], id="so a minute is enough again"),
        pytest.param(range(0, 7201, 30), [0, 3600, 7200], id="while it lasts, each hour"),
    ],
)
def test_what_is_news(seen: tuple[float, ...], news: list[float]) -> None:
    assert told(*seen) == news


@given(GAPS)
def test_however_it_flickers_an_hour_has_at_most_seven_beginnings(gaps: list[float]) -> None:
    news = told(*accumulate(gaps))
    assert max(sum(1 for other in news if 0 <= other - at < LONGEST) for at in news) <= 7


@given(GAPS)
def test_what_is_so_was_told_within_the_hour(gaps: list[float]) -> None:
    spell, latest = Spell(), Seconds(-1e9)
    for at in map(Seconds, accumulate(gaps)):
        latest = at if spell.seen(at) else latest
        assert at - latest < LONGEST


def test_it_lasts_for_as_long_as_a_return_is_no_news() -> None:
    spell = Spell()
    assert not spell.lasts(Seconds(0))
    spell.seen(Seconds(0))
    assert spell.lasts(Seconds(SHORTEST - 0.1))
    assert not spell.lasts(SHORTEST)


def test_it_is_forgotten_once_its_return_is_as_its_first_time() -> None:
    spell = Spell()
    assert spell.is_forgotten(Seconds(0))
    spell.seen(Seconds(0))
    assert not spell.is_forgotten(Seconds(LONGEST - 0.1))
    assert spell.is_forgotten(LONGEST)


def tolls(*happened: tuple[float, int]) -> list[tuple[float, int]]:
    """What is told, and when, of so many at such a time."""
    toll = Toll()
    return [(at, told) for at, more in happened if (told := toll.note(Seconds(at), more))]


@pytest.mark.parametrize(
    ("happened", "told"),
    [
        pytest.param([(0, 0), (1, 0)], [], id="nothing"),
        pytest.param([(0, 2), (1, 0)], [(0, 2)], id="once"),
        pytest.param([(0, 1), (30, 2), (31, 3), (59, 0), (60, 0)], [(0, 1), (60, 5)], id="a minute's sum"),
        pytest.param(
            [(0, 1), (60, 1), (179, 1), (180, 1)], [(0, 1), (60, 1), (180, 2)], id="then two minutes'"
        ),
        pytest.param(
            [(0, 1), (60, 1), (3660, 1), (3720, 1)], [(0, 1), (60, 1), (3660, 1), (3720, 1)], id="anew"
        ),
        pytest.param(
            [(at, 1) for at in range(0, 3 * 3600, 10)],
            [(0, 1), (60, 6), (180, 12), (420, 24), (900, 48), (1860, 96), (3780, 192), (7380, 360)],
            id="one every ten seconds",
        ),
    ],
)
def test_what_is_told_of_what_happens_again(
    happened: list[tuple[float, int]], told: list[tuple[float, int]]
) -> None:
    assert tolls(*happened) == told


@given(st.lists(st.tuples(st.floats(0.02, 5000), st.integers(0, 3)), min_size=1, max_size=100))
def test_each_is_told_within_the_hour_and_an_hour_has_at_most_six_sums(news: list[tuple[float, int]]) -> None:
    times = list(accumulate(gap for gap, _ in news))
    happened = [(at, more) for at, (_, more) in zip(times, news, strict=True)]
    told = tolls(*happened)
    for at, _ in told:
        assert sum(1 for other, _ in told if 0 <= other - at < LONGEST) <= 6
    for at, _ in happened:
        due = sum(more for then, more in happened if then <= at - LONGEST)
        assert sum(n for then, n in told if then <= at) >= due
    assert sum(n for _, n in told) <= sum(more for _, more in happened)
