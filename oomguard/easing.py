"""Softer than a kill: has `relief` decide, has it carried out, and measures what it brought.

Nothing here waits or kills, and no kill waits for it. Events are left in `events`, as in `hunt`.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import assert_never

from oomguard import account, effect
from oomguard.badness import Machine
from oomguard.cgroup import contains
from oomguard.event import Event, Mode, Person
from oomguard.frozen import mutable
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
from oomguard.pressure import Assessment, Sample
from oomguard.relief import Relief
from oomguard.reliever import Reliever
from oomguard.remedy import Act, Action, Ending, Reclaim, Remedies, Restrain, Result, Send
from oomguard.rules import Rule
from oomguard.scout import Look
from oomguard.units import Bytes, Seconds

MEASURED_AFTER = Seconds(3.0)
"""What needs no undoing has so long to show an effect."""
RECLAIM_LASTS = Seconds(10.0)
"""How long one group is reclaimed from at the most."""
FORGOTTEN_AFTER = Seconds(20.0)
"""Beyond its time, an act of which nothing was heard is forgotten: the relieving process has died."""
WITH_EFFECT = frozenset((Result.DONE, Result.PARTLY))
NOTHING = Bytes(0)


@mutable
class _Trial:
    """An act that was ordered."""

    act: Act
    subject: Person | None
    """Of a signal."""
    start: effect.Start
    until: Seconds
    """When it is measured, or else forgotten."""
    is_measured: bool = False
    """Once it is done, and where nothing is to be undone."""


class Easing:
    """What is softer than a kill, under one configuration after the other."""

    def __init__(
        self, remedies: Remedies, rules: tuple[Rule, ...], mode: Mode, machine: Machine, reliever: Reliever
    ) -> None:
        self.events: list[Event] = []
        self._relief = Relief(remedies, rules, machine.page_size)
        self._mode = mode
        self._machine = machine
        self._reliever = reliever
        self._watch = effect.Watch()
        self._trials: dict[int, _Trial] = {}
        self._number = 0

    @property
    def needs_help(self) -> bool:
        """Whether there is to be a relieving process."""
        return self._mode is Mode.ENFORCE and self._relief.is_wanted

    @property
    def is_on(self) -> bool:
        """Something was tried, and is to be followed."""
        return self._relief.is_on or bool(self._trials)

    @property
    def throttled(self) -> frozenset[str]:
        """The control groups whose memory.high may be none of theirs now, but was set for relief."""
        acts = (trial.act for trial in self._trials.values())
        return frozenset(
            act.cgroup for act in acts if isinstance(act, Restrain) and act.action is Action.THROTTLE
        )

    def reconfigure(self, remedies: Remedies, rules: tuple[Rule, ...], mode: Mode) -> None:
        """Begin anew; what is in force is undone."""
        self._lift(Ending.RELOAD)
        self._relief = Relief(remedies, rules, self._machine.page_size)
        self._mode = mode

    def follow(self, sample: Sample, assessment: Assessment) -> None:
        """For each poll: what has come of what was tried, and what is over."""
        self._watch.note(sample)
        was_on = self._relief.is_on
        self._relief.note(sample.at, assessment)
        if was_on and not self._relief.is_on:
            self._lift(Ending.WELL)
        for report in self._reliever.reports():
            self._hear(report, sample, assessment)
        for number in [number for number, trial in self._trials.items() if trial.until <= sample.at]:
            if self._trials[number].is_measured:
                self._close(number, Ending.MEASURED, sample)
            else:
                del self._trials[number]

    def ease(self, sample: Sample, assessment: Assessment, look: Look) -> None:
        """By a look that is as of now, try what is due; later, where nobody is there yet to do it."""
        if self.needs_help and not self._reliever.is_there:
            return
        for act in self._relief.advise(sample.at, sample.memory.total, look.ranking):
            subject = account.asked(act, look.machine)
            match self._mode:
                case Mode.ENFORCE:
                    self._try(act, subject, sample, assessment)
                case Mode.DRY_RUN:
                    self.events.append(account.would_relieve(act, subject, assessment))

    def make_way(self, cgroups: Collection[str]) -> None:
        """Whoever is to end must be able to: let go of the groups that hold any of `cgroups`."""
        for number, trial in self._trials.items():
            match trial.act:
                case Restrain(cgroup=group) if any(contains(group, each) for each in cgroups):
                    self._reliever.order(UndoOrder(number=number, ending=Ending.VICTIM))
                case _:
                    pass

    def _lift(self, ending: Ending) -> None:
        """Undo all that is in force, and stop what goes on."""
        for number, trial in self._trials.items():
            if not isinstance(trial.act, Send):
                self._reliever.order(UndoOrder(number=number, ending=ending))

    def _try(self, act: Act, subject: Person | None, sample: Sample, assessment: Assessment) -> None:
        self._number += 1
        until = Seconds(sample.at + FORGOTTEN_AFTER)
        start = self._watch.start(sample)
        self._trials[self._number] = _Trial(act=act, subject=subject, start=start, until=until)
        if not self._reliever.order(_order(self._number, act)):
            refused = Tried(number=self._number, result=Result.REFUSED, amount=NOTHING)
            self._learn(refused, sample, assessment)

    def _hear(self, report: Report, sample: Sample, assessment: Assessment) -> None:
        match report:
            case Tried(number=number) if number in self._trials:
                self._learn(report, sample, assessment)
            case Undone(number=number, ending=ending) if number in self._trials:
                self._close(number, ending, sample)
            case Found():
                self.events.append(account.left_behind(report))
            case Tried() | Undone():
                pass
            case _:
                assert_never(report)

    def _learn(self, report: Tried, sample: Sample, assessment: Assessment) -> None:
        trial = self._trials[report.number]
        self.events.append(account.relieving(trial.act, trial.subject, report, assessment))
        if report.result not in WITH_EFFECT:
            del self._trials[report.number]
            return
        match trial.act:
            case Send() | Reclaim():
                trial.until, trial.is_measured = Seconds(sample.at + MEASURED_AFTER), True
            case Restrain(lasts=lasts):
                trial.until = Seconds(sample.at + lasts + FORGOTTEN_AFTER)

    def _close(self, number: int, ending: Ending, sample: Sample) -> None:
        trial = self._trials.pop(number)
        felt = effect.effect(trial.start, sample)
        self.events.append(account.relieved(trial.act, trial.subject, ending, felt))


def _order(number: int, act: Act) -> Order:
    match act:
        case Send():
            return SendOrder(number=number, key=act.to.process.key, signal=act.signal)
        case Reclaim():
            return ReclaimOrder(
                number=number,
                cgroup=act.cgroup,
                members=act.members,
                amount=act.amount,
                lasts=RECLAIM_LASTS,
            )
        case Restrain():
            return RestrainOrder(
                number=number, action=act.action, cgroup=act.cgroup, members=act.members, lasts=act.lasts
            )
    assert_never(act)
