from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oomguard.episode import (
    MOST_PATIENCE,
    SETTLING,
    STILL,
    Action,
    Finish,
    Outcome,
    Seen,
    Sent,
    Signal,
    Stage,
    WaitUntil,
    advance,
    begin,
    finish,
)
from oomguard.pressure import Level
from oomguard.units import Pages, Seconds
from tests.builders import mib

ARMED, TERM, KILL = Level.ARMED, Level.TERM, Level.KILL
GRACE = Seconds(10.0)
START = Seconds(1000.0)
TERMED, KILLED = Signal(Sent.TERM), Signal(Sent.KILL)


def seen(
    after: float,
    level: Level = TERM,
    *,
    gone: bool = False,
    headroom: float = 0.5,
    free: float = 50,
    left: int = 2,
    moved: int = 0,
) -> Seen:
    """`after` so many seconds, with so many MiB free."""
    return Seen(
        at=Seconds(START + after),
        left=0 if gone else left,
        moved=Pages(moved),
        level=level,
        headroom=0.0 if level is KILL else headroom,
        free=mib(free),
    )


def play(*views: Seen, grace: Seconds = GRACE) -> list[Action]:
    """What is done at each view; nothing may follow the end."""
    episode, first = begin(views[0], grace)
    actions: list[Action] = [first]
    for view in views[1:]:
        assert not isinstance(actions[-1], Finish)
        episode, action = advance(episode, view, grace)
        actions.append(action)
    return actions


def wait(after: float) -> WaitUntil:
    return WaitUntil(Seconds(START + after))


def end(outcome: Outcome, freed: float, took: float) -> Finish:
    return Finish(outcome=outcome, freed=mib(freed), took=Seconds(took))


GONE_KILLED = seen(0.4, KILL, gone=True)


@pytest.mark.parametrize(
    ("views", "actions"),
    [
        pytest.param([seen(0)], [TERMED], id="asks first"),
        pytest.param([seen(0, KILL)], [KILLED], id="kills where there is no time to ask"),
        pytest.param([seen(0), seen(1)], [TERMED, wait(5)], id="grace by headroom"),
        pytest.param([seen(0), seen(1, headroom=0.2)], [TERMED, wait(2)], id="grace shrinks"),
        pytest.param(
            [seen(0), seen(1, headroom=0.2), seen(1.5, ARMED, headroom=1)],
            [TERMED, wait(2), wait(2)],
            id="grace is never given back",
        ),
        pytest.param([seen(0), seen(4.99), seen(5)], [TERMED, wait(5), KILLED], id="grace is over"),
        pytest.param([seen(0), seen(3, headroom=0.2)], [TERMED, KILLED], id="grace was over by now"),
        pytest.param([seen(0), seen(0.1, KILL)], [TERMED, KILLED], id="no headroom is left"),
        pytest.param(
            [seen(0), seen(4, ARMED), seen(5, ARMED, free=70)],
            [TERMED, wait(5), end(Outcome.RECEDED, 20, 5)],
            id="memory came back by itself",
        ),
        pytest.param(
            [seen(0), seen(1, ARMED, gone=True, free=70)],
            [TERMED, end(Outcome.RECOVERED, 20, 1)],
            id="it ended, and memory came back at once",
        ),
        pytest.param(
            [seen(0), seen(1, gone=True, free=52), seen(1.05, ARMED, gone=True, free=70)],
            [TERMED, wait(1.1), end(Outcome.RECOVERED, 20, 1)],
            id="memory comes a little later",
        ),
        pytest.param(
            [seen(0), seen(1, gone=True, free=52), seen(1.1, gone=True, free=52)],
            [TERMED, wait(1.1), end(Outcome.NOT_ENOUGH, 2, 1)],
            id="memory stands still",
        ),
        pytest.param(
            [
                seen(0),
                *(seen(1 + n / 10, gone=True, free=52 + n) for n in range(10)),
                seen(2, gone=True, free=70),
            ],
            [TERMED, *(wait(min(1.1 + n / 10, 2)) for n in range(10)), end(Outcome.NOT_ENOUGH, 20, 1)],
            id="memory grows too long",
        ),
        pytest.param(
            [seen(0), seen(0.1, KILL), seen(0.2, KILL), seen(2.1, KILL, free=40)],
            [TERMED, KILLED, wait(2.1), end(Outcome.HUNG, -10, 2.1)],
            id="it hangs",
        ),
        pytest.param(
            [
                seen(0, KILL, left=3),
                seen(1.5, KILL, left=2),
                seen(3, KILL, left=1),
                seen(4.9, KILL, left=1),
                seen(5, KILL, left=1),
            ],
            [KILLED, wait(3.5), wait(5), wait(5), end(Outcome.HUNG, 0, 5)],
            id="one after the other ends, but the last",
        ),
        pytest.param(
            [
                seen(0, KILL, moved=100),
                seen(1.5, KILL, moved=150),
                seen(1.6, KILL, moved=140),
                seen(3, KILL, moved=150),
                seen(3.5, KILL, moved=150),
            ],
            [KILLED, wait(3.5), wait(3.5), wait(3.5), end(Outcome.HUNG, 0, 3.5)],
            id="swapping goes on meanwhile, for a while",
        ),
        pytest.param(
            [seen(0, KILL), *(seen(at, KILL, moved=at) for at in range(1, 9))],
            [KILLED, *(wait(min(at + 2, 8)) for at in range(1, 8)), end(Outcome.HUNG, 0, 8)],
            id="swapping goes on for too long",
        ),
        pytest.param(
            [seen(0, KILL), seen(1.9, ARMED), seen(2, ARMED, free=60)],
            [KILLED, wait(2), end(Outcome.RECOVERED, 10, 2)],
            id="it hangs, but its memory was released",
        ),
        pytest.param(
            [seen(0, KILL), GONE_KILLED, seen(0.5, KILL, gone=True)],
            [KILLED, wait(0.5), end(Outcome.NOT_ENOUGH, 0, 0.4)],
            id="killed, and not enough",
        ),
        pytest.param(
            [seen(0, KILL), seen(9, ARMED, gone=True, free=60)],
            [KILLED, end(Outcome.RECOVERED, 10, 9)],
            id="late, but gone",
        ),
        pytest.param(
            [seen(0, KILL), seen(0.1, KILL), seen(45.1, KILL), seen(46.9, KILL), seen(47, KILL)],
            [KILLED, wait(2), wait(47), wait(47), end(Outcome.HUNG, 0, 47)],
            id="the machine stands still while it dies, and it hangs",
        ),
        pytest.param(
            [seen(0, KILL), seen(45, KILL, left=2), seen(45.1, ARMED, gone=True, free=60)],
            [KILLED, wait(47), end(Outcome.RECOVERED, 10, 45.1)],
            id="the machine stands still while it dies, and it does",
        ),
        pytest.param(
            [
                seen(0, KILL),
                seen(0.1, KILL, gone=True, free=50),
                seen(45.1, KILL, gone=True, free=50),
                seen(45.15, ARMED, gone=True, free=70),
            ],
            [KILLED, wait(0.2), wait(45.2), end(Outcome.RECOVERED, 20, 0.1)],
            id="the machine stands still before the memory is back",
        ),
        pytest.param(
            [seen(0, KILL), seen(3, KILL), seen(6, KILL)],
            [KILLED, wait(5), end(Outcome.HUNG, 0, 6)],
            id="a guard that is late again and again gives up too",
        ),
        pytest.param(
            [seen(0), seen(45)],
            [TERMED, KILLED],
            id="the machine stands still while it is asked to end",
        ),
    ],
)
def test_an_episode(views: list[Seen], actions: list[Action]) -> None:
    got = play(*views)
    assert len(got) == len(actions)
    for one, expected in zip(got, actions, strict=True):
        match one, expected:
            case WaitUntil(at=at), WaitUntil(at=until):
                assert at == pytest.approx(until)
            case Finish(), Finish():
                assert replace(one, took=Seconds(0)) == replace(expected, took=Seconds(0))
                assert one.took == pytest.approx(expected.took)
            case _:
                assert one == expected


@pytest.mark.parametrize("outcome", [Outcome.REFUSED, Outcome.VANISHED])
def test_finish_of_one_that_cannot_be_followed(outcome: Outcome) -> None:
    episode, _ = begin(seen(0), GRACE)
    assert finish(episode, seen(0.5, free=55), outcome) == end(outcome, 5, 0.5)


VIEWS = st.tuples(
    st.floats(0.001, 0.3),
    st.sampled_from([Level.CALM, ARMED, TERM, TERM, TERM, KILL]),
    st.floats(0.001, 1),
    st.integers(0, 100),
    st.integers(0, 100),
)
GRACES = st.sampled_from([Seconds(0.0), Seconds(0.5), Seconds(3.0)])
LONGEST = 0.3
"""Between two views."""


@given(
    st.lists(VIEWS, min_size=1, max_size=30),
    st.one_of(st.none(), st.integers(1, 40)),
    GRACES,
    st.sampled_from([TERM, KILL]),
)
def test_laws_of_the_episode(
    views: list[tuple[float, Level, float, int, int]], dies: int | None, grace: Seconds, level: Level
) -> None:
    """Whatever comes: the views go round and round until the end, and the victim exits at view `dies`."""
    view = seen(0, level)
    episode, first = begin(view, grace)
    signals = [(0.0, first.sent)]
    deadline, after, number = episode.deadline, 0.0, 0
    while True:
        step, level, headroom, free, moved = views[number % len(views)]
        number += 1
        after += step
        gone = dies is not None and number >= dies
        view = seen(after, level, gone=gone, headroom=headroom, free=free, moved=moved)
        asked = episode.stage is Stage.ASKED
        episode, action = advance(episode, view, grace)
        if episode.stage is Stage.ASKED:
            assert episode.deadline <= deadline
            deadline = episode.deadline
        match action:
            case Finish(outcome=outcome):
                break
            case Signal(sent=sent):
                assert asked
                assert not gone
                assert sent is Sent.KILL
                assert level is KILL or view.at >= min(deadline, episode.began + grace * view.headroom)
                signals.append((after, sent))
            case WaitUntil(at=at):
                assert at > view.at
    assert [sent for _, sent in signals] in ([Sent.TERM], [Sent.KILL], [Sent.TERM, Sent.KILL])
    assert after <= grace + MOST_PATIENCE + SETTLING + 3 * LONGEST + 1e-6
    assert (outcome in {Outcome.HUNG, Outcome.RECEDED}) <= (not gone)
    assert (outcome is Outcome.NOT_ENOUGH) <= gone
    crossed = level in {TERM, KILL}
    assert crossed == (outcome in {Outcome.HUNG, Outcome.NOT_ENOUGH})
    assert action.freed == view.free - mib(50)
    assert 0 <= action.took <= after + 1e-6


def test_memory_that_keeps_coming_is_waited_for() -> None:
    """Each step of growth earns another `STILL`, and none earns more than `SETTLING`."""
    episode, _ = begin(seen(0, KILL), GRACE)
    episode, _ = advance(episode, seen(0.01, KILL, gone=True), GRACE)
    after, free = 0.01, 50.0
    while True:
        after += STILL / 2
        free += 0.01
        episode, action = advance(episode, seen(after, KILL, gone=True, free=free), GRACE)
        if isinstance(action, Finish):
            break
    assert after == pytest.approx(0.01 + SETTLING, abs=STILL)
