"""Looks at this host for `oomguard doctor`: reads, and judges nothing."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress

from oomguard import rank
from oomguard.badness import Policy
from oomguard.cgroupfs import CgroupFS
from oomguard.config import Config
from oomguard.errors import Gone, Malformed, RecordError
from oomguard.event import Degraded
from oomguard.fields import parse_int
from oomguard.gauge import Gauge
from oomguard.groupmemory import GroupMemory
from oomguard.guardfindings import Absent, Neighbour, Present
from oomguard.hostfile import parsed, read
from oomguard.hostfindings import GROUP_FILES, Call, Groups, Host
from oomguard.kill import PROCESS_MRELEASE
from oomguard.marks import line
from oomguard.memcg import parse_limit
from oomguard.mountinfo import hides_processes
from oomguard.pressure import Assessment
from oomguard.privilege import Capability, Privileges, holds, parse_privileges
from oomguard.procfs import ProcFS
from oomguard.reader import Reader
from oomguard.sampler import Sampler
from oomguard.settingfindings import Matched
from oomguard.state import current
from oomguard.trigger import NoTrigger, open_alarm
from oomguard.units import KIB, Bytes, Pid, Seconds


class Examiner:
    """Reads one host, with /proc and /sys below `root`."""

    def __init__(self, root: str = "/") -> None:
        self._root = root.rstrip("/")
        self._procfs = ProcFS(root)

    def guard(self, record: str) -> Present | Absent:
        """The guard that keeps the record at this path, if one does."""
        try:
            with Reader.open(record) as reader:
                state = current(reader.state(), Seconds(time.monotonic()))
                _, told = reader.events(0)
        except RecordError as error:
            return Absent(f"No guard runs: {error}")
        said = [
            each.event for each in told if each.wall >= state.started and isinstance(each.event, Degraded)
        ]
        return Present(state=state, degraded=tuple(dict.fromkeys(said)))

    def privileges(self, pid: Pid) -> Privileges | None:
        """What a process may do; None where it is gone, or hidden."""
        names = ("status", "stat", "limits", "oom_score_adj")
        try:
            return parse_privileges(*(read(f"{self._root}/proc/{pid}/{name}") for name in names))
        except OSError:
            return None

    def reserved(self, pid: Pid) -> Bytes | None:
        """The memory that is never taken from the process (memory.min); None where nothing tells."""
        try:
            group = self._procfs.membership(pid).unified or "/"
        except Gone:
            return None
        cgroups = self._procfs.cgroups()
        # What a group reserves counts as far as those above it do (cgroups(7), memory.min).
        found = (cgroups.value(each, "memory.min", parse_limit) for each in line(group))
        return min((amount for amount in found if amount is not None), default=None)

    def host(self, guard: Present | Absent) -> Host:
        """The host and its kernel."""
        procfs, min_free = self._procfs, self._sysctl("vm/min_free_kbytes")
        return Host(
            memory=procfs.memory(),
            swaps=procfs.swap_areas(),
            zswap=self._text("sys/module/zswap/parameters/enabled").strip() == b"Y",
            overcommit=procfs.overcommit(),
            psi=procfs.pressure() is not None,
            psi_off=b"psi=0" in self._text("proc/cmdline").split(),
            no_alarm=self._no_alarm() if isinstance(guard, Absent) else "",
            counts_delays=procfs.means().counts_delays,
            groups=_groups(procfs.cgroups()),
            lacks=frozenset(_lacks()),
            panic_on_oom=self._sysctl("vm/panic_on_oom") or 0,
            min_free=None if min_free is None else Bytes(min_free * KIB),
        )

    def hides_processes(self) -> bool:
        """Whether /proc shows each user but his own."""
        return hides_processes(self._text("proc/self/mountinfo"))

    def neighbours(self) -> Iterator[Neighbour]:
        """Everybody who might guard this host too; whoever ends meanwhile is left out."""
        procfs = self._procfs
        home = procfs.user_namespace(Pid(os.getpid()))
        for pid in procfs.pids():
            with suppress(Gone, Malformed, OSError):
                process = procfs.process(pid)
                if process.kernel_thread or pid == os.getpid():
                    continue
                theirs = procfs.user_namespace(pid)
                # In a user namespace of his own, anybody is root.
                if theirs is None or theirs == home:
                    yield Neighbour(
                        pid=pid,
                        uid=process.uid,
                        effective=process.cap_effective,
                        exe=procfs.exe(pid),
                        unit=procfs.membership(pid).unit,
                    )

    def assessment(self, config: Config) -> Assessment:
        """How bad it is now by the limits of `config`."""
        procfs = self._procfs
        gauge = Gauge(config.limits, procfs.overcommit(), procfs.machine().page_size)
        return gauge.read(Sampler(procfs).take(gauge.is_near), Seconds(0.0))

    def groups_of(self, config: Config) -> Mapping[str, Mapping[str, bool]]:
        """For the name of each [[cgroup]], the groups that it matches, and whether anything limits them."""
        cgroups = self._procfs.cgroups()
        found: dict[str, dict[str, bool]] = {}
        for entry in config.enclosures:
            there = (path for path in cgroups.matching(entry.path) if _exists(cgroups, path))
            found[entry.name] = {path: _is_limited(cgroups, path) for path in there}
        return found

    def matched(self, config: Config, own: Privileges) -> Matched | None:
        """Whom the rules of `config` match; None where `own`, who asks, may not see the names of all."""
        if config.rules and not holds(own.effective, Capability.SYS_PTRACE):
            return None
        host = rank.survey(config, Policy.KERNEL, self._procfs)
        return Matched(
            rules=frozenset(rule for one in host.everybody for rule in one.verdict.rules),
            candidates=len(rank.view(host, Policy.KERNEL, None).candidates),
        )

    def _no_alarm(self) -> str:
        alarm = open_alarm(f"{self._root}/proc/pressure/memory")
        if isinstance(alarm, NoTrigger):
            return alarm.why
        alarm.close()
        return ""

    def _text(self, path: str) -> bytes:
        """A file that not every host has; empty where there is none."""
        try:
            return read(f"{self._root}/{path}")
        except OSError:
            return b""

    def _sysctl(self, name: str) -> int | None:
        """None where a container hides it."""
        path = f"proc/sys/{name}"
        text = self._text(path)
        return parsed(f"/{path}", parse_int, text) if text else None


def _groups(cgroups: CgroupFS) -> Groups:
    handed_down = cgroups.value("/", "cgroup.subtree_control", bytes.split) or []
    # Any will do: they differ by what their parent hands down.
    files = (
        name
        for child in cgroups.children("/")[:1]
        for name in GROUP_FILES
        if _has(cgroups, f"/{child}", name)
    )
    return Groups(
        layout=cgroups.layout,
        controllers=frozenset(each.decode("ascii", "replace") for each in handed_down),
        files=frozenset(files),
    )


def _has(cgroups: CgroupFS, path: str, name: str) -> bool:
    try:
        folder = cgroups.open(path)
    except OSError:
        return False
    try:
        return os.access(name, os.F_OK, dir_fd=folder)
    finally:
        os.close(folder)


def _exists(cgroups: CgroupFS, path: str) -> bool:
    return cgroups.value(path, "cgroup.procs", bool) is not None


def _is_limited(cgroups: CgroupFS, path: str) -> bool:
    group = GroupMemory(cgroups, path)
    try:
        group.learn_limits(frozenset())
        return group.is_limited
    finally:
        group.close()


def _lacks() -> Iterator[Call]:
    """The calls that this kernel does not know, or a filter refuses."""
    try:
        pidfd = os.pidfd_open(os.getpid())
    except OSError:
        yield Call.PIDFD
        return
    try:
        signal.pidfd_send_signal(pidfd, 0)
    except OSError:
        yield Call.PIDFD
    finally:
        os.close(pidfd)
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall(PROCESS_MRELEASE, -1, 0)
    if ctypes.get_errno() != errno.EBADF:
        yield Call.RELEASE
