"""From a crossed limit to the end of an episode, with a host and an actor that do as they are told."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from oomguard.badness import Policy
from oomguard.census import FRESH, Census
from oomguard.episode import PATIENCE, SETTLING, Outcome, Sent
from oomguard.event import Ended, Event, Holding, Killing, Mode, Storming
from oomguard.forecast import FIRST_GUESS
from oomguard.holders import Holder
from oomguard.hunt import ASKED, LOOKS_HELD, NAMES_TAKE, Hunt
from oomguard.interest import ALL, Interest
from oomguard.kill import Delivery
from oomguard.plan import HoldReason, Kill
from oomguard.pressure import Assessment, Level, Reason, Sample
from oomguard.process import Key
from oomguard.ranking import Judged
from oomguard.rules import Scope, Standing
from oomguard.scout import WATCH_EVERY, Scout
from oomguard.spell import SHORTEST
from oomguard.storm import Obstacle, Response, Tolerance
from oomguard.units import Bytes, Pid, Seconds
from tests.builders import (
    MACHINE,
    assessment,
    enclosed,
    holdings,
    judged,
    memory,
    process,
    sample,
    verdict,
    vmstat,
)

GRACE = Seconds(10.0)
LOW = assessment(Reason.LOW_MEMORY, available=50)
WELL = replace(assessment(level=Level.CALM, available=900), reasons=())
BIG, SMALL = judged(process(20, 300)), judged(process(10, 50))
PROTECTED = judged(process(30, 500), verdict(Standing.NEVER))


class Village(Census):
    """Everybody is who the test says."""

    def __init__(self, *everybody: Judged) -> None:
        self.everybody = everybody
        self.looks = 0
        self.likely: set[Pid] = set()
        self.followed = 0
        self.is_listening = False
        self.newcomers: tuple[Judged, ...] = ()
        self.unread: tuple[Judged, ...] = ()

    def known(self) -> dict[Pid, Judged]:
        return {one.process.key.pid: one for one in self.everybody}

    @property
    def left_out(self) -> int:
        return len(self.unread)

    def learn(self) -> None:
        pass

    def catch_up(self) -> None:
        self.everybody += self.unread
        self.unread = ()

    def take_likely(self, likely: Iterable[Pid], interest: Interest = ALL) -> dict[Pid, Judged]:
        self.likely = set(likely)
        self.looks += 1
        return self.known()

    def follow(self) -> None:
        self.followed += 1
        self.is_listening = True

    def meet(self) -> None:
        self.everybody += self.newcomers
        self.newcomers = ()

    def relax(self) -> None:
        self.is_listening = False


class Hand:
    """Does nothing, and says what it is told to say."""

    mode: Mode = Mode.ENFORCE
    fds: tuple[int, ...] = ()

    def __init__(self) -> None:
        self.sent: list[tuple[int, Sent]] = []
        self.delivery = Delivery.DELIVERED
        self.has_gone = False
        self.stood_down = 0
        self.whole_cgroup: str | None = None

    def signal(self, kill: Kill, sent: Sent) -> Delivery:
        self.whole_cgroup = kill.whole_cgroup
        self.sent.append((kill.victim.judged.process.key.pid, sent))
        return self.delivery

    def left(self) -> int:
        return int(not self.has_gone)

    def stand_down(self) -> None:
        self.stood_down += 1
        self.has_gone = False

    def world(self, sample: Sample) -> Sample:
        return sample

    def pretended(self) -> frozenset[Key]:
        return frozenset()

    def pretended_in(self, group: str) -> Bytes:
        return Bytes(0)


class Scene:
    """One hunt in one village."""

    def __init__(
        self, *everybody: Judged, own: frozenset[Pid] = frozenset(), scope: Scope = Scope.PROCESS
    ) -> None:
        self.village = Village(*everybody)
        self.hand = Hand()
        self.holdings = holdings()
        self.latest: tuple[Sample, Assessment] | None = None
        self.scout = Scout(
            policy=Policy.KERNEL, scope=scope, census=self.village, machine=MACHINE, own=lambda: own
        )
        self.hunt = Hunt(
            scout=self.scout,
            actor=self.hand,
            grace=GRACE,
            storm=Tolerance(kills=3, within=Seconds(600.0), action=Response.STOP_UNIT),
            machine=MACHINE,
            holdings=lambda: self.holdings,
        )

    def act(self, at: float = 100, found: Assessment = LOW, available: float = 50) -> None:
        latest = self.latest or (sample(at, memory(available)), found)
        self.hunt.act(sample(at, memory(available)), found, lambda: latest)

    def follow(self, at: float, found: Assessment = LOW, available: float = 50) -> Outcome | None:
        return self.hunt.follow(sample(at, memory(available)), found)

    def told(self) -> list[Event]:
        events = list(self.hunt.events)
        self.hunt.events.clear()
        return events


UNKNOWN = judged(process(40, 400), verdict(unresolved=True))


def test_who_is_not_judged_yet_may_be_the_one() -> None:
    scene = Scene(SMALL, BIG, UNKNOWN)
    scene.act(at=100)
    assert not scene.hand.sent
    scene.village.everybody = (SMALL, BIG, judged(UNKNOWN.process))
    scene.act(at=100.05)
    assert scene.hand.sent == [(40, Sent.TERM)]


def test_but_is_not_waited_for_for_long() -> None:
    scene = Scene(SMALL, BIG, UNKNOWN)
    for tenth in range(10):
        scene.act(at=100 + tenth / 10)
        assert bool(scene.hand.sent) is (tenth / 10 >= NAMES_TAKE)
    assert scene.hand.sent[0] == (20, Sent.TERM)


def test_a_swarm_that_is_not_judged_yet_may_be_the_one_together() -> None:
    swarm = [judged(process(40 + number, 31), verdict(unresolved=True)) for number in range(10)]
    scene = Scene(SMALL, BIG, *swarm)
    scene.act()
    assert not scene.hand.sent


def test_who_is_smaller_is_not_waited_for() -> None:
    scene = Scene(SMALL, BIG, judged(process(40, 299), verdict(unresolved=True)))
    scene.act()
    assert scene.hand.sent == [(20, Sent.TERM)]


def test_each_shortage_waits_anew() -> None:
    scene = Scene(SMALL, BIG, UNKNOWN)
    scene.act(at=100)
    scene.hunt.relax()
    scene.act(at=200)
    assert not scene.hand.sent


def test_the_worst_is_asked_and_the_rest_is_told() -> None:
    scene = Scene(SMALL, BIG, PROTECTED)
    scene.act()
    (killing,) = scene.told()
    assert isinstance(killing, Killing)
    assert (killing.victim.pid, killing.sent, killing.mode) == (20, Sent.TERM, Mode.ENFORCE)
    assert [one.pid for one in killing.runners_up] == [10]
    assert scene.hand.sent == [(20, Sent.TERM)]
    assert scene.hunt.in_flight
    assert not scene.hunt.settling
    assert (scene.scout.candidates, scene.scout.spared) == (2, 1)


def test_without_headroom_nobody_is_asked() -> None:
    scene = Scene(BIG)
    scene.act(found=replace(LOW, level=Level.KILL, headroom=0.0))
    assert scene.hand.sent == [(20, Sent.KILL)]


@pytest.mark.parametrize(
    ("level", "exit_at", "takes"),
    [
        pytest.param(Level.KILL, 100.8, 0.8, id="killed"),
        pytest.param(Level.TERM, 100.3, 0.3, id="asked, and quick"),
        pytest.param(Level.TERM, 104.0, ASKED, id="asked, and took its time"),
    ],
)
def test_it_learns_how_long_a_kill_takes_here(level: Level, exit_at: float, takes: float) -> None:
    scene = Scene(BIG)
    assert scene.hunt.kill_takes == FIRST_GUESS
    scene.act(100, replace(LOW, level=level, headroom=1.0 if level is Level.TERM else 0.0))
    scene.hand.has_gone = True
    scene.follow(exit_at, WELL, 350)
    assert scene.hunt.kill_takes == pytest.approx(takes)


def test_it_learns_from_the_last_signal_on() -> None:
    scene = Scene(BIG)
    scene.act(100)
    scene.follow(100 + GRACE)
    scene.hand.has_gone = True
    scene.follow(100 + GRACE + 0.4, WELL, 350)
    assert [sent for _, sent in scene.hand.sent] == [Sent.TERM, Sent.KILL]
    assert scene.hunt.kill_takes == pytest.approx(0.4)


def test_memory_that_came_back_during_the_look_saves_the_victim() -> None:
    scene = Scene(BIG)
    scene.latest = (sample(105, memory(900)), WELL)
    scene.act(100)
    assert (scene.hand.sent, scene.told(), scene.hunt.in_flight) == ([], [], False)


def test_the_latest_figures_decide_how() -> None:
    scene = Scene(BIG)
    scene.latest = (sample(105, memory(10)), replace(LOW, level=Level.KILL, headroom=0.0))
    scene.act(100)
    assert scene.hand.sent == [(20, Sent.KILL)]


def test_an_episode_that_helps() -> None:
    scene = Scene(SMALL, BIG)
    scene.act(100)
    assert scene.follow(100.5) is None
    scene.hand.has_gone = True
    assert scene.follow(100.6) is None
    assert scene.hunt.settling
    assert scene.follow(100.65, WELL, 350) is Outcome.RECOVERED
    assert not scene.hunt.in_flight
    _, ended = scene.told()
    assert isinstance(ended, Ended)
    assert (ended.outcome, ended.victim.pid) == (Outcome.RECOVERED, 20)
    assert ended.freed == 300 << 20
    assert ended.took == pytest.approx(0.6)
    assert scene.hand.stood_down == 1


def test_what_a_death_frees_of_swap_in_memory_is_counted_once() -> None:
    """Of 200 MiB in there, at a ratio of 2:1, half comes back at once and half as swap that makes room."""
    scene = Scene(BIG)
    scene.act(100)
    scene.hand.has_gone = True
    freed = sample(100.6, memory(150, swap_total=500, swap_free=200), swap_cost=0.5)
    assert scene.hunt.follow(freed, WELL) is Outcome.RECOVERED
    _, ended = scene.told()
    assert isinstance(ended, Ended)
    assert ended.freed == 200 << 20


def test_who_does_not_listen_is_ended_and_who_hangs_is_passed_over() -> None:
    scene = Scene(SMALL, BIG)
    scene.act(100)
    assert scene.follow(100 + GRACE) is None
    assert scene.hand.sent == [(20, Sent.TERM), (20, Sent.KILL)]
    assert scene.follow(100 + GRACE + PATIENCE) is Outcome.HUNG
    scene.act(120)
    assert scene.hand.sent[2:] == [(10, Sent.TERM)]


def test_who_waits_for_the_disk_of_swap_does_not_hang_yet() -> None:
    scene = Scene(SMALL, BIG)
    killed = 100 + GRACE
    scene.act(100)
    scene.follow(killed)
    for after in (1.5, 3.0, 4.5):
        busy = sample(killed + after, memory(50), stats=vmstat(swapped_out=9000, writeback=9000 - int(after)))
        assert scene.hunt.follow(busy, LOW) is None
    assert scene.hand.sent == [(20, Sent.TERM), (20, Sent.KILL)]


def test_whoever_was_passed_over_is_tried_again_once_memory_was_well() -> None:
    scene = Scene(BIG)
    scene.hand.delivery = Delivery.REFUSED
    scene.act(100)
    scene.act(101)
    assert scene.hand.sent == [(20, Sent.TERM)]
    scene.village.is_listening = True
    scene.hunt.relax()
    assert not scene.village.is_listening
    scene.act(201)
    assert scene.hand.sent == [(20, Sent.TERM)] * 2


@pytest.mark.parametrize(
    ("delivery", "outcome"),
    [(Delivery.REFUSED, Outcome.REFUSED), (Delivery.VANISHED, Outcome.VANISHED)],
)
def test_a_signal_that_does_not_arrive(delivery: Delivery, outcome: Outcome) -> None:
    scene = Scene(BIG)
    scene.hand.delivery = delivery
    scene.act()
    (ended,) = scene.told()
    assert isinstance(ended, Ended)
    assert ended.outcome is outcome
    assert not scene.hunt.in_flight


def test_kill_that_is_refused_ends_the_episode() -> None:
    scene = Scene(BIG)
    scene.act(100)
    scene.hand.delivery = Delivery.REFUSED
    assert scene.follow(100 + GRACE) is Outcome.REFUSED


def test_memory_that_comes_back_by_itself() -> None:
    scene = Scene(BIG)
    scene.act(100)
    assert scene.follow(100 + GRACE, WELL, 900) is Outcome.RECEDED


def test_three_deaths_in_vain_are_enough() -> None:
    scene = Scene(*(judged(process(pid, 20)) for pid in range(10, 20)))
    at = 100.0
    while not any(isinstance(event, Holding) for event in scene.told()):
        scene.act(at)
        scene.hand.has_gone = scene.hunt.in_flight
        scene.follow(at + 0.1)
        scene.follow(at + 0.1 + SETTLING)
        at += 2
        assert at < 200
    assert len(scene.hand.sent) == 3
    scene.village.everybody = (judged(process(40, 60)), *scene.village.everybody)
    scene.act(at + SHORTEST)
    assert scene.hand.sent[3:] == [(40, Sent.TERM)]


def held(scene: Scene, found: Assessment = LOW) -> HoldReason | None:
    """Why nobody was signalled; None where somebody was."""
    scene.act(found=found)
    (event,) = scene.told()
    return event.why if isinstance(event, Holding) else None


TOO_SMALL = judged(process(10, 40))
"""Worth it, and not worth it in doubt."""
NO_TIME = replace(LOW, level=Level.KILL, headroom=0.0)


def test_nobody_dies_for_what_outlives_processes() -> None:
    scene = Scene(TOO_SMALL)
    assert held(scene) is None
    scene = Scene(TOO_SMALL)
    scene.holdings = holdings(anon=100, shmem=700)
    assert held(scene) is HoldReason.FUTILE
    assert scene.hand.sent == []


def test_nobody_dies_for_who_is_spared_while_there_is_time() -> None:
    assert held(Scene(TOO_SMALL, PROTECTED)) is HoldReason.CULPRIT_SPARED
    assert held(Scene(TOO_SMALL, PROTECTED), NO_TIME) is None
    thrash = assessment(Reason.STALL, level=Level.KILL, available=120, limit=100)
    assert held(Scene(TOO_SMALL), thrash) is None
    assert held(Scene(TOO_SMALL, PROTECTED), thrash) is HoldReason.CULPRIT_SPARED
    assert held(Scene(TOO_SMALL, judged(process(30, 30), verdict(Standing.NEVER)))) is None


@pytest.mark.parametrize(("scope", "first"), [(Scope.FAMILY, 60), (Scope.PROCESS, 20)])
def test_a_swarm_dies_before_who_is_bigger_than_each(scope: Scope, first: int) -> None:
    parent = judged(process(60, 40), growth=20, cgroup="/swarm")
    workers = (judged(process(pid, 35, ppid=60), growth=20, cgroup="/swarm") for pid in range(40, 55))
    scene = Scene(BIG, parent, *workers, scope=scope)
    scene.act()
    assert scene.hand.sent == [(first, Sent.TERM)]


def storm(scene: Scene, deaths: int) -> list[Event]:
    """What is told while the biggest of the village dies `deaths` times, and each time it helps."""
    for turn in range(deaths):
        scene.act(100 + 10 * turn)
        scene.hand.has_gone = True
        assert scene.follow(101 + 10 * turn, WELL, 350) is Outcome.RECOVERED
    return scene.told()


CACHE = judged(process(20, 300), cgroup="/system.slice/cache.service", unit="cache.service")


def test_who_dies_again_and_again_is_told_of_after_its_last_death() -> None:
    told = storm(Scene(CACHE), 5)
    assert [type(event) for event in told] == [Killing, Ended] * 3 + [Storming] + [Killing, Ended] * 2
    event = told[6]
    assert isinstance(event, Storming)
    assert (event.unit, event.kills, event.mode) == ("cache.service", 3, Mode.ENFORCE)
    assert (event.action, event.obstacle) == (Response.STOP_UNIT, None)


def test_a_storm_in_dry_run_is_one_of_would_be_deaths() -> None:
    scene = Scene(CACHE)
    scene.hand.mode = Mode.DRY_RUN
    (event,) = (event for event in storm(scene, 3) if isinstance(event, Storming))
    assert event.mode is Mode.DRY_RUN


def test_a_unit_that_holds_somebody_protected_is_left_alone() -> None:
    told = storm(Scene(CACHE, replace(PROTECTED, unit="cache.service")), 3)
    (event,) = (event for event in told if isinstance(event, Storming))
    assert (event.action, event.obstacle) == (Response.ALERT, Obstacle.PROTECTED)


@pytest.mark.parametrize("delivery", [Delivery.REFUSED, Delivery.VANISHED])
def test_who_does_not_die_of_the_guard_makes_no_storm(delivery: Delivery) -> None:
    scene = Scene(CACHE)
    scene.hand.delivery = delivery
    for at in (100, 200, 300, 400):
        scene.hunt.relax()
        scene.act(at)
    assert {type(event) for event in scene.told()} == {Ended}


def test_a_stall_that_goes_on_uses_the_patience_up() -> None:
    """Each death ends the stall for the moment, as it is measured anew; none of them brings memory back."""
    scene = Scene(*(judged(process(pid, 20)) for pid in range(10, 20)))
    stalled = assessment(Reason.STALL)
    for turn in range(6):
        scene.act(1e9 + 10 * turn, stalled)
        scene.hand.has_gone = scene.hunt.in_flight
        scene.follow(1e9 + 10 * turn + 1, replace(stalled, level=Level.ARMED, reasons=()))
    assert len(scene.hand.sent) == 3
    held = [event for event in scene.told() if isinstance(event, Holding)]
    assert [event.why for event in held] == [HoldReason.FUTILE]


def test_a_hold_is_told_once_and_again_after_a_while() -> None:
    scene = Scene(PROTECTED)
    for at in (1e9, 1e9 + 1, 1e9 + 2):
        scene.act(at)
    (holding,) = scene.told()
    assert isinstance(holding, Holding)
    assert (holding.why, [one.pid for one in holding.biggest]) == (HoldReason.ALL_PROTECTED, [30])
    scene.act(1e9 + 3, replace(LOW, reasons=(Reason.STALL,)))
    scene.act(1e9 + 4)
    assert len(scene.told()) == 1
    scene.hunt.relax()
    scene.act(2e9)
    assert len(scene.told()) == 1


def test_while_it_holds_it_does_not_look_at_every_poll() -> None:
    scene = Scene(PROTECTED)
    scene.act(100)
    scene.act(100)
    assert scene.village.looks == 1


def test_while_armed_newcomers_are_judged_before_anybody_is_named() -> None:
    scene = Scene(SMALL)
    scene.village.newcomers = (BIG,)
    scene.hunt.watch(sample(100))
    assert scene.scout.latest is not None
    assert [one.judged for one in scene.scout.latest.ranking.candidates] == [BIG, SMALL]


def test_who_was_worst_when_last_looked_at_is_read_anew() -> None:
    scene = Scene(BIG, PROTECTED)
    scene.hunt.watch(sample(100))
    scene.village.everybody = (SMALL, BIG, PROTECTED)
    scene.hunt.act(sample(100 + WATCH_EVERY), LOW, lambda: (sample(), LOW))
    assert scene.village.likely == {20}


@pytest.mark.parametrize(
    ("later", "reason"), [(FRESH + 1, Reason.LOW_MEMORY), (WATCH_EVERY, Reason.COMMIT_LIMIT)]
)
def test_who_is_worst_by_what_is_known_is_read_anew(later: float, reason: Reason) -> None:
    """Where nobody was ranked for long, or by another measure."""
    scene = Scene(BIG, PROTECTED)
    scene.hunt.watch(sample(100))
    scene.village.everybody = (SMALL, BIG, PROTECTED)
    scene.act(100 + later, assessment(reason, committed=500, commit_limit=400))
    assert scene.village.likely == {10, 20}


def test_oomguard_is_nobodys_victim() -> None:
    scene = Scene(BIG, own=frozenset((Pid(20),)))
    scene.act()
    assert scene.hand.sent == []


def test_following_nobody() -> None:
    assert Scene(BIG).follow(100) is None


@pytest.mark.parametrize(("found", "looks", "unread"), [(WELL, LOOKS_HELD, 0), (LOW, 1, 1)])
def test_watching_and_rehearsing_kill_nobody(found: Assessment, looks: int, unread: int) -> None:
    """There is time to rehearse, and to read everybody, unless a limit is crossed from the start."""
    scene = Scene(BIG)
    scene.village.unread = (SMALL,)
    scene.hunt.rehearse(sample(100), found)
    assert (scene.village.looks, scene.village.left_out) == (looks, unread)
    scene.hunt.watch(sample(1e9))
    assert (scene.hand.sent, scene.told(), scene.scout.candidates) == ([], [], 2 - unread)


def test_who_does_not_matter_is_not_read_before_somebody_dies() -> None:
    """And not killed along, though it may be all that is left in there."""
    scene = Scene(judged(process(20, 300), cgroup="/b"), scope=Scope.FAMILY)
    scene.village.unread = (judged(process(10, 5), cgroup="/b"),)
    scene.act()
    assert (scene.hand.sent, scene.village.left_out) == ([(20, Sent.TERM)], 1)
    assert scene.hand.whole_cgroup is None


@pytest.mark.parametrize("first", [judged(process(10, 40)), PROTECTED])
def test_where_it_is_not_settled_everybody_is_read_first(first: Judged) -> None:
    """One who is not worth it in doubt, and one who may not die."""
    scene = Scene(first)
    scene.village.unread = (BIG,)
    scene.act()
    assert (scene.hand.sent, scene.village.left_out) == ([(20, Sent.TERM)], 0)


PEN_A, PEN_B = "/pens/a", "/pens/b"
IN_A, IN_B = judged(process(40, 60), cgroup=PEN_A), judged(process(41, 70), cgroup=PEN_B)


def test_the_victim_of_a_group_comes_from_within_it() -> None:
    scene = Scene(BIG, IN_A, IN_B)
    scene.act(100, enclosed(PEN_A), 900)
    (killing,) = scene.told()
    assert isinstance(killing, Killing)
    assert (killing.victim.pid, killing.runners_up, killing.reasons) == (40, (), (Reason.CGROUP_LIMIT,))
    assert killing.kernel_choice is not None
    assert killing.kernel_choice.pid == 40
    assert (scene.hunt.group, scene.scout.candidates) == (PEN_A, 3)
    assert scene.village.likely == {40}


def test_a_group_is_followed_by_its_own_figures() -> None:
    scene = Scene(BIG, IN_A)
    scene.act(100, enclosed(PEN_A, used=95), 900)
    scene.hand.has_gone = True
    assert scene.follow(100.2, enclosed(PEN_A, used=94), 100) is None
    well = replace(enclosed(PEN_A, used=35), level=Level.CALM, reasons=())
    assert scene.follow(100.3, well, 100) is Outcome.RECOVERED
    _, ended = scene.told()
    assert isinstance(ended, Ended)
    assert ended.freed == 60 << 20
    assert scene.hunt.group is None


def test_nobody_left_in_a_group_is_no_reason_to_look_further() -> None:
    scene = Scene(BIG, replace(PROTECTED, cgroup=PEN_A))
    scene.act(100, enclosed(PEN_A), 900)
    (holding,) = scene.told()
    assert isinstance(holding, Holding)
    assert (holding.why, holding.figures.group) == (HoldReason.ALL_PROTECTED, enclosed(PEN_A).figures.group)
    assert scene.hand.sent == []


def test_one_group_that_is_held_keeps_no_other_waiting() -> None:
    scene = Scene(BIG, replace(PROTECTED, cgroup=PEN_A), IN_B)
    for _ in range(2):
        scene.act(100, enclosed(PEN_A), 900)
    assert scene.village.looks == 1
    scene.act(100, enclosed(PEN_B), 900)
    assert scene.hand.sent == [(41, Sent.TERM)]


def test_a_group_whose_memory_outlives_processes_is_no_place_to_kill_in() -> None:
    scene = Scene(BIG, judged(process(40, 4), cgroup=PEN_A))
    full = replace(enclosed(PEN_A), holdings=holdings(anon=5, shmem=900))
    scene.act(100, full, 900)
    (holding,) = scene.told()
    assert isinstance(holding, Holding)
    assert holding.why is HoldReason.FUTILE
    assert holding.held[0][0] is Holder.SHARED_MEMORY


def test_the_patience_of_a_group_is_its_own() -> None:
    scene = Scene(BIG, *(judged(process(pid, 4), cgroup=PEN_A) for pid in range(40, 50)))
    at = 100.0
    while not any(isinstance(event, Holding) for event in scene.told()):
        scene.act(at, enclosed(PEN_A), 900)
        scene.hand.has_gone = scene.hunt.in_flight
        scene.follow(at + 0.1, enclosed(PEN_A), 900)
        scene.follow(at + 0.1 + SETTLING, enclosed(PEN_A), 900)
        at += 2
        assert at < 200
    assert len(scene.hand.sent) == 3
    scene.act(at)
    assert scene.hand.sent[3:] == [(20, Sent.TERM)]


def test_rehearsing_in_a_group_kills_nobody() -> None:
    scene = Scene(BIG, IN_A)
    scene.hunt.rehearse(sample(100), enclosed(PEN_A))
    assert (scene.hand.sent, scene.told()) == ([], [])


def test_what_holds_in_one_group_is_no_news_after_a_kill_in_another() -> None:
    scene = Scene(BIG, replace(PROTECTED, cgroup=PEN_A), IN_B)

    def is_told(at: float) -> bool:
        scene.act(at, enclosed(PEN_A), 900)
        return any(isinstance(event, Holding) for event in scene.told())

    def kill(at: float, found: Assessment) -> None:
        scene.act(at, found)
        assert scene.hunt.in_flight
        scene.hand.has_gone = True
        scene.follow(at + 0.1, WELL, 900)
        scene.follow(at + 0.2, WELL, 900)
        assert not scene.hunt.in_flight
        scene.told()

    assert is_told(100)
    kill(101, enclosed(PEN_B))
    assert not is_told(102)
    kill(103, LOW)
    assert is_told(104)


def test_groups_that_come_and_go_are_forgotten() -> None:
    scene = Scene(PROTECTED)
    for hour in range(50):
        scene.act(3600.0 * hour, enclosed(f"/pens/{hour}"), 900)
        scene.hunt.relax()
    assert len(scene.told()) == 50
    kept = len(scene.hunt._standstills), len(scene.hunt._hold_until)
    assert kept == (1, 0)
