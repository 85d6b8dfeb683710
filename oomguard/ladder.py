"""The latest ranking, and the quick way from it to the next: who has not changed keeps the place. Pure.

Of ten thousand processes a few dozen are read anew at the limit: the others need not be scored, compared and
sorted once more. What comes out is what `ranking.rank` makes of the same processes.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Mapping
from heapq import nlargest
from typing import TypeVar

from oomguard import ranking
from oomguard.badness import Machine, Policy
from oomguard.cgroup import is_inside
from oomguard.frozen import frozen
from oomguard.holders import swapped
from oomguard.pressure import Reason
from oomguard.ranking import ORDER, Candidate, Exempt, Judged, Ranking, is_about_promises
from oomguard.units import Pages, Pid

T = TypeVar("T")

WORST, GROWING = 32, 8
"""Who is likely to matter: so many of the worst of each standing, and of those who have grown most."""
FEW = 16
"""Where more than one in so many has changed, all are ranked anew."""
NOBODY = Ranking(candidates=(), spared=(), growing=(), held=Pages(0), killable=(), swapped=Pages(0), pids={})


@frozen
class Basis:
    """What a ranking rests on besides the processes."""

    policy: Policy
    reasons: tuple[Reason, ...]
    machine: Machine
    exempt: Exempt

    def measures_like(self, other: Basis) -> bool:
        """Whether it counts the same."""
        return (self.policy, is_about_promises(self.reasons)) == (
            other.policy,
            is_about_promises(other.reasons),
        )

    def ranks_like(self, other: Basis) -> bool:
        """Whether who has not changed has the same points, whoever else has."""
        looks_at_children = self.policy is Policy.CLASSIC and not is_about_promises(self.reasons)
        return (
            not looks_at_children
            and self.measures_like(other)
            and (self.machine.total, self.exempt) == (other.machine.total, other.exempt)
        )


class Ladder:
    """The latest ranking."""

    def __init__(self) -> None:
        self.ranking = NOBODY
        self._basis: Basis | None = None

    def rank(self, everybody: Mapping[Pid, Judged], basis: Basis) -> Ranking:
        """`everybody` in the order of death; who is the same object as in the latest ranking is unchanged."""
        before, known = self.ranking, self.ranking.pids
        gone = [one for pid, one in known.items() if everybody.get(pid) is not one]
        new = [one for pid, one in everybody.items() if known.get(pid) is not one]
        few = len(gone) + len(new) <= len(everybody) // FEW
        if few and self._basis is not None and basis.ranks_like(self._basis):
            self.ranking = _changed(before, gone, new, everybody, basis)
        else:
            measure = ranking.score(basis.policy, basis.reasons, everybody.values(), basis.machine)
            self.ranking = ranking.rank(everybody.values(), measure, basis.machine, basis.exempt)
        self._basis = basis
        return self.ranking

    def measures_like(self, basis: Basis) -> bool:
        """Whether the latest ranking counts what `basis` counts."""
        return self._basis is not None and basis.measures_like(self._basis)

    def likely(self, within: str = "/") -> frozenset[Pid]:
        """Who is likely to matter in a control group: the worst, and those who have grown most."""
        candidates = _inside(self.ranking.candidates, within)
        worst: list[Candidate] = []
        for standing in ORDER.values():
            start = bisect_left(candidates, standing, key=_standing)
            worst += (one for one in candidates[start : start + WORST] if _standing(one) == standing)
        worst += nlargest(GROWING, _inside(self.ranking.growing, within), key=lambda one: one.judged.growth)
        return frozenset(one.judged.process.key.pid for one in worst)


def enclosed(everybody: Ranking, within: str, basis: Basis) -> Ranking:
    """Those of `everybody` who are in a control group, ranked among themselves."""
    inside = tuple(one for one in everybody.everybody if is_inside(within, one.cgroup))
    measure = ranking.score(basis.policy, basis.reasons, inside, basis.machine)
    return ranking.rank(inside, measure, basis.machine, basis.exempt)


def _inside(candidates: tuple[Candidate, ...], within: str) -> tuple[Candidate, ...]:
    if within == "/":
        return candidates
    return tuple(one for one in candidates if is_inside(within, one.judged.cgroup))


def _changed(
    before: Ranking, gone: list[Judged], new: list[Judged], everybody: Mapping[Pid, Judged], basis: Basis
) -> Ranking:
    """`before` without those who have `gone`, and with those who are `new`; whoever has changed is both."""
    machine, exempt = basis.machine, basis.exempt
    measure = ranking.score(basis.policy, basis.reasons, (), machine)
    old_candidates, old_spared = ranking.told_apart(gone, measure, machine, exempt)
    candidates, spared = ranking.told_apart(new, measure, machine, exempt)
    kernels_order = ranking.kernels_order(machine)
    change = swapped(one.process for one in new) - swapped(one.process for one in gone)
    return Ranking(
        candidates=_merged(before.candidates, old_candidates, candidates, ranking.order),
        spared=_merged(before.spared, old_spared, spared, ranking.by_pid),
        growing=_merged(
            before.growing, ranking.growing(old_candidates), ranking.growing(candidates), ranking.order
        ),
        held=Pages(before.held - ranking.held(old_candidates) + ranking.held(candidates)),
        killable=_merged(before.killable, ranking.killable(gone), ranking.killable(new), kernels_order),
        swapped=Pages(before.swapped + change),
        pids=everybody,
    )


def _merged(
    ranked: tuple[T, ...], gone: Iterable[T], new: Iterable[T], order: Callable[[T], tuple[int, ...]]
) -> tuple[T, ...]:
    """`ranked` stays in the order that it is in, which tells everybody from everybody else."""
    merged = list(ranked)
    for one in gone:
        del merged[bisect_left(merged, order(one), key=order)]
    for one in new:
        insort(merged, one, key=order)
    return tuple(merged)


def _standing(candidate: Candidate) -> int:
    return ORDER[candidate.judged.verdict.standing]
