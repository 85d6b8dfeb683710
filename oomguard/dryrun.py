"""The actor that kills nobody, and looks at the host as if it had.

Each would-be victim becomes a ghost: it counts as dead at once, and as long as it really lives its
memory counts as free and the stall as ended. So an audit goes through the same episodes as a real
guard, and each would-be kill is reported once.
"""

from __future__ import annotations

from collections.abc import Iterable

from oomguard.cgroup import contains
from oomguard.episode import Sent
from oomguard.errors import Gone, Malformed
from oomguard.event import Mode
from oomguard.frozen import positional, replace
from oomguard.kill import Delivery
from oomguard.plan import Kill
from oomguard.pressure import Sample
from oomguard.process import Key
from oomguard.procfs import ProcFS
from oomguard.psi import Pressure
from oomguard.units import Bytes, Seconds


@positional
class _Stall:
    """The totals that tell the stall: PSI's, and for hosts without PSI what its estimate rests on."""

    some: float
    full: float
    allocstall: int

    def __add__(self, other: _Stall) -> _Stall:
        return _Stall(self.some + other.some, self.full + other.full, self.allocstall + other.allocstall)

    def __sub__(self, other: _Stall) -> _Stall:
        return _Stall(self.some - other.some, self.full - other.full, self.allocstall - other.allocstall)


NO_STALL = _Stall(0.0, 0.0, 0)


class DryRun:
    """Signals nobody; remembers whom it would have."""

    mode = Mode.DRY_RUN
    fds: tuple[int, ...] = ()

    def __init__(self, procfs: ProcFS, page_size: int) -> None:
        self._procfs = procfs
        self._page_size = page_size
        self._ghosts: dict[Key, str] = {}
        """And the control group of each."""
        self._seen = NO_STALL
        self._spared = NO_STALL

    def signal(self, kill: Kill, sent: Sent) -> Delivery:  # noqa: ARG002 - of the Protocol
        """Nothing is sent: the members are ghosts from now on."""
        self._ghosts.update((judged.process.key, judged.cgroup) for judged in kill.members)
        return Delivery.DELIVERED

    def left(self) -> int:
        """A ghost is gone the moment it is made."""
        return 0

    def stand_down(self) -> None:
        """Ghosts stay until they really exit."""

    def pretended(self) -> frozenset[Key]:
        """The ghosts."""
        return frozenset(self._ghosts)

    def pretended_in(self, group: str) -> Bytes:
        """What those in the group hold in memory."""
        resident, _ = self._held(key for key, cgroup in self._ghosts.items() if contains(group, cgroup))
        return resident

    def world(self, sample: Sample) -> Sample:
        """`sample` with the memory of the ghosts free, and without the stall since the first of them."""
        resident, swapped = self._held(self._ghosts)
        memory, pressure = sample.memory, sample.pressure
        stall = self._unhaunted(
            _Stall(
                0.0 if pressure is None else pressure.some,
                0.0 if pressure is None else pressure.full,
                sample.vmstat.allocstall,
            )
        )
        if not self._ghosts and self._spared == NO_STALL:
            return sample
        return replace(
            sample,
            memory=replace(
                memory,
                available=Bytes(min(memory.available + resident, memory.total)),
                swap_free=Bytes(min(memory.swap_free + swapped, memory.swap_total)),
                committed=Bytes(max(memory.committed - resident - swapped, 0)),
            ),
            pressure=pressure and Pressure(some=Seconds(stall.some), full=Seconds(stall.full)),
            vmstat=replace(sample.vmstat, allocstall=stall.allocstall),
        )

    def _held(self, ghosts: Iterable[Key]) -> tuple[Bytes, Bytes]:
        """What these ghosts hold in memory and in swap; those that have really exited are let go."""
        resident = swapped = 0
        for key in tuple(ghosts):
            try:
                process = self._procfs.process(key.pid)
            except (Gone, Malformed):
                del self._ghosts[key]
                continue
            if process.key != key or process.memory is None:
                del self._ghosts[key]
                continue
            resident += process.memory.rss_anon + process.memory.rss_shmem + process.memory.page_tables
            swapped += process.memory.swap
        return Bytes(resident * self._page_size), Bytes(swapped * self._page_size)

    def _unhaunted(self, stall: _Stall) -> _Stall:
        """The totals less what they grew by while a ghost was about."""
        if self._ghosts:
            self._spared += stall - self._seen
        self._seen = stall
        return stall - self._spared
