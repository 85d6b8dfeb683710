"""/proc/meminfo: how much memory and swap there is, and how much is left; and how much is promised."""

from __future__ import annotations

from dataclasses import dataclass

from oomguard.fields import number, whole
from oomguard.units import KIB, Bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """The lines of /proc/meminfo that decisions rest on (proc_meminfo(5), fs/proc/meminfo.c)."""

    total: Bytes
    free: Bytes
    available: Bytes
    """MemAvailable, or its estimate on kernels before 3.14 that do not say."""
    swap_total: Bytes
    swap_free: Bytes
    active_file: Bytes
    inactive_file: Bytes
    shmem: Bytes
    slab_unreclaimable: Bytes
    commit_limit: Bytes
    committed: Bytes
    """Committed_AS: what was promised, used or not."""
    hugetlb: Bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Overcommit:
    """How much the kernel promises (proc_sys_vm(5), mm/util.c `__vm_enough_memory()`)."""

    mode: int
    """vm.overcommit_memory: 0 heuristic, 1 always, 2 never past the commit limit."""
    admin_reserve: Bytes
    """vm.admin_reserve_kbytes: in mode 2, what is left of the limit for CAP_SYS_ADMIN."""
    user_reserve: Bytes
    """vm.user_reserve_kbytes: in mode 2, the most that a single process must leave to the others."""


# MemTotal:       24684092 kB
# MemFree:        24493448 kB
# MemAvailable:   24418808 kB
# Active(file):      13580 kB
# Inactive(file):     8944 kB
# SwapTotal:             0 kB
# SwapFree:              0 kB
# Shmem:              8856 kB
# SReclaimable:      70128 kB
# SUnreclaim:        22860 kB
# CommitLimit:    12342044 kB
# Committed_AS:      64436 kB
# HugePages_Total:       0
# Hugepagesize:       2048 kB
# Hugetlb:               0 kB
def parse_meminfo(data: bytes) -> Memory:
    """`Memory` from the whole text of /proc/meminfo; raises `Malformed` where a needed line is missing.

    What a kernel may leave out is 0. Hugetlb (4.17) is made up for from the pages of the default size.
    """
    text = b"\n" + whole(data)
    free = _bytes(text, b"\nMemFree:")
    active_file = _bytes(text, b"\nActive(file):", 0)
    inactive_file = _bytes(text, b"\nInactive(file):", 0)
    available = _bytes(text, b"\nMemAvailable:", -1)
    if available < 0:
        # Half of the page cache and of the reclaimable slab, as si_mem_available() counts at least;
        # the watermarks that it also takes off are not to be seen here.
        reclaimable = active_file + inactive_file + _bytes(text, b"\nSReclaimable:", 0)
        available = Bytes(free + reclaimable // 2)
    hugetlb = _bytes(text, b"\nHugetlb:", -1)
    if hugetlb < 0:
        pages = number(text, b"\nHugePages_Total:", b"\n", 0)
        hugetlb = Bytes(pages * _bytes(text, b"\nHugepagesize:", 0))
    return Memory(
        total=_bytes(text, b"\nMemTotal:"),
        free=free,
        available=available,
        swap_total=_bytes(text, b"\nSwapTotal:"),
        swap_free=_bytes(text, b"\nSwapFree:"),
        active_file=active_file,
        inactive_file=inactive_file,
        shmem=_bytes(text, b"\nShmem:", 0),
        slab_unreclaimable=_bytes(text, b"\nSUnreclaim:", 0),
        commit_limit=_bytes(text, b"\nCommitLimit:"),
        committed=_bytes(text, b"\nCommitted_AS:"),
        hugetlb=hugetlb,
    )


def _bytes(text: bytes, key: bytes, default: int | None = None) -> Bytes:
    return Bytes(number(text, key, b" kB\n", default) * KIB)
