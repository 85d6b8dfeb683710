"""Whoever was not read yet when it matters: first who may matter, the largest first, and the others later."""

from __future__ import annotations

from collections.abc import Iterable

from oomguard.arrivals import Arrivals
from oomguard.inspector import Inspector
from oomguard.interest import Interest
from oomguard.procfs import ProcFS, uptime
from oomguard.registry import Registry
from oomguard.units import Pages, Pid, Seconds

FEW = 64
"""So many are read without being looked at for their sizes first."""
MOST_AT_LIMIT = Seconds(1.0)
"""Reading newcomers at the limit never takes longer: the kernel does not wait for it."""
MOST_AT_MEETING = Seconds(0.1)
"""Nor, while armed, than this: so that the limit is not passed meanwhile."""
STALE = Seconds(1.0)
"""Who was left for later, as it did not matter, is looked at again after so long."""


class Newcomers:
    """Those who have come, or changed, and are still to be read."""

    def __init__(self, procfs: ProcFS, arrivals: Arrivals, inspector: Inspector, registry: Registry) -> None:
        """`arrivals` know of them; `inspector` reads them into the `registry`."""
        self.left: dict[Pid, None] = {}
        """Who has been left for later, those first who are to be read next."""
        self._sized_at = Seconds(0.0)
        self._procfs = procfs
        self._arrivals = arrivals
        self._inspector = inspector
        self._registry = registry

    def take(self, at: Seconds, interest: Interest) -> None:
        """Read those who may matter."""
        known, heard = self._registry.dossiers, self._arrivals.heard
        is_stale = at - self._sized_at > STALE
        self.left = {} if is_stale else {pid: None for pid in self.left if pid not in known}
        self._read([pid for pid in heard if pid in known], at)
        unread = (pid for pid in self._arrivals.unread() if pid not in self.left)
        strangers = list(dict.fromkeys((*unread, *(pid for pid in heard if pid not in known))))
        if len(strangers) <= FEW:
            self._read(strangers, at)
        else:
            self._sized_at = at
            self._read_some(strangers, at, interest)

    def catch_up(self) -> None:
        """Read those who were left."""
        left, self.left = self.left, {}
        self._read(left, uptime())

    def meet(self, at: Seconds) -> None:
        """Read some, as they come: there is time."""
        self._read((*self._arrivals.unread(), *self._arrivals.heard), at, MOST_AT_MEETING)

    def _read_some(self, strangers: list[Pid], at: Seconds, interest: Interest) -> None:
        ask, outline = self._inspector.ask, self._procfs.outline
        matter: list[tuple[Pages, Pid]] = []
        others: list[tuple[Pages, Pid]] = []
        for pid in strangers:
            seen = ask(outline, pid)
            if seen is None:
                self._arrivals.looked_at(pid)
            else:
                (matter if interest.includes(seen) else others).append((seen.resident, pid))
        matter.sort(reverse=True)
        self._read([pid for _, pid in matter], at)
        left = {pid: None for _, pid in sorted(others, reverse=True)}
        # A parent is the root of the family of those who grow, however little it holds itself.
        while parents := left.keys() & self._parents():
            for pid in parents:
                del left[pid]
            self._read(parents, at)
        self.left |= left

    def _parents(self) -> set[Pid]:
        return {dossier.judged.process.ppid for dossier in self._registry.dossiers.values()}

    def _read(self, pids: Iterable[Pid], at: Seconds, most: Seconds = MOST_AT_LIMIT) -> None:
        for pid in pids:
            if uptime() - at > most:
                self.left[pid] = None
            else:
                self._arrivals.looked_at(pid)
                self._inspector.look(pid, at)
