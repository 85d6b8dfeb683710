"""Who holds the memory in use, and whether deaths of processes could bring it back at all. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from oomguard.meminfo import Holdings
from oomguard.process import Process
from oomguard.units import Bytes, Pages


class Holder(StrEnum):
    """What memory is used for: the same words everywhere."""

    PROCESSES = "processes"
    """Private memory of processes, in swap too."""
    KERNEL_STACKS = "kernel_stacks"
    PAGE_TABLES = "page_tables"
    SHARED_MEMORY = "shared_memory"
    """tmpfs and shared memory, in swap too: stays while a file or anybody has it."""
    LOCKED_FILES = "locked_files"
    """ramfs, and files locked in memory."""
    SLAB = "slab"
    """What the kernel keeps for itself and cannot drop."""
    HUGEPAGES = "hugepages"
    PERCPU = "percpu"
    SOCKETS = "sockets"
    OTHER = "other"
    """What /proc/meminfo does not name: drivers, zram, caches of ZFS."""


Held = tuple[tuple[Holder, Bytes], ...]
"""Who holds how much, the largest first; who holds nothing is left out."""

WITH_PROCESSES = frozenset((Holder.PROCESSES, Holder.KERNEL_STACKS, Holder.PAGE_TABLES))
"""What goes when processes go."""
ELSEWHERE = frozenset((Holder.SHARED_MEMORY, Holder.LOCKED_FILES, Holder.SLAB, Holder.PERCPU, Holder.SOCKETS))
"""What outlives processes, as far as one can tell beforehand.

Huge pages are on neither side: the operator took them out of the machine. Nor is what nobody names: it may
be the compressed memory of processes, a cache that shrinks, or a driver's.
"""


def swapped(everybody: Iterable[Process]) -> Pages:
    """How much of the swap in use is private memory of `everybody` (VmSwap, proc_pid_status(5))."""
    return Pages(sum(process.memory.swap for process in everybody if process.memory))


def holders(holdings: Holdings, private_swap: Bytes) -> Held:
    """Who holds the memory and the swap that are in use and cannot be reclaimed.

    `private_swap`: what processes have there (`swapped`); the rest is tmpfs and shared memory, swapped out.
    """
    # Processes forked from one another may have the same in swap.
    private_swap = min(private_swap, holdings.swap_used)
    claims = (
        (Holder.PROCESSES, holdings.anon + holdings.zswap + private_swap),
        (Holder.KERNEL_STACKS, holdings.kernel_stacks),
        (Holder.PAGE_TABLES, holdings.page_tables),
        (Holder.SHARED_MEMORY, holdings.shmem + holdings.swap_used - private_swap),
        (Holder.LOCKED_FILES, holdings.locked_files),
        (Holder.SLAB, holdings.slab_unreclaimable),
        (Holder.HUGEPAGES, holdings.hugetlb),
        (Holder.PERCPU, holdings.percpu),
        # Some of these buffers are slab, so they come last.
        (Holder.SOCKETS, holdings.sockets),
    )
    left = max(0, holdings.total + holdings.swap_used - holdings.free - holdings.reclaimable)
    held = []
    # The kernel does not count all of this at one instant: nobody holds more than the others leave.
    for holder, claim in claims:
        amount = min(claim, left)
        left -= amount
        held.append((holder, Bytes(amount)))
    held.append((Holder.OTHER, Bytes(left)))
    held.sort(key=lambda one: one[1], reverse=True)
    return tuple(one for one in held if one[1])


def is_elsewhere(held: Held) -> bool:
    """More is held by what outlives processes than by processes: killing on would not bring it back."""
    with_processes = sum(amount for holder, amount in held if holder in WITH_PROCESSES)
    return sum(amount for holder, amount in held if holder in ELSEWHERE) > with_processes
