"""What everybody but the culprit suffered: the stall of each control group within the last seconds. Pure.

A process that waits for its own pages hurts nobody else, and the host's stall cannot tell that from a
database that waits for hers. Each control group has figures of its own (kernel/sched/psi.c `psi_group`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from heapq import nlargest

from oomguard.cgroup import contains
from oomguard.forecast import Slope
from oomguard.frozen import positional
from oomguard.pressure import Sample
from oomguard.process import Key
from oomguard.ranking import Judged, Ranking
from oomguard.rules import Standing
from oomguard.taskstats import Delays
from oomguard.units import Seconds
from oomguard.window import Window

PARTS = 20
"""Of the window: readings that come denser are kept no denser, as there may be many groups."""
MOST = 64
"""Groups that are watched at a time."""
MOST_UNTOLD = 4.0
"""What is not told counts for no more than so many times what is: who tells nothing does not wait."""
HUNGRY = 0.1
"""Of the time that its group waited for memory."""
MOST_PROCESSES = 32
"""And single processes: reading one takes some 10 µs, twenty times a second."""


@positional
class _Reading:
    """Of one group, since it was made or is watched."""

    told: Seconds
    disk: Seconds | None
    likely: Seconds


class _Bystander:
    """What one group has waited for memory: as it tells, and as is likely."""

    __slots__ = ("_window",)

    def __init__(self, window: Seconds) -> None:
        self._window: Window[_Reading] = Window(window, Seconds(window / PARTS))

    def restart(self) -> None:
        self._window.restart()

    def add(self, at: Seconds, told: Seconds, disk: Seconds | None, everybody: float) -> None:
        """`everybody`: how long the whole host stood still since the reading before."""
        likely = told
        if self._window:
            _, last = self._window.last
            rise = max(told - last.told, 0.0)
            if disk is not None and last.disk is not None:
                rise = max(rise, min(disk - last.disk, everybody))
            likely = Seconds(last.likely + rise)
        self._window.add(at, _Reading(told=told, disk=disk, likely=likely))

    def told(self) -> Seconds:
        return Seconds(self._window.rise(_told))

    def likely(self) -> Seconds:
        told, likely = self._window.rise(_told), self._window.rise(_likely)
        return Seconds(min(likely, MOST_UNTOLD * told))


class Bystanders:
    """The full stall of each control group that is watched.

    What a group tells is the least that it has waited: memory's PSI has no wait for a page that was not in
    active use when it was evicted (mm/filemap.c `folio_wait_bit_common()`). That of disks has, and all else
    that they are waited for. So what it waited for disks while everybody stood still for memory is likely to
    be memory's.
    """

    def __init__(self, window: Seconds) -> None:
        self._window = window
        self._groups: dict[str, _Bystander] = {}
        self._full: Seconds | None = None

    def restart(self) -> None:
        """Forget the stall so far."""
        for group in self._groups.values():
            group.restart()

    def add(self, sample: Sample) -> None:
        """Take one more reading of all groups in."""
        groups, full = self._groups, sample.pressure.full if sample.pressure else None
        everybody = 0.0 if full is None or self._full is None else full - self._full
        self._full = full
        for gone in groups.keys() - sample.stalls.keys():
            del groups[gone]
        for group, told in sample.stalls.items():
            if group not in groups:
                groups[group] = _Bystander(self._window)
            groups[group].add(sample.at, told, sample.disk_waits.get(group), everybody)

    def told(self, culprit: str) -> Seconds | None:
        """The most that any group outside of the culprit's tells; None where none is watched.

        The culprit's is a control group too; what lies above it or below it is not outside.
        """
        return self._worst(culprit, _Bystander.told)

    def likely(self, culprit: str) -> Seconds | None:
        """The same of what each is likely to have waited: for while memory is low, as else disks are busy."""
        return self._worst(culprit, _Bystander.likely)

    def _worst(self, culprit: str, waited: Callable[[_Bystander], Seconds]) -> Seconds | None:
        outside = (waited(each) for group, each in self._groups.items() if not _is_related(culprit, group))
        return max(outside, default=None)


class Appetite:
    """Whether the culprit waits for memory itself: then it is not done, and takes whatever comes back."""

    def __init__(self) -> None:
        self._group: str | None = None
        self._stalling = Slope()

    def add(self, at: Seconds, culprit: str | None, totals: Mapping[str, Seconds]) -> None:
        """Take one more reading of all groups in; the culprit's is one of them, if it is watched."""
        total = None if culprit is None else totals.get(culprit)
        if culprit != self._group or total is None:
            self._stalling.restart()
        self._group = culprit
        if total is not None:
            self._stalling.add(at, total)

    def is_there(self) -> bool:
        """Its group waited of late; False also where that is not known."""
        return self._stalling.rate() >= HUNGRY


class Neighbours:
    """What single processes waited for memory: the stall of those whom no group speaks for.

    The share of the time that a process wanted to run and waited for memory instead: with one thread, just
    how long it waited; where one of eight busy threads did, an eighth of that.
    """

    def __init__(self, window: Seconds) -> None:
        self._window = window
        self._processes: dict[Key, Window[Delays]] = {}

    def restart(self) -> None:
        """Forget what they waited so far."""
        for delays in self._processes.values():
            delays.restart()

    def add(self, at: Seconds, delays: Mapping[Key, Delays]) -> None:
        """Take one more reading of all that are watched in; who is not in it is not watched any more."""
        processes = self._processes
        for gone in processes.keys() - delays.keys():
            del processes[gone]
        for key, now in delays.items():
            if key not in processes:
                processes[key] = Window(self._window, Seconds(self._window / PARTS))
            processes[key].add(at, now)

    def worst(self) -> Seconds | None:
        """The most that any of them waited within the window; None where nobody's is known."""
        return max(map(self._waited, self._processes.values()), default=None)

    def _waited(self, delays: Window[Delays]) -> Seconds:
        waited = delays.rise(lambda now: now.waited)
        wanted = delays.rise(lambda now: now.wanted)
        elapsed = min(delays.last[0] - delays.first[0], self._window)
        return Seconds(min(waited, elapsed * waited / wanted)) if wanted else Seconds(0.0)


def _told(reading: _Reading) -> Seconds:
    return reading.told


def _likely(reading: _Reading) -> Seconds:
    return reading.likely


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


def neighbours(ranking: Ranking, told: AbstractSet[str]) -> tuple[Key, ...]:
    """Whose delays to watch: of all but whoever would die next, those who are in no other group.

    `told` are the groups whose stall is known. Who is protected comes first, then who holds most.
    """
    if not ranking.candidates:
        return ()
    victim = ranking.candidates[0].judged
    own = [
        one
        for one in ranking.everybody
        if one.process.memory is not None
        and one.process.key != victim.process.key
        and (one.cgroup not in told or _is_related(one.cgroup, victim.cgroup))
    ]
    worth = nlargest(MOST_PROCESSES, own, key=lambda one: (_is_protected(one), one.process.held))
    return tuple(one.process.key for one in worth)


def _is_related(group: str, other: str) -> bool:
    """Whether they are the same group, or one lies in the other."""
    return contains(group, other) or contains(other, group)


def _is_protected(one: Judged) -> bool:
    return one.verdict.standing in (Standing.NEVER, Standing.LAST)
