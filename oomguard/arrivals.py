"""Who is on the host, and who has come or changed since: by the kernel's events, by the pids that it has
given away, or by a listing of /proc."""

from __future__ import annotations

from collections.abc import Collection

from oomguard.procevents import NoEvents, ProcEvents
from oomguard.procfs import ProcFS, uptime
from oomguard.registry import Registry
from oomguard.units import Pid, Seconds

MOST_HEARD = 1024
"""Of those whom events told of, and who were not looked at yet; beyond, /proc is listed instead."""
ASKING = 3
"""To ask for one pid takes as long as to list so many."""
UNDER_WAY = 8
"""So many of those to whom a pid was given away may not have been there yet."""
STALE = Seconds(5.0)
"""A listing that is older is made anew, however few pids were given away since."""


class Arrivals:
    """Whoever is to be looked at, as nobody has, or as something has happened to it since."""

    def __init__(self, procfs: ProcFS, events: ProcEvents | NoEvents, registry: Registry) -> None:
        """`registry` has those who were read; it is told of those who have gone."""
        self.listed_at = Seconds(0.0)
        self.is_complete = False
        """Nobody has come whom no event told of, since the last listing."""
        self._procfs = procfs
        self._events = events
        self._registry = registry
        self._heard: dict[Pid, None] = {}
        self._newcomers: dict[Pid, None] = {}
        self._last_pid: Pid | None = None

    def listen(self) -> None:
        """Have the kernel tell from now on."""
        self._events.listen()

    def ignore(self) -> None:
        """Nobody needs to be heard of for now."""
        self._events.ignore()
        self._heard.clear()

    def hear(self) -> None:
        """Take in who has come, gone or changed, or that this cannot be told."""
        news = self._events.drain()
        self._heard.update(dict.fromkeys(news.pids))
        if len(self._heard) > MOST_HEARD:
            self._heard.clear()
            self.is_complete = False
        self.is_complete &= news.complete

    @property
    def heard(self) -> Collection[Pid]:
        """Whom events told of, and who were not looked at since."""
        return self._heard

    def looked_at(self, pid: Pid) -> None:
        """What was heard of it is known now."""
        self._heard.pop(pid, None)

    def unread(self) -> list[Pid]:
        """Who had come by the last listing, and has not been read yet."""
        dossiers = self._registry.dossiers
        return [pid for pid in self._newcomers if pid not in dossiers]

    def everybody(self) -> list[Pid]:
        """Everybody who is there now; of all others nothing is kept."""
        self.listed_at = uptime()
        self.is_complete = True
        # Before the listing: whoever comes meanwhile is looked for again.
        self._last_pid = self._procfs.last_pid()
        pids = self._procfs.pids()
        dossiers = self._registry.dossiers
        self._registry.forget(dossiers.keys() - frozenset(pids))
        self._newcomers = {pid: None for pid in pids if pid not in dossiers}
        return pids

    def may_have_come(self) -> bool:
        """Whether a pid was given away since the last listing, or it cannot be told: a listing is dearer."""
        last = self._procfs.last_pid()
        return last is None or last != self._last_pid

    def seek(self, at: Seconds) -> None:
        """Among the pids given away since the last time where these are few, else by a listing."""
        before, last = self._last_pid, self._procfs.last_pid()
        if before is None or last is None or last < before or at - self.listed_at > STALE:
            self.everybody()
            return
        if last == before:
            return
        given = range(before + 1 - UNDER_WAY, last + 1)
        if len(given) * ASKING > len(self._registry.dossiers):
            self.everybody()
            return
        self._last_pid = last
        self._newcomers.update(dict.fromkeys(self._procfs.living(given)))
