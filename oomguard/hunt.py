"""From a crossed limit to the end of an episode: decides, has it carried out, and follows up.

Nothing here tells anything: events are left in `events`, which the loop publishes once a poll is done.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

from oomguard import account
from oomguard.badness import Machine
from oomguard.episode import (
    Episode,
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
from oomguard.event import Event, Killing, Person
from oomguard.forecast import Pace
from oomguard.frozen import mutable, replace
from oomguard.holders import Held, holders, is_elsewhere
from oomguard.interest import settles
from oomguard.kill import Actor, Delivery
from oomguard.meminfo import Holdings
from oomguard.plan import (
    PATIENCE,
    Doubt,
    Hold,
    Kill,
    Plan,
    decide,
    disappointed_by,
    is_rash,
    is_thrash,
    spared_prevail,
)
from oomguard.pressure import Assessment, Level, Sample
from oomguard.process import Key
from oomguard.ranking import Ranking
from oomguard.scout import Look, Scout
from oomguard.standstill import Standstills, path
from oomguard.storm import Storms, Tolerance
from oomguard.units import Bytes, Seconds

LOOKS_HELD = 3
"""Looks to rehearse: one in hand, the one before it, and one to see that they need no more."""
ASKED = Seconds(0.5)
"""Nobody who was only asked to end shows that dying takes longer than this."""
NAMES_TAKE = Seconds(0.5)
"""For so long those who are not judged yet are waited for: by the next poll they mostly are."""


@mutable
class _Flight:
    """The one victim in flight."""

    kill: Kill
    episode: Episode
    machine: Machine

    @property
    def victim(self) -> Person:
        """As it is told."""
        victim = self.kill.victim
        return account.person(victim.judged, victim.points, self.machine)


class Hunt:
    """One episode at a time, under one configuration."""

    def __init__(
        self,
        *,
        scout: Scout,
        actor: Actor,
        grace: Seconds,
        storm: Tolerance,
        machine: Machine,
        holdings: Callable[[], Holdings],
    ) -> None:
        """`holdings`: what the host's memory is used for, now."""
        self.scout = scout
        self.actor = actor
        self.events: list[Event] = []
        self._grace = grace
        self._machine = machine
        self._holdings = holdings
        self._flight: _Flight | None = None
        self._passed_over: frozenset[Key] = frozenset()
        self._disappointment: Counter[str | None] = Counter()
        self._hold_until: dict[str | None, Seconds] = {}
        self._pace = Pace()
        self._storms = Storms(storm)
        self._standstills = Standstills()
        self._unknown_since: Seconds | None = None

    @property
    def in_flight(self) -> bool:
        """An episode is on."""
        return self._flight is not None

    @property
    def aimed_at(self) -> frozenset[str]:
        """The control groups of those in flight."""
        members = () if self._flight is None else self._flight.kill.members
        return frozenset(judged.cgroup for judged in members)

    @property
    def group(self) -> str | None:
        """The control group that the episode is about; None: the whole host."""
        return None if self._flight is None else path(self._flight.kill.assessment)

    @property
    def kill_takes(self) -> Seconds:
        """How long a kill takes here."""
        return self._pace.takes()

    @property
    def settling(self) -> bool:
        """The victim has exited, and its memory is awaited."""
        return self._flight is not None and self._flight.episode.stage is Stage.SETTLING

    def watch(self, sample: Sample) -> None:
        """While armed: keep the candidates known."""
        self.scout.watch(sample, self._left_out())

    def rehearse(self, sample: Sample, assessment: Assessment) -> None:
        """Go the whole way from the look to the plan once, so that nothing is left to load or to grow."""
        for _ in range(LOOKS_HELD):
            # So that everybody is ranked anew, which takes more memory than all that comes later.
            self.scout.forget()
            look = self._look(sample, assessment)
            self._plan(assessment, look, self._who_holds(assessment, look.ranking))
            if assessment.reasons:
                # It is short of memory already: to act is more urgent.
                self.scout.census.learn()
                break
            self.scout.census.catch_up()

    def relax(self) -> None:
        """Memory is well: whom we gave up on may be tried again, should it come to that."""
        self.scout.census.relax()
        self._disappointment.clear()
        self._hold_until.clear()
        self._unknown_since = None
        self._passed_over = frozenset()

    def act(
        self, sample: Sample, assessment: Assessment, read: Callable[[], tuple[Sample, Assessment]]
    ) -> None:
        """A limit of the host or of a group is crossed and nobody is in flight: end somebody, or say why not.

        `read`: the figures as of now. On a host that stalls, a look at everybody may take so long that memory
        has come back meanwhile.
        """
        group = path(assessment)
        if sample.at < self._hold_until.get(group, sample.at):
            return
        look, held, plan = self._decided(sample, assessment)
        match plan:
            case Kill():
                latest, now = read()
                if now.reasons and not self._waits_for_names(plan, look.ranking, sample.at):
                    self._kill(replace(plan, assessment=now), sample.at, latest, look.machine)
            case Hold():
                self._hold_until[group] = look.again
                self._hold(plan, sample.at, look.machine, held)

    def follow(self, sample: Sample, assessment: Assessment) -> Outcome | None:
        """Move the episode on; gives its outcome once it is over."""
        flight = self._flight
        if flight is None:
            return None
        seen = self._seen(sample, assessment)
        flight.episode, action = advance(flight.episode, seen, self._grace)
        match action:
            case WaitUntil():
                return None
            case Signal(sent=sent):
                flight.kill = replace(flight.kill, assessment=assessment)
                delivery = self.actor.signal(flight.kill, sent)
                if delivery is Delivery.REFUSED:
                    return self._finish(flight, finish(flight.episode, seen, Outcome.REFUSED))
                self.events.append(self._account(flight.kill, sent, sample.at, self._machine))
                return None
            case Finish():
                return self._finish(flight, action)

    def _waits_for_names(self, kill: Kill, found: Ranking, at: Seconds) -> bool:
        """Newcomers are not judged before the next poll, and it may be they who take the memory."""
        if not is_rash(kill, found):
            self._unknown_since = None
            return False
        if self._unknown_since is None:
            self._unknown_since = at
        return at - self._unknown_since < NAMES_TAKE

    def _left_out(self) -> frozenset[Key]:
        return self._passed_over | self.actor.pretended()

    def _decided(self, sample: Sample, assessment: Assessment) -> tuple[Look, Held, Plan]:
        """By those who may matter where that settles it, else by everybody."""
        look = self._look(sample, assessment)
        if look.left_out and not self._is_settled(assessment, look):
            self.scout.census.catch_up()
            look = self._look(sample, assessment)
        held = self._who_holds(assessment, look.ranking)
        plan = self._plan(assessment, look, held)
        if look.left_out and isinstance(plan, Kill):
            # Somebody else may be in it.
            plan = replace(plan, whole_cgroup=None)
        return look, held, plan

    def _is_settled(self, assessment: Assessment, look: Look) -> bool:
        scout = self.scout
        in_doubt = decide(look.ranking, assessment, scout.scope, look.machine, Doubt.SPARED)
        return settles(in_doubt, look.ranking, scout.policy)

    def _plan(self, assessment: Assessment, look: Look, held: Held) -> Plan:
        doubt = self._doubt(assessment, held, look.ranking)
        return decide(look.ranking, assessment, self.scout.scope, look.machine, doubt)

    def _look(self, sample: Sample, assessment: Assessment) -> Look:
        return self.scout.look(sample, assessment.reasons, self._left_out(), assessment.figures.group)

    def _who_holds(self, assessment: Assessment, found: Ranking) -> Held:
        holdings = assessment.holdings or self._holdings()
        return holders(holdings, Bytes(found.swapped * self._machine.page_size))

    def _doubt(self, assessment: Assessment, held: Held, found: Ranking) -> Doubt:
        if self._disappointment[path(assessment)] >= PATIENCE:
            return Doubt.DISAPPOINTED
        if is_elsewhere(held):
            return Doubt.ELSEWHERE
        # When the kernel is about to act, it is better to have acted.
        has_time = assessment.level is Level.TERM or is_thrash(assessment)
        return Doubt.SPARED if has_time and spared_prevail(found) else Doubt.NONE

    def _kill(self, kill: Kill, since: Seconds, latest: Sample, machine: Machine) -> None:
        seen = self._seen(latest, kill.assessment)
        episode, first = begin(replace(seen, left=len(kill.members)), self._grace)
        delivery = self.actor.signal(kill, first.sent)
        self._standstills.end(kill)
        flight = _Flight(kill=kill, episode=episode, machine=machine)
        match delivery:
            case Delivery.DELIVERED:
                self._flight = flight
                self.events.append(self._account(kill, first.sent, since, machine))
            case Delivery.VANISHED:
                self._finish(flight, finish(episode, seen, Outcome.VANISHED))
            case Delivery.REFUSED:
                self._finish(flight, finish(episode, seen, Outcome.REFUSED))

    def _finish(self, flight: _Flight, end: Finish) -> Outcome:
        self.actor.stand_down()
        self._flight = None
        self._hold_until.clear()
        self.events.append(account.ended(flight.victim, end, self.actor.mode))
        match end.outcome:
            case Outcome.HUNG | Outcome.REFUSED:
                members = (judged.process.key for judged in flight.kill.members)
                self._passed_over = self._passed_over.union(members)
            case Outcome.NOT_ENOUGH | Outcome.RECOVERED:
                self._pace.note(_dying(flight.episode, end))
                vain = disappointed_by(flight.kill, end, self._machine)
                self._disappointment[path(flight.kill.assessment)] += vain
                self._note_death(flight, end)
            case Outcome.VANISHED | Outcome.RECEDED:
                pass
        return end.outcome

    def _note_death(self, flight: _Flight, end: Finish) -> None:
        """Tell of it if it makes a storm."""
        look = self.scout.latest
        if look is None:
            return
        exited = Seconds(flight.episode.began + end.took)
        storm = self._storms.note(flight.kill.victim.judged, exited, look.ranking)
        if storm is not None:
            self.events.append(account.storming(storm, flight.victim, self.actor.mode))

    def _hold(self, hold: Hold, at: Seconds, machine: Machine, held: Held) -> None:
        if self._standstills.is_news(hold, at):
            self.events.append(account.holding(hold, machine, held))

    def _account(self, kill: Kill, sent: Sent, since: Seconds, machine: Machine) -> Killing:
        return account.killing(
            kill,
            sent,
            mode=self.actor.mode,
            policy=self.scout.policy,
            machine=machine,
            reaction=Seconds(time.monotonic() - since),
        )

    def _seen(self, sample: Sample, assessment: Assessment) -> Seen:
        group = assessment.figures.group
        return Seen(
            at=sample.at,
            left=self.actor.left(),
            moved=sample.vmstat.swap_moved,
            level=assessment.level,
            headroom=assessment.headroom,
            free=sample.room if group is None else group.free,
        )


def _dying(episode: Episode, end: Finish) -> Seconds:
    """How long a victim took to die, once it had to; who was only asked may have taken its time."""
    if episode.killed is None or episode.exited is None:
        return min(end.took, ASKED)
    return Seconds(episode.exited - episode.killed)
