"""What dies with a victim: its tree, process group, session, control group, unit or family. Pure.

Nobody who is spared is ever part of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

from oomguard.cgroup import contains, innermost_unit
from oomguard.family import family
from oomguard.frozen import frozen
from oomguard.marks import dies_with
from oomguard.ranking import INIT, ORDER, Candidate, Judged, Ranking, is_gone
from oomguard.rules import Scope, Standing
from oomguard.units import Pid

EVERYWHERE = "/"
Belongs = Callable[[Judged], bool]


@frozen
class Reach:
    """The victim and those that die with it."""

    scope: Scope
    members: tuple[Judged, ...]
    """The victim first."""
    whole_cgroup: str | None
    """The control group that holds them and nobody else, where there is one."""


def reach(victim: Candidate, scope: Scope, ranking: Ranking, within: str = EVERYWHERE) -> Reach:
    """Who dies with `victim`: as its rule says, else its control group if that dies as one, else by `scope`.

    Who is to die last is not taken along by somebody who is not. Who is gone already counts as nobody.
    `ranking` has those in the control group `within`, and nobody else; all that is said of a group that lies
    above it is none of theirs.
    """
    ruled, as_one = victim.judged.verdict.scope, dies_with(victim.judged.oom_groups, within)
    if ruled is None and as_one is not None:
        scope, (members, whole) = Scope.CGROUP, _with_cgroup(victim, as_one, ranking)
    else:
        scope = ruled or scope
        members, whole = _by_scope(victim, scope, ranking)
    is_inside = whole is not None and contains(within, whole)
    return Reach(scope=scope, members=members, whole_cgroup=whole if is_inside else None)


def _by_scope(victim: Candidate, scope: Scope, ranking: Ranking) -> tuple[tuple[Judged, ...], str | None]:
    if scope is Scope.FAMILY:
        return _family(victim, ranking)
    cgroup = _cgroup(victim.judged, scope)
    return _taken(victim, _belongs(victim.judged, scope, cgroup, ranking), cgroup, ranking)


def _with_cgroup(victim: Candidate, cgroup: str, ranking: Ranking) -> tuple[tuple[Judged, ...], str | None]:
    return _taken(victim, lambda one: contains(cgroup, one.cgroup), cgroup, ranking)


def _taken(
    victim: Candidate, belongs: Belongs, cgroup: str | None, ranking: Ranking
) -> tuple[tuple[Judged, ...], str | None]:
    last_taken = max(ORDER[victim.judged.verdict.standing], ORDER[Standing.ORDINARY])
    taken = (
        one.judged
        for one in ranking.candidates
        if one is not victim and ORDER[one.judged.verdict.standing] <= last_taken and belongs(one.judged)
    )
    members = (victim.judged, *taken)
    return members, None if cgroup is None else _held_alone(cgroup, members, ranking)


def _family(victim: Candidate, ranking: Ranking) -> tuple[tuple[Judged, ...], str | None]:
    found = family(victim, ranking)
    members = (victim.judged,) if found is None else found.members
    return members, _held_alone(victim.judged.cgroup, members, ranking)


def _held_alone(cgroup: str, members: tuple[Judged, ...], ranking: Ranking) -> str | None:
    """The group, where nobody but `members` is in it or below; never the whole machine."""
    if cgroup == "/":
        return None
    dying = {one.process.key.pid for one in members}
    # Of thousands, few are in groups whose names so much as begin like this one's.
    near = [one.judged for one in ranking.candidates if one.judged.cgroup.startswith(cgroup)]
    others = [one for one in near if one.process.key.pid not in dying]
    alone = not any(contains(cgroup, one.cgroup) for one in others) and all(
        is_gone(one) for one in ranking.spared if contains(cgroup, one.judged.cgroup)
    )
    return cgroup if alone else None


def _cgroup(judged: Judged, scope: Scope) -> str | None:
    """The control group that `scope` means; None where that would be the whole machine."""
    if scope is Scope.CGROUP:
        return judged.cgroup if judged.cgroup != "/" else None
    if scope is Scope.UNIT:
        return innermost_unit(judged.cgroup)
    return None


def _belongs(victim: Judged, scope: Scope, cgroup: str | None, ranking: Ranking) -> Belongs:
    """Who dies with the victim. Group and session 0 and 1 are the kernel's and init's, and nobody's scope."""
    process = victim.process
    match scope:
        case Scope.PROCESS | Scope.FAMILY:
            return lambda _: False
        case Scope.TREE:
            below = _descendants(process.key.pid, ranking)
            return lambda one: one.process.key.pid in below
        case Scope.GROUP:
            return lambda one: one.process.pgid == process.pgid > INIT
        case Scope.SESSION:
            return lambda one: one.process.sid == process.sid > INIT
        case Scope.CGROUP | Scope.UNIT:
            return lambda one: cgroup is not None and contains(cgroup, one.cgroup)
        case _:
            assert_never(scope)


def _descendants(pid: Pid, ranking: Ranking) -> frozenset[Pid]:
    """Children, their children, and so on, the spared ones included: protection is not inherited upwards."""
    children: dict[Pid, list[Pid]] = {}
    for one in ranking.everybody:
        children.setdefault(one.process.ppid, []).append(one.process.key.pid)
    found: set[Pid] = set()
    ahead = [pid]
    while ahead:
        for child in children.get(ahead.pop(), ()):
            if child not in found:
                found.add(child)
                ahead.append(child)
    return frozenset(found)
