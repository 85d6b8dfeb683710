"""What dies with a victim: its tree, process group, session, control group or unit. Pure.

Nobody who is spared is ever part of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

from oomguard.cgroup import contains, innermost_unit
from oomguard.ranking import INIT, ORDER, Candidate, Judged, Ranking
from oomguard.rules import Scope, Standing
from oomguard.units import Pid


def reach(victim: Candidate, scope: Scope, ranking: Ranking) -> tuple[tuple[Judged, ...], str | None]:
    """The victim and those that die with it; and the control group, if any, that holds them and nobody else.

    Who is to die last is not taken along by somebody who is not.
    """
    cgroup = _cgroup(victim.judged, scope)
    belongs = _belongs(victim.judged, scope, cgroup, ranking)
    last_taken = max(ORDER[victim.judged.verdict.standing], ORDER[Standing.ORDINARY])
    taken = (
        one.judged
        for one in ranking.candidates
        if one is not victim and ORDER[one.judged.verdict.standing] <= last_taken and belongs(one.judged)
    )
    members = (victim.judged, *taken)
    if cgroup is None:
        return members, None
    inside = sum(contains(cgroup, judged.cgroup) for judged in ranking.everybody)
    return members, cgroup if inside == len(members) else None


def _cgroup(judged: Judged, scope: Scope) -> str | None:
    """The control group that `scope` means; None where that would be the whole machine."""
    if scope is Scope.CGROUP:
        return judged.cgroup if judged.cgroup != "/" else None
    if scope is Scope.UNIT:
        return innermost_unit(judged.cgroup)
    return None


def _belongs(victim: Judged, scope: Scope, cgroup: str | None, ranking: Ranking) -> Callable[[Judged], bool]:
    """Who dies with the victim. Group and session 0 and 1 are the kernel's and init's, and nobody's scope."""
    process = victim.process
    match scope:
        case Scope.PROCESS:
            return lambda _: False
        case Scope.TREE:
            family = _descendants(process.key.pid, ranking)
            return lambda one: one.process.key.pid in family
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
