"""What everybody but the culprit suffered: the stall of each control group within the last seconds. Pure.

A process that waits for its own pages hurts nobody else, and the host's stall cannot tell that from a
database that waits for hers. Each control group has figures of its own (kernel/sched/psi.c `psi_group`).
"""

from __future__ import annotations

from collections.abc import Mapping
from heapq import nlargest

from oomguard.cgroup import contains
from oomguard.ranking import Judged, Ranking
from oomguard.rules import Standing
from oomguard.units import Seconds
from oomguard.window import Window

PARTS = 20
"""Of the window: readings that come denser are kept no denser, as there may be many groups."""
MOST = 64
"""Groups that are watched at a time."""


class Bystanders:
    """The full stall of each control group that is watched."""

    def __init__(self, window: Seconds) -> None:
        self._window = window
        self._groups: dict[str, Window[Seconds]] = {}

    def restart(self) -> None:
        """Forget the stall so far."""
        for totals in self._groups.values():
            totals.restart()

    def add(self, at: Seconds, totals: Mapping[str, Seconds]) -> None:
        """Take one more reading of all groups in: their full stall since they were made."""
        groups = self._groups
        for gone in groups.keys() - totals.keys():
            del groups[gone]
        for group, total in totals.items():
            if group not in groups:
                groups[group] = Window(self._window, Seconds(self._window / PARTS))
            groups[group].add(at, total)

    def worst(self, culprit: str) -> Seconds | None:
        """The most that any group outside of the culprit's suffered; None where none is watched.

        The culprit's is a control group too; what lies above it or below it is not outside.
        """
        outside = (
            Seconds(totals.rise(float))
            for group, totals in self._groups.items()
            if not contains(culprit, group) and not contains(group, culprit)
        )
        return max(outside, default=None)


def culprit(ranking: Ranking) -> str | None:
    """The control group of whoever would die next; None where nobody may."""
    return ranking.candidates[0].judged.cgroup if ranking.candidates else None


def groups(ranking: Ranking) -> frozenset[str]:
    """The control groups to watch: those of who is protected first, then those that hold most."""
    worth: dict[str, tuple[bool, int]] = {}
    for one in ranking.everybody:
        if one.process.memory is not None and one.cgroup != "/":
            protected, held = worth.get(one.cgroup, (False, 0))
            worth[one.cgroup] = (protected or _is_protected(one), held + one.process.memory.rss)
    return frozenset(nlargest(MOST, worth, key=lambda group: (worth[group], group)))


def _is_protected(one: Judged) -> bool:
    return one.verdict.standing in (Standing.NEVER, Standing.LAST)
