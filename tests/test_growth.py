from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oomguard.growth import HABIT, PACE, SHORT, Past
from oomguard.units import Pages, Seconds

STEP = 0.5
HELD = st.integers(0, 1_000_000)
GAPS = st.floats(0.01, 300.0)
NOTES = st.lists(st.tuples(GAPS, HELD), max_size=30)


def past(born: float, *notes: tuple[float, int]) -> Past:
    """Of a process that was seen to hold so much at these times."""
    (at, held), *later = notes
    seen = Past(Seconds(born), Seconds(at), Pages(held))
    for at, held in later:
        seen.note(Seconds(at), Pages(held))
    return seen


def followed(born: float, since: float, until: float, held: dict[float, int], pace: int = 0) -> Past:
    """Looked at each `STEP`; it holds what `held` says from each time on, and `pace` pages a second more."""
    steps = [since + STEP * number for number in range(int((until - since) / STEP) + 1)]
    levels = [max((at for at in held if at <= step), default=None) for step in steps]
    return past(
        born,
        *(
            (step, (0 if level is None else held[level]) + int(pace * (step - since)))
            for step, level in zip(steps, levels, strict=True)
        ),
    )


def test_who_was_never_seen_before_has_no_known_growth() -> None:
    assert past(0, (1000, 5000)).growth(Pages(5000)) == 0


@pytest.mark.parametrize("age", [0.0, 0.1, 4.9, 5.1, 9.9])
def test_who_has_just_been_born_has_gained_all_that_it_holds(age: float) -> None:
    assert past(1000, (1000 + age, 5000)).growth(Pages(5000)) == 5000


def test_who_was_born_minutes_ago_has_gained_as_much_as_it_still_gains() -> None:
    seen = past(1000, (1100, 5000))
    assert seen.growth(Pages(5000)) == 0
    assert seen.growth(Pages(5010)) == 10 * PACE // HABIT


def test_a_leak_counts_for_as_long_as_it_lasts() -> None:
    """The short span shows the pace, the long one how much."""
    pace = 256
    seen = followed(0, 1000, 1300, {1000: 100}, pace)
    assert seen.growth(Pages(100 + pace * 300)) == pace * 300 // HABIT


def test_a_database_that_filled_itself_minutes_ago_has_not_grown() -> None:
    seen = followed(0, 1000, 1300, {1000: 100, 1060: 900_000})
    assert seen.growth(Pages(900_000)) == 0


def test_what_it_gained_over_minutes_counts_at_the_pace_of_the_seconds() -> None:
    seen = followed(0, 1000, 1300, {1000: 100, 1060: 900_000})
    assert seen.growth(Pages(900_010)) == 10 * PACE // HABIT


def test_a_burst_counts_whatever_was_given_back_before() -> None:
    seen = followed(0, 1000, 1300, {1000: 900_000, 1060: 100})
    assert seen.growth(Pages(5100)) == 5000


def test_who_shrinks_has_not_grown() -> None:
    seen = followed(0, 1000, 1020, {1000: 900_000})
    assert seen.growth(Pages(800_000)) == 0


@pytest.mark.parametrize(
    ("after", "growth"),
    [(0, {5000}), (4.5, {5000}), (6, {0, 5000}), (9, {0, 5000}), (11, {0}), (60, {0})],
)
@pytest.mark.parametrize("start", [1000, 1001, 1002.5, 1004.5])
def test_measured_against_what_was_held_half_a_span_to_a_span_ago(
    start: float, after: float, growth: set[int]
) -> None:
    jump = 1040
    seen = followed(0, start, jump + after, {start: 100, jump: 5100})
    assert seen.growth(Pages(5100)) in growth


@given(st.floats(0, 1000), st.tuples(st.floats(1000, 1001), HELD), NOTES, HELD)
def test_growth_is_neither_negative_nor_more_than_what_is_held(
    born: float, first: tuple[float, int], notes: list[tuple[float, int]], held: int
) -> None:
    assert 0 <= grown(born, first, notes).growth(Pages(held)) <= held


@given(st.floats(0, 1000), st.tuples(st.floats(1000, 1001), HELD), NOTES, HELD, HELD)
def test_who_holds_more_has_grown_no_less(
    born: float, first: tuple[float, int], notes: list[tuple[float, int]], held: int, more: int
) -> None:
    seen = grown(born, first, notes)
    assert seen.growth(Pages(held)) <= seen.growth(Pages(held + more))


@given(
    st.floats(0, 1000),
    st.tuples(st.floats(1000, 1001), HELD),
    NOTES,
    HELD,
    st.lists(st.floats(0.01, SHORT / 2), min_size=1),
)
def test_who_is_steady_has_not_grown_once_a_span_has_passed(
    born: float, first: tuple[float, int], notes: list[tuple[float, int]], held: int, gaps: list[float]
) -> None:
    """A span, and the two looks that saw it pass."""
    steady = [*gaps, *[SHORT / 2] * 4]
    seen = grown(born, first, [*notes, *((gap, held) for gap in steady)])
    assert seen.growth(Pages(held)) == 0


def grown(born: float, first: tuple[float, int], notes: list[tuple[float, int]]) -> Past:
    """By the gaps between the notes."""
    at, seen = first[0], [first]
    for gap, held in notes:
        at += gap
        seen.append((at, held))
    return past(born, *seen)
