"""Who grows together with a victim, and should die together with it. Pure.

A parent that keeps forking eaters, a dozen workers none of which stands out: the death of one brings
nothing, for the others soon have what it held. The family is the tree below an ancestor or, where its
parents have died and left orphans, as those of a fork bomb do, the victim's control group.

Nobody leaves the victim's control group, is spared, or is to die later than the victim: over such a one
no family reaches, upwards or downwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum

from oomguard.badness import GROWTH_WEIGHT
from oomguard.ranking import ORDER, Candidate, Judged, Ranking, is_gone
from oomguard.units import Pages, Pid

TOGETHER = 2
"""How many times as much as the circle inside of it a larger one must have gained.

So of two jobs that grow under one terminal the worse is taken, and not both with the terminal.
"""
NEARLY = 0.9
"""The share of what the largest such circle has gained that will do: so the bomb is taken, and not the shell
that it was started from, though that gained a little too."""


ONE_OF_THEM = 4
"""A victim that gains so many times less than they do on the average is none of them."""


class Kind(StrEnum):
    """What holds a family together."""

    TREE = "tree"
    CGROUP = "cgroup"


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """Those who grow together."""

    kind: Kind
    root: Judged | None
    """Whose tree it is; None for a control group."""
    members: tuple[Judged, ...]
    """The victim first, then the others in the order of death."""


def family(victim: Candidate, ranking: Ranking) -> Family | None:
    """Who should die with `victim`, or None: the victim alone.

    It is the control group where those who are in none of its ancestors' trees, as orphans are, gain as much
    as those who are. There is a family only where the growth of the others counts as much as what the victim
    holds (`GROWTH_WEIGHT`): so there is none where nobody grows, and who dies for its size takes nobody along
    who gains next to nothing.
    """
    judged = victim.judged
    kin = (judged, *(one.judged for one in ranking.candidates if _is_kin(one.judged, judged)))
    children: dict[Pid, list[Judged]] = {}
    for one in kin:
        children.setdefault(one.process.ppid, []).append(one)
    ascent = tuple(_ascent(kin, children))
    _, connected = ascent[-1]
    if _growth(kin) >= TOGETHER * connected and _is_whole(judged, ranking):
        found = Family(kind=Kind.CGROUP, root=None, members=kin)
    else:
        root = _root(ascent)
        tree = {one.process.key for one in _unseen(root, children, set())}
        members = tuple(one for one in kin if one.process.key in tree)
        found = Family(kind=Kind.TREE, root=root, members=members)
    return found if _matters(found) else None


def worst_family_first(ranking: Ranking) -> Ranking:
    """The same, led by whoever's family is worse than that of who would die alone.

    Of a swarm nobody stands out, and somebody big and innocent would come before all of them. So these are
    compared, by the points of all that would die: the first, the one that grows most, and the worst of the
    control group that grows most; nobody of another standing than the first's.
    """
    if not ranking.candidates:
        return ranking
    first = ranking.candidates[0]
    standing = first.judged.verdict.standing
    rivals = [one for one in ranking.candidates if one.judged.verdict.standing is standing]
    gained: dict[str, int] = {}
    for one in rivals:
        gained[one.judged.cgroup] = gained.get(one.judged.cgroup, 0) + one.judged.growth
    fastest = max(rivals, key=lambda one: one.judged.growth)
    group = max(gained, key=lambda cgroup: gained[cgroup])
    worst_of_group = next(one for one in rivals if one.judged.cgroup == group)
    points = {one.judged.process.key: one.points for one in ranking.candidates}

    def weight(contender: Candidate) -> int:
        found = family(contender, ranking)
        members = (contender.judged,) if found is None else found.members
        return sum(points[judged.process.key] for judged in members)

    leader = max((first, worst_of_group, fastest), key=weight)
    if leader is first:
        return ranking
    others = tuple(one for one in ranking.candidates if one is not leader)
    return replace(ranking, candidates=(leader, *others))


def _matters(found: Family) -> bool:
    """Whether the others gain as much as the victim, and would soon have taken what its death brings.

    And whether it is one of them, or their parent: who hardly gains anything beside them is a bystander.
    """
    members, victim = found.members, found.members[0]
    gained = _growth(members)
    others = gained - victim.growth
    is_one_of_them = found.root is victim or len(members) * victim.growth * ONE_OF_THEM >= gained
    return (
        is_one_of_them
        and gained >= TOGETHER * victim.growth
        and GROWTH_WEIGHT * others >= max(victim.process.held, 1)
    )


def _is_kin(one: Judged, victim: Judged) -> bool:
    """A candidate that may be of the victim's family."""
    return one is not victim and one.cgroup == victim.cgroup and not _outlives(one, victim)


def _outlives(one: Judged, victim: Judged) -> bool:
    return ORDER[one.verdict.standing] > ORDER[victim.verdict.standing]


def _is_whole(victim: Judged, ranking: Ranking) -> bool:
    """Whether the victim's control group is all kin, and not the whole machine."""
    cgroup = victim.cgroup
    return (
        cgroup != "/"
        and not any(
            one.judged.cgroup == cgroup and _outlives(one.judged, victim) for one in ranking.candidates
        )
        and all(is_gone(one) for one in ranking.spared if one.judged.cgroup == cgroup)
    )


def _root(ascent: tuple[tuple[Judged, Pages], ...]) -> Judged:
    """Whose tree grows together: as far up as that doubles the growth, the lowest with nearly all of it."""
    most = ascent[0][0].growth
    for _, gained in ascent:
        if gained >= TOGETHER * most:
            most = gained
    return next(one for one, gained in ascent if gained >= NEARLY * most)


def _ascent(kin: tuple[Judged, ...], children: dict[Pid, list[Judged]]) -> Iterator[tuple[Judged, Pages]]:
    """The victim and its ancestors, from the bottom up, each with what its whole tree has gained."""
    parents = {one.process.key.pid: one for one in kin}
    seen: set[Pid] = set()
    gained = 0
    one: Judged | None = kin[0]
    # Listings are not of one instant: a reused pid can close a circle.
    while one is not None and one.process.key.pid not in seen:
        gained += _growth(_unseen(one, children, seen))
        yield one, Pages(gained)
        one = parents.get(one.process.ppid)


def _unseen(root: Judged, children: dict[Pid, list[Judged]], seen: set[Pid]) -> Iterator[Judged]:
    """`root` and all below it, but for those in `seen`, which it adds to."""
    ahead = [root]
    while ahead:
        one = ahead.pop()
        if one.process.key.pid not in seen:
            seen.add(one.process.key.pid)
            yield one
            ahead += children.get(one.process.key.pid, ())


def _growth(members: Iterable[Judged]) -> Pages:
    return Pages(sum(one.growth for one in members))
