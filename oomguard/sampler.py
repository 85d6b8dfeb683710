"""One sample of the host for each poll, and no file read that cannot have changed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet

from oomguard import swapspace
from oomguard.delays import UNKNOWN, NoDelays, TaskDelays
from oomguard.forecast import SPAN
from oomguard.frozen import replace
from oomguard.glimpse import Glimpse
from oomguard.meminfo import Memory, Room
from oomguard.pressure import Sample
from oomguard.process import Key
from oomguard.procfs import ProcFS
from oomguard.psi import Pressure
from oomguard.units import Bytes, Seconds
from oomguard.window import Window


class Sampler:
    """Reads meminfo and PSI at each poll, and the rest where somebody has waited since the last one."""

    def __init__(self, procfs: ProcFS) -> None:
        self.latest: Sample | None = None
        """As it was taken."""
        self._procfs = procfs
        self._page_size = procfs.machine().page_size
        self._groups, self._disks = procfs.group_stalls(), procfs.group_disk_waits()
        self._stalls: dict[str, Seconds] = {}
        self._disk_waits: dict[str, Seconds] = {}
        self._delays_source: TaskDelays | NoDelays = NoDelays()
        self._delays = UNKNOWN
        self._pressure: Pressure | None = None
        self._seen: Window[Room] = Window(SPAN)
        self._vmstat = procfs.vmstat()
        self._swap_cost = self._cost_of_swap(procfs.memory())
        procfs.per_cpu_free()

    def watch(self, groups: frozenset[str]) -> None:
        """Read the stalls of these control groups from now on, and no others."""
        self._groups.watch(groups)
        self._disks.watch(groups)

    @property
    def groups(self) -> AbstractSet[str]:
        """The control groups whose stalls are known."""
        return self._stalls.keys()

    def listen_to(self, source: TaskDelays | NoDelays) -> None:
        """Where the delays of processes come from, from now on."""
        self._delays_source, self._delays = source, UNKNOWN

    def watch_processes(self, processes: Iterable[Key]) -> None:
        """Follow the delays of these from now on, and of no others."""
        self._delays_source.watch(processes)

    def follow(self) -> None:
        """Read the delays, for the samples to come: asking for them is no work for the kill path."""
        self._delays = self._delays_source.read()

    def take(self, is_near: Callable[[Memory], bool]) -> Sample:
        """The host now; where available memory `is_near` its limit, what the CPUs keep counts as well."""
        at = Seconds(time.monotonic())
        memory, pressure = self._procfs.memory(), self._procfs.pressure()
        near = is_near(memory)
        if near:
            memory = replace(memory, available=Bytes(memory.available + self._procfs.per_cpu_free()))
        if pressure is None or pressure != self._pressure:
            # Where nobody has waited since, reclaim has done nothing that counts, and no group has waited
            # either; and these files are the dearest.
            self._vmstat = self._procfs.vmstat()
            self._stalls = self._groups.read()
            self._disk_waits = self._disks.read() if near else {}
            self._swap_cost = self._cost_of_swap(memory)
        self._pressure = pressure
        self.latest = Sample(
            at=at,
            memory=memory,
            pressure=pressure,
            vmstat=self._vmstat,
            stalls=self._stalls,
            disk_waits=self._disk_waits,
            swap_cost=self._swap_cost,
            delays=self._delays,
        )
        return self.latest

    def glimpse(self) -> Glimpse:
        """Of the host now no more than tells whether calm lasts."""
        at = Seconds(time.monotonic())
        return Glimpse(at=at, room=self._procfs.room(), pressure=self._procfs.pressure())

    def remember(self, seen: Glimpse) -> None:
        """Calm did last, so nothing but room was another than in the latest sample."""
        self._seen.add(seen.at, seen.room)

    def remembered(self) -> tuple[Sample, ...]:
        """What the samples since the latest would have been, as far as they tell a pace now; once."""
        latest = self.latest
        if latest is None or not self._seen:
            return ()
        memory = latest.memory
        samples = tuple(
            replace(latest, at=at, memory=replace(memory, available=room.available, swap_free=room.swap_free))
            for at, room in self._seen
        )
        self._seen.clear()
        return samples

    def _cost_of_swap(self, memory: Memory) -> float:
        if not memory.swap_total:
            return 0.0
        return swapspace.cost(self._procfs.swap_areas(), Bytes(self._vmstat.zspages * self._page_size))
