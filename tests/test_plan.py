from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oomguard.episode import Finish, Outcome
from oomguard.plan import (
    HOPEFUL,
    IN_VAIN,
    LEAST_GAIN,
    NOT_ENOUGH,
    PATIENCE,
    RUNNERS_UP,
    Hold,
    HoldReason,
    Kill,
    Plan,
    decide,
    disappointed_by,
    gain,
)
from oomguard.pressure import Assessment, Level, Reason
from oomguard.process import MemoryUse, Process
from oomguard.ranking import Exempt, Judged, Ranking
from oomguard.rules import Scope, Standing
from oomguard.units import MIB, Bytes, Seconds
from tests.builders import MACHINE, assessment, crowds, judged, mib, process, ranked, using, verdict

NEVER, LAST, PREFERRED = Standing.NEVER, Standing.LAST, Standing.PREFERRED
LOW = assessment(available=90, limit=100)
COMMIT = assessment(Reason.COMMIT_LIMIT, level=Level.KILL, available=900, committed=430, commit_limit=400)


STALL = assessment(Reason.STALL, available=900, limit=100)
HOPEFUL_SHARE = HOPEFUL * MACHINE.total * MACHINE.page_size / MIB


def plan(*everybody: Judged, at: Assessment = LOW, scope: Scope = Scope.PROCESS, spent: int = 0) -> Plan:
    return decide(ranked(*everybody), at, scope, MACHINE, spent)


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
    ("everybody", "spent", "why"),
    [
        pytest.param((), 0, HoldReason.ALL_PROTECTED, id="nobody"),
        pytest.param((judged(process(10), verdict(NEVER)),), 0, HoldReason.ALL_PROTECTED, id="all protected"),
        pytest.param(
            (judged(process(10), verdict(NEVER)),), PATIENCE, HoldReason.ALL_PROTECTED, id="in vain"
        ),
        pytest.param(
            (judged(process(10), verdict(NEVER)), judged(process(11), verdict(unresolved=True))),
            0,
            HoldReason.UNRESOLVED,
            id="perhaps protected",
        ),
        pytest.param((judged(process(10, 0.9)),), 0, HoldReason.NOTHING_TO_GAIN, id="too small"),
        pytest.param(
            (judged(process(10, 0.9)), judged(process(11), verdict(unresolved=True))),
            0,
            HoldReason.UNRESOLVED,
            id="too small, and the big one perhaps protected",
        ),
        pytest.param(
            (judged(process(10, 0.9)), judged(process(11, 0.9), verdict(unresolved=True))),
            0,
            HoldReason.NOTHING_TO_GAIN,
            id="all too small",
        ),
        pytest.param(
            (judged(process(10, 0.9)), judged(process(11), verdict(NEVER))),
            0,
            HoldReason.ALL_PROTECTED,
            id="too small, and the big one protected",
        ),
        pytest.param((judged(process(10, 9)),), PATIENCE, HoldReason.FUTILE, id="would not help"),
    ],
)
def test_hold(everybody: tuple[Judged, ...], spent: int, why: HoldReason) -> None:
    found = plan(*everybody, spent=spent)
    assert held(found) is why
    assert isinstance(found, Hold)
    assert (found.spared, found.assessment) == (ranked(*everybody).spared, LOW)


def test_a_gain_at_the_least_is_enough() -> None:
    assert killed(plan(judged(process(10, 1)))) == [10]
    assert gain(process(10, 1), LOW, MACHINE) == LEAST_GAIN


@pytest.mark.parametrize(
    ("at", "spent", "pid"),
    [
        pytest.param(LOW, PATIENCE - 1, 10, id="patience"),
        pytest.param(LOW, PATIENCE, 11, id="whoever ends the shortage alone"),
        pytest.param(COMMIT, PATIENCE - 1, 10, id="commit, patience"),
        pytest.param(COMMIT, PATIENCE, 12, id="commit, whoever ends the shortage alone"),
        pytest.param(STALL, PATIENCE - 1, 10, id="stall, patience"),
        pytest.param(STALL, PATIENCE, 13, id="stall, whoever holds a fair share"),
    ],
)
def test_after_deaths_in_vain(at: Assessment, spent: int, pid: int) -> None:
    everybody = (
        judged(process(10, memory=using(9, file=90)), verdict(PREFERRED)),
        judged(process(11, 10), verdict(PREFERRED)),
        judged(process(12, memory=using(11, committed=30))),
        judged(process(13, memory=using(HOPEFUL_SHARE)), verdict(LAST)),
    )
    assert killed(plan(*everybody, at=at, spent=spent)) == [pid]


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
        pytest.param(using(7, committed=90), Reason.LOW_MEMORY, mib(7), id="promises"),
        pytest.param(using(7, committed=90), Reason.COMMIT_LIMIT, mib(90), id="promises count"),
        pytest.param(using(7, committed=1), Reason.COMMIT_LIMIT, mib(7), id="more than was promised"),
    ],
)
def test_gain(memory: MemoryUse, reason: Reason, freed: Bytes) -> None:
    assert gain(process(10, memory=memory), assessment(reason), MACHINE) == freed


@pytest.mark.parametrize("at", [LOW, COMMIT])
def test_nothing_to_gain_without_memory(at: Assessment) -> None:
    assert gain(replace(process(10), memory=None), at, MACHINE) == 0


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
    assert disappointed_by(found, end, MACHINE) == taken
    recovered = replace(end, outcome=Outcome.RECOVERED)
    assert disappointed_by(found, recovered, MACHINE) == (0 if taken == NOT_ENOUGH else IN_VAIN)


REASONS = st.lists(
    st.sampled_from([Reason.LOW_MEMORY, Reason.STALL, Reason.COMMIT_LIMIT]), min_size=1, unique=True
)


@given(
    crowds(), REASONS, st.sampled_from(Scope), st.integers(0, 2 * PATIENCE), st.integers(0, 200), st.randoms()
)
def test_laws_of_the_plan(
    everybody: tuple[Judged, ...],
    reasons: list[Reason],
    scope: Scope,
    spent: int,
    available: int,
    chance: random.Random,
) -> None:
    at = assessment(*reasons, available=available)
    passed = Exempt(own=frozenset(), passed_over=frozenset({process(3).key}))
    found: Ranking = ranked(*everybody, exempt=passed)
    shuffled = list(everybody)
    chance.shuffle(shuffled)
    plan = decide(found, at, scope, MACHINE, spent)
    assert plan == decide(ranked(*shuffled, exempt=passed), at, scope, MACHINE, spent)
    killable = [one.judged for one in found.candidates]
    match plan:
        case Hold():
            assert plan.why in HoldReason
            assert spent >= PATIENCE or not any(
                gain(one.process, at, MACHINE) >= LEAST_GAIN for one in killable
            )
        case Kill():
            assert plan.members[0] is plan.victim.judged
            assert all(one in killable for one in plan.members)
            assert all(one.verdict.standing is not NEVER for one in plan.members)
            assert all(one.process.key.pid not in {1, 3} for one in plan.members)
            assert gain(plan.victim.judged.process, at, MACHINE) >= LEAST_GAIN
            assert plan.victim not in plan.runners_up
            if plan.victim.judged.verdict.standing is LAST and spent < PATIENCE:
                others = [one for one in killable if one.verdict.standing is not LAST]
                assert not any(gain(one.process, at, MACHINE) >= LEAST_GAIN for one in others)
