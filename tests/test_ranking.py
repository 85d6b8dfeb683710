from __future__ import annotations

import random
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oomguard import badness
from oomguard.badness import Policy
from oomguard.pressure import Reason
from oomguard.process import Process
from oomguard.ranking import (
    EXPORTER_UNIT,
    Exempt,
    Judged,
    Ranking,
    Spared,
    committed,
    is_gone,
    rank,
    score,
    spared_for,
)
from oomguard.rules import Standing
from oomguard.units import Pages, Pid, Points
from tests.builders import MACHINE, NOBODY, crowds, judged, pages, process, ranked, using, verdict

NEVER, LAST, ORDINARY, PREFERRED = Standing.NEVER, Standing.LAST, Standing.ORDINARY, Standing.PREFERRED
OWN = Exempt(own=frozenset({Pid(7)}), passed_over=frozenset({process(8).key}))


def order(found: Ranking) -> list[int]:
    return [one.judged.process.key.pid for one in found.candidates]


@pytest.mark.parametrize(
    ("one", "why"),
    [
        pytest.param(judged(process(5)), None, id="anybody"),
        pytest.param(judged(process(1)), Spared.INIT, id="init"),
        pytest.param(judged(process(5, kernel_thread=True)), Spared.KERNEL_THREAD, id="kernel thread"),
        pytest.param(judged(replace(process(5), memory=None)), Spared.NO_MEMORY, id="zombie"),
        pytest.param(judged(process(5, adj=-1000)), Spared.OOM_SCORE_ADJ, id="-1000"),
        pytest.param(judged(process(5, adj=-999)), None, id="-999"),
        pytest.param(judged(process(7)), Spared.SELF, id="the guard"),
        pytest.param(judged(process(5), unit=EXPORTER_UNIT), Spared.SELF, id="the exporter"),
        pytest.param(judged(process(5), unit="nginx.service"), None, id="some unit"),
        pytest.param(judged(process(5), verdict(NEVER)), Spared.RULE, id="never"),
        pytest.param(judged(process(5), verdict(LAST)), None, id="last"),
        pytest.param(judged(process(5), verdict(PREFERRED)), None, id="prefer"),
        pytest.param(judged(process(5), verdict(unresolved=True)), Spared.UNRESOLVED, id="unresolved"),
        pytest.param(
            judged(process(5), verdict(PREFERRED, unresolved=True)),
            Spared.UNRESOLVED,
            id="preferred, perhaps",
        ),
        pytest.param(judged(process(8)), Spared.PASSED_OVER, id="hangs"),
        pytest.param(
            judged(replace(process(8), key=process(9).key)), None, id="another with the pid of one that hung"
        ),
        pytest.param(judged(process(1), verdict(NEVER)), Spared.INIT, id="init, by nature"),
        pytest.param(judged(process(8), verdict(NEVER)), Spared.RULE, id="never beats hangs"),
    ],
)
def test_spared_for(one: Judged, why: Spared | None) -> None:
    assert spared_for(one, OWN) is why


def test_the_order_of_death() -> None:
    everybody = (
        judged(process(10, 9), verdict(LAST)),
        judged(process(11, 1), verdict(PREFERRED)),
        judged(process(12, 5)),
        judged(process(13, 7)),
        judged(process(14, 99), verdict(NEVER)),
        judged(process(15, 5)),
        judged(process(16, 2), verdict(PREFERRED)),
        judged(process(17, 0), verdict(LAST)),
    )
    assert order(ranked(*everybody)) == [16, 11, 13, 15, 12, 10, 17]


def test_points_of_rules_add_to_the_badness() -> None:
    found = ranked(judged(process(10, 10), verdict(points=-20)), judged(process(11, 1), verdict(points=100)))
    step = MACHINE.total // 1000
    assert [one.points for one in found.candidates] == [pages(1) + 100 * step, pages(10) - 20 * step]


@given(crowds(), st.randoms())
def test_the_order_of_the_listing_never_matters(everybody: tuple[Judged, ...], chance: random.Random) -> None:
    shuffled = list(everybody)
    chance.shuffle(shuffled)
    assert ranked(*shuffled) == ranked(*everybody)


@given(crowds())
def test_laws_of_the_ranking(everybody: tuple[Judged, ...]) -> None:
    exempt = Exempt(own=frozenset({Pid(2)}), passed_over=frozenset({process(3).key}))
    found = ranked(*everybody, exempt=exempt)
    assert sorted(one.process.key for one in found.everybody) == sorted(one.process.key for one in everybody)
    for one in found.candidates:
        who = one.judged
        assert who.verdict.standing is not NEVER
        assert not who.verdict.unresolved
        assert who.process.key.pid not in {1, 2, 3}
        assert who.process.memory is not None
        assert not who.process.kernel_thread
        assert who.process.oom_score_adj > -1000
        raw = badness.kernel(who.process, MACHINE)
        assert one.points == raw + who.verdict.points * (MACHINE.total // 1000)
    for first, second in pairwise(found.candidates):
        standings = [PREFERRED, ORDINARY, LAST]
        before, after = (standings.index(one.judged.verdict.standing) for one in (first, second))
        assert before <= after
        if before == after:
            assert (first.points, first.judged.process.key.pid) > (
                second.points,
                second.judged.process.key.pid,
            )
    assert [one.judged.process.key for one in found.spared] == sorted(
        one.judged.process.key for one in found.spared
    )


PARENT = process(10, 40)
CHILD = process(11, memory=using(20), ppid=10)


@pytest.mark.parametrize(
    ("policy", "reasons", "points"),
    [
        pytest.param(Policy.KERNEL, (Reason.LOW_MEMORY,), pages(40), id="kernel"),
        pytest.param(
            Policy.CLASSIC,
            (Reason.LOW_MEMORY,),
            badness.classic(PARENT, Pages(pages(10) + 1), MACHINE),
            id="classic counts children",
        ),
        pytest.param(Policy.KERNEL, (), pages(40), id="nothing is crossed"),
        pytest.param(Policy.CLASSIC, (Reason.COMMIT_LIMIT,), pages(300), id="only promises count"),
        pytest.param(
            Policy.KERNEL, (Reason.LOW_MEMORY, Reason.COMMIT_LIMIT), pages(40), id="memory counts first"
        ),
        pytest.param(Policy.CULPRIT, (Reason.STALL,), pages(40 + 6 * 5), id="culprit counts growth"),
        pytest.param(Policy.CULPRIT, (Reason.COMMIT_LIMIT,), pages(300), id="but not of promises"),
    ],
)
def test_score(policy: Policy, reasons: tuple[Reason, ...], points: int) -> None:
    parent = judged(replace(PARENT, memory=using(40, committed=300)), growth=5)
    assert score(policy, reasons, (parent, judged(CHILD)), MACHINE)(parent) == points


def test_classic_of_somebody_without_children() -> None:
    child = judged(CHILD)
    measure = score(Policy.CLASSIC, (), iter((judged(PARENT), child)), MACHINE)
    assert measure(child) == badness.classic(CHILD, Pages(0), MACHINE)


def culprits(*everybody: Judged) -> list[int]:
    measure = score(Policy.CULPRIT, (), everybody, MACHINE)
    return order(rank(everybody, measure, MACHINE, NOBODY))


def test_a_leaker_dies_before_a_steady_database() -> None:
    database = judged(process(10, 500))
    assert culprits(database, judged(process(11, 300), growth=35)) == [11, 10]
    assert culprits(database, judged(process(11, 300), growth=33)) == [10, 11]
    assert culprits(database, judged(process(11, 300), verdict(LAST), growth=300)) == [10, 11]


@given(crowds())
def test_where_nobody_grows_the_culprit_is_the_kernels(everybody: tuple[Judged, ...]) -> None:
    steady = tuple(replace(one, growth=Pages(0)) for one in everybody)
    assert culprits(*steady) == order(ranked(*steady))


@given(crowds(), st.randoms())
def test_the_order_of_the_listing_never_matters_to_the_culprit(
    everybody: tuple[Judged, ...], chance: random.Random
) -> None:
    shuffled = list(everybody)
    chance.shuffle(shuffled)
    assert culprits(*shuffled) == culprits(*everybody)


@pytest.mark.parametrize(("one", "points"), [(process(5, 7), pages(7)), (replace(PARENT, memory=None), 0)])
def test_committed(one: Process, points: int) -> None:
    assert committed(judged(one)) == points


GIVEN_UP = Exempt(own=frozenset({Pid(7)}), passed_over=frozenset({process(5).key}))
ZOMBIE = replace(process(6), memory=None)


@pytest.mark.parametrize(
    ("one", "gone"),
    [
        pytest.param(judged(process(5)), True, id="hangs"),
        pytest.param(judged(process(5), verdict(PREFERRED)), True, id="hangs, preferred"),
        pytest.param(judged(process(5), verdict(LAST)), False, id="hangs, to die last"),
        pytest.param(judged(process(5), verdict(NEVER)), False, id="hangs, and never dies"),
        pytest.param(judged(ZOMBIE), True, id="zombie"),
        pytest.param(judged(ZOMBIE, verdict(LAST)), False, id="zombie, to die last"),
        pytest.param(judged(ZOMBIE, verdict(NEVER)), False, id="zombie that never dies"),
        pytest.param(judged(ZOMBIE, verdict(unresolved=True)), False, id="zombie, perhaps protected"),
        pytest.param(judged(replace(ZOMBIE, oom_score_adj=-1000)), False, id="zombie, -1000"),
        pytest.param(judged(process(7)), False, id="the guard"),
        pytest.param(judged(process(1)), False, id="init"),
        pytest.param(judged(process(6, kernel_thread=True)), False, id="kernel thread"),
    ],
)
def test_is_gone(one: Judged, gone: bool) -> None:
    (spared,) = ranked(one, exempt=GIVEN_UP).spared
    assert is_gone(spared) is gone


def test_any_measure_will_do() -> None:
    everybody = (judged(process(10)), judged(process(11)))
    found = rank(everybody, lambda one: Points(-one.process.key.pid), MACHINE, NOBODY)
    assert order(found) == [10, 11]
