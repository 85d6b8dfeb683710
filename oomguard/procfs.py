"""/proc and /sys, as the guard reads them. The root is an argument, so that recorded trees read alike."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterable
from contextlib import suppress

from oomguard import pidfolder
from oomguard.arcstats import parse_arcstats
from oomguard.badness import Machine
from oomguard.cgroup import Layout, Membership
from oomguard.cgroupfs import IO_PRESSURE, MEMORY_PRESSURE, CgroupFS, GroupStalls
from oomguard.errors import Malformed
from oomguard.fields import parse_int
from oomguard.frozen import replace
from oomguard.groupmarks import GroupMarks
from oomguard.hostfile import KeptOpen, parsed, read
from oomguard.meminfo import (
    Holdings,
    Memory,
    Overcommit,
    Room,
    parse_holdings,
    parse_meminfo,
    parse_room,
    parse_sockstat,
)
from oomguard.process import Key, Outline, Process, Stat, Statm
from oomguard.psi import NO_PSI, Pressure, parse_pressure
from oomguard.sources import Means
from oomguard.swapspace import SwapArea, parse_swaps
from oomguard.units import KIB, Bytes, Pages, Pid, Seconds
from oomguard.vmstat import VmStat, parse_vmstat
from oomguard.zoneinfo import parse_per_cpu_pages

NO_PROCESS = (errno.ESRCH, errno.EINVAL, errno.ENOENT)
"""Nobody has the pid, or a thread has: pidfd_open(2) tells of EINVAL then, Linux 6.18 says ENOENT."""


class ProcFS:
    """`root`/proc and `root`/sys/fs/cgroup. Reading what belongs to a process that ended raises `Gone`.

    So does what may not be read (a proc mounted with hidepid, proc(5)): what cannot be judged cannot be
    chosen. Text that does not parse raises `Malformed`, which names the file; any other failure, `OSError`.
    """

    def __init__(self, root: str | os.PathLike[str] = "/") -> None:
        root = os.fspath(root).rstrip("/")
        self._proc = f"{root}/proc"
        self._cgroups = CgroupFS(f"{root}/sys/fs/cgroup")
        self._page_size = os.sysconf("SC_PAGE_SIZE")
        self._ticks_per_second = os.sysconf("SC_CLK_TCK")
        self._memory = KeptOpen(f"{self._proc}/meminfo", parse_meminfo)
        self._room = KeptOpen(f"{self._proc}/meminfo", parse_room)
        self._holdings = KeptOpen(f"{self._proc}/meminfo", parse_holdings)
        self._sockets = KeptOpen(f"{self._proc}/net/sockstat", parse_sockstat)
        self._vmstat = KeptOpen(f"{self._proc}/vmstat", parse_vmstat)
        self._pressure = KeptOpen(f"{self._proc}/pressure/memory", parse_pressure)
        self._zones = KeptOpen(f"{self._proc}/zoneinfo", parse_per_cpu_pages)
        self._swaps = KeptOpen(f"{self._proc}/swaps", parse_swaps)
        arcstats = f"{self._proc}/spl/kstat/zfs/arcstats"
        self._arcstats = KeptOpen(arcstats, parse_arcstats) if os.access(arcstats, os.F_OK) else None
        self._uptime = KeptOpen(f"{self._proc}/uptime", _parse_uptime)
        self._release = KeptOpen(f"{self._proc}/sys/kernel/osrelease", _parse_release)
        self._last_pid = KeptOpen(f"{self._proc}/loadavg", _parse_last_pid)

    @property
    def proc(self) -> str:
        """The path of /proc."""
        return self._proc

    def close(self) -> None:
        """Close what is kept open; a later reading opens it again."""
        self._memory.close()
        self._room.close()
        self._holdings.close()
        self._sockets.close()
        self._vmstat.close()
        self._pressure.close()
        self._zones.close()
        self._swaps.close()
        if self._arcstats is not None:
            self._arcstats.close()
        self._uptime.close()
        self._release.close()
        self._last_pid.close()

    def pids(self) -> list[Pid]:
        """Every process that /proc shows, in rising order."""
        return sorted(map(Pid, map(int, filter(str.isdecimal, os.listdir(self._proc)))))

    def last_pid(self) -> Pid | None:
        """The pid that was given away last, to a thread perhaps; None where that cannot be told.

        It is that of the reader's pid namespace (fs/proc/loadavg.c `loadavg_proc_show()`), and lxcfs mounts
        a file of its own there: then it says nothing of `pids`.
        """
        loadavg = f"{self._proc}/loadavg"
        try:
            ours = os.readlink(f"{self._proc}/self") == str(os.getpid())
            kernels = os.stat(loadavg).st_dev == os.stat(self._proc).st_dev
            return self._last_pid.read() if ours and kernels else None
        except (OSError, Malformed):
            return None

    def living(self, pids: Iterable[int]) -> list[Pid]:
        """Those of them that are processes here: pids are given to threads as well (pidfd_open(2))."""
        found = []
        for pid in pids:
            try:
                os.close(os.pidfd_open(pid))
            except OSError as error:
                if error.errno in NO_PROCESS:
                    continue
            # What the kernel cannot tell, whoever reads it will find out.
            found.append(Pid(pid))
        return found

    def process(self, pid: Pid) -> Process:
        """All of one process; for a zombie leader with live threads, the memory that its threads hold."""
        return pidfolder.read_process(self._folder(pid), self._page_size)

    def stat(self, pid: Pid) -> Stat:
        """The quick part of `process`: whether it still is who it was, and runs what it ran."""
        return pidfolder.read_stat(self._folder(pid))

    def fingerprint(self, pid: Pid) -> int:
        """Another number once it has run, or its resident set has changed: whether to read it anew."""
        return pidfolder.read_fingerprint(self._folder(pid))

    def outline(self, pid: Pid) -> Outline:
        """What one file tells of who is not known."""
        return pidfolder.read_outline(self._folder(pid))

    def started(self, key: Key) -> Seconds:
        """When the process started, on the clock of `uptime`."""
        return Seconds(key.starttime / self._ticks_per_second)

    def statm(self, pid: Pid) -> Statm:
        """What it maps and holds: the cheapest reading."""
        return pidfolder.read_statm(self._folder(pid))

    def oom_score(self, pid: Pid) -> int:
        """The kernel's own, coarse answer."""
        return pidfolder.read_oom_score(self._folder(pid))

    def membership(self, pid: Pid) -> Membership:
        """Its cgroups; `NO_CGROUP` where the kernel has none, or cannot tell."""
        return pidfolder.read_membership(self._folder(pid))

    def exe(self, pid: Pid) -> str | None:
        """The executable's path as the kernel shows it; None for kernel threads and where it cannot tell."""
        return pidfolder.read_exe(self._folder(pid))

    def cmdline(self, pid: Pid) -> str:
        """The arguments, separated by spaces; the first 32 KiB of them.

        Takes the process's mmap lock: may wait; never in the kill path.
        """
        return pidfolder.read_cmdline(self._folder(pid))

    def user_namespace(self, pid: Pid) -> str | None:
        """Its user namespace by the kernel's name for it; None where the kernel cannot tell."""
        return pidfolder.read_user_namespace(self._folder(pid))

    def memory(self) -> Memory:
        """The host's memory; what the cache of ZFS, if that is loaded, can give back is available."""
        memory = self._memory.read()
        if self._arcstats is None:
            return memory
        return replace(memory, available=Bytes(min(memory.available + self._arc(), memory.total)))

    def room(self) -> Room:
        """Of `memory` no more than tells whether it runs short."""
        room = self._room.read()
        return (
            room if self._arcstats is None else replace(room, available=Bytes(room.available + self._arc()))
        )

    def swap_areas(self) -> tuple[SwapArea, ...]:
        """What the host swaps to; none where that cannot be read."""
        try:
            return self._swaps.read()
        except OSError:
            return ()

    def holdings(self) -> Holdings:
        """What the host's memory is used for; without sockets where they cannot be read."""
        holdings = self._holdings.read()
        free = Bytes(holdings.free + self.per_cpu_free())
        return replace(holdings, free=free, sockets=self._socket_buffers())

    def per_cpu_free(self) -> Bytes:
        """Free memory in the lists of the CPUs, which `memory` leaves out; 0 where it cannot be read."""
        try:
            return Bytes(self._zones.read() * self._page_size)
        except OSError:
            return Bytes(0)

    def vmstat(self) -> VmStat:
        """What the host's reclaim did."""
        return self._vmstat.read()

    def pressure(self) -> Pressure | None:
        """The host's memory pressure; None where the kernel does not account for it."""
        try:
            return self._pressure.read()
        except OSError as error:
            if error.errno in NO_PSI:
                return None
            raise

    def layout(self) -> Layout:
        """How the host had mounted its control groups when this was made."""
        return self._cgroups.layout

    def group_stalls(self) -> GroupStalls:
        """A reader of the stalls of some v2 groups, none yet."""
        return GroupStalls(self._cgroups, MEMORY_PRESSURE)

    def group_disk_waits(self) -> GroupStalls:
        """The same of how long they waited for disks, whatever for."""
        return GroupStalls(self._cgroups, IO_PRESSURE)

    def group_marks(self) -> GroupMarks:
        """What the system says of control groups, nothing read yet."""
        return GroupMarks(self._cgroups)

    def cgroups(self) -> CgroupFS:
        """The control groups."""
        return self._cgroups

    def kill_cgroup(self, path: str) -> bool:
        """Kill all that is in a v2 group and below, at once, where the kernel can; gives whether it did."""
        return self._cgroups.kill(path)

    def machine(self) -> Machine:
        """What badness needs to know of this host, now."""
        memory = self._memory.read()
        return Machine(
            total=Pages((memory.total + memory.swap_total) // self._page_size),
            page_size=self._page_size,
            ticks_per_second=self._ticks_per_second,
            uptime=self._uptime.read(),
            release=self._release.read(),
        )

    def means(self) -> Means:
        """What the host has for the sources besides /proc."""
        try:
            counts_delays = self._sysctl("kernel/task_delayacct") == 1
        except OSError:  # before Linux 5.14
            counts_delays = False
        return Means(memory=self._memory.read().total, counts_delays=counts_delays)

    def overcommit(self) -> Overcommit:
        """How much the kernel promises."""
        return Overcommit(
            mode=self._sysctl("vm/overcommit_memory"),
            admin_reserve=Bytes(self._sysctl("vm/admin_reserve_kbytes") * KIB),
            user_reserve=Bytes(self._sysctl("vm/user_reserve_kbytes") * KIB),
        )

    def _arc(self) -> Bytes:
        """What the cache of ZFS can give back."""
        # Its module can be unloaded.
        with suppress(OSError):
            if self._arcstats is not None:
                return self._arcstats.read()
        return Bytes(0)

    def _folder(self, pid: Pid) -> str:
        return f"{self._proc}/{pid}"

    def _socket_buffers(self) -> Bytes:
        try:
            return Bytes(self._sockets.read() * self._page_size)
        except OSError:
            return Bytes(0)

    def _sysctl(self, name: str) -> int:
        path = f"{self._proc}/sys/{name}"
        return parsed(path, parse_int, read(path))


def uptime() -> Seconds:
    """Since the boot, suspended or not: CLOCK_BOOTTIME (clock_gettime(2))."""
    return Seconds(time.clock_gettime(time.CLOCK_BOOTTIME))


# 1332.67 2583.91
def _parse_uptime(data: bytes) -> Seconds:
    try:
        return Seconds(float(data.split()[0]))
    except (ValueError, IndexError) as error:
        raise Malformed("not a number of seconds") from error


# 0.20 0.18 0.12 1/80 11206
def _parse_last_pid(data: bytes) -> Pid:
    try:
        return Pid(int(data.split()[4]))
    except (ValueError, IndexError) as error:
        raise Malformed("not the fields of loadavg") from error


# 6.1.0-38-amd64
def _parse_release(data: bytes) -> tuple[int, int]:
    try:
        major, minor, *_ = data.split(b".")
        return int(major), int(minor.partition(b"-")[0])
    except ValueError as error:
        raise Malformed("not a kernel version") from error
