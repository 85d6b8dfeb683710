"""Laws of the whole engine, whatever happens on the host: `Hunt` with an actor that obeys and remembers."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from oomguard.badness import OOM_SCORE_ADJ_MIN, Policy
from oomguard.episode import MOST_PATIENCE, SETTLING, Outcome, Sent
from oomguard.event import Ended, Event, Holding, Killing, Mode
from oomguard.hunt import Hunt
from oomguard.kill import Delivery
from oomguard.plan import Kill
from oomguard.pressure import Assessment, Level, Reason, Sample
from oomguard.process import Key
from oomguard.ranking import INIT, Judged
from oomguard.rules import Scope, Standing
from oomguard.scout import Scout
from oomguard.storm import Response, Tolerance
from oomguard.units import Bytes, Pages, Pid, Seconds
from tests.builders import (
    MACHINE,
    assessment,
    crowds,
    holdings,
    judged,
    memory,
    pages,
    process,
    sample,
    using,
    verdict,
)
from tests.test_hunt import Village

GRACE = Seconds(4.0)
OWN = frozenset((Pid(3), Pid(7)))
STEP = 0.5
LEVELS = st.sampled_from(Level)
REASONS = st.lists(
    st.sampled_from([Reason.LOW_MEMORY, Reason.STALL, Reason.EXHAUSTION_FORECAST, Reason.COMMIT_LIMIT]),
    min_size=1,
    max_size=2,
    unique=True,
).map(tuple)


def _larger(one: Judged) -> Judged:
    memory = one.process.memory
    if memory is None:
        return one
    held = using(20 * memory.rss_anon / pages(1), shmem=20 * memory.rss_shmem / pages(1))
    return replace(one, process=replace(one.process, memory=held), growth=Pages(20 * one.growth))


WORTH_IT = (
    *(
        judged(process(pid, 60 + 20 * number, ppid=31), cgroup="/b", growth=10 * number)
        for number, pid in enumerate(range(31, 36))
    ),
    judged(process(36, 300, ppid=31), verdict(Standing.NEVER), cgroup="/b", growth=60),
    judged(process(37, 250), verdict(unresolved=True), cgroup="/a.service"),
    judged(process(38, 200, adj=OOM_SCORE_ADJ_MIN), cgroup="/b/c.scope"),
)
EVERYBODY = crowds().map(lambda crowd: (*WORTH_IT, *map(_larger, crowd)))
"""Of whom some are worth it, in doubt too."""
ALL_BITS = (1 << 20) - 1


class Witness:
    """Does as it is told, and sees that nothing is asked of it that must not be."""

    mode = Mode.ENFORCE
    fds: tuple[int, ...] = ()

    def __init__(self) -> None:
        self.members: frozenset[Key] = frozenset()
        self.has_exited = False
        self.delivery = Delivery.DELIVERED
        self.given_up: frozenset[Key] = frozenset()
        self.signals = 0

    def signal(self, kill: Kill, sent: Sent) -> Delivery:
        members = frozenset(one.process.key for one in kill.members)
        assert kill.victim.judged in kill.members
        assert kill.assessment.reasons
        assert not self.has_exited, "nobody is signalled who has exited"
        assert self.members in (frozenset(), members), "one victim at a time, and those that die with it"
        for one in kill.members:
            assert one.verdict.standing is not Standing.NEVER
            assert not one.verdict.unresolved
            assert one.process.oom_score_adj != OOM_SCORE_ADJ_MIN
            assert one.process.memory is not None
            assert not one.process.kernel_thread
            assert one.process.key.pid not in {*OWN, INIT}
            assert one.process.key not in self.given_up, "who hangs or cannot be signalled is left alone"
        self.signals += 1
        match self.delivery:
            case Delivery.DELIVERED:
                self.members = members
            case Delivery.REFUSED:
                self.given_up |= members
            case Delivery.VANISHED:
                pass
        return self.delivery

    def left(self) -> int:
        return 0 if self.has_exited else len(self.members)

    def stand_down(self) -> None:
        self.members, self.has_exited = frozenset(), False

    def world(self, sample: Sample) -> Sample:
        return sample

    def pretended(self) -> frozenset[Key]:
        return frozenset()

    def pretended_in(self, group: str) -> Bytes:
        return Bytes(0)


class Engine(RuleBasedStateMachine):
    """A host on which anything may happen from one poll to the next."""

    @initialize(
        everybody=EVERYBODY,
        scope=st.sampled_from(Scope),
        policy=st.sampled_from(Policy),
        at=st.integers(1, 10**6),
    )
    def begin(self, everybody: tuple[Judged, ...], scope: Scope, policy: Policy, at: int) -> None:
        self.everybody = everybody
        self.village, self.witness = Village(*everybody), Witness()
        self.before: frozenset[Key] = frozenset()
        self.at = float(at)
        self.told: list[Event] = []
        self.hunt = Hunt(
            scout=Scout(policy=policy, scope=scope, census=self.village, machine=MACHINE, own=lambda: OWN),
            actor=self.witness,
            grace=GRACE,
            storm=Tolerance(kills=2, within=Seconds(60.0), action=Response.ALERT),
            machine=MACHINE,
            holdings=lambda: self.holdings,
        )
        self.holdings = holdings()
        self.hunt.rehearse(sample(self.at), self.found(Level.CALM, ()))

    def found(self, level: Level, reasons: tuple[Reason, ...], available: int = 50) -> Assessment:
        is_crossed = level in (Level.TERM, Level.KILL)
        found = assessment(level=level, available=available, committed=450, commit_limit=400)
        headroom = {Level.KILL: 0.0, Level.TERM: 0.5}.get(level, 1.0)
        return replace(found, reasons=reasons if is_crossed else (), headroom=headroom)

    def poll(self, level: Level, reasons: tuple[Reason, ...], available: int, later: Level) -> Outcome | None:
        """As the loop does it; `later`: how it is when the look is done."""
        now, found = sample(self.at, memory(available)), self.found(level, reasons, available)
        outcome = None
        if self.hunt.in_flight:
            outcome = self.hunt.follow(now, found)
        elif found.reasons:
            latest = (now, self.found(later, reasons, available))
            self.hunt.act(now, found, lambda: latest)
        elif level is Level.CALM:
            self.hunt.relax()
            self.witness.given_up = frozenset()
        else:
            self.hunt.watch(now)
        if outcome is Outcome.HUNG:
            self.witness.given_up |= self.before
        self.before = self.witness.members
        self.told += self.hunt.events
        self.hunt.events.clear()
        return outcome

    @rule(
        level=LEVELS,
        reasons=REASONS,
        available=st.integers(0, 900),
        later=LEVELS,
        after=st.sampled_from([0.05, 0.3, 1.0, 5.0]),
        exits=st.booleans(),
    )
    def time_goes_on(
        self,
        level: Level,
        reasons: tuple[Reason, ...],
        available: int,
        later: Level,
        after: float,
        exits: bool,
    ) -> None:
        self.at += after
        self.witness.has_exited |= exits and self.hunt.in_flight
        self.poll(level, reasons, available, later)

    @rule(here=st.integers(0, ALL_BITS))
    def some_come_and_some_go(self, here: int) -> None:
        """A bit for each."""
        everybody = self.everybody
        self.village.everybody = tuple(one for n, one in enumerate(everybody) if here >> n & 1)

    @rule(shmem=st.sampled_from([0, 800]))
    def memory_is_held_by(self, shmem: int) -> None:
        self.holdings = holdings(anon=900 - shmem, shmem=shmem)

    @precondition(lambda self: not self.hunt.in_flight)
    @rule(delivery=st.sampled_from(Delivery))
    def signals_are(self, delivery: Delivery) -> None:
        self.witness.delivery = delivery

    @precondition(lambda self: self.hunt.in_flight)
    @rule(level=st.sampled_from([Level.TERM, Level.KILL]))
    def nothing_helps_for_long(self, level: Level) -> None:
        """Whatever the victim does, the episode ends."""
        until = self.at + GRACE + MOST_PATIENCE + SETTLING + 4 * STEP
        while self.hunt.in_flight:
            self.at += STEP
            assert self.at <= until, "an episode without end"
            self.poll(level, (Reason.LOW_MEMORY,), 50, level)

    @invariant()
    def what_is_told_is_sound(self) -> None:
        for event in self.told:
            match event:
                case Holding():
                    assert event.why
                    assert event.reasons
                case Killing():
                    assert event.victim.pid not in OWN
                case Ended():
                    assert event.took >= 0
        self.told.clear()

    @invariant()
    def who_is_aimed_at_is_in_flight(self) -> None:
        assert self.hunt.in_flight == bool(self.witness.members)


TestEngine = Engine.TestCase
TestEngine.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
