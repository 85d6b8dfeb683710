"""What a process may do, as /proc/PID tells it, and what the guard wants each capability for. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum

from oomguard.errors import Malformed
from oomguard.fields import number, whole
from oomguard.frozen import frozen
from oomguard.units import KIB, Bytes


class Capability(IntEnum):
    """Those that the guard wants, by their numbers (<linux/capability.h>)."""

    DAC_OVERRIDE = 1
    KILL = 5
    NET_ADMIN = 12
    IPC_LOCK = 14
    SYS_PTRACE = 19
    SYS_NICE = 23
    SYS_RESOURCE = 24

    @property
    def spelt(self) -> str:
        """As people write it."""
        return f"CAP_{self.name}"


COSTS = {
    Capability.KILL: "nobody of another user can be ended",
    Capability.SYS_PTRACE: (
        "the programs of other users cannot be told, so rules on exe or comm protect none of them; "
        "with hidepid they are not even seen"
    ),
    Capability.IPC_LOCK: "the guard may not lock itself in memory, and then waits for the disk",
    Capability.SYS_NICE: "the guard waits its turn for the CPU, behind those who stall",
    Capability.SYS_RESOURCE: (
        "the guard cannot exempt itself from the kernel's killer, and before Linux 6.4 no stall wakes it"
    ),
    Capability.DAC_OVERRIDE: (
        "control groups of other users cannot be killed at once, only process by process; "
        "nor be throttled, frozen or reclaimed from"
    ),
    Capability.NET_ADMIN: "no delays of processes, and before Linux 6.6 no process events",
}
"""What is lost without each; the dearest first."""

SILENT = (Capability.KILL, Capability.SYS_PTRACE, Capability.DAC_OVERRIDE)
"""Those whose lack shows only once they are needed. What the others are for is tried at the start."""


def holds(effective: int, capability: Capability) -> bool:
    """Whether it is among the `effective` ones, as CapEff has them."""
    return bool(effective >> capability & 1)


def lacking(effective: int, wanted: Iterable[Capability] = tuple(COSTS)) -> tuple[Capability, ...]:
    """Which of `wanted` are not among the `effective` ones, as CapEff has them."""
    return tuple(each for each in wanted if not holds(effective, each))


@frozen
class Privileges:
    """What a process may do, and what became of it (proc_pid_status(5), sched(7))."""

    uid: int
    """The effective user id."""
    effective: int
    """CapEff."""
    no_new_privileges: bool
    filtered: bool
    """A seccomp filter is in force."""
    locked: Bytes
    oom_score_adj: int
    real_time: bool
    """It is scheduled by SCHED_FIFO or SCHED_RR."""
    nice: int
    lockable: Bytes | None
    """RLIMIT_MEMLOCK, which bounds those without CAP_IPC_LOCK; None for no limit."""


def parse_privileges(status: bytes, stat: bytes, limits: bytes, oom_score_adj: bytes) -> Privileges:
    """`Privileges` from these files of /proc/PID; raises `Malformed`. Works as well for others' processes."""
    # Only the first line is the process's own to write, so the last Uid is the kernel's.
    text = whole(status)[status.rfind(b"\nUid:\t") :]
    at = text.find(b"\nCapEff:\t")
    # What follows comm holds no bracket; the first field is the third of proc_pid_stat(5).
    fields = stat[stat.rfind(b") ") + 2 :].split()
    try:
        return Privileges(
            uid=int(text.split(maxsplit=3)[2]),
            effective=int(text[at + 9 : at + 25], 16),
            no_new_privileges=bool(number(text, b"\nNoNewPrivs:\t", b"\n", 0)),
            filtered=bool(number(text, b"\nSeccomp:\t", b"\n", 0)),
            locked=Bytes(number(text, b"\nVmLck:\t", b" kB\n", 0) * KIB),
            oom_score_adj=int(oom_score_adj),
            real_time=int(fields[38]) in _REAL_TIME,
            nice=int(fields[16]),
            lockable=_lockable(limits),
        )
    except (IndexError, ValueError) as error:
        raise Malformed(f"not what a process may do: {error}") from error


_REAL_TIME = frozenset((1, 2))
"""SCHED_FIFO and SCHED_RR (<linux/sched.h>)."""


# Max locked memory         8388608              8388608              bytes
def _lockable(limits: bytes) -> Bytes | None:
    key = b"\nMax locked memory"
    at = limits.index(key) + len(key)
    soft = limits[at:].split(maxsplit=1)[0]
    return None if soft == b"unlimited" else Bytes(int(soft))
