"""Watches control groups, each on its own: which there are, how bad it is for each, when to look again."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet

from oomguard.cgroupfs import CgroupFS
from oomguard.enclosure import Enclosure, Entry, Reading
from oomguard.frozen import mutable, replace
from oomguard.gauge import LONGEST_PAUSE
from oomguard.groupmemory import UNREADABLE, GroupMemory
from oomguard.pressure import Assessment, Figures, GroupFigures, Level, Reason, Sample
from oomguard.state import Watched
from oomguard.units import Bytes, Seconds

MOST = 64
"""Groups that are watched at a time, those of all entries together."""
LIST_EVERY = Seconds(5.0)
"""How often it is looked for groups that have come or gone, and for limits that have changed."""
SHARE = 0.05
"""Of a CPU, for reading them; longer pauses make up for what is dear to read."""
NEVER = Seconds(math.inf)

Pretended = Callable[[str], Bytes]
"""How much of a group's memory a dry run takes for free."""


@mutable
class _Ward:
    """A group that is watched."""

    enclosure: Enclosure
    memory: GroupMemory
    latest: Assessment | None = None
    """None: nothing limits it, or it was not read yet."""


class Warden:
    """The groups that the entries match; a group that several of them match is the first one's."""

    def __init__(self, cgroups: CgroupFS, entries: tuple[Entry, ...], window: Seconds) -> None:
        self._cgroups = cgroups
        self._entries = entries
        self._window = window
        self._wards: dict[str, _Ward] = {}
        self._list_at = Seconds(0.0)
        self._not_before = Seconds(0.0)

    def tend(self, at: Seconds, throttled: AbstractSet[str]) -> None:
        """Look for groups that have come or gone, now and then. Not for the kill path: it opens files.

        `throttled`: groups that the guard itself holds back for a while, so that nobody is to die for it.
        """
        if at < self._list_at or not self._entries:
            return
        self._list_at = Seconds(at + LIST_EVERY)
        found: dict[str, Entry] = {}
        for entry in self._entries:
            for path in self._cgroups.matching(entry.path):
                found.setdefault(path, entry)
        for path in self._wards.keys() - found.keys():
            self._wards.pop(path).memory.close()
        for path, entry in found.items():
            if path not in self._wards and len(self._wards) < MOST:
                self._wards[path] = _Ward(
                    enclosure=Enclosure(entry, path, self._window), memory=GroupMemory(self._cgroups, path)
                )
        for ward in self._wards.values():
            ward.memory.learn_limits(throttled)

    def read(
        self, sample: Sample, host: Assessment, kill_takes: Seconds, pretended: Pretended, urgent: str | None
    ) -> None:
        """Read the groups that are due, and the `urgent` one. Safe in the kill path."""
        began = time.monotonic()
        for path, ward in self._wards.items():
            due = max(ward.enclosure.due, self._not_before)
            if sample.at >= due or path == urgent:
                self._read(ward, sample, host.figures, kill_takes, pretended(path))
        took = time.monotonic() - began
        self._not_before = Seconds(sample.at + took / SHARE)

    def crossed(self) -> tuple[Assessment, ...]:
        """How bad it is for the groups that have crossed a limit, the worst first."""
        found = [latest for latest in self._latest() if latest.reasons]
        return tuple(sorted(found, key=lambda one: one.headroom))

    def of(self, path: str, host: Assessment) -> Assessment:
        """How bad it is for the group at `path`, whose victim is on its way; for the host, as `host` says.

        When the host itself is short, nobody is given time to end. A group that is gone is short of nothing.
        """
        ward = self._wards.get(path)
        latest = ward.latest if ward is not None else None
        if latest is None:
            return replace(_well(host), figures=replace(host.figures, group=_gone(path)))
        if host.reasons and latest.reasons:
            return replace(latest, level=Level.KILL, headroom=0.0)
        return latest

    def overall(self, host: Assessment) -> Assessment:
        """How bad it is for the host and all its groups; the figures are the host's if it is short."""
        crossed = self.crossed()
        if not crossed:
            is_armed = any(latest.level is not Level.CALM for latest in self._latest())
            return replace(host, level=Level.ARMED) if is_armed and host.level is Level.CALM else host
        reasons = {reason for each in (host, *crossed) for reason in each.reasons}
        ordered = tuple(reason for reason in Reason if reason in reasons)
        return replace(host, reasons=ordered) if host.reasons else replace(crossed[0], reasons=ordered)

    def pause(self, at: Seconds) -> Seconds:
        """How long until the next group is due, or may be found; none ever is where none is to be watched."""
        if not self._entries:
            return NEVER
        due = (max(ward.enclosure.due, self._not_before) - at for ward in self._wards.values() if ward.latest)
        return Seconds(max(0.0, min(due, default=LONGEST_PAUSE)))

    def restart(self, path: str) -> None:
        """The culprit of the group's stall has exited."""
        if path in self._wards:
            self._wards[path].enclosure.restart()

    def watched(self) -> tuple[Watched, ...]:
        """For each entry, how many groups it watches, and how many of them have crossed a limit."""
        wards = self._wards.values()
        return tuple(
            Watched(
                entry=entry.name,
                groups=sum(ward.enclosure.entry is entry for ward in wards),
                crossed=sum(ward.enclosure.entry is entry and _is_crossed(ward) for ward in wards),
            )
            for entry in self._entries
        )

    def close(self) -> None:
        """Close the files."""
        for ward in self._wards.values():
            ward.memory.close()
        self._wards.clear()

    def _read(
        self, ward: _Ward, sample: Sample, host: Figures, kill_takes: Seconds, pretended: Bytes
    ) -> None:
        enclosure = ward.enclosure
        try:
            reading = ward.memory.read(enclosure.entry, sample.at, sample.memory)
        except UNREADABLE:
            reading = None
        if reading is None:
            enclosure.due = Seconds(sample.at + LONGEST_PAUSE)
            ward.latest = ward.latest and _emptied(ward.latest)
            return
        ward.latest = enclosure.read(_without(reading, pretended), kill_takes, host)

    def _latest(self) -> Iterator[Assessment]:
        return (ward.latest for ward in self._wards.values() if ward.latest is not None)


def _without(reading: Reading, pretended: Bytes) -> Reading:
    """As it would be without the victims of a dry run, whose stall does not count either."""
    if not pretended:
        return reading
    return replace(reading, current=Bytes(max(0, reading.current - pretended)), stall=None)


def _well(host: Assessment) -> Assessment:
    return replace(host, level=Level.CALM, reasons=(), headroom=1.0)


def _emptied(latest: Assessment) -> Assessment:
    """Of a group that is gone, or has no limit any more."""
    figures, group = latest.figures, latest.figures.group
    emptied = group and replace(group, used=Bytes(0), swap_used=Bytes(0))
    return replace(_well(latest), figures=replace(figures, group=emptied), holdings=None)


def _gone(path: str) -> GroupFigures:
    nothing = Bytes(0)
    return GroupFigures(
        entry="",
        path=path,
        used=nothing,
        limit=nothing,
        crossed_at=nothing,
        swap_used=nothing,
        swap_limit=nothing,
        stall=Seconds(0.0),
        stall_budget=Seconds(0.0),
    )


def _is_crossed(ward: _Ward) -> bool:
    return ward.latest is not None and bool(ward.latest.reasons)
