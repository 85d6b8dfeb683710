from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oomguard.episode import Finish, Outcome
from oomguard.plan import (
    HOPEFUL_SHARE,
    IN_VAIN,
    LEAST_OF_PLENTY,
    LEAST_SHARE,
    NOT_ENOUGH,
    RUNNERS_UP,
    TRIES,
    Doubt,
    Hold,
    HoldReason,
    Kill,
    Plan,
    decide,
    disappointed_by,
    gain,
    is_thrash,
    spared_prevail,
)
from oomguard.pressure import Assessment, Level, Reason
from oomguard.process import MemoryUse, Process
from oomguard.ranking import Exempt, Judged, Ranking
from oomguard.rules import Scope, Standing
from oomguard.units import Bytes, Pid, Seconds
from tests.builders import (
    MACHINE,
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

NEVER, LAST, PREFERRED = Standing.NEVER, Standing.LAST, Standing.PREFERRED
LOW = assessment(available=90, limit=100)
COMMIT = assessment(Reason.COMMIT_LIMIT, level=Level.KILL, available=900, committed=430, commit_limit=400)


STALL = assessment(Reason.STALL, available=12, limit=10)
HOST = replace(MACHINE, total=pages(100))
"""Small, so that a death that frees 1 MiB is worth it, and one that frees `HOPEFUL` even in doubt."""
LEAST = mib(100 * LEAST_SHARE)
HOPEFUL = 100 * HOPEFUL_SHARE
CERTAIN, ELSEWHERE, DISAPPOINTED = Doubt.NONE, Doubt.ELSEWHERE, Doubt.DISAPPOINTED


def plan(
    *everybody: Judged, at: Assessment = LOW, scope: Scope = Scope.PROCESS, doubt: Doubt = CERTAIN
) -> Plan:
    return decide(ranked(*everybody), at, scope, HOST, doubt)


def killed(found: Plan) -> list[int]:
    assert isinstance(found, Kill)
    return [one.process.key.pid for one in found.members]


def held(found: Plan) -> HoldReason:
    assert isinstance(found, Hold)
    return found.why


def test_the_worst_one_dies() -> None:
    everybody = [judged(process(10 + n, 10 + n)) for n in range(9)]
    found = plan(*everybody)
    assert isinstance(found, Kill)
    assert killed(found) == [18]
    assert [one.judged.process.key.pid for one in found.runners_up] == [17, 16, 15, 14, 13]
    assert len(found.runners_up) == RUNNERS_UP
    assert (found.scope, found.whole_cgroup, found.assessment) == (Scope.PROCESS, None, LOW)
    assert found.victim.judged is everybody[8]


@pytest.mark.parametrize(
    ("everybody", "pids"),
    [
        pytest.param(
            (judged(process(10, 2), verdict(PREFERRED)), judged(process(11, 50))), [10], id="prefer"
        ),
        pytest.param(
            (judged(process(10, 50), verdict(LAST)), judged(process(11, 2))), [11], id="not the last"
        ),
        pytest.param(
            (judged(process(10, 50), verdict(LAST)), judged(process(11, 90), verdict(NEVER))),
            [10],
            id="the last, where nobody else is left",
        ),
        pytest.param(
            (judged(process(10, 50), verdict(LAST)), judged(process(11, 0.5))),
            [10],
            id="the last, where nobody else holds anything",
        ),
        pytest.param(
            (judged(process(10, memory=using(2, file=90))), judged(process(11, 50))), [10], id="as the kernel"
        ),
        pytest.param(
            (judged(process(10, memory=using(0, file=90))), judged(process(11, 50))),
            [11],
            id="a mapped file frees nothing",
        ),
    ],
)
def test_whom(everybody: tuple[Judged, ...], pids: list[int]) -> None:
    assert killed(plan(*everybody)) == pids


@pytest.mark.parametrize(
    ("everybody", "doubt", "why"),
    [
        pytest.param((), CERTAIN, HoldReason.ALL_PROTECTED, id="nobody"),
        pytest.param(
            (judged(process(10), verdict(NEVER)),), CERTAIN, HoldReason.ALL_PROTECTED, id="all protected"
        ),
        pytest.param(
            (judged(process(10), verdict(NEVER)),), ELSEWHERE, HoldReason.ALL_PROTECTED, id="in vain"
        ),
        pytest.param(
            (judged(process(10), verdict(NEVER)), judged(process(11), verdict(unresolved=True))),
            CERTAIN,
            HoldReason.UNRESOLVED,
            id="perhaps protected",
        ),
        pytest.param((judged(process(10, 0.9)),), CERTAIN, HoldReason.NOTHING_TO_GAIN, id="too small"),
        pytest.param(
            (judged(process(10, 0.9)), judged(process(11), verdict(unresolved=True))),
            CERTAIN,
            HoldReason.UNRESOLVED,
            id="too small, and the big one perhaps protected",
        ),
        pytest.param(
            (judged(process(10, 0.9)), judged(process(11, 0.9), verdict(unresolved=True))),
            CERTAIN,
            HoldReason.NOTHING_TO_GAIN,
            id="all too small",
        ),
        pytest.param(
            (judged(process(10, 0.9)), judged(process(11), verdict(NEVER))),
            CERTAIN,
            HoldReason.ALL_PROTECTED,
            id="too small, and the big one protected",
        ),
        pytest.param((judged(process(10, 9)),), DISAPPOINTED, HoldReason.FUTILE, id="would not help"),
        pytest.param((judged(process(10, 9)),), ELSEWHERE, HoldReason.FUTILE, id="somebody else holds it"),
        pytest.param(
            (judged(process(10, 9)), judged(process(11), verdict(NEVER))),
            ELSEWHERE,
            HoldReason.FUTILE,
            id="whoever is protected is not what is wrong",
        ),
        pytest.param((judged(process(10, 4)),), Doubt.SPARED, HoldReason.CULPRIT_SPARED, id="the culprit"),
    ],
)
def test_hold(everybody: tuple[Judged, ...], doubt: Doubt, why: HoldReason) -> None:
    found = plan(*everybody, doubt=doubt)
    assert held(found) is why
    assert isinstance(found, Hold)
    assert (found.spared, found.assessment) == (ranked(*everybody).spared, LOW)


def test_a_gain_at_the_least_is_enough() -> None:
    assert killed(plan(judged(process(10, 1)))) == [10]
    assert gain(process(10, 1), LOW, HOST) == LEAST


@pytest.mark.parametrize(
    ("at", "doubt", "pid"),
    [
        pytest.param(LOW, CERTAIN, 10, id="no doubt"),
        pytest.param(LOW, DISAPPOINTED, 11, id="whoever ends the shortage alone"),
        pytest.param(LOW, ELSEWHERE, 11, id="held elsewhere"),
        pytest.param(COMMIT, CERTAIN, 10, id="commit, no doubt"),
        pytest.param(COMMIT, DISAPPOINTED, 12, id="commit, whoever ends the shortage alone"),
    ],
)
def test_in_doubt(at: Assessment, doubt: Doubt, pid: int) -> None:
    everybody = (
        judged(process(10, memory=using(9, file=90)), verdict(PREFERRED)),
        judged(process(11, 10), verdict(PREFERRED)),
        judged(process(12, memory=using(11, committed=30))),
    )
    assert killed(plan(*everybody, at=at, doubt=doubt)) == [pid]


@pytest.mark.parametrize("at", [STALL, assessment(available=99.9, limit=100)], ids=["stall", "hardly low"])
def test_in_doubt_a_fair_share_is_the_least(at: Assessment) -> None:
    everybody = (
        judged(process(10, HOPEFUL - 0.1), verdict(PREFERRED)),
        judged(process(11, HOPEFUL), verdict(LAST)),
    )
    assert killed(plan(*everybody, at=at)) == [10]
    assert killed(plan(*everybody, at=at, doubt=ELSEWHERE)) == [11]


@pytest.mark.parametrize("level", [Level.TERM, Level.KILL])
@pytest.mark.parametrize("doubt", [CERTAIN, DISAPPOINTED])
def test_where_memory_is_not_low_a_death_must_add_much_to_it(level: Level, doubt: Doubt) -> None:
    """A bystander who waits for his own pages is not what the caches are too small for."""
    plenty = assessment(Reason.STALL, level=level, available=60, limit=10)
    bystander, hog = judged(process(10, 14.9)), judged(process(11, 15))
    assert isinstance(plan(bystander, at=plenty, doubt=doubt), Hold)
    assert killed(plan(bystander, hog, at=plenty, doubt=doubt)) == [11]
    low = assessment(Reason.STALL, level=level, available=10, limit=10)
    assert killed(plan(bystander, at=low, doubt=doubt)) == [10]


def test_on_a_large_host_less_than_its_share_is_enough() -> None:
    large = replace(HOST, total=pages(1 << 20))
    found = ranked(judged(process(10, 32)), judged(process(11, 31)), judged(process(12, 1024), verdict(LAST)))
    certain, doubtful = (decide(found, LOW, Scope.PROCESS, large, doubt) for doubt in (CERTAIN, ELSEWHERE))
    assert (killed(certain), killed(doubtful)) == ([10], [12])
    assert isinstance(certain, Kill)
    assert [one.judged.process.key.pid for one in certain.runners_up] == [12]


def test_who_is_small_may_be_worth_it_with_all_that_die_along() -> None:
    workers = [judged(process(20 + n, 0.4, ppid=10)) for n in range(3)]
    assert held(plan(judged(process(10, 0.5)), *workers)) is HoldReason.NOTHING_TO_GAIN
    assert killed(plan(judged(process(10, 0.5)), *workers, scope=Scope.TREE)) == [10, 22, 21, 20]


def test_only_the_first_few_of_the_small_are_asked_who_dies_along() -> None:
    small = [judged(process(100 + n, 0.5)) for n in range(TRIES)]
    tree = [judged(process(10, 0.45)), judged(process(11, 0.3, ppid=10)), judged(process(12, 0.3, ppid=10))]
    assert held(plan(*small, *tree, scope=Scope.TREE)) is HoldReason.NOTHING_TO_GAIN
    assert killed(plan(*small[1:], *tree, scope=Scope.TREE)) == [10, 12, 11]
    big = judged(process(50, 9), verdict(LAST))
    assert killed(plan(*small, *tree, big, scope=Scope.TREE)) == [50]


@pytest.mark.parametrize(
    ("at", "backlog", "held_for_it"),
    [
        pytest.param(STALL, 0.6, True, id="a stall, and the disk drains"),
        pytest.param(STALL, 0.4, False, id="not for long"),
        pytest.param(
            assessment(Reason.STALL, Reason.LOW_MEMORY), 9, False, id="memory and swap are low as well"
        ),
        pytest.param(LOW, 9, False, id="no stall"),
    ],
)
def test_a_backlog_of_swap_is_nobody_s_to_die_for(at: Assessment, backlog: float, held_for_it: bool) -> None:
    at = replace(at, figures=replace(at.figures, backlog=Seconds(backlog)))
    found = plan(judged(process(10)), at=at)
    assert isinstance(found, Hold) is held_for_it
    assert not held_for_it or held(found) is HoldReason.BACKLOG


FORECAST = assessment(Reason.EXHAUSTION_FORECAST, level=Level.KILL, available=300, limit=100)


@pytest.mark.parametrize(
    ("at", "growth", "dies"),
    [
        pytest.param(FORECAST, 1, True, id="he grows"),
        pytest.param(FORECAST, 0.9, False, id="hardly"),
        pytest.param(replace(FORECAST, reasons=(Reason.LOW_MEMORY,)), 0, True, id="memory is low"),
        pytest.param(
            replace(FORECAST, reasons=(Reason.LOW_MEMORY, Reason.EXHAUSTION_FORECAST)), 0, True, id="both"
        ),
    ],
)
def test_a_forecast_is_about_who_grows(at: Assessment, growth: float, dies: bool) -> None:
    found = plan(judged(process(10), growth=growth), judged(process(11), verdict(NEVER), growth=9), at=at)
    assert isinstance(found, Kill) is dies
    assert dies or held(found) is HoldReason.NOBODY_GROWS


@pytest.mark.parametrize(
    ("everybody", "grows"),
    [
        pytest.param((), False, id="nobody"),
        pytest.param(
            (judged(process(10), growth=3), judged(process(11), growth=2)), False, id="nobody spared"
        ),
        pytest.param(
            (judged(process(10), verdict(NEVER), growth=3), judged(process(11), growth=2)), True, id="more"
        ),
        pytest.param(
            (judged(process(10), verdict(NEVER), growth=2), judged(process(11), growth=2)),
            False,
            id="as much",
        ),
        pytest.param(
            (judged(process(3, 90), growth=9), judged(process(11), growth=2)), False, id="passed over"
        ),
        pytest.param(
            (judged(process(10, 11), verdict(NEVER)), judged(process(11, 10))), True, id="holds more"
        ),
        pytest.param((judged(process(10, 10), verdict(NEVER)), judged(process(11, 10))), False, id="as much"),
        pytest.param((judged(process(4, 90)), judged(process(11, 10))), False, id="oomguard itself"),
    ],
)
def test_who_is_spared_prevails(everybody: tuple[Judged, ...], grows: bool) -> None:
    passed = Exempt(own=frozenset({Pid(4)}), passed_over=frozenset({process(3).key}))
    assert spared_prevail(ranked(*everybody, exempt=passed)) is grows


def test_a_rule_s_scope_beats_the_general_one() -> None:
    child = judged(process(11, 1, ppid=10))
    alone = judged(process(10, 9))
    family = judged(process(10, 9), verdict(scope=Scope.TREE))
    assert killed(plan(alone, child)) == [10]
    assert killed(plan(alone, child, scope=Scope.TREE)) == [10, 11]
    found = plan(family, child)
    assert killed(found) == [10, 11]
    assert isinstance(found, Kill)
    assert found.scope is Scope.TREE


def test_a_whole_cgroup() -> None:
    found = plan(judged(process(10), cgroup="/a"), judged(process(11, 5), cgroup="/a/b"), scope=Scope.CGROUP)
    assert isinstance(found, Kill)
    assert found.whole_cgroup == "/a"


@pytest.mark.parametrize(
    ("everybody", "choice"),
    [
        pytest.param((judged(process(10, 5)),), 10, id="the same"),
        pytest.param((judged(process(10, 5)), judged(process(11, 9), verdict(NEVER))), 11, id="protected"),
        pytest.param((judged(process(10, 5)), judged(process(11, 9), verdict(LAST))), 11, id="last"),
        pytest.param((judged(process(10, 5)), judged(process(11, 9, adj=-1000))), 10, id="its own law"),
        pytest.param(
            (judged(process(10, 5)), judged(process(11, 9, kernel_thread=True))), 10, id="a kthread"
        ),
        pytest.param(
            (judged(process(10, 5), verdict(points=900)), judged(process(11, 9))), 11, id="without our points"
        ),
        pytest.param((judged(process(10, 5)), judged(process(11, 5))), 11, id="the later of equals"),
    ],
)
def test_the_kernel_s_choice(everybody: tuple[Judged, ...], choice: int) -> None:
    found = plan(*everybody)
    assert isinstance(found, Kill)
    assert found.kernel_choice is not None
    assert found.kernel_choice.process.key.pid == choice


@pytest.mark.parametrize(
    ("memory", "reason", "freed"),
    [
        pytest.param(using(7), Reason.LOW_MEMORY, mib(7), id="anonymous"),
        pytest.param(using(7, file=90), Reason.LOW_MEMORY, mib(7), id="files could have been reclaimed"),
        pytest.param(using(7, shmem=2, swap=3), Reason.STALL, mib(12), id="shared, swapped"),
        pytest.param(using(7, file=90), Reason.STALL, mib(7), id="a stall where memory is low"),
        pytest.param(using(7, committed=90), Reason.LOW_MEMORY, mib(7), id="promises"),
        pytest.param(using(7, committed=90), Reason.COMMIT_LIMIT, mib(90), id="promises count"),
        pytest.param(using(7, committed=1), Reason.COMMIT_LIMIT, mib(7), id="more than was promised"),
    ],
)
def test_gain(memory: MemoryUse, reason: Reason, freed: Bytes) -> None:
    assert gain(process(10, memory=memory), assessment(reason), HOST) == freed


def test_files_count_where_the_host_stalls_for_them() -> None:
    reader = process(10, memory=using(7, file=90))
    assert gain(reader, STALL, HOST) == mib(97)
    assert gain(reader, replace(STALL, reasons=(Reason.STALL, Reason.COMMIT_LIMIT)), HOST) == mib(7)


@pytest.mark.parametrize("at", [LOW, COMMIT])
def test_nothing_to_gain_without_memory(at: Assessment) -> None:
    assert gain(replace(process(10), memory=None), at, HOST) == 0


@pytest.mark.parametrize(
    ("members", "at", "freed", "taken"),
    [
        pytest.param((process(10, 8),), LOW, 8, NOT_ENOUGH, id="all came back"),
        pytest.param((process(10, 8),), LOW, 4, NOT_ENOUGH, id="half"),
        pytest.param((process(10, 8),), LOW, 3.9, IN_VAIN, id="less"),
        pytest.param((process(10, 8),), LOW, -5, IN_VAIN, id="others took it"),
        pytest.param((process(10, 8), process(11, 8, ppid=10)), LOW, 7.9, IN_VAIN, id="of all members"),
        pytest.param((process(10, 8), process(11, 8, ppid=10)), LOW, 8, NOT_ENOUGH, id="of all, half"),
        pytest.param(
            (process(10, memory=using(8, committed=300)),),
            COMMIT,
            8,
            NOT_ENOUGH,
            id="promises are not memory",
        ),
        pytest.param((process(10, memory=using(2, shmem=90)),), LOW, 1, NOT_ENOUGH, id="shared by others"),
        pytest.param((process(10, memory=using(2, swap=8)),), LOW, 4.9, IN_VAIN, id="swap"),
    ],
)
def test_disappointment(members: tuple[Process, ...], at: Assessment, freed: float, taken: int) -> None:
    found = plan(*map(judged, members), at=at, scope=Scope.TREE)
    assert isinstance(found, Kill)
    found = replace(found, members=tuple(map(judged, members)))
    end = Finish(outcome=Outcome.NOT_ENOUGH, freed=mib(freed), took=Seconds(1))
    assert disappointed_by(found, end, HOST) == taken
    recovered = replace(end, outcome=Outcome.RECOVERED)
    assert disappointed_by(found, recovered, HOST) == (0 if taken == NOT_ENOUGH else IN_VAIN)


REASONS = st.lists(
    st.sampled_from([Reason.LOW_MEMORY, Reason.STALL, Reason.COMMIT_LIMIT]), min_size=1, unique=True
)


@given(crowds(), REASONS, st.sampled_from(Scope), st.sampled_from(Doubt), st.integers(0, 200), st.randoms())
def test_laws_of_the_plan(
    everybody: tuple[Judged, ...],
    reasons: list[Reason],
    scope: Scope,
    doubt: Doubt,
    available: int,
    chance: random.Random,
) -> None:
    at = assessment(*reasons, available=available)
    passed = Exempt(own=frozenset(), passed_over=frozenset({process(3).key}))
    found: Ranking = ranked(*everybody, exempt=passed)
    shuffled = list(everybody)
    chance.shuffle(shuffled)
    plan = decide(found, at, scope, HOST, doubt)
    assert plan == decide(ranked(*shuffled, exempt=passed), at, scope, HOST, doubt)
    killable = [one.judged for one in found.candidates]
    least = max(LEAST, LEAST_OF_PLENTY * mib(available)) if is_thrash(at) else LEAST
    match plan:
        case Hold():
            assert plan.why in HoldReason
            assert doubt is not CERTAIN or not any(gain(one.process, at, HOST) >= least for one in killable)
        case Kill():
            assert plan.members[0] is plan.victim.judged
            assert all(one in killable for one in plan.members)
            assert all(one.verdict.standing is not NEVER for one in plan.members)
            assert all(one.process.key.pid not in {1, 3} for one in plan.members)
            assert sum(gain(one.process, at, HOST) for one in plan.members) >= least
            assert plan.victim not in plan.runners_up
            if plan.victim.judged.verdict.standing is LAST and doubt is CERTAIN:
                others = [one for one in killable if one.verdict.standing is not LAST]
                assert not any(gain(one.process, at, HOST) >= least for one in others)


PENS = enclosed("/pens/a", used=97, limit=100)


def test_what_a_group_lacks_is_a_matter_of_the_group() -> None:
    """The host has plenty. In doubt a death must end the group's shortage alone: 7 MiB of it."""
    small, large = judged(process(10, 6), cgroup="/pens/a"), judged(process(11, 8), cgroup="/pens/a")
    assert killed(plan(small, large, at=PENS, doubt=ELSEWHERE)) == [11]
    assert held(plan(small, at=PENS, doubt=ELSEWHERE)) is HoldReason.FUTILE
    assert killed(plan(small, at=PENS)) == [10]


def test_no_victim_takes_others_along_from_outside_of_the_group() -> None:
    inside = replace(judged(process(10, 50), cgroup="/pens/a/x"), oom_groups=("/pens", "/pens/a/x"))
    other = judged(process(11, 5), cgroup="/pens/a")
    found = plan(inside, other, at=PENS)
    assert isinstance(found, Kill)
    assert (killed(found), found.scope, found.whole_cgroup) == ([10], Scope.CGROUP, "/pens/a/x")


def test_file_pages_count_where_a_group_stalls_for_them() -> None:
    mapped = process(10, memory=using(1, file=30))
    assert gain(mapped, enclosed("/a", Reason.CGROUP_STALL), HOST) == mib(31)
    assert gain(mapped, enclosed("/a", Reason.CGROUP_LIMIT), HOST) == mib(1)
    assert gain(mapped, enclosed("/a", Reason.CGROUP_LIMIT, Reason.CGROUP_STALL), HOST) == mib(1)
