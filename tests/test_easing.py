"""With a relieving process that does what a test says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from oomguard.easing import FORGOTTEN_AFTER, MEASURED_AFTER, Easing
from oomguard.event import Event, Mode, Relieved, Relieving
from oomguard.orders import (
    Found,
    Order,
    ReclaimOrder,
    Report,
    RestrainOrder,
    SendOrder,
    Tried,
    Undone,
    UndoOrder,
)
from oomguard.phase import CALM_AFTER
from oomguard.pressure import Assessment, Level, Sample
from oomguard.reliever import Reliever
from oomguard.remedy import Action, AfterKill, Ending, Remedies, Restraint, Result
from oomguard.rules import NO_RULE, Effect, Field, Rule, Signal, pattern
from oomguard.scout import Look
from oomguard.units import MIB, Bytes, Percent, Seconds
from tests.builders import MACHINE, assessment, judged, memory, mib, process, psi, ranked, sample

ALL = Remedies(
    culprit=Restraint.FREEZE,
    lasts=Seconds(10.0),
    reclaim=(pattern(Field.CGROUP, "/cold"),),
    amount=Percent(5.0),
    swapping=AfterKill.LEAVE,
)
FREEZE = replace(ALL, reclaim=())
NONE = replace(FREEZE, culprit=Restraint.NONE)
RULE = Rule(name="cache", patterns=(), effect=Effect.SIGNAL, signal=Signal.USR1)
CACHE = judged(process(5), replace(NO_RULE, rules=("cache",)), cgroup="/cache")
COLD = judged(process(6), cgroup="/cold")
LEAKER = judged(process(7), cgroup="/a/b", growth=50)
LOOK = Look(machine=MACHINE, ranking=ranked(CACHE, COLD, LEAKER), left_out=0, again=Seconds(0.0))
SHORT, WELL = assessment(level=Level.ARMED, available=150), assessment(level=Level.CALM, available=500)


class Obedient(Reliever):
    """Takes orders, and reports what it is told to."""

    def __init__(self) -> None:
        self.orders: list[Order] = []
        self.told: list[Report] = []
        self.is_busy = False
        self.has_started = True

    @property
    def is_there(self) -> bool:
        return self.has_started

    def order(self, order: Order) -> bool:
        if not self.is_busy:
            self.orders.append(order)
        return not self.is_busy

    def reports(self) -> tuple[Report, ...]:
        told = tuple(self.told)
        self.told.clear()
        return told


class Host:
    """An easing, and the host that it sees."""

    def __init__(self, remedies: Remedies, *rules: Rule, mode: Mode = Mode.ENFORCE) -> None:
        self.helper = Obedient()
        self.easing = Easing(remedies, rules, mode, MACHINE, self.helper)

    def at(
        self, seconds: float, available: float = 150, now: Assessment = SHORT
    ) -> tuple[Sample, list[Event]]:
        """A poll, and what it left to tell."""
        taken = sample(seconds, memory(available), psi(seconds / 4))
        self.easing.follow(taken, now)
        told = list(self.easing.events)
        self.easing.events.clear()
        return taken, told

    def look(self, seconds: float) -> None:
        """A poll with a look."""
        taken, told = self.at(seconds)
        assert told == []
        self.easing.ease(taken, SHORT, LOOK)

    def done(self, number: int, result: Result = Result.DONE, amount: int = 0) -> None:
        self.helper.told.append(Tried(number=number, result=result, amount=Bytes(amount)))


def test_everything_is_ordered_as_decided() -> None:
    host = Host(ALL, RULE)
    host.look(100)
    host.look(102)
    assert host.helper.orders == [
        SendOrder(number=1, key=CACHE.process.key, signal=Signal.USR1),
        ReclaimOrder(
            number=2,
            cgroup="/cold",
            members=(COLD.process.key.pid,),
            amount=Bytes(50 * MIB),
            lasts=Seconds(10.0),
        ),
        RestrainOrder(
            number=3,
            action=Action.FREEZE,
            cgroup="/a/b",
            members=(LEAKER.process.key.pid,),
            lasts=Seconds(10.0),
        ),
    ]


def test_what_needs_no_undoing_is_measured_a_while_after_it_was_done() -> None:
    host = Host(NONE, RULE)
    host.look(100)
    host.done(1)
    _, (tried,) = host.at(101)
    assert isinstance(tried, Relieving)
    assert (tried.action, tried.result, tried.signal) == (Action.SIGNAL, Result.DONE, Signal.USR1)
    assert tried.process is not None
    assert tried.process.pid == 5
    assert host.at(101 + MEASURED_AFTER - 0.1)[1] == []
    _, (felt,) = host.at(101 + MEASURED_AFTER, available=250)
    assert isinstance(felt, Relieved)
    assert (felt.ending, felt.gained, felt.took) == (Ending.MEASURED, 100 * MIB, 1 + MEASURED_AFTER)
    assert felt.stalled_after == pytest.approx(0.25)
    assert host.at(200)[1] == []


def test_what_was_reclaimed_is_told() -> None:
    host = Host(replace(ALL, culprit=Restraint.NONE))
    host.look(100)
    host.done(1, Result.PARTLY, 8 * MIB)
    _, (tried,) = host.at(101)
    assert isinstance(tried, Relieving)
    assert (tried.cgroup, tried.result, tried.amount) == ("/cold", Result.PARTLY, 8 * MIB)


def test_a_restraint_is_measured_once_it_is_undone() -> None:
    host = Host(FREEZE)
    host.look(100)
    host.done(1)
    assert len(host.at(101)[1]) == 1
    assert host.at(109)[1] == []
    host.helper.told.append(Undone(number=1, ending=Ending.TIME))
    _, (felt,) = host.at(110, available=140)
    assert isinstance(felt, Relieved)
    assert (felt.ending, felt.gained, felt.took) == (Ending.TIME, mib(-10), Seconds(10.0))
    host.helper.told.append(Undone(number=1, ending=Ending.TIME))
    assert host.at(111)[1] == []


def test_what_was_not_done_has_no_effect() -> None:
    host = Host(FREEZE)
    host.look(100)
    host.done(1, Result.CHANGED)
    assert len(host.at(101)[1]) == 1
    host.done(1, Result.CHANGED)
    host.helper.told.append(Undone(number=1, ending=Ending.TIME))
    assert host.at(150)[1] == []


def test_what_could_not_be_ordered_is_told() -> None:
    host = Host(FREEZE)
    host.helper.is_busy = True
    host.look(100)
    (tried,) = host.easing.events
    assert isinstance(tried, Relieving)
    assert tried.result is Result.REFUSED


def test_while_nobody_is_there_to_do_it_nothing_is_tried() -> None:
    host = Host(FREEZE)
    host.helper.has_started = False
    host.look(100)
    assert host.helper.orders == []
    host.helper.has_started = True
    host.look(101)
    assert len(host.helper.orders) == 1


def test_of_what_nothing_is_heard_nothing_is_told() -> None:
    host = Host(ALL, RULE)
    host.look(100)
    host.look(102)
    assert host.at(102 + FORGOTTEN_AFTER)[1] == []
    host.done(1)
    assert host.at(130)[1] == []


def test_it_is_undone_when_memory_is_well() -> None:
    host = Host(FREEZE, RULE)
    host.look(100)
    host.look(102)
    assert host.at(101 + CALM_AFTER, 500, WELL)[1] == []
    assert len(host.helper.orders) == 2
    host.at(102 + CALM_AFTER, 500, WELL)
    assert host.helper.orders[2:] == [UndoOrder(number=2, ending=Ending.WELL)]
    host.at(103 + CALM_AFTER, 500, WELL)
    assert len(host.helper.orders) == 3


@pytest.mark.parametrize(
    ("cgroups", "undone"), [({"/a/b"}, True), ({"/a/b/c", "/x"}, True), ({"/a", "/a/bc"}, False), ((), False)]
)
def test_who_is_to_end_is_let_go(cgroups: set[str], undone: bool) -> None:
    host = Host(FREEZE, RULE)
    host.look(100)
    host.look(102)
    host.easing.make_way(cgroups)
    assert host.helper.orders[2:] == [UndoOrder(number=2, ending=Ending.VICTIM)] * undone


def test_another_configuration_begins_anew() -> None:
    host = Host(FREEZE)
    assert host.easing.needs_help
    host.look(100)
    host.done(1)
    host.at(101)
    host.easing.reconfigure(NONE, (RULE,), Mode.ENFORCE)
    assert host.helper.orders[1:] == [UndoOrder(number=1, ending=Ending.RELOAD)]
    host.helper.told.append(Undone(number=1, ending=Ending.RELOAD))
    _, (felt,) = host.at(102)
    assert isinstance(felt, Relieved)
    assert felt.ending is Ending.RELOAD
    host.look(103)
    assert isinstance(host.helper.orders[2], SendOrder)
    assert host.helper.orders[2].number == 2
    host.easing.reconfigure(NONE, (), Mode.ENFORCE)
    assert not host.easing.needs_help


def test_a_dry_run_only_tells() -> None:
    host = Host(ALL, RULE, mode=Mode.DRY_RUN)
    assert not host.easing.needs_help
    taken, _ = host.at(100)
    host.easing.ease(taken, SHORT, LOOK)
    assert host.helper.orders == []
    told = [event for event in host.easing.events if isinstance(event, Relieving)]
    assert [(event.mode, event.action, event.result) for event in told] == [
        (Mode.DRY_RUN, Action.SIGNAL, None),
        (Mode.DRY_RUN, Action.RECLAIM, None),
    ]
    assert told[1].amount == 50 * MIB


def test_what_a_dead_guard_left_behind_is_told() -> None:
    host = Host(NONE)
    host.helper.told.append(Found(action=Action.FREEZE, cgroup="/x"))
    _, (felt,) = host.at(100, 500, WELL)
    assert isinstance(felt, Relieved)
    assert (felt.action, felt.cgroup, felt.ending) == (Action.FREEZE, "/x", Ending.LEFT_BEHIND)


def test_the_groups_that_are_throttled_are_known_until_that_is_undone() -> None:
    host = Host(replace(ALL, culprit=Restraint.THROTTLE))
    assert host.easing.throttled == frozenset()
    host.look(100)
    assert host.easing.throttled == {"/a/b"}
    host.done(2, amount=100)
    host.at(100.1)
    assert host.easing.throttled == {"/a/b"}
    assert host.easing.is_on
    host.helper.told.append(Undone(number=2, ending=Ending.TIME))
    host.at(110.1)
    assert host.easing.throttled == frozenset()


def test_a_freeze_is_no_throttle() -> None:
    host = Host(FREEZE)
    host.look(100)
    assert host.helper.orders
    assert host.easing.throttled == frozenset()
