from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given

from oomguard.phase import CALM_AFTER
from oomguard.pressure import Assessment, Level
from oomguard.ranking import Judged, Ranking, is_gone
from oomguard.relief import (
    HEED,
    MOST_GROUPS,
    MOST_MEMBERS,
    MOST_SIGNALS,
    Relief,
    is_getting_short,
    may_be_touched,
)
from oomguard.remedy import Act, Action, AfterKill, Reclaim, Remedies, Restrain, Restraint, Send, action_of
from oomguard.rules import Effect, Field, Rule, Signal, Standing, pattern
from oomguard.units import Bytes, Percent, Pid, Seconds
from tests.builders import (
    NOBODY,
    PAGE,
    PATHS,
    TOTAL,
    assessment,
    crowds,
    judged,
    mib,
    process,
    ranked,
    verdict,
)

NONE = Remedies(
    culprit=Restraint.NONE, lasts=Seconds(10.0), reclaim=(), amount=Percent(5.0), swapping=AfterKill.LEAVE
)
FREEZE = replace(NONE, culprit=Restraint.FREEZE)
COLD = replace(NONE, reclaim=(pattern(Field.CGROUP, "/cold*"),))
CACHE = Rule(name="cache", patterns=(pattern(Field.COMM, "*"),), effect=Effect.SIGNAL, signal=Signal.USR1)
OTHER = replace(CACHE, name="other", signal=Signal.HUP)
START = Seconds(100.0)


def how(
    level: Level = Level.ARMED,
    *,
    available: float = 150,
    swap_free: float = 0,
    swap_limit: float = 0,
    stall: float = 0,
) -> Assessment:
    """The limit of available memory is 100 MiB, the stall budget 2 s."""
    now = assessment(level=level, available=available)
    figures = replace(now.figures, stall=Seconds(stall), swap_free=mib(swap_free), swap_limit=mib(swap_limit))
    return replace(now, figures=figures)


def one(pid: int, cgroup: str, growth: float = 0, anon: float = 50, **said: object) -> Judged:
    return judged(process(pid, anon), replace(verdict(), **said), cgroup=cgroup, growth=growth)  # type: ignore[arg-type]


def relief(remedies: Remedies, *rules: Rule) -> Relief:
    return Relief(remedies, rules, PAGE)


def advised(asked: Relief, ranking: Ranking, at: float = START, now: Assessment | None = None) -> list[Act]:
    asked.note(Seconds(at), now or how())
    return list(asked.advise(Seconds(at), TOTAL, ranking))


@pytest.mark.parametrize(
    ("now", "short"),
    [
        (how(Level.CALM, available=300), False),
        (how(available=201), False),
        (how(available=200), True),
        (how(Level.TERM, available=900), True),
        (how(Level.KILL, available=900), True),
        (how(swap_free=300, swap_limit=100), False),
        (how(swap_free=200, swap_limit=100), True),
        (how(swap_free=300, swap_limit=100, stall=0.9), False),
        (how(swap_free=300, swap_limit=100, stall=1.0), True),
        (how(available=900, stall=1.9), False),
    ],
)
def test_when_memory_is_getting_short(now: Assessment, short: bool) -> None:
    assert is_getting_short(now) is short


def test_who_takes_the_memory_is_restrained_once_in_a_shortage() -> None:
    ranking = ranked(one(5, "/a", 20), one(6, "/a", 20), one(7, "/b", 30), one(8, "/a/x", anon=1))
    asked = relief(FREEZE)
    expected = Restrain(
        action=Action.FREEZE, cgroup="/a", members=(Pid(5), Pid(6), Pid(8)), lasts=Seconds(10.0)
    )
    assert advised(asked, ranking) == [expected]
    assert advised(asked, ranking, START + 1) == []
    # Well for a moment is not well.
    asked.note(Seconds(START + 2), how(available=500))
    assert advised(asked, ranking, START + 3) == []
    asked.note(Seconds(START + 3 + CALM_AFTER - 0.1), how(available=500))
    assert asked.is_on
    asked.note(Seconds(START + 3 + CALM_AFTER), how(available=500))
    assert not asked.is_on
    assert advised(asked, ranking, START + 20) == [expected]


def test_a_throttle_is_the_same_with_another_word() -> None:
    (act,) = advised(relief(replace(FREEZE, culprit=Restraint.THROTTLE)), ranked(one(5, "/a", 20)))
    assert action_of(act) is Action.THROTTLE


def test_nobody_is_restrained_before_somebody_grows() -> None:
    asked = relief(FREEZE)
    assert advised(asked, ranked(one(5, "/a", 7))) == []
    assert advised(asked, ranked()) == []
    assert len(advised(asked, ranked(one(5, "/a", 8)), START + 1)) == 1


def test_nothing_is_done_while_memory_is_not_short_or_nothing_is_wished() -> None:
    ranking = ranked(one(5, "/cold", 20, rules=("cache",)))
    assert advised(relief(FREEZE, CACHE), ranking, now=how(available=500)) == []
    assert advised(relief(NONE), ranking) == []
    assert not relief(NONE).is_wanted
    assert relief(FREEZE).is_wanted
    assert relief(COLD).is_wanted
    assert relief(NONE, CACHE).is_wanted


def test_a_culprit_that_is_protected_has_no_scapegoat() -> None:
    ranking = ranked(one(5, "/a", 50, standing=Standing.NEVER), one(6, "/b", 20))
    assert advised(relief(FREEZE), ranking) == []


def test_a_group_of_too_many_is_left_alone() -> None:
    many = [one(pid, "/a", 1) for pid in range(10, 10 + MOST_MEMBERS)]
    assert len(advised(relief(FREEZE), ranked(*many))) == 1
    assert advised(relief(FREEZE), ranked(*many, one(9, "/a"))) == []


def test_a_group_of_too_long_a_name_is_left_alone() -> None:
    assert advised(relief(FREEZE), ranked(one(5, "/" + "a" * 255, 20))) != []
    assert advised(relief(FREEZE), ranked(one(5, "/" + "a" * 256, 20))) == []


def test_who_is_named_gets_the_signal_of_the_first_rule_once() -> None:
    somebody = one(5, "/a", rules=("no", "other", "cache"))
    kept = one(6, "/a", standing=Standing.NEVER, rules=("cache",))
    nothing = judged(replace(process(7), memory=None), replace(verdict(), rules=("cache",)))
    asked = relief(NONE, CACHE, OTHER)
    acts = advised(asked, ranked(somebody, kept, nothing, one(8, "/a")))
    assert set(acts) == {Send(to=somebody, signal=Signal.HUP), Send(to=kept, signal=Signal.USR1)}
    assert {action_of(act) for act in acts} == {Action.SIGNAL}
    assert advised(asked, ranked(somebody), START + 1) == []


def test_of_many_the_largest_get_the_signal() -> None:
    many = [one(pid, "/a", anon=pid, rules=("cache",)) for pid in range(10, 11 + MOST_SIGNALS)]
    acts = advised(relief(NONE, CACHE), ranked(*many))
    assert len(acts) == MOST_SIGNALS
    assert Send(to=many[0], signal=Signal.USR1) not in acts


def test_who_got_a_signal_may_heed_it_before_anybody_is_restrained() -> None:
    ranking = ranked(one(5, "/a", 20, rules=("cache",)))
    asked = relief(FREEZE, CACHE)
    assert [action_of(act) for act in advised(asked, ranking)] == [Action.SIGNAL]
    assert advised(asked, ranking, START + HEED - 0.1) == []
    assert [action_of(act) for act in advised(asked, ranking, START + HEED)] == [Action.FREEZE]


def test_cold_groups_that_are_named_are_reclaimed_from_the_largest_first() -> None:
    ranking = ranked(
        one(5, "/cold/a", anon=64),
        one(6, "/cold/b", anon=128, growth=2),
        one(7, "/cold/warm", anon=64, growth=1.1),
        one(8, "/else"),
        one(9, "/cold/kept", standing=Standing.LAST),
    )
    amount = Bytes(50 << 20)
    assert advised(relief(COLD), ranking) == [
        Reclaim(cgroup="/cold/b", members=(Pid(6),), amount=amount),
        Reclaim(cgroup="/cold/a", members=(Pid(5),), amount=amount),
    ]
    assert action_of(Reclaim(cgroup="/", members=(), amount=amount)) is Action.RECLAIM


def test_who_turns_out_to_be_cold_later_is_reclaimed_from_then_and_nobody_twice_in_a_shortage() -> None:
    asked = relief(COLD)
    warm = one(5, "/cold/a", anon=64, growth=2)
    cold = one(5, "/cold/a", anon=64)
    assert advised(asked, ranked(warm)) == []
    assert len(advised(asked, ranked(cold), START + 1)) == 1
    assert advised(asked, ranked(cold), START + 2) == []
    asked.note(Seconds(START + 2 + CALM_AFTER), how(available=500))
    assert len(advised(asked, ranked(cold), START + 20)) == 1


def test_there_is_an_end_to_the_groups_of_a_shortage() -> None:
    asked = relief(COLD)
    for each in range(MOST_GROUPS + 2):
        acts = advised(asked, ranked(one(10 + each, f"/cold/{each}", anon=64)), START + each)
        assert len(acts) == (each < MOST_GROUPS)


def test_of_many_groups_the_largest_are_reclaimed_from() -> None:
    many = [one(pid, f"/cold/{pid}", anon=pid) for pid in range(10, 11 + MOST_GROUPS)]
    acts = advised(relief(replace(COLD, amount=Bytes(PAGE + 1))), ranked(*many))
    assert len(acts) == MOST_GROUPS
    assert acts[0] == Reclaim(cgroup="/cold/18", members=(Pid(18),), amount=Bytes(PAGE))


@pytest.mark.parametrize("group", ["/", "/..", "/../x"])
def test_the_whole_machine_and_what_lies_outside_are_never_touched(group: str) -> None:
    assert not may_be_touched(group, ranked())


@pytest.mark.parametrize(
    ("neighbour", "exempt", "free"),
    [
        (one(9, "/a"), NOBODY, True),
        (one(9, "/a/x"), NOBODY, True),
        (one(9, "/a/x", standing=Standing.NEVER), NOBODY, False),
        (one(9, "/a/x", standing=Standing.LAST), NOBODY, False),
        (one(9, "/a", unresolved=True), NOBODY, False),
        (one(1, "/a"), NOBODY, False),
        (one(9, "/a"), replace(NOBODY, own=frozenset((Pid(9),))), False),
        (judged(process(9, adj=-1000), cgroup="/a"), NOBODY, False),
        (judged(process(9), cgroup="/a", unit="oomguard-exporter.service"), NOBODY, False),
        (judged(replace(process(9), memory=None), cgroup="/a"), NOBODY, True),
        (one(9, "/ab", standing=Standing.NEVER), NOBODY, True),
        (one(9, "/", standing=Standing.NEVER), NOBODY, True),
    ],
)
def test_a_group_with_somebody_who_may_not_die_is_left_alone(
    neighbour: Judged, exempt: object, free: bool
) -> None:
    ranking = ranked(one(5, "/a", 20), neighbour, exempt=exempt)  # type: ignore[arg-type]
    assert may_be_touched("/a", ranking) is free


@given(crowd=crowds(), group=PATHS)
def test_whatever_is_done_nobody_who_is_spared_is_in_it(crowd: tuple[Judged, ...], group: str) -> None:
    ranking = ranked(*crowd)
    remedies = replace(FREEZE, reclaim=(pattern(Field.CGROUP, "*"),), culprit=Restraint.THROTTLE)
    spared = {each.judged.process.key.pid for each in ranking.spared if not is_gone(each)}
    for act in relief(remedies).advise(START, TOTAL, ranking) + tuple(advised(relief(remedies), ranking)):
        assert isinstance(act, Reclaim | Restrain)
        assert spared.isdisjoint(act.members)
        assert act.cgroup != "/"
