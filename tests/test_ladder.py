"""What the ladder makes of a host that has changed a little is what ranking everybody makes of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oomguard import ladder as module
from oomguard import ranking
from oomguard.badness import Policy
from oomguard.cgroup import is_inside
from oomguard.family import worst_family_first
from oomguard.ladder import FEW, GROWING, NOBODY, WORST, Basis, Ladder, enclosed
from oomguard.plan import Doubt, decide
from oomguard.pressure import Reason
from oomguard.ranking import Exempt, Judged, Ranking
from oomguard.rules import Scope, Standing
from oomguard.units import Pages, Pid
from tests.builders import MACHINE, assessment, crowds, judged, pages, process, using, verdict

BASIS = Basis(
    policy=Policy.CULPRIT,
    reasons=(),
    machine=MACHINE,
    exempt=Exempt(own=frozenset({Pid(2)}), passed_over=frozenset({process(3).key})),
)
PROMISES = (Reason.COMMIT_LIMIT,)
POOR = replace(MACHINE, total=Pages(MACHINE.total // 2))
MANY = 20 * FEW
ALL = 0.1
"""Nobody is ranked anew but who has changed, however many these are."""


def by_pid(everybody: Iterable[Judged]) -> dict[Pid, Judged]:
    return {one.process.key.pid: one for one in everybody}


def anew(everybody: dict[Pid, Judged], basis: Basis = BASIS) -> Ranking:
    """As it is without a ladder."""
    measure = ranking.score(basis.policy, basis.reasons, everybody.values(), basis.machine)
    return ranking.rank(everybody.values(), measure, basis.machine, basis.exempt)


def climbed(*steps: Iterable[Judged], basis: Basis = BASIS) -> Ranking:
    ladder = Ladder()
    for everybody in steps:
        ladder.rank(by_pid(everybody), basis)
    return ladder.ranking


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many were told apart at each call: what a ranking costs."""
    calls: list[int] = []
    told_apart = ranking.told_apart

    def counting(everybody: Iterable[Judged], *rest: object) -> object:
        everybody = list(everybody)
        calls.append(len(everybody))
        return told_apart(everybody, *rest)  # type: ignore[arg-type]  # whatever it is given

    monkeypatch.setattr(ranking, "told_apart", counting)
    return calls


@st.composite
def changes(draw: st.DrawFn) -> tuple[dict[Pid, Judged], dict[Pid, Judged]]:
    """A crowd, and what has become of it: some have gone, others came, have changed, or have other pids."""
    before, others = by_pid(draw(crowds())), by_pid(draw(crowds()))
    new = draw(st.sets(st.sampled_from(sorted(others))))
    gone = draw(st.sets(st.sampled_from(sorted(before))))
    after = {pid: one for pid, one in before.items() if pid not in gone - new}
    return before, after | {pid: others[pid] for pid in new}


@given(changes(), st.sampled_from(Policy), st.sampled_from([(), PROMISES]), st.sampled_from([FEW, ALL]))
def test_the_same_as_ranking_everybody(
    change: tuple[dict[Pid, Judged], dict[Pid, Judged]],
    policy: Policy,
    reasons: tuple[Reason, ...],
    few: float,
) -> None:
    before, after = (one.values() for one in change)
    basis = replace(BASIS, policy=policy, reasons=reasons)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "FEW", few)
        assert climbed(before, after, before, basis=basis) == anew(change[0], basis)
        assert climbed(before, after, basis=basis) == anew(change[1], basis)


@given(changes(), st.sampled_from(Scope), st.sampled_from(Doubt))
def test_the_plan_is_the_same(
    change: tuple[dict[Pid, Judged], dict[Pid, Judged]], scope: Scope, doubt: Doubt
) -> None:
    before, after = change
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "FEW", ALL)
        quick = worst_family_first(climbed(before.values(), after.values()))
    slow = worst_family_first(anew(after))
    low = assessment(available=90, limit=100)
    assert decide(quick, low, scope, MACHINE, doubt) == decide(slow, low, scope, MACHINE, doubt)


CROWD = by_pid(judged(process(pid, pid)) for pid in range(10, 10 + MANY))
CHANGED = by_pid([judged(process(10, 9999)), judged(process(11), verdict(Standing.NEVER))])


def test_who_has_not_changed_keeps_the_place(counted: list[int]) -> None:
    ladder = Ladder()
    ladder.rank(CROWD, BASIS)
    found = ladder.rank(CROWD | CHANGED, BASIS)
    assert found.candidates[0].judged is CHANGED[Pid(10)]
    assert counted == [MANY, len(CHANGED), len(CHANGED)]


def test_swap_is_summed_up() -> None:
    swapping = by_pid([judged(process(10, memory=using(1, swap=7))), judged(process(11))])
    other = by_pid([judged(process(10, memory=using(1, swap=5)))])
    found = climbed((CROWD | swapping).values(), (CROWD | swapping | other).values())
    assert found == anew(CROWD | swapping | other)
    assert found.swapped == pages(5)


def test_where_many_have_changed_all_are_ranked_anew(counted: list[int]) -> None:
    ladder = Ladder()
    ladder.rank(CROWD, BASIS)
    ladder.rank({pid: replace(one) for pid, one in CROWD.items()}, BASIS)
    assert counted == [MANY, MANY]


@pytest.mark.parametrize(
    ("before", "after", "again"),
    [
        pytest.param(BASIS, BASIS, False, id="the same"),
        pytest.param(BASIS, replace(BASIS, reasons=(Reason.LOW_MEMORY,)), False, id="a limit is crossed"),
        pytest.param(BASIS, replace(BASIS, reasons=PROMISES), True, id="promises count"),
        pytest.param(replace(BASIS, reasons=PROMISES), BASIS, True, id="promises do not count any more"),
        pytest.param(BASIS, replace(BASIS, policy=Policy.KERNEL), True, id="another policy"),
        pytest.param(BASIS, replace(BASIS, machine=POOR), True, id="swap was taken away"),
        pytest.param(BASIS, replace(BASIS, exempt=ranking.Exempt(own=frozenset(), passed_over=frozenset())),
                     True, id="others are exempt"),
        pytest.param(replace(BASIS, policy=Policy.CLASSIC), replace(BASIS, policy=Policy.CLASSIC), True,
                     id="children count"),
    ],
)  # fmt: skip
def test_another_basis(before: Basis, after: Basis, again: bool, counted: list[int]) -> None:
    ladder = Ladder()
    ladder.rank(CROWD, before)
    counted.clear()
    assert ladder.rank(CROWD | CHANGED, after) == anew(CROWD | CHANGED, after)
    assert (counted[0] == MANY) is again


def test_who_counts_what() -> None:
    ladder = Ladder()
    assert not ladder.measures_like(BASIS)
    ladder.rank(CROWD, BASIS)
    assert ladder.measures_like(replace(BASIS, reasons=(Reason.STALL,), machine=POOR))
    assert not ladder.measures_like(replace(BASIS, reasons=PROMISES))


def test_nobody() -> None:
    assert Ladder().ranking == NOBODY == anew({})
    assert Ladder().likely() == frozenset()


def test_who_is_likely_to_matter() -> None:
    """The worst of each standing: the little ones that go first must not hide who is worth it."""
    little = [judged(process(pid, 1), verdict(Standing.PREFERRED)) for pid in range(1000, 1000 + MANY)]
    growers = [judged(process(pid, memory=using(1)), growth=1 + pid - 2000) for pid in range(2000, 2020)]
    spared = [judged(process(3000, 9999), verdict(Standing.NEVER), growth=99)]
    last = [judged(process(4000, 1), verdict(Standing.LAST))]
    kernel = replace(BASIS, policy=Policy.KERNEL)
    ladder = Ladder()
    ladder.rank(by_pid([*little, *CROWD.values(), *growers, *spared, *last]), kernel)
    first = range(1000 + MANY - WORST, 1000 + MANY)
    worst = sorted(CROWD)[-WORST:]
    assert ladder.likely() == {*first, *worst, *range(2020 - GROWING, 2020), 4000}


def test_only_those_in_a_group_are_likely_and_ranked_among_themselves() -> None:
    inside = [judged(process(10 + n, 5 + n), cgroup="/pens/a", growth=n) for n in range(3)]
    outside = [judged(process(90, 500), cgroup="/b", growth=99), judged(process(91, 50), cgroup="/..")]
    ladder = Ladder()
    ladder.rank(by_pid((*inside, *outside)), BASIS)
    assert ladder.likely("/pens/a") == {10, 11, 12}
    assert ladder.likely("/pens/b") == frozenset()
    assert ladder.likely() >= {90, 91}
    found = enclosed(ladder.ranking, "/pens", BASIS)
    assert found == anew(by_pid(inside))
    assert {one.process.key.pid for one in enclosed(ladder.ranking, "/", BASIS).everybody} == {10, 11, 12, 90}


@given(crowds(), st.sampled_from(["/", "/b", "/a.service", "/nowhere"]))
def test_a_group_is_ranked_as_if_it_were_alone(everybody: tuple[Judged, ...], group: str) -> None:
    alone = [one for one in everybody if is_inside(group, one.cgroup)]
    assert enclosed(anew(by_pid(everybody)), group, BASIS) == anew(by_pid(alone))
