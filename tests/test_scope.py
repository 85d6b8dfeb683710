from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oomguard.cgroup import contains
from oomguard.ranking import Judged, is_gone
from oomguard.rules import Scope, Standing
from oomguard.scope import reach
from tests.builders import crowds, judged, process, ranked, verdict

NEVER, LAST, PREFERRED = Standing.NEVER, Standing.LAST, Standing.PREFERRED
SERVICE = "/system.slice/a.service"


def taken(scope: Scope, everybody: tuple[Judged, ...], victim: int = 10) -> tuple[list[int], str | None]:
    found = ranked(*everybody)
    one = next(one for one in found.candidates if one.judged.process.key.pid == victim)
    reached = reach(one, scope, found)
    assert reached.members[0] is one.judged
    return sorted(member.process.key.pid for member in reached.members), reached.whole_cgroup


FAMILY = (
    judged(process(10)),
    judged(process(11, ppid=10)),
    judged(process(12, ppid=11), verdict(NEVER)),
    judged(process(13, ppid=12)),
    judged(process(14)),
    judged(process(15, ppid=10), verdict(LAST)),
    judged(process(16, ppid=10), verdict(PREFERRED)),
)


@pytest.mark.parametrize(
    ("victim", "pids"),
    [(10, [10, 11, 13, 16]), (11, [11, 13]), (14, [14]), (15, [15]), (13, [13])],
    ids=["over a spared child", "down", "alone", "leaf", "never up"],
)
def test_tree(victim: int, pids: list[int]) -> None:
    assert taken(Scope.TREE, FAMILY, victim) == (pids, None)


def test_process_is_nobody_else() -> None:
    assert taken(Scope.PROCESS, FAMILY) == ([10], None)


@pytest.mark.parametrize("standing", [LAST, PREFERRED])
def test_the_last_take_along_whom_they_please(standing: Standing) -> None:
    family = (judged(process(10), verdict(standing)), judged(process(11, ppid=10), verdict(LAST)))
    assert taken(Scope.TREE, family) == ([10, 11] if standing is LAST else [10], None)


def test_the_preferred_take_along_the_ordinary() -> None:
    family = (judged(process(10), verdict(PREFERRED)), judged(process(11, ppid=10)))
    assert taken(Scope.TREE, family) == ([10, 11], None)


def test_a_tree_that_bites_its_tail() -> None:
    """Listings are not of one instant: a reused pid can close a circle."""
    circle = (judged(process(10, ppid=11)), judged(process(11, ppid=10)), judged(process(12, ppid=12)))
    assert taken(Scope.TREE, circle) == ([10, 11], None)


@pytest.mark.parametrize("scope", [Scope.GROUP, Scope.SESSION])
@pytest.mark.parametrize(
    ("number", "pids"), [(30, [10, 11]), (2, [10, 11]), (1, [10]), (0, [10])], ids=["30", "2", "1", "0"]
)
def test_group_and_session(scope: Scope, number: int, pids: list[int]) -> None:
    def member(pid: int) -> Judged:
        if scope is Scope.GROUP:
            return judged(process(pid, pgid=number))
        return judged(process(pid, sid=number))

    everybody = (
        member(10),
        member(11),
        judged(process(12, pgid=40, sid=40)),
        judged(process(13, pgid=number, sid=number, adj=-1000)),
    )
    assert taken(scope, everybody) == (pids, None)


def placed(*cgroups: str) -> tuple[Judged, ...]:
    return tuple(judged(process(10 + n), cgroup=cgroup) for n, cgroup in enumerate(cgroups))


@pytest.mark.parametrize(
    ("scope", "cgroups", "expected"),
    [
        pytest.param(Scope.CGROUP, ("/a", "/a/b", "/c"), ([10, 11], "/a"), id="with what is below"),
        pytest.param(Scope.CGROUP, ("/a/b", "/a", "/a/b"), ([10, 12], "/a/b"), id="not what is above"),
        pytest.param(Scope.CGROUP, ("/a", "/ab"), ([10], "/a"), id="not who has a longer name"),
        pytest.param(Scope.CGROUP, ("/", "/", "/a"), ([10], None), id="the root is nobody's scope"),
        pytest.param(Scope.UNIT, (SERVICE, f"{SERVICE}/w", "/b"), ([10, 11], SERVICE), id="unit"),
        pytest.param(Scope.UNIT, (f"{SERVICE}/w", SERVICE), ([10, 11], SERVICE), id="from inside of it"),
        pytest.param(
            Scope.UNIT,
            ("/u.service/app.slice/x.scope/y", "/u.service/app.slice/x.scope", "/u.service/app.slice"),
            ([10, 11], "/u.service/app.slice/x.scope"),
            id="the user's own",
        ),
        pytest.param(Scope.UNIT, ("/user.slice", "/user.slice"), ([10], None), id="in no unit"),
        pytest.param(Scope.UNIT, ("/", "/"), ([10], None), id="in no cgroup"),
    ],
)
def test_cgroup_and_unit(scope: Scope, cgroups: tuple[str, ...], expected: tuple[list[int], str]) -> None:
    assert taken(scope, placed(*cgroups)) == expected


@pytest.mark.parametrize("scope", [Scope.CGROUP, Scope.UNIT])
@pytest.mark.parametrize(
    "spared",
    [
        judged(process(12), verdict(NEVER), cgroup=f"{SERVICE}/x"),
        judged(process(12), verdict(LAST), cgroup=SERVICE),
        judged(process(12), verdict(unresolved=True), cgroup=SERVICE),
        judged(process(12, adj=-1000), cgroup=SERVICE),
    ],
    ids=["never", "last", "unresolved", "-1000"],
)
def test_a_cgroup_with_somebody_spared_is_not_killed_whole(scope: Scope, spared: Judged) -> None:
    assert taken(scope, (*placed(SERVICE, SERVICE), spared)) == ([10, 11], None)


@pytest.mark.parametrize(
    ("cgroup", "other", "whole"),
    [
        pytest.param("/a", judged(process(12), cgroup="/b"), "/a", id="nobody else is in it"),
        pytest.param("/a", judged(process(12), cgroup="/a"), None, id="somebody is"),
        pytest.param("/a", judged(process(12), cgroup="/a/b"), None, id="somebody is below it"),
        pytest.param("/a", judged(process(12), verdict(NEVER), cgroup="/a"), None, id="somebody spared is"),
        pytest.param("/a", judged(replace(process(12), memory=None), cgroup="/a"), "/a", id="a zombie is"),
        pytest.param("/", judged(process(12), cgroup="/b"), None, id="the root"),
    ],
)
def test_a_family_and_the_group_that_it_has_for_itself(cgroup: str, other: Judged, whole: str | None) -> None:
    victim = judged(process(10), cgroup=cgroup, growth=4)
    child = judged(process(11, ppid=10), cgroup=cgroup, growth=9)
    found = ranked(victim, child, other)
    chosen = next(one for one in found.candidates if one.judged is victim)
    reached = reach(chosen, Scope.FAMILY, found)
    assert (reached.members, reached.whole_cgroup) == ((victim, child), whole)


def test_without_a_family_the_victim_dies_alone() -> None:
    victim, child = judged(process(10), cgroup="/a"), judged(process(11, ppid=10), cgroup="/a")
    found = ranked(victim, child)
    reached = reach(found.candidates[1], Scope.FAMILY, found)
    assert (reached.members, reached.whole_cgroup) == ((victim,), None)


@given(crowds(), st.sampled_from(Scope))
def test_laws_of_the_scope(everybody: tuple[Judged, ...], scope: Scope) -> None:
    found = ranked(*everybody)
    killable = [one.judged for one in found.candidates]
    for victim in found.candidates:
        reached = reach(victim, scope, found)
        members, whole = reached.members, reached.whole_cgroup
        assert members[0] is victim.judged
        assert len({member.process.key for member in members}) == len(members)
        assert all(member in killable for member in members)
        if victim.judged.verdict.standing is not LAST:
            assert all(member.verdict.standing is not LAST for member in members)
        if whole is not None:
            assert whole != "/"
            inside = [one for one in everybody if (one.cgroup + "/").startswith(whole + "/")]
            gone = {one.judged.process.key for one in found.spared if is_gone(one)}
            assert {one.process.key for one in inside} - gone == {one.process.key for one in members}


BOX = ("/box", "/box/app")


@pytest.mark.parametrize(
    ("within", "ruled", "members", "scope", "whole"),
    [
        pytest.param("/", None, [10, 11, 12], Scope.CGROUP, None, id="the outermost, as for the kernel"),
        pytest.param("/box", None, [10, 11, 12], Scope.CGROUP, None, id="the group that is short itself"),
        pytest.param("/box/app", None, [10, 11], Scope.CGROUP, "/box/app", id="nothing above it"),
        pytest.param("/", Scope.PROCESS, [10], Scope.PROCESS, None, id="a rule says otherwise"),
    ],
)
def test_a_group_that_dies_as_one(
    within: str, ruled: Scope | None, members: list[int], scope: Scope, whole: str | None
) -> None:
    everybody = (
        replace(judged(process(10), verdict(scope=ruled), cgroup="/box/app"), oom_groups=BOX),
        judged(process(11), cgroup="/box/app/x"),
        judged(process(12), cgroup="/box"),
        judged(process(13), verdict(NEVER), cgroup="/box"),
        judged(process(14), verdict(LAST), cgroup="/box"),
        judged(process(15), cgroup="/boxer"),
    )
    found = ranked(*(one for one in everybody if contains(within, one.cgroup)))
    victim = next(one for one in found.candidates if one.judged is everybody[0])
    reached = reach(victim, Scope.TREE, found, within)
    assert sorted(one.process.key.pid for one in reached.members) == members
    assert (reached.scope, reached.whole_cgroup) == (scope, whole)


def test_no_scope_reaches_out_of_the_group_that_is_short() -> None:
    """Others may be in the unit that only those in a group of it are known of."""
    inside = judged(process(10), cgroup="/a.service/box")
    found = ranked(inside)
    reached = reach(found.candidates[0], Scope.UNIT, found, "/a.service/box")
    assert (reached.members, reached.whole_cgroup) == ((inside,), None)
    assert reach(found.candidates[0], Scope.UNIT, found).whole_cgroup == "/a.service"
