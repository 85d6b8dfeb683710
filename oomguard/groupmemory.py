"""One control group that has a limit: its files, kept open, and the reading that they come to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from typing import TypeVar

from oomguard.cgroupfs import CgroupFS
from oomguard.enclosure import Entry, Reading, is_near
from oomguard.errors import Malformed
from oomguard.hostfile import KeptOpen
from oomguard.marks import line
from oomguard.memcg import parse_limit, parse_memory_stat, parse_usage
from oomguard.meminfo import Memory
from oomguard.psi import parse_pressure
from oomguard.units import Bytes, Seconds

T = TypeVar("T")

UNREADABLE = (OSError, Malformed)
"""What reading a group may raise: it may be gone."""


class GroupMemory:
    """The files of one v2 group; `OSError` where they are gone, `Malformed` where they make no sense."""

    def __init__(self, cgroups: CgroupFS, path: str) -> None:
        self.path = path
        self._cgroups = cgroups
        self._limit: Bytes | None = None
        self._swap_limit: Bytes | None = None
        self._current = cgroups.kept(path, "memory.current", parse_usage)
        self._stat = cgroups.kept(path, "memory.stat", parse_memory_stat)
        self._swap = cgroups.kept(path, "memory.swap.current", parse_usage)
        self._pressure = cgroups.kept(path, "memory.pressure", parse_pressure)

    def learn_limits(self, throttled: AbstractSet[str]) -> None:
        """What it is limited to, by itself or by a group above it. Not for the kill path.

        memory.high of those that are `throttled` is no limit of theirs.
        """
        # In a cgroup namespace the root has a limit too, that of the container.
        groups = (*line(self.path), "/")
        highs = (group for group in groups if group not in throttled)
        limits = (*self._values("memory.max", groups), *self._values("memory.high", highs))
        self._limit = min(limits, default=None)
        self._swap_limit = min(self._values("memory.swap.max", groups), default=None)

    @property
    def is_limited(self) -> bool:
        """Whether anything limits it, as of when that was learnt."""
        return self._limit is not None

    def read(self, entry: Entry, at: Seconds, host: Memory) -> Reading | None:
        """The group now; None where nothing limits it. Safe in the kill path."""
        limit = self._limit
        current = None if limit is None else _read(self._current)
        if limit is None or current is None:
            return None
        near = is_near(entry, limit, current)
        used, left = self._swap_figures(host) if near else (Bytes(0), Bytes(0))
        pressure = _lenient(self._pressure) if entry.budget is not None else None
        return Reading(
            at=at,
            limit=limit,
            current=current,
            holdings=_read(self._stat) if near else None,
            swap_used=used,
            swap_total=Bytes(used + left),
            stall=None if pressure is None else pressure.full,
        )

    def close(self) -> None:
        """Close the files."""
        for file in (self._current, self._stat, self._swap, self._pressure):
            if file is not None:
                file.close()

    def _swap_figures(self, host: Memory) -> tuple[Bytes, Bytes]:
        """What it has in swap, and what is left to it there: not more than is left to the host."""
        used = _lenient(self._swap)
        if used is None:
            return Bytes(0), Bytes(0)
        limit = self._swap_limit
        left = host.swap_free if limit is None else min(host.swap_free, Bytes(max(0, limit - used)))
        return used, Bytes(left)

    def _values(self, name: str, groups: Iterable[str]) -> Iterator[Bytes]:
        """Of those that have such a limit."""
        found = (self._cgroups.value(group, name, parse_limit) for group in groups)
        return (limit for limit in found if limit is not None)


def _read(file: KeptOpen[T] | None) -> T | None:
    return None if file is None else file.read()


def _lenient(file: KeptOpen[T] | None) -> T | None:
    """What not every kernel has."""
    try:
        return _read(file)
    except UNREADABLE:
        return None
