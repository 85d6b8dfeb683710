from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oomguard import codec, decoder
from oomguard.event import Degraded, Event, Holding, Killing, Person
from oomguard.holders import Holder
from oomguard.names import decode as name
from oomguard.units import Bytes, Pid, Points, Ticks
from tests.builders import enclosed
from tests.specimens import EVENTS, HOLDING, KILLING, VICTIM

ROOM = 4072
NUMBERS = st.integers(-(1 << 64), 1 << 64)
NAMES = st.binary(max_size=600).map(name)
PERSONS = st.builds(
    Person,
    pid=NUMBERS.map(Pid),
    starttime=NUMBERS.map(Ticks),
    comm=NAMES,
    unit=st.none() | NAMES,
    uid=NUMBERS,
    rss=NUMBERS.map(Bytes),
    swap=NUMBERS.map(Bytes),
    points=NUMBERS.map(Points),
    oom_score_adj=NUMBERS,
    rules=st.lists(NAMES, max_size=64).map(tuple),
)
KILLINGS = st.builds(
    Killing,
    victim=PERSONS,
    members=NUMBERS,
    runners_up=st.lists(PERSONS, max_size=5).map(tuple),
    kernel_choice=st.none() | PERSONS,
    figures=st.just(KILLING.figures),
    reaction=st.floats(allow_nan=False),
)
TEXTS = st.builds(Degraded, text=st.text(max_size=5000) | NAMES)
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_what_goes_in_comes_out(event: Event) -> None:
    assert decoder.decode(codec.encode(event, ROOM)) == event


@given(KILLINGS | TEXTS)
def test_whatever_its_names_an_event_that_fits_is_kept_whole(event: Event) -> None:
    assert decoder.decode(codec.encode(event, 1 << 20)) == event


@given(KILLINGS | TEXTS)
def test_whatever_its_names_an_event_fits_and_stays_an_event(event: Event) -> None:
    data = codec.encode(event, ROOM)
    assert len(data) <= ROOM
    assert type(decoder.decode(data)) is type(event)


def test_an_event_is_one_line_of_ascii() -> None:
    assert all(0x20 <= byte < 0x7F for byte in codec.encode(KILLING, ROOM))


def test_the_last_runners_up_go_first() -> None:
    persons = tuple(replace(VICTIM, pid=Pid(pid)) for pid in range(40))
    killing = decoder.decode(codec.encode(replace(KILLING, runners_up=persons), ROOM))
    holding = decoder.decode(codec.encode(replace(HOLDING, biggest=persons), ROOM))
    assert isinstance(killing, Killing)
    assert isinstance(holding, Holding)
    for left in killing.runners_up, holding.biggest:
        assert 0 < len(left) < 40
        assert left == persons[: len(left)]
    assert killing == replace(KILLING, runners_up=killing.runners_up)
    assert holding == replace(HOLDING, biggest=holding.biggest)


def test_then_the_ends_of_names_and_of_lists_of_rules() -> None:
    long = replace(VICTIM, unit="u" * 5000, rules=tuple(f"rule{n}" for n in range(64)))
    found = decoder.decode(codec.encode(replace(KILLING, victim=long), ROOM))
    assert isinstance(found, Killing)
    assert found.runners_up == ()
    assert found.victim == replace(
        long, comm=VICTIM.comm[:15] + "…", unit="u" * 15 + "…", rules=long.rules[:4]
    )


def test_whom_memory_is_held_by_is_never_cut() -> None:
    held = tuple((holder, Bytes(1 << 62)) for holder in Holder)
    persons = tuple(replace(VICTIM, unit="u" * 5000) for _ in range(3))
    found = decoder.decode(codec.encode(replace(HOLDING, biggest=persons, held=held), ROOM))
    assert isinstance(found, Holding)
    assert found.held == held


def test_a_text_that_is_cut_says_so() -> None:
    assert decoder.decode(codec.encode(Degraded(text="t" * 5000), ROOM)) == Degraded(text="t" * 255 + "…")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"{}",
        b'{"kind":"degraded"}',
        b'{"kind":"degraded","text":5}',
        b'{"kind":"degraded","text":"a","more":1}',
        b'{"kind":"kernel_killed","kills":true}',
        b'{"kind":"kernel_killed","kills":1.0}',
        b'{"kind":["degraded"],"text":"a"}',
        b'{"kind":"lifecycle","what":"sulking","text":""}',
        b'{"kind":"lifecycle","what":{},"text":""}',
        json.dumps({**codec.document(HOLDING), "held": [["aliens", 1]]}).encode(),
        json.dumps({**codec.document(HOLDING), "held": [["slab"]]}).encode(),
        json.dumps({**codec.document(HOLDING), "held": [["slab", 1.5]]}).encode(),
        b"[" * 100_000,
        b"1" * 100_000,
        b"\xff",
    ],
)
def test_what_is_no_event_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError):
        decoder.decode(data)


@given(st.sampled_from(EVENTS), JSON, st.data())
def test_a_field_of_any_other_content_is_refused_or_valid(
    event: Event, junk: object, data: st.DataObject
) -> None:
    plain = codec.document(event)
    plain[data.draw(st.sampled_from(sorted(plain)))] = junk
    try:
        found = decoder.decode(json.dumps(plain).encode())
    except ValueError:
        return
    assert decoder.decode(codec.encode(found, 1 << 20)) == found or junk != junk  # noqa: PLR0124  # nan


def test_a_control_group_with_a_name_as_long_as_can_be() -> None:
    event = replace(KILLING, figures=enclosed("/" + "\udcff/" * 2000).figures)
    assert decoder.decode(codec.encode(event, 100_000)) == event
    found = decoder.decode(codec.encode(event, ROOM))
    assert isinstance(found, Killing)
    assert found.figures.group is not None
    assert len(found.figures.group.path) < 100
