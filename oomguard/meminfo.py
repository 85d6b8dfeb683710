"""/proc/meminfo: how much memory and swap there is, is left and is promised; and what it is used for."""

from __future__ import annotations

from oomguard.fields import number, whole
from oomguard.frozen import frozen
from oomguard.units import KIB, Bytes, Pages


@frozen
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


@frozen
class Room:
    """What tells whether memory runs short. Parsed apart from `Memory`, as it is asked for most often."""

    available: Bytes
    """-1 on kernels that do not say."""
    swap_free: Bytes


@frozen
class Holdings:
    """What memory is used for. Parsed apart from `Memory`, as nobody asks before memory is short."""

    total: Bytes
    free: Bytes
    """MemFree; as `ProcFS` reads it, with what the CPUs keep for themselves."""
    reclaimable: Bytes
    """File pages that can be dropped or written back, and slab that can shrink."""
    swap_used: Bytes
    """What is in swap and not in memory too, as a swap cache is."""
    anon: Bytes
    """Private memory of processes, mapped."""
    zswap: Bytes
    """The compressed copies of what counts as swapped (6.1; Documentation/admin-guide/mm/zswap.rst)."""
    shmem: Bytes
    """tmpfs, System V and POSIX shared memory, memfd; whether mapped or not."""
    locked_files: Bytes
    """File pages that cannot be dropped: a ramfs, and what is locked (mlock(2))."""
    slab_unreclaimable: Bytes
    hugetlb: Bytes
    """Huge pages set aside, whether used or not."""
    kernel_stacks: Bytes
    page_tables: Bytes
    percpu: Bytes
    sockets: Bytes
    """Buffers of TCP and UDP, of all network namespaces."""


@frozen
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
        hugetlb=_hugetlb(text),
    )


def parse_room(data: bytes) -> Room:
    """`Room` from the whole text of /proc/meminfo; raises `Malformed` where a needed line is missing."""
    text = whole(data)
    return Room(available=_bytes(text, b"\nMemAvailable:", -1), swap_free=_bytes(text, b"\nSwapFree:"))


# Buffers:           23424 kB
# Cached:          2120036 kB
# SwapCached:            0 kB
# Zswap:                 0 kB
# AnonPages:       1621004 kB
# KernelStack:        1592 kB
# PageTables:         5448 kB
# SecPageTables:         0 kB
# Percpu:              736 kB
def parse_holdings(data: bytes) -> Holdings:
    """`Holdings` from the whole text of /proc/meminfo, without sockets, of which it does not tell.

    Raises `Malformed` where a line is missing that every kernel writes.
    """
    text = b"\n" + whole(data)
    evictable = _bytes(text, b"\nActive(file):", 0) + _bytes(text, b"\nInactive(file):", 0)
    shmem = _bytes(text, b"\nShmem:", 0)
    # Cached has tmpfs in it, and what is on no list of pages to evict.
    files = _bytes(text, b"\nBuffers:") + _bytes(text, b"\nCached:") - shmem
    swapped = _bytes(text, b"\nSwapTotal:") - _bytes(text, b"\nSwapFree:") - _bytes(text, b"\nSwapCached:", 0)
    return Holdings(
        total=_bytes(text, b"\nMemTotal:"),
        free=_bytes(text, b"\nMemFree:"),
        reclaimable=Bytes(evictable + _bytes(text, b"\nSReclaimable:", 0)),
        swap_used=Bytes(max(0, swapped)),
        anon=_bytes(text, b"\nAnonPages:"),
        zswap=_bytes(text, b"\nZswap:", 0),
        shmem=shmem,
        locked_files=Bytes(max(0, files - evictable)),
        slab_unreclaimable=_bytes(text, b"\nSUnreclaim:", 0),
        hugetlb=_hugetlb(text),
        kernel_stacks=_bytes(text, b"\nKernelStack:", 0),
        page_tables=Bytes(_bytes(text, b"\nPageTables:", 0) + _bytes(text, b"\nSecPageTables:", 0)),
        percpu=_bytes(text, b"\nPercpu:", 0),
        sockets=Bytes(0),
    )


# sockets: used 12
# TCP: inuse 1 orphan 0 tw 0 alloc 1 mem 152
# UDP: inuse 0 mem 0
# UDPLITE: inuse 0
# RAW: inuse 0
# FRAG: inuse 0 memory 0
def parse_sockstat(data: bytes) -> Pages:
    """The buffers of sockets from /proc/net/sockstat, where `mem` is of the whole host, whatever the
    network namespace (net/ipv4/proc.c `sockstat_seq_show()`, `proto_memory_allocated()`). Raises `Malformed`.
    """
    text = b"\n" + whole(data)
    return Pages(sum(_socket_pages(text, protocol) for protocol in (b"\nTCP:", b"\nUDP:")))


def _socket_pages(text: bytes, protocol: bytes) -> int:
    start = text.find(protocol)
    return 0 if start < 0 else number(text[start : text.index(b"\n", start + 1) + 1], b" mem ", b"\n", 0)


def _hugetlb(text: bytes) -> Bytes:
    hugetlb = _bytes(text, b"\nHugetlb:", -1)
    if hugetlb >= 0:
        return hugetlb
    pages = number(text, b"\nHugePages_Total:", b"\n", 0)
    return Bytes(pages * _bytes(text, b"\nHugepagesize:", 0))


def _bytes(text: bytes, key: bytes, default: int | None = None) -> Bytes:
    return Bytes(number(text, key, b" kB\n", default) * KIB)
