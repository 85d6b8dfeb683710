from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oomguard import counters
from oomguard.counters import EXIT, HISTOGRAMS, REACTION, Counter
from oomguard.episode import Outcome, Sent
from oomguard.event import Event, KernelKilled, Lifecycle, LifecycleChanged, Mode
from oomguard.storm import Response
from oomguard.units import Bytes, Seconds
from tests.specimens import ACTING, ENDED, EVENTS, HOLDING, KILLING, RELIEVED, RELIEVING, STORMING


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (KILLING, {("kills", ("stall", "term")): 1}),
        (replace(KILLING, sent=Sent.KILL), {("kills", ("stall", "kill")): 1}),
        (replace(KILLING, mode=Mode.DRY_RUN), {("would_kills", ("stall", "term")): 1}),
        (replace(KILLING, reasons=()), {}),
        (ENDED, {("outcomes", ("recovered",)): 1, ("memory_freed_bytes", ()): 800 << 20}),
        (replace(ENDED, mode=Mode.DRY_RUN), {}),
        (replace(ENDED, freed=Bytes(-1)), {("outcomes", ("recovered",)): 1, ("memory_freed_bytes", ()): 0}),
        (
            replace(ENDED, outcome=Outcome.RECEDED),
            {("outcomes", ("receded",)): 1, ("memory_freed_bytes", ()): 0},
        ),
        (HOLDING, {("holds", ("all_protected",)): 1}),
        (STORMING, {("storms", ("alert",)): 1}),
        (replace(STORMING, action=Response.STOP_UNIT), {("storms", ("stop-unit",)): 1}),
        (replace(STORMING, mode=Mode.DRY_RUN), {}),
        (ACTING, {}),
        (RELIEVING, {("reliefs", ("reclaim", "partly")): 1}),
        (replace(RELIEVING, mode=Mode.DRY_RUN, result=None), {("would_reliefs", ("reclaim",)): 1}),
        (RELIEVED, {("relief_gained_bytes", ("signal",)): 30 << 20}),
        (replace(RELIEVED, gained=Bytes(-1)), {("relief_gained_bytes", ("signal",)): 0}),
        (KernelKilled(kills=7), {}),
        (LifecycleChanged(what=Lifecycle.RELOADED, text=""), {("config_reloads", ("accepted",)): 1}),
        (LifecycleChanged(what=Lifecycle.RELOAD_REFUSED, text=""), {("config_reloads", ("refused",)): 1}),
        (LifecycleChanged(what=Lifecycle.STARTED, text=""), {}),
        (EVENTS[-2], {("degraded", ()): 1}),
        (LifecycleChanged(what=Lifecycle.FELL_BACK, text=""), {("fallbacks", ()): 1}),
        (EVENTS[-1], {}),
    ],
)
def test_what_an_event_counts_for(event: Event, expected: dict[tuple[str, tuple[str, ...]], int]) -> None:
    assert {(each.family, each.labels): n for each, n in counters.counts(event)} == expected
    assert all(counter in counters.CELLS for counter, _ in counters.counts(event))


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (KILLING, ((REACTION, 0.003),)),
        (replace(KILLING, mode=Mode.DRY_RUN), ()),
        (ENDED, ((EXIT, 0.2),)),
        (replace(ENDED, outcome=Outcome.NOT_ENOUGH), ((EXIT, 0.2),)),
        (replace(ENDED, outcome=Outcome.HUNG), ()),
        (replace(ENDED, mode=Mode.DRY_RUN), ()),
        (HOLDING, ()),
    ],
)
def test_what_an_event_is_a_duration_of(event: Event, expected: tuple[object, ...]) -> None:
    assert counters.observations(event) == expected


def test_no_two_share_a_cell() -> None:
    cells = list(counters.CELLS.values())
    for histogram, start in counters.BUCKETS.items():
        cells += range(start, start + histogram.cells)
    assert sorted(cells) == list(range(counters.TABLE_SIZE))


@pytest.mark.parametrize("histogram", HISTOGRAMS)
@given(duration=st.floats(0, 100))
def test_a_duration_is_in_the_first_bucket_that_holds_it(
    histogram: counters.Histogram, duration: float
) -> None:
    bounds = (*histogram.bounds, float("inf"))
    bucket = histogram.bucket(Seconds(duration))
    assert duration <= bounds[bucket]
    assert bucket == 0 or bounds[bucket - 1] < duration


def test_a_table_is_told_apart_again() -> None:
    cells = [0] * counters.TABLE_SIZE
    for event in (KILLING, ENDED, ENDED, replace(KILLING, reaction=Seconds(-1.0))):
        for cell, n in counters.additions(event):
            cells[cell] += n
    tallied = counters.tallied(cells)
    assert {counter: n for counter, n in tallied.items() if n} == {
        Counter("kills", ("stall", "term")): 2,
        Counter("outcomes", ("recovered",)): 2,
        Counter("memory_freed_bytes"): 1600 << 20,
    }
    reaction, exits = counters.distributions(cells)
    assert reaction.counts == (1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0)
    assert reaction.sum == pytest.approx(0.003)
    assert exits.counts == (0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0)
    assert exits.sum == pytest.approx(0.4)
