"""From a crossed limit to the end of an episode: looks, decides, has it carried out, and follows up.

Nothing here tells anything: events are left in `events`, which the loop publishes once a poll is done.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from oomguard import account
from oomguard.badness import Machine, Policy
from oomguard.census import FRESH, Census
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
from oomguard.family import worst_family_first
from oomguard.forecast import Pace
from oomguard.holders import Held, holders, is_elsewhere
from oomguard.kill import Actor, Delivery
from oomguard.ladder import Basis, Ladder
from oomguard.meminfo import Holdings
from oomguard.plan import PATIENCE, Doubt, Hold, HoldReason, Kill, decide, disappointed_by, spared_prevail
from oomguard.pressure import Assessment, Level, Reason, Sample
from oomguard.process import Key
from oomguard.ranking import Exempt, Ranking
from oomguard.rules import Scope
from oomguard.storm import Storms, Tolerance
from oomguard.units import Bytes, Pages, Pid, Seconds

LOOK_SHARE = 0.1
"""Of a CPU, for looking at everybody while nobody may be killed."""
WATCH_EVERY = Seconds(1.0)
"""How often everybody is ranked anew while armed."""
LOOKS_HELD = 3
"""Looks to rehearse: one in hand, the one before it, and one to see that they need no more."""
HELD = Seconds(60.0)
"""A Hold is told again once it has not been one for so long."""


@dataclass(slots=True, kw_only=True)
class _Flight:
    """The one victim in flight."""

    kill: Kill
    episode: Episode
    victim: Person


class Hunt:
    """One episode at a time, under one configuration."""

    def __init__(  # noqa: PLR0913 - all by name
        self,
        *,
        policy: Policy,
        scope: Scope,
        grace: Seconds,
        storm: Tolerance,
        census: Census,
        actor: Actor,
        machine: Machine,
        own: Callable[[], frozenset[Pid]],
        holdings: Callable[[], Holdings],
    ) -> None:
        """`own`: the pids of oomguard itself, which change as its helpers are started again.

        `holdings`: what the host's memory is used for, now.
        """
        self.census = census
        self.actor = actor
        self.events: list[Event] = []
        self.candidates = 0
        self.spared = 0
        self._policy = policy
        self._scope = scope
        self._grace = grace
        self._machine = machine
        self._own = own
        self._holdings = holdings
        self._flight: _Flight | None = None
        self._passed_over: frozenset[Key] = frozenset()
        self._disappointment = 0
        self._ladder = Ladder()
        self._looked_at = Seconds(0.0)
        self._look_again = Seconds(0.0)
        self.last_look: Ranking | None = None
        """What the latest look found; each look makes another one."""
        self._pace = Pace()
        self._storms = Storms(storm)
        self._held: dict[tuple[HoldReason, tuple[Reason, ...]], Seconds] = {}

    @property
    def in_flight(self) -> bool:
        """An episode is on."""
        return self._flight is not None

    @property
    def kill_takes(self) -> Seconds:
        """How long a kill takes here."""
        return self._pace.takes()

    @property
    def settling(self) -> bool:
        """The victim has exited, and its memory is awaited."""
        return self._flight is not None and self._flight.episode.stage is Stage.SETTLING

    def watch(self, sample: Sample) -> None:
        """While armed: keep the candidates known, at a bounded share of a CPU."""
        self.census.follow()
        if sample.at >= self._looked_at + WATCH_EVERY:
            self._look(sample, ())

    def rehearse(self, sample: Sample, assessment: Assessment) -> None:
        """Go the whole way from the look to the plan once, so that nothing is left to load or to grow."""
        for _ in range(LOOKS_HELD):
            # So that everybody is ranked anew, which takes more memory than all that comes later.
            self._ladder = Ladder()
            machine, found = self._look(sample, assessment.reasons)
            decide(
                found,
                assessment,
                self._scope,
                machine,
                self._doubt(assessment, self._who_holds(found), found),
            )

    def relax(self, sample: Sample) -> None:
        """Memory is well: whom we gave up on may be tried again, should it come to that."""
        self._disappointment = 0
        self._passed_over = frozenset()
        self._held = {held: at for held, at in self._held.items() if sample.at - at < HELD}

    def act(
        self, sample: Sample, assessment: Assessment, read: Callable[[], tuple[Sample, Assessment]]
    ) -> None:
        """A limit is crossed and nobody is in flight: end somebody, or say why not.

        `read`: the figures as of now. On a host that stalls, a look at everybody may take so long that memory
        has come back meanwhile.
        """
        if self._held and sample.at < self._look_again:
            return
        machine, found = self._look(sample, assessment.reasons)
        held = self._who_holds(found)
        plan = decide(found, assessment, self._scope, machine, self._doubt(assessment, held, found))
        match plan:
            case Kill():
                latest, now = read()
                if now.reasons:
                    self._kill(replace(plan, assessment=now), sample.at, latest, machine)
            case Hold():
                self._hold(plan, sample.at, machine, held)

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

    def _look(self, sample: Sample, reasons: tuple[Reason, ...]) -> tuple[Machine, Ranking]:
        began = time.monotonic()
        memory, page_size = sample.memory, self._machine.page_size
        machine = replace(
            self._machine,
            total=Pages((memory.total + memory.swap_total) // page_size),
            uptime=Seconds(time.clock_gettime(time.CLOCK_BOOTTIME)),
        )
        exempt = Exempt(own=self._own(), passed_over=self._passed_over | self.actor.pretended())
        basis = Basis(policy=self._policy, reasons=reasons, machine=machine, exempt=exempt)
        ladder = self._ladder
        if not ladder.measures_like(basis) or sample.at > self._looked_at + FRESH:
            ladder.rank(self.census.known(), basis)
        found = ladder.rank(self.census.take_likely(ladder.likely()), basis)
        if self._scope is Scope.FAMILY:
            found = worst_family_first(found)
        # Kept until the next look is done: so each look finds the memory that the one before it held, and
        # takes none from the kernel.
        self.last_look = found
        self.candidates, self.spared = len(found.candidates), len(found.spared)
        took = time.monotonic() - began
        self._looked_at = sample.at
        self._look_again = Seconds(sample.at + took / LOOK_SHARE)
        return machine, found

    def _who_holds(self, found: Ranking) -> Held:
        return holders(self._holdings(), Bytes(found.swapped * self._machine.page_size))

    def _doubt(self, assessment: Assessment, held: Held, found: Ranking) -> Doubt:
        if self._disappointment >= PATIENCE:
            return Doubt.DISAPPOINTED
        if is_elsewhere(held):
            return Doubt.ELSEWHERE
        # When the kernel is about to act, it is better to have acted.
        has_time = assessment.level is Level.TERM
        return Doubt.SPARED if has_time and spared_prevail(found) else Doubt.NONE

    def _kill(self, kill: Kill, since: Seconds, latest: Sample, machine: Machine) -> None:
        self._held.clear()
        seen = self._seen(latest, kill.assessment)
        episode, first = begin(replace(seen, gone=False), self._grace)
        delivery = self.actor.signal(kill, first.sent)
        told = self._account(kill, first.sent, since, machine)
        flight = _Flight(kill=kill, episode=episode, victim=told.victim)
        match delivery:
            case Delivery.DELIVERED:
                self._flight = flight
                self.events.append(told)
            case Delivery.VANISHED:
                self._finish(flight, finish(episode, seen, Outcome.VANISHED))
            case Delivery.REFUSED:
                self._finish(flight, finish(episode, seen, Outcome.REFUSED))

    def _finish(self, flight: _Flight, end: Finish) -> Outcome:
        self.actor.stand_down()
        self._flight = None
        self._look_again = Seconds(0.0)
        self.events.append(account.ended(flight.victim, end, self.actor.mode))
        match end.outcome:
            case Outcome.HUNG | Outcome.REFUSED:
                members = (judged.process.key for judged in flight.kill.members)
                self._passed_over = self._passed_over.union(members)
            case Outcome.NOT_ENOUGH | Outcome.RECOVERED:
                self._pace.note(end.took)
                self._disappointment += disappointed_by(flight.kill, end, self._machine)
                self._note_death(flight, end)
            case Outcome.VANISHED | Outcome.RECEDED:
                pass
        return end.outcome

    def _note_death(self, flight: _Flight, end: Finish) -> None:
        """Tell of it if it makes a storm."""
        found = self.last_look
        if found is None:
            return
        exited = Seconds(flight.episode.began + end.took)
        storm = self._storms.note(flight.kill.victim.judged, exited, found)
        if storm is not None:
            self.events.append(account.storming(storm, flight.victim, self.actor.mode))

    def _hold(self, hold: Hold, at: Seconds, machine: Machine, held: Held) -> None:
        """Told once for each change; going to and fro between the same few is none."""
        told = (hold.why, hold.assessment.reasons)
        if at - self._held.get(told, -HELD) >= HELD:
            self.events.append(account.holding(hold, machine, held))
        self._held[told] = at

    def _account(self, kill: Kill, sent: Sent, since: Seconds, machine: Machine) -> Killing:
        return account.killing(
            kill,
            sent,
            mode=self.actor.mode,
            policy=self._policy,
            machine=machine,
            reaction=Seconds(time.monotonic() - since),
        )

    def _seen(self, sample: Sample, assessment: Assessment) -> Seen:
        return Seen(
            at=sample.at,
            gone=self.actor.gone(),
            level=assessment.level,
            headroom=assessment.headroom,
            free=Bytes(sample.memory.available + sample.memory.swap_free),
        )
