"""Who may be left unread before somebody dies: those who change nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from oomguard import ranking
from oomguard.badness import Policy
from oomguard.family import worst_family_first
from oomguard.growth import SHORT
from oomguard.interest import ALL, ALONE, Interest, advances, interest, settles
from oomguard.plan import Doubt, Kill, Plan, decide
from oomguard.pressure import Assessment, Reason
from oomguard.process import Outline, Process
from oomguard.ranking import Judged, Ranking
from oomguard.rules import Effect, Rule, Scope, Standing
from oomguard.units import Bytes, Pages, Seconds, Ticks
from tests.builders import (
    MACHINE,
    NOBODY,
    PAGE,
    assessment,
    crowds,
    enclosed,
    judged,
    mib,
    pages,
    process,
    ranked,
    using,
    verdict,
)

NOW = replace(MACHINE, uptime=Seconds(1000.0))
OLD, YOUNG = Ticks(100), Ticks(int((NOW.uptime - SHORT / 2) * NOW.ticks_per_second))
WANTED = interest(NOW, pages(0))
LOW = assessment(available=90, limit=100)
SIZES = st.sampled_from([0, 1, 9, 11, 40, 60, 90, 300])
"""A death must free 10 MiB; in doubt, 50."""


def outline(size: float, resident: float, started: Ticks = OLD, *, is_hollow: bool = False) -> Outline:
    return Outline(size=mib(size), resident=pages(resident), starttime=started, is_hollow=is_hollow)


@pytest.mark.parametrize(
    ("seen", "swapped", "matters"),
    [
        pytest.param(outline(500, 9.9), 0, False, id="holds too little"),
        pytest.param(outline(500, 10), 0, True, id="holds enough"),
        pytest.param(outline(500, 4), 5, False, id="even with all that is in swap"),
        pytest.param(outline(500, 4), 6, True, id="may have more in swap"),
        pytest.param(outline(9, 4), 6, False, id="has no room for it"),
        pytest.param(outline(9, 1, YOUNG), 0, True, id="has just started"),
        pytest.param(outline(0, 0, YOUNG), 0, False, id="a kernel thread, or a zombie"),
        pytest.param(outline(0, 0, is_hollow=True), 0, True, id="a leader that has exited"),
    ],
)
def test_who_matters(seen: Outline, swapped: float, matters: bool) -> None:
    assert interest(NOW, pages(swapped)).includes(seen) is matters
    assert ALL.includes(seen)


def test_of_much_memory_a_small_part_is_enough() -> None:
    large = replace(NOW, total=pages(1 << 20))
    assert interest(large, pages(7)) == Interest(
        page_size=PAGE, least=pages(32), swapped=pages(7), young_since=Ticks(99_000)
    )


@pytest.mark.parametrize(
    ("effect", "points", "scope", "advancing"),
    [
        (Effect.PREFER, 0, None, True),
        (Effect.ADJUST, 5, None, True),
        (Effect.ADJUST, -5, None, False),
        (Effect.LAST, 0, None, False),
        (Effect.NEVER, 0, None, False),
        (Effect.SIGNAL, 0, Scope.CGROUP, True),
    ],
)
def test_rules_that_put_somebody_before_others(
    effect: Effect, points: int, scope: Scope | None, advancing: bool
) -> None:
    rule = Rule(name="a", patterns=(), effect=effect, points=points, scope=scope)
    assert advances((rule,)) is advancing
    assert not advances(())


BIG, OTHER = judged(process(20, 300), growth=50), judged(process(10, 50))
GROWER = replace(OTHER, growth=pages(1))
TOGETHER = tuple(judged(process(pid, 60, ppid=30), growth=60) for pid in range(30, 34))


def doubted(*everybody: Judged, scope: Scope = Scope.FAMILY, found: Assessment = LOW) -> tuple[Plan, Ranking]:
    order = worst_family_first(ranked(*everybody))
    return decide(order, found, scope, MACHINE, Doubt.SPARED), order


@pytest.mark.parametrize(
    ("made", "policy", "is_settled"),
    [
        pytest.param(doubted(BIG, OTHER), Policy.CULPRIT, True, id="one stands out"),
        pytest.param(doubted(BIG, OTHER, scope=Scope.PROCESS), Policy.KERNEL, True, id="and dies alone"),
        pytest.param(doubted(BIG, OTHER), Policy.CLASSIC, False, id="children count"),
        pytest.param(doubted(BIG, OTHER, scope=Scope.TREE), Policy.CULPRIT, False, id="with its children"),
        pytest.param(doubted(BIG, GROWER), Policy.CULPRIT, False, id="another grows"),
        pytest.param(doubted(*TOGETHER), Policy.CULPRIT, False, id="with its family"),
        pytest.param(doubted(judged(process(10, 40))), Policy.CULPRIT, False, id="nobody is worth it"),
        pytest.param(doubted(judged(process(10, 1), verdict(Standing.PREFERRED)), BIG), Policy.CULPRIT, False,
                     id="not the first"),
        pytest.param(doubted(BIG, found=enclosed("/user.slice")), Policy.CULPRIT, False, id="of a group"),
        pytest.param(doubted(BIG, found=assessment(Reason.COMMIT_LIMIT, Reason.LOW_MEMORY)), Policy.CULPRIT,
                     False, id="promises count"),
    ],
)  # fmt: skip
def test_whether_it_is_settled(made: tuple[Plan, Ranking], policy: Policy, is_settled: bool) -> None:
    plan, order = made
    assert settles(plan, order, policy) is is_settled


def seen(one: Process) -> Outline:
    memory = one.memory
    return Outline(
        size=Bytes(memory.total_vm * PAGE if memory else 0),
        resident=memory.rss if memory else Pages(0),
        starttime=one.key.starttime,
        is_hollow=False,
    )


@st.composite
def hosts(draw: st.DrawFn) -> tuple[Judged, ...]:
    """Everybody, as seen for the first time: who is not young has not grown. By rules that advance nobody."""
    hog = judged(process(40, draw(st.sampled_from([60, 300]))), cgroup=draw(st.sampled_from(["/", "/b"])))
    return hog, *(draw(_somebody(one)) for one in draw(crowds()))


@st.composite
def _somebody(draw: st.DrawFn, one: Judged) -> Judged:
    young = draw(st.integers(0, 9)) == 9
    held = using(draw(SIZES), file=draw(SIZES) / 10, swap=draw(st.sampled_from([0, 0, 0, 20])))
    process = replace(
        one.process,
        key=replace(one.process.key, starttime=YOUNG if young else OLD),
        memory=None if one.process.memory is None else held,
        oom_score_adj=draw(st.sampled_from([0, 0, 0, 300, -300, -1000])),
    )
    standing = draw(st.sampled_from([Standing.ORDINARY, Standing.ORDINARY, Standing.LAST, Standing.NEVER]))
    said = replace(one.verdict, standing=standing, scope=None, points=min(one.verdict.points, 0))
    return replace(one, process=process, verdict=said, growth=process.held if young else Pages(0))


def among(everybody: list[Judged], policy: Policy) -> Ranking:
    measure = ranking.score(policy, (), everybody, NOW)
    return worst_family_first(ranking.rank(everybody, measure, NOW, NOBODY))


@given(hosts(), st.sampled_from([Policy.CULPRIT, Policy.KERNEL]), st.sampled_from(ALONE))
def test_what_is_settled_by_some_is_so_by_everybody(
    everybody: tuple[Judged, ...], policy: Policy, scope: Scope
) -> None:
    swapped = Pages(sum(one.process.memory.swap for one in everybody if one.process.memory))
    wanted = interest(NOW, swapped)
    known = {one.process.key.pid: one for one in everybody if wanted.includes(seen(one.process))}
    by_pid = {one.process.key.pid: one for one in everybody}
    while parents := {one.process.ppid for one in known.values()} & (by_pid.keys() - known.keys()):
        known |= {pid: by_pid[pid] for pid in parents}
    some = among(list(known.values()), policy)
    plan = decide(some, LOW, scope, NOW, Doubt.SPARED)
    if not settles(plan, some, policy):
        event("not settled")
        return
    assert isinstance(plan, Kill)
    event(f"left out: {min(len(by_pid) - len(known), 3)}")
    for doubt in Doubt:
        full = decide(among(list(everybody), policy), LOW, scope, NOW, doubt)
        assert isinstance(full, Kill)
        assert (full.victim, full.members) == (plan.victim, plan.members)
