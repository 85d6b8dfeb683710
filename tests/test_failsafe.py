from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

from oomguard.counters import FAILURES
from oomguard.event import Event, Failed, Killing, Lifecycle, LifecycleChanged
from oomguard.failsafe import IN_A_ROW, MOST_TOLD, Broken, Failsafe
from oomguard.fallback import Fallback
from oomguard.reader import Reader
from oomguard.record import Writer
from tests.specimens import KILLING


class Stub(Fallback):
    """Does as a test says, and notes how often."""

    def __init__(self, poll: Callable[[], Killing | None]) -> None:
        self._poll = poll
        self.polls = self.ends = 0

    def poll(self) -> Killing | None:
        self.polls += 1
        return self._poll()

    def end(self) -> None:
        self.ends += 1


@pytest.fixture
def writer() -> Iterator[Writer]:
    writer = Writer.anonymous()
    yield writer
    writer.close()


def told(writer: Writer) -> list[Event]:
    with Reader.from_fd(os.dup(writer.fd)) as reader:
        return [told.event for told in reader.events(0)[1]]


def failures(writer: Writer) -> int:
    with Reader.from_fd(os.dup(writer.fd)) as reader:
        return reader.counters()[FAILURES]


def fail(text: str = "no") -> None:
    raise ValueError(text)


def failing(text: str) -> Callable[[], None]:
    return lambda: fail(text)


def test_each_error_is_counted_and_each_kind_is_told_once(writer: Writer) -> None:
    woken: list[None] = []
    failsafe = Failsafe(writer, lambda: woken.append(None))
    assert failsafe.attempt(lambda: 7) == 7
    for text in ("one", "two", "one", "two", "two"):
        assert failsafe.attempt(failing(text)) is None
    texts = [event.text.partition(" at ")[0] for event in told(writer) if isinstance(event, Failed)]
    assert (texts, len(woken)) == (["ValueError: one", "ValueError: two"], 2)
    assert failures(writer) == 5


def test_however_many_kinds_there_are_the_journal_is_not_flooded(writer: Writer) -> None:
    failsafe = Failsafe(writer, lambda: None)
    for number in range(2 * MOST_TOLD):
        failsafe.attempt(failing(str(number)))
    assert (len(told(writer)), failures(writer)) == (MOST_TOLD, 2 * MOST_TOLD)


def test_what_cannot_be_told_is_counted(writer: Writer) -> None:
    failsafe = Failsafe(writer, fail)
    assert failsafe.attempt(fail) is None
    assert failures(writer) == 1


def test_who_ends_the_guard_ends_it(writer: Writer) -> None:
    def interrupt() -> None:
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        Failsafe(writer, lambda: None).attempt(interrupt)


def test_after_some_polls_without_a_decision_the_fallback_decides_until_one_has_one(writer: Writer) -> None:
    failsafe, fallback = Failsafe(writer, lambda: None), Stub(lambda: None)
    for _ in range(IN_A_ROW - 1):
        assert failsafe.undecided(fallback) == ()
    assert (failsafe.decided(fallback), fallback.polls, fallback.ends) == ((), 0, 0)
    for _ in range(IN_A_ROW - 1):
        assert failsafe.undecided(fallback) == ()
    (fell_back,) = failsafe.undecided(fallback)
    assert isinstance(fell_back, LifecycleChanged)
    assert fell_back.what is Lifecycle.FELL_BACK
    assert (failsafe.undecided(fallback), failsafe.stands_in, fallback.polls) == ((), True, 2)
    assert failsafe.decided(fallback) == (LifecycleChanged(what=Lifecycle.RESUMED, text=""),)
    assert (failsafe.stands_in, fallback.ends, failsafe.decided(fallback)) == (False, 1, ())


def test_what_the_fallback_does_is_told(writer: Writer) -> None:
    failsafe, fallback = Failsafe(writer, lambda: None), Stub(lambda: KILLING)
    for _ in range(IN_A_ROW):
        failsafe.undecided(fallback)
    assert failsafe.undecided(fallback) == (KILLING,)


def test_once_the_fallback_fails_too_it_is_over_but_not_at_once(writer: Writer) -> None:
    answers = iter((False, True, *(False,) * IN_A_ROW))

    def poll() -> None:
        if not next(answers):
            fail()

    failsafe, fallback = Failsafe(writer, lambda: None), Stub(poll)
    for _ in range(2 * IN_A_ROW):
        failsafe.undecided(fallback)
    with pytest.raises(Broken):
        failsafe.undecided(fallback)
    assert failures(writer) == IN_A_ROW + 1
