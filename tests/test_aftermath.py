"""With a brake that only remembers what was asked of it."""

from __future__ import annotations

import pytest

from oomguard.aftermath import Aftermath
from oomguard.brake import LASTS, Brake
from oomguard.event import Event, Mode, Relieved, Relieving
from oomguard.pressure import Assessment, Sample
from oomguard.remedy import Action, AfterKill, Ending, Result
from tests import builders

HOST = builders.assessment(available=101)


class Remembering(Brake):
    """Holds whenever it is asked to, once until it is told to be ready."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.result: Result | None = Result.DONE

    def recover(self) -> tuple[str, ...]:
        return ("/system.slice", "/user.slice")

    def hold(self, sample: Sample, assessment: Assessment) -> Result | None:
        self.asked.append("hold")
        return self.result

    def tend(self, sample: Sample, assessment: Assessment) -> None:
        self.asked.append("tend")

    def ready(self) -> None:
        self.asked.append("ready")

    def lift(self) -> None:
        self.asked.append("lift")


@pytest.fixture
def brake() -> Remembering:
    return Remembering()


def follow(aftermath: Aftermath, *ending: bool) -> tuple[Event, ...]:
    """A poll for each; gives what was told."""
    for number, each in enumerate(ending):
        aftermath.follow(builders.sample(float(number)), HOST, ending=each)
    return tuple(aftermath.events)


def test_nothing_is_held_without_a_kill(brake: Remembering) -> None:
    assert follow(Aftermath(brake, AfterKill.HOLD, Mode.ENFORCE), False, False) == ()
    assert brake.asked == ["tend", "ready"] * 2


def test_not_in_the_poll_of_the_signal_but_in_that_of_the_end(brake: Remembering) -> None:
    told = follow(Aftermath(brake, AfterKill.HOLD, Mode.ENFORCE), True, False, False)
    assert brake.asked == ["tend", "tend", "hold", "ready", "tend", "ready"]
    (relieving,) = told
    assert isinstance(relieving, Relieving)
    assert (relieving.action, relieving.result, relieving.cgroup) == (Action.HOLD_SWAP, Result.DONE, "/")
    assert (relieving.lasts, relieving.figures) == (LASTS, HOST.figures)


def test_asked_at_each_poll_until_the_end(brake: Remembering) -> None:
    brake.result = None
    assert follow(Aftermath(brake, AfterKill.HOLD, Mode.ENFORCE), True, True, True, False) == ()
    assert brake.asked.count("hold") == 3


@pytest.mark.parametrize(
    ("after_kill", "mode"),
    [
        (AfterKill.LEAVE, Mode.ENFORCE),
        (AfterKill.LEAVE, Mode.DRY_RUN),
        (AfterKill.HOLD, Mode.DRY_RUN),
    ],
)
def test_not_where_it_is_not_wanted(brake: Remembering, after_kill: AfterKill, mode: Mode) -> None:
    assert follow(Aftermath(brake, after_kill, mode), True, True, False) == ()
    assert "hold" not in brake.asked
    assert "tend" in brake.asked


def test_another_configuration(brake: Remembering) -> None:
    aftermath = Aftermath(brake, AfterKill.LEAVE, Mode.ENFORCE)
    follow(aftermath, True)
    aftermath.reconfigure(AfterKill.HOLD, Mode.ENFORCE)
    (relieving,) = follow(aftermath, False)
    assert isinstance(relieving, Relieving)


def test_what_was_left_behind_is_told(brake: Remembering) -> None:
    aftermath = Aftermath(brake, AfterKill.LEAVE, Mode.DRY_RUN)
    aftermath.recover()
    found = [event for event in aftermath.events if isinstance(event, Relieved)]
    assert [(each.action, each.cgroup, each.ending) for each in found] == [
        (Action.HOLD_SWAP, "/system.slice", Ending.LEFT_BEHIND),
        (Action.HOLD_SWAP, "/user.slice", Ending.LEFT_BEHIND),
    ]


def test_lifted_when_told(brake: Remembering) -> None:
    Aftermath(brake, AfterKill.HOLD, Mode.ENFORCE).lift()
    assert brake.asked == ["lift"]
