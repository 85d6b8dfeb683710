from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oomguard.badness import GROWTH_WEIGHT
from oomguard.family import TOGETHER, Family, Kind, family, worst_family_first
from oomguard.ranking import Candidate, Exempt, Judged, Ranking
from oomguard.rules import NO_RULE, Standing, Verdict
from oomguard.units import Pid
from tests.builders import NOBODY, crowds, judged, pages, process, ranked, using, verdict

NEVER, LAST, ORDINARY, PREFERRED = Standing.NEVER, Standing.LAST, Standing.ORDINARY, Standing.PREFERRED
SESSION = "/user.slice/session-1.scope"
PREFER = verdict(PREFERRED)
VICTIM = 50
"""The pid of the victim in each table."""


def one(
    pid: int,
    parent: int,
    growth: float,
    said: Verdict = NO_RULE,
    *,
    cgroup: str = SESSION,
    held: float = 20,
    adj: int = 0,
) -> Judged:
    """A process that has gained `growth` MiB."""
    return judged(process(pid, held, ppid=parent, adj=adj), said, cgroup=cgroup, growth=growth)


def many(pids: Iterable[int], parent: int, growth: float, cgroup: str = SESSION) -> tuple[Judged, ...]:
    return tuple(one(pid, parent, growth, cgroup=cgroup) for pid in pids)


def candidate(pid: int, ranking: Ranking) -> Candidate:
    return next(each for each in ranking.candidates if each.judged.process.key.pid == pid)


def pids(found: Family) -> list[int]:
    return sorted(member.process.key.pid for member in found.members)


def found(*everybody: Judged, exempt: Exempt = NOBODY) -> tuple[Kind, int | None, list[int]] | None:
    """Kind, pid of the root, and pids of the family of `VICTIM`."""
    ranking = ranked(*everybody, exempt=exempt)
    kin = family(candidate(VICTIM, ranking), ranking)
    if kin is None:
        return None
    return kin.kind, kin.root.process.key.pid if kin.root else None, pids(kin)


SHELL = one(10, 1, 0)
BOMB = one(20, 10, 0)
EATERS = (one(VICTIM, 20, 15), *many(range(51, 60), 20, 10))
LEFT = [20, *range(50, 60)]
EATERS_OF_TWO = (*many((VICTIM, 51), 30, 10), one(52, 31, 10), one(53, 31, 9))


@pytest.mark.parametrize(
    ("everybody", "expected"),
    [
        pytest.param((SHELL, BOMB, *EATERS), (Kind.TREE, 20, LEFT), id="the bomb, not the shell above it"),
        pytest.param(
            (one(10, 1, 8), BOMB, *EATERS), (Kind.TREE, 20, LEFT), id="nor a shell that grows a little"
        ),
        pytest.param(
            (one(10, 1, 1), one(20, 10, 0), one(VICTIM, 20, 100), one(51, 20, 99)),
            None,
            id="nor one that makes it twice as much",
        ),
        pytest.param(
            (one(10, 1, 1), BOMB, *many((30, 31), 20, 0), *EATERS_OF_TWO),
            (Kind.TREE, 20, [20, 30, 31, 50, 51, 52, 53]),
            id="but the bomb, where only with the shell it is twice as much",
        ),
        pytest.param(
            (replace(SHELL, cgroup="/a"), replace(BOMB, cgroup="/a"), *EATERS),
            (Kind.CGROUP, None, LEFT[1:]),
            id="a parent in another group",
        ),
        pytest.param(
            (SHELL, BOMB, one(30, 20, 0), *EATERS[:5], *many(range(60, 70), 30, 4)),
            (Kind.TREE, 20, [20, 30, *range(50, 55), *range(60, 70)]),
            id="grandchildren",
        ),
        pytest.param(
            (SHELL, one(VICTIM, 10, 30), *many(range(51, 60), VICTIM, 10)),
            (Kind.TREE, VICTIM, [*range(50, 60)]),
            id="the victim itself forks",
        ),
        pytest.param(
            (one(40, 1, 10), one(41, 40, 10), one(VICTIM, 41, 10), one(51, VICTIM, 10), one(52, 51, 10)),
            (Kind.TREE, VICTIM, [50, 51, 52]),
            id="each forks one: those below",
        ),
        pytest.param((SHELL, one(VICTIM, 10, 30), one(51, 10, 20)), None, id="only one stands out"),
        pytest.param(
            (SHELL, one(VICTIM, 10, 30), one(51, 10, 20), one(52, 10, 10)),
            (Kind.TREE, 10, [10, 50, 51, 52]),
            id="twice as much",
        ),
        pytest.param(
            (SHELL, BOMB, *EATERS, one(30, 10, 0), *many(range(60, 64), 30, 20)),
            (Kind.TREE, 20, LEFT),
            id="two jobs under one shell: the worse one",
        ),
        pytest.param(
            (SHELL, BOMB, *EATERS, *many(range(60, 64), 10, 50)),
            (Kind.TREE, 10, [10, *LEFT, *range(60, 64)]),
            id="a shell that is a bomb too",
        ),
    ],
)
def test_trees(everybody: tuple[Judged, ...], expected: tuple[Kind, int, list[int]] | None) -> None:
    # Somebody steady who is spared: so the control group is no family.
    assert found(*everybody, one(90, 1, 0, verdict(NEVER))) == (
        expected if expected is None or expected[0] is Kind.TREE else None
    )
    assert found(*everybody) == expected


@pytest.mark.parametrize("growth", [0, 1])
def test_nobody_grows(growth: float) -> None:
    """Or so little that it is not for this that memory is gone."""
    steady = (one(VICTIM, 10, 0, held=500), *many(range(51, 60), 10, growth))
    assert found(one(10, 1, 0), *steady) is None


def test_the_others_must_soon_have_what_the_victim_holds() -> None:
    enough = 20 / GROWTH_WEIGHT
    assert found(one(VICTIM, 1, 0), one(51, VICTIM, enough + 0.01)) == (Kind.TREE, VICTIM, [VICTIM, 51])
    assert found(one(VICTIM, 1, 0), one(51, VICTIM, enough - 0.01)) is None
    swapped = judged(process(VICTIM, memory=using(10, swap=20)), cgroup=SESSION)
    assert found(swapped, one(51, VICTIM, enough + 0.01)) is None


def test_a_leaker_beside_a_steady_database() -> None:
    backends = many(range(60, 70), 40, 0.1)
    assert found(SHELL, one(VICTIM, 10, 40, held=300), one(40, 1, 0, held=500), *backends) is None


def test_all_of_the_machine_in_one_group_is_no_family() -> None:
    bomb = (BOMB, *EATERS, *many(range(60, 90), 1, 50))
    at_root = tuple(replace(each, cgroup="/") for each in (SHELL, *bomb))
    assert found(*at_root) == (Kind.TREE, 20, LEFT)
    orphans = tuple(replace(each, cgroup="/") for each in many(range(VICTIM, 60), 1, 10))
    assert found(*orphans) is None


ORPHANS = (one(VICTIM, 1, 12, cgroup="/b.scope"), *many(range(51, 60), 1, 10, "/b.scope"))


def test_orphans_of_a_bomb_have_their_control_group() -> None:
    whole = (Kind.CGROUP, None, [*range(50, 60)])
    elsewhere = (one(70, 1, 99, cgroup="/b.scope/below"), one(71, 1, 99), one(72, 1, 0, verdict(NEVER)))
    assert found(*ORPHANS, *elsewhere) == whole


def test_orphans_beside_a_tree_that_is_left() -> None:
    tree = (one(30, 1, 12, cgroup="/b.scope"), one(31, VICTIM, 12, cgroup="/b.scope"))
    assert found(*ORPHANS, *tree) == (Kind.CGROUP, None, [30, 31, *range(50, 60)])
    assert found(*ORPHANS[:2], *tree[1:]) == (Kind.TREE, VICTIM, [31, 50])


def test_a_container_dies_as_a_whole() -> None:
    """Its init is none of ours: a parent like any other."""
    container = "/docker/c0ffee"
    inside = (one(30, 29, 1, cgroup=container), one(VICTIM, 30, 12, cgroup=container))
    others = many(range(51, 60), 30, 10, container)
    shim = one(29, 1, 0, cgroup="/containerd.service")
    assert found(shim, *inside, *others) == (Kind.TREE, 30, [30, *range(50, 60)])


def test_a_users_manager_is_not_of_the_family_of_its_services() -> None:
    manager = one(40, 1, 0, cgroup="/user.slice/user@1000.service/init.scope")
    app, other = (f"/user.slice/user@1000.service/app.slice/{name}.service" for name in "ab")
    service = (one(41, 40, 0, cgroup=app), one(VICTIM, 41, 12, cgroup=app), *many((51, 52), 41, 10, app))
    others = many(range(60, 70), 40, 50, other)
    assert found(manager, *service, *others) == (Kind.TREE, 41, [41, 50, 51, 52])
    orphans = (one(VICTIM, 40, 12, cgroup=app), *many((51, 52), 40, 10, app))
    assert found(manager, *orphans, *others) == (Kind.CGROUP, None, [50, 51, 52])


@pytest.mark.parametrize(
    ("inside", "in_the_way"),
    [
        pytest.param(one(70, 1, 99, verdict(NEVER), cgroup="/b.scope"), True, id="never"),
        pytest.param(one(70, 1, 99, verdict(LAST), cgroup="/b.scope"), True, id="last"),
        pytest.param(one(70, 1, 99, verdict(unresolved=True), cgroup="/b.scope"), True, id="unresolved"),
        pytest.param(one(70, 1, 99, cgroup="/b.scope", adj=-1000), True, id="-1000"),
        pytest.param(one(1, 0, 99, cgroup="/b.scope"), True, id="init"),
        pytest.param(one(8, 1, 0, cgroup="/b.scope"), True, id="oomguard itself"),
        pytest.param(one(7, 1, 99, cgroup="/b.scope"), False, id="one that was passed over"),
        pytest.param(one(7, 1, 99, verdict(NEVER), cgroup="/b.scope"), True, id="passed over, now never"),
        pytest.param(one(7, 1, 99, verdict(LAST), cgroup="/b.scope"), True, id="passed over, now last"),
    ],
)
def test_who_keeps_a_control_group_from_being_a_family(inside: Judged, in_the_way: bool) -> None:
    exempt = Exempt(own=frozenset({Pid(8)}), passed_over=frozenset({process(7).key}))
    whole = (Kind.CGROUP, None, [*range(50, 60)])
    assert found(*ORPHANS, inside, exempt=exempt) == (None if in_the_way else whole)


@pytest.mark.parametrize(
    ("said", "adj", "in_the_way"),
    [
        (NO_RULE, 0, False),
        (verdict(NEVER), 0, True),
        (verdict(unresolved=True), 0, True),
        (NO_RULE, -1000, True),
    ],
    ids=["a zombie", "of a first thread of one that never dies", "or may not", "or of the kernel"],
)
def test_zombies(said: Verdict, adj: int, in_the_way: bool) -> None:
    zombie = judged(replace(process(70, adj=adj), memory=None), said, cgroup="/b.scope")
    whole = (Kind.CGROUP, None, [*range(50, 60)])
    assert found(*ORPHANS, zombie) == (None if in_the_way else whole)


@pytest.mark.parametrize(
    ("inside", "expected"),
    [
        pytest.param(one(60, 20, 99, verdict(NEVER)), (Kind.TREE, 20, LEFT), id="a spared child"),
        pytest.param(one(60, 20, 99, verdict(LAST)), (Kind.TREE, 20, LEFT), id="one to die last"),
        pytest.param(one(60, 20, 2, verdict(PREFERRED)), (Kind.TREE, 20, [*LEFT, 60]), id="one to die first"),
        pytest.param(one(60, 20, 99, cgroup="/a"), (Kind.TREE, 20, LEFT), id="one in another group"),
    ],
)
def test_children_inside_of_a_tree(inside: Judged, expected: tuple[Kind, int, list[int]]) -> None:
    below = one(61, 60, 99, cgroup="/a")
    assert found(SHELL, BOMB, *EATERS, inside, below) == expected


@pytest.mark.parametrize("said", [verdict(NEVER), verdict(LAST), verdict(unresolved=True)])
def test_nobody_is_reached_over_one_that_is_spared(said: Verdict) -> None:
    middle = one(30, 20, 0, said)
    assert found(SHELL, BOMB, *EATERS, middle, *many(range(60, 70), 30, 9)) == (Kind.TREE, 20, LEFT)
    assert found(SHELL, one(20, 10, 0, said), *EATERS) is None


@pytest.mark.parametrize(("standing", "expected"), [(LAST, (Kind.TREE, 20, LEFT)), (PREFERRED, None)])
def test_a_parent_dies_no_later_than_the_victim(
    standing: Standing, expected: tuple[Kind, int, list[int]] | None
) -> None:
    assert found(SHELL, BOMB, replace(EATERS[0], verdict=verdict(standing)), *EATERS[1:]) == expected


def test_a_tree_that_bites_its_tail() -> None:
    """Listings are not of one instant: a reused pid can close a circle."""
    assert found(one(VICTIM, 51, 10), one(51, VICTIM, 10), one(52, 52, 0)) == (Kind.TREE, VICTIM, [50, 51])


def test_members_come_in_the_order_of_death_after_the_victim() -> None:
    everybody = (one(20, 1, 0, held=90), one(VICTIM, 20, 9, held=50), one(51, 20, 9, held=70))
    ranking = ranked(*everybody, one(52, 20, 9, held=10))
    kin = family(candidate(VICTIM, ranking), ranking)
    assert kin is not None
    assert [member.process.key.pid for member in kin.members] == [50, 20, 51, 52]


@st.composite
def growers(draw: st.DrawFn) -> tuple[Judged, ...]:
    """A crowd in few control groups whose parents are among them, so that families are many."""
    crowd = draw(crowds())
    parents = st.sampled_from([each.process.key.pid for each in crowd])
    return tuple(
        replace(
            each,
            process=replace(each.process, ppid=draw(parents)),
            cgroup=draw(st.sampled_from(["/a", "/a", "/b", "/"])),
            verdict=draw(st.sampled_from([NO_RULE, NO_RULE, each.verdict])),
            growth=pages(draw(st.integers(0, 9))),
        )
        for each in crowd
    )


@given(growers())
def test_laws_of_the_family(everybody: tuple[Judged, ...]) -> None:
    exempt = Exempt(own=frozenset(), passed_over=frozenset({process(3).key}))
    ranking = ranked(*everybody, exempt=exempt)
    backwards = ranked(*reversed(everybody), exempt=exempt)
    killable = [each.judged for each in ranking.candidates]
    for victim in ranking.candidates:
        kin = family(victim, ranking)
        assert family(victim, backwards) == kin
        if kin is None:
            continue
        assert kin.members[0] is victim.judged
        assert len({member.process.key for member in kin.members}) == len(kin.members) >= 2
        assert all(member in killable for member in kin.members)
        assert {member.cgroup for member in kin.members} == {victim.judged.cgroup}
        order = [PREFERRED, ORDINARY, LAST]
        latest = max(order.index(member.verdict.standing) for member in kin.members)
        assert latest == order.index(victim.judged.verdict.standing)
        assert sum(member.growth for member in kin.members) >= max(TOGETHER * victim.judged.growth, 1)
        if kin.kind is Kind.CGROUP:
            assert kin.root is None
            assert victim.judged.cgroup != "/"
            assert set(map(id, kin.members)) == {
                id(each) for each in killable if each.cgroup == victim.judged.cgroup
            }
        else:
            assert kin.root in kin.members
            by_pid = {member.process.key.pid: member for member in kin.members}
            apart = [member for member in kin.members if member.process.ppid not in by_pid]
            assert apart in ([], [kin.root])


def led(*everybody: Judged) -> list[int]:
    return [each.judged.process.key.pid for each in worst_family_first(ranked(*everybody)).candidates]


@pytest.mark.parametrize(
    ("everybody", "first"),
    [
        pytest.param((one(9, 1, 0, held=32), BOMB, *EATERS), [VICTIM], id="a swarm before the big"),
        pytest.param((one(9, 1, 0, held=32), one(40, 1, 0)), [9, 40], id="nobody grows"),
        pytest.param((one(9, 1, 0, held=900), one(40, 1, 1)), [9, 40], id="hardly anybody does"),
        pytest.param((one(9, 1, 0, PREFER, held=32), BOMB, *EATERS), [9], id="of the same standing only"),
        pytest.param(
            (one(9, 1, 1, cgroup="/a"), *(one(n, 1, 0.4, cgroup="/b", held=9) for n in range(60, 90))),
            [89],
            id="the group that grows most, not the one process",
        ),
        pytest.param((), [], id="nobody"),
    ],
)
def test_the_worst_family_comes_first(everybody: tuple[Judged, ...], first: list[int]) -> None:
    assert led(*everybody)[: len(first)] == first


@given(crowds())
def test_laws_of_the_worst_family_first(everybody: tuple[Judged, ...]) -> None:
    ranking = ranked(*everybody)
    found = worst_family_first(ranking)
    assert found == worst_family_first(ranked(*reversed(everybody)))
    assert found.spared == ranking.spared
    assert sorted(found.candidates, key=_pid) == sorted(ranking.candidates, key=_pid)
    if found.candidates:
        leader, first = found.candidates[0], ranking.candidates[0]
        assert leader.judged.verdict.standing is first.judged.verdict.standing
        assert [each for each in found.candidates if each is not leader] == [
            each for each in ranking.candidates if each is not leader
        ]


def _pid(candidate: Candidate) -> int:
    return candidate.judged.process.key.pid
