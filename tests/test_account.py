from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given

from oomguard import badness
from oomguard.account import (
    BIGGEST,
    BY_NATURE,
    ended,
    holding,
    killing,
    person,
    phase_changed,
    storming,
)
from oomguard.badness import Policy
from oomguard.episode import Finish, Outcome, Sent
from oomguard.event import Ended, Mode, Storming
from oomguard.holders import Holder
from oomguard.plan import Doubt, Hold, HoldReason, Kill, decide
from oomguard.pressure import Phase
from oomguard.process import Key
from oomguard.ranking import Judged, Ranking, Spared
from oomguard.rules import Scope, Standing
from oomguard.storm import Obstacle, Origin, Response, Storm
from oomguard.units import Bytes, Pid, Points, Seconds, Ticks, Uid
from tests.builders import MACHINE, assessment, crowds, judged, mib, pages, process, ranked, using, verdict

NEVER = Standing.NEVER
AT = assessment()
HELD = (
    (Holder.SHARED_MEMORY, mib(600)),
    (Holder.SLAB, mib(30)),
    (Holder.PROCESSES, mib(20)),
    (Holder.SOCKETS, mib(10)),
)


def test_person() -> None:
    one = replace(process(10, memory=using(3, file=2, shmem=1, swap=7), adj=-17), comm="a\nb")
    said = replace(verdict(Standing.LAST), rules=("x", "y"))
    told = person(judged(one, said, unit="a.service"), Points(-5), MACHINE)
    assert (told.pid, told.starttime, told.uid, told.oom_score_adj) == (10, 100, 1000, -17)
    assert (told.comm, told.unit) == ("a\nb", "a.service")
    assert (told.rss, told.swap, told.points) == (mib(6), mib(7), -5)
    assert (told.standing, told.rules) == (Standing.LAST, ("x", "y"))


def test_a_person_without_memory() -> None:
    told = person(judged(replace(process(10), memory=None)), Points(0), MACHINE)
    assert (told.rss, told.swap) == (0, 0)


def test_another_phase_names_who_would_die_next() -> None:
    found = ranked(judged(process(10, 9)), judged(process(12, 20)), judged(process(13, 90), verdict(NEVER)))
    told = phase_changed(Phase.CALM, Phase.ARMED, AT, found, MACHINE)
    assert (told.before, told.after, told.reasons) == (Phase.CALM, Phase.ARMED, AT.reasons)
    assert told.likely == person(found.candidates[0].judged, found.candidates[0].points, MACHINE)
    assert told.likely.pid == 12


@pytest.mark.parametrize("found", [None, ranked(judged(process(13, 90), verdict(NEVER)))])
def test_where_nobody_may_die_nobody_is_named(found: Ranking | None) -> None:
    assert phase_changed(Phase.CALM, Phase.ARMED, AT, found, MACHINE).likely is None


@pytest.mark.parametrize(("unread", "likely"), [(19, 12), (20, 12), (21, None)])
def test_nobody_is_named_where_a_bigger_one_is_not_known_yet(unread: float, likely: int | None) -> None:
    found = ranked(judged(process(12, 20)), judged(process(13, unread), verdict(unresolved=True)))
    named = phase_changed(Phase.CALM, Phase.ARMED, AT, found, MACHINE).likely
    assert (None if named is None else named.pid) == likely


def kill(*everybody: Judged) -> Kill:
    found = decide(ranked(*everybody), AT, Scope.TREE, MACHINE, Doubt.NONE)
    assert isinstance(found, Kill)
    return found


def test_killing() -> None:
    found = kill(
        judged(process(10, 9), verdict(points=500)),
        judged(process(11, 1, ppid=10)),
        judged(process(12, 20)),
        judged(process(13, 90), verdict(NEVER)),
    )
    told = killing(
        found,
        Sent.KILL,
        mode=Mode.DRY_RUN,
        policy=Policy.CLASSIC,
        machine=MACHINE,
        reaction=Seconds(0.25),
    )
    assert (told.mode, told.sent, told.policy, told.scope) == (
        Mode.DRY_RUN,
        Sent.KILL,
        Policy.CLASSIC,
        Scope.TREE,
    )
    assert (told.reasons, told.level, told.figures) == (AT.reasons, AT.level, AT.figures)
    assert (told.members, told.reaction) == (2, 0.25)
    assert (told.victim.pid, told.victim.points) == (10, pages(9) + 500 * (MACHINE.total // 1000))
    assert [one.pid for one in told.runners_up] == [12]
    assert told.kernel_choice is not None
    assert told.kernel_choice.pid == 13
    assert told.kernel_choice.points == Points(pages(90))


def test_killing_without_a_choice_of_the_kernel() -> None:
    found = replace(kill(judged(process(10))), kernel_choice=None)
    told = killing(
        found, Sent.TERM, mode=Mode.ENFORCE, policy=Policy.KERNEL, machine=MACHINE, reaction=Seconds(0)
    )
    assert told.kernel_choice is None


@pytest.mark.parametrize("outcome", Outcome)
def test_ended(outcome: Outcome) -> None:
    victim = person(judged(process(10)), Points(1), MACHINE)
    finished = Finish(outcome=outcome, freed=Bytes(-4096), took=Seconds(0.5))
    assert ended(victim, finished, Mode.ENFORCE) == Ended(
        mode=Mode.ENFORCE, outcome=outcome, victim=victim, freed=Bytes(-4096), took=Seconds(0.5)
    )


@pytest.mark.parametrize(
    ("origin", "unit", "cgroup", "parent"),
    [
        (Origin(unit="a.service"), "a.service", None, None),
        (Origin(cgroup="/a"), None, "/a", None),
        (Origin(uid=Uid(1000), parent=Key(Pid(7), Ticks(70))), None, None, 7),
        (Origin(uid=Uid(1000)), None, None, None),
    ],
)
def test_storming(origin: Origin, unit: str | None, cgroup: str | None, parent: int | None) -> None:
    victim = person(judged(process(10), unit="other.service"), Points(1), MACHINE)
    storm = Storm(
        origin=origin,
        kills=4,
        within=Seconds(60.0),
        action=Response.ALERT,
        obstacle=Obstacle.NO_UNIT,
    )
    assert storming(storm, victim, Mode.DRY_RUN) == Storming(
        mode=Mode.DRY_RUN,
        action=Response.ALERT,
        obstacle=Obstacle.NO_UNIT,
        unit=unit,
        cgroup=cgroup,
        parent=None if parent is None else Pid(parent),
        comm="worker",
        uid=1000,
        kills=4,
        within=Seconds(60.0),
    )


def hold(*everybody: Judged) -> Hold:
    found = decide(ranked(*everybody), AT, Scope.PROCESS, MACHINE, Doubt.NONE)
    assert isinstance(found, Hold)
    return found


def test_holding() -> None:
    told = holding(
        hold(
            judged(process(1, 99)),
            judged(process(2, 99, kernel_thread=True)),
            judged(replace(process(3), memory=None)),
            judged(replace(process(9), memory=None), verdict(NEVER)),
            judged(process(10, 5), verdict(NEVER)),
            judged(process(11, memory=using(1, swap=6)), verdict(NEVER)),
            judged(process(12, 4, adj=-1000)),
            judged(process(13, 18), verdict(unresolved=True)),
            judged(process(14, 5), verdict(NEVER)),
        ),
        MACHINE,
        HELD,
    )
    assert (told.why, told.reasons, told.level, told.figures) == (
        HoldReason.UNRESOLVED,
        AT.reasons,
        AT.level,
        AT.figures,
    )
    assert dict(told.spared) == {
        Spared.INIT: 1,
        Spared.KERNEL_THREAD: 1,
        Spared.NO_MEMORY: 2,
        Spared.OOM_SCORE_ADJ: 1,
        Spared.RULE: 3,
        Spared.UNRESOLVED: 1,
    }
    assert [one.pid for one in told.biggest] == [13, 11, 14]
    assert told.held == HELD[:BIGGEST]
    assert told.biggest[0].points == badness.kernel(process(13, 18), MACHINE)


def test_holding_with_nobody() -> None:
    told = holding(hold(), MACHINE, ())
    assert (told.spared, told.biggest, told.held) == ((), (), ())


@given(crowds())
def test_laws_of_holding(everybody: tuple[Judged, ...]) -> None:
    found = ranked(*everybody)
    told = holding(Hold(why=HoldReason.FUTILE, spared=found.spared, assessment=AT), MACHINE, HELD)
    assert sum(count for _, count in told.spared) == len(found.spared)
    assert all(count > 0 for _, count in told.spared)
    named = [one for one in found.spared if one.why not in BY_NATURE]
    assert len(told.biggest) == min(BIGGEST, len(named))


def test_a_spared_zombie_is_no_big_one() -> None:
    zombie = judged(replace(process(9), memory=None))
    passed_over = replace(ranked(zombie).spared[0], why=Spared.SELF)
    told = holding(Hold(why=HoldReason.FUTILE, spared=(passed_over,), assessment=AT), MACHINE, HELD)
    assert [(one.pid, one.rss) for one in told.biggest] == [(9, 0)]
