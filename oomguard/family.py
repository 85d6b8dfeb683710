"""Who grows together with a victim, and should die together with it. Pure.

A parent that keeps forking eaters, a dozen workers none of which stands out: the death of one brings
nothing, for the others soon have what it held. The family is the tree below an ancestor or, where its
parents have died and left orphans, as those of a fork bomb do, the victim's control group.

Nobody leaves the victim's control group, is spared, or is to die later than the victim: over such a one
no family reaches, upwards or downwards.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from enum import StrEnum
from itertools import islice

from oomguard.badness import GROWTH_WEIGHT
from oomguard.frozen import frozen, replace
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


@frozen
class Family:
    """Those who grow together."""

    kind: Kind
    root: Judged | None
    """Whose tree it is; None for a control group."""
    members: tuple[Judged, ...]
    """The victim first, then the others in the order of death."""


@frozen
class _Circle:
    """The tree below an ancestor of the victim."""

    root: Judged
    gained: Pages
    size: int


def family(victim: Candidate, ranking: Ranking) -> Family | None:
    """Who should die with `victim`, or None: the victim alone.

    It is the control group where those who are in none of its ancestors' trees, as orphans are, gain as much
    as those who are. There is a family only where the growth of the others counts as much as what the victim
    holds (`GROWTH_WEIGHT`): so there is none where nobody grows, and who dies for its size takes nobody along
    who gains next to nothing.
    """
    judged = victim.judged
    cgroup = judged.cgroup
    # The growth of the others settles it for most victims, before everybody is looked at.
    growing = [one.judged for one in _no_later(judged, ranking.growing) if one.judged.cgroup == cgroup]
    if not _counts(Pages(_growth(growing) - judged.growth), judged):
        return None
    no_later = [one.judged for one in _no_later(judged, ranking.candidates) if one.judged.cgroup == cgroup]
    kin = (judged, *[one for one in no_later if one is not judged])
    climbed: dict[Pid, None] = {}
    ascent = tuple(_ascent(kin, climbed))
    connected = ascent[-1].gained
    if _growth(kin) >= TOGETHER * connected and _is_whole(judged, ranking):
        found = Family(kind=Kind.CGROUP, root=None, members=kin)
    else:
        circle = _circle(ascent)
        tree = frozenset(islice(climbed, circle.size))
        members = tuple([one for one in kin if one.process.key.pid in tree])
        found = Family(kind=Kind.TREE, root=circle.root, members=members)
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
    growing = _no_later(first.judged, ranking.growing)
    if not growing:
        return ranking
    gained: dict[str, int] = {}
    for one in growing:
        gained[one.judged.cgroup] = gained.get(one.judged.cgroup, 0) + one.judged.growth
    fastest = max(growing, key=lambda one: one.judged.growth)
    group = max(gained, key=lambda cgroup: gained[cgroup])
    worst_of_group = next(one for one in ranking.candidates if one.judged.cgroup == group)
    contenders = {one.judged.process.key: one for one in (first, worst_of_group, fastest)}.values()

    def weight(contender: Candidate) -> int:
        found = family(contender, ranking)
        if found is None:
            return contender.points
        members = {judged.process.key.pid for judged in found.members}
        return sum(one.points for one in ranking.candidates if one.judged.process.key.pid in members)

    leader = max(contenders, key=weight) if len(contenders) > 1 else first
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
    is_one_of_them = found.root is victim or len(members) * victim.growth * ONE_OF_THEM >= gained
    return is_one_of_them and _counts(Pages(gained - victim.growth), victim)


def _counts(others: Pages, victim: Judged) -> bool:
    """Whether it matters beside the victim what the others have gained."""
    return others >= (TOGETHER - 1) * victim.growth and GROWTH_WEIGHT * others >= max(victim.process.held, 1)


def _no_later(victim: Judged, candidates: tuple[Candidate, ...]) -> tuple[Candidate, ...]:
    """Those of the victim's standing, and of those that die before it."""
    return candidates[: _end(victim, candidates)]


def _end(victim: Judged, candidates: tuple[Candidate, ...]) -> int:
    """Where those of the victim's standing end."""
    standing = ORDER[victim.verdict.standing]
    return bisect_right(candidates, standing, key=lambda one: ORDER[one.judged.verdict.standing])


def _is_whole(victim: Judged, ranking: Ranking) -> bool:
    """Whether the victim's control group is all kin, and not the whole machine."""
    cgroup, later = victim.cgroup, ranking.candidates[_end(victim, ranking.candidates) :]
    return (
        cgroup != "/"
        and not any(one.judged.cgroup == cgroup for one in later)
        and all(is_gone(one) for one in ranking.spared if one.judged.cgroup == cgroup)
    )


def _circle(ascent: tuple[_Circle, ...]) -> _Circle:
    """Who grows together: as far up as that doubles the growth, the smallest with nearly all of it."""
    most = ascent[0].root.growth
    for circle in ascent:
        if circle.gained >= TOGETHER * most:
            most = circle.gained
    return next(circle for circle in ascent if circle.gained >= NEARLY * most)


def _ascent(kin: tuple[Judged, ...], climbed: dict[Pid, None]) -> Iterator[_Circle]:
    """The trees of the victim and of its ancestors, from the bottom up.

    Each holds the one before it: `climbed` has the pids of the last one, in the order in which they came in.
    """
    parents: dict[Pid, Judged] = {}
    children: dict[Pid, list[Judged]] = {}
    for one in kin:
        parents[one.process.key.pid] = one
        children.setdefault(one.process.ppid, []).append(one)
    gained = 0
    root: Judged | None = kin[0]
    # Listings are not of one instant: a reused pid can close a circle.
    while root is not None and root.process.key.pid not in climbed:
        gained += _climb(root, children, climbed)
        yield _Circle(root=root, gained=Pages(gained), size=len(climbed))
        root = parents.get(root.process.ppid)


def _climb(root: Judged, children: dict[Pid, list[Judged]], climbed: dict[Pid, None]) -> int:
    """Take in `root` and all below it, but for those in `climbed`; gives what these have gained."""
    gained = 0
    ahead = [root]
    while ahead:
        one = ahead.pop()
        pid = one.process.key.pid
        if pid not in climbed:
            climbed[pid] = None
            gained += one.growth
            ahead += children.get(pid, ())
    return gained


def _growth(members: Iterable[Judged]) -> Pages:
    return Pages(sum([one.growth for one in members]))
