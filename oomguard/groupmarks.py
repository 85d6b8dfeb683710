"""The marks of control groups, read while there is time and kept for when there is none."""

from __future__ import annotations

from oomguard.cgroup import Layout
from oomguard.cgroupfs import CgroupFS
from oomguard.marks import FREE, Allegiance, Marks, allegiance


class GroupMarks:
    """What the marks on each group and on those above it come to."""

    def __init__(self, cgroups: CgroupFS) -> None:
        self._cgroups = cgroups
        self._marks: dict[str, Marks] = {}
        self._latest: dict[str, Allegiance] = {}
        self._before: dict[str, Allegiance] = {}

    def known(self, path: str) -> Allegiance | None:
        """As they were last read; None where they were not, and may say something. Safe in the kill path."""
        if path == "/" or self._cgroups.layout is not Layout.UNIFIED:
            return FREE
        return self._latest.get(path) or self._before.get(path)

    def learn(self, path: str) -> Allegiance:
        """As they are, read once until `renew`. Not for the kill path."""
        if path not in self._latest:
            self._latest[path] = allegiance(path, self._read)
        return self._latest[path]

    def renew(self) -> None:
        """Read them anew at the next `learn`; those that nobody asked for since last time are forgotten."""
        self._before, self._latest = self._latest, {}
        self._marks.clear()

    def _read(self, group: str) -> Marks:
        if group not in self._marks:
            self._marks[group] = self._cgroups.marks(group)
        return self._marks[group]
