"""Keeps the guard itself in memory, and out of harm's way, while everybody else runs out of it.

Each function does one thing and says in words what this host did not grant; the guard goes on without.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import gc
import os
import resource
from _thread import stack_size
from contextlib import suppress

from oomguard.units import KIB, MIB, Bytes

# <sys/mman.h>
MCL_CURRENT = 1
MCL_FUTURE = 2
MCL_ONFAULT = 4

# <malloc.h>
M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
M_ARENA_MAX = -8

HEAP_LIMIT = Bytes(1024 * MIB)
"""Memory that is free at the top of the heap is not given back below this."""

BLOCK_LIMIT = Bytes(32 * MIB)
"""Blocks below this come from the heap: the most that mallopt(3) accepts."""

STACK = Bytes(256 * KIB)

REAL_TIME = 1
"""The lowest of the real-time priorities: before all that is ordinary, behind all that is urgent."""

SMALL = Bytes(512)
"""The largest object that comes from an arena (CPython, Objects/obmalloc.c SMALL_REQUEST_THRESHOLD)."""

ARENA = Bytes(MIB)
"""CPython, Objects/obmalloc.c ARENA_SIZE."""


def lock() -> tuple[str, ...]:
    """Locks what is in memory, and from now on each page once it is touched (mlockall(2))."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) == 0:
        return ()
    code = ctypes.get_errno()
    remedy = "give it CAP_IPC_LOCK"
    if code == errno.ENOMEM:
        soft, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
        remedy += f", or raise the limit of locked memory (LimitMEMLOCK=, ulimit -l) from {soft // KIB} KiB"
    return (f"cannot lock the guard in memory, so it may be swapped out ({os.strerror(code)}): {remedy}",)


def keep_heap() -> tuple[str, ...]:
    """Has malloc keep what is freed, and take blocks of all sizes from the one heap (mallopt(3))."""
    libc = ctypes.CDLL(None)
    # musl has none, and gives nothing back by trimming either.
    if not hasattr(libc, "mallopt"):
        return ("no mallopt in this C library, so the heap may shrink and has to grow again",)
    wishes = ((M_TRIM_THRESHOLD, HEAP_LIMIT), (M_MMAP_THRESHOLD, BLOCK_LIMIT), (M_ARENA_MAX, 1))
    refused = [option for option, value in wishes if not libc.mallopt(option, value)]
    return (f"mallopt refused the options {refused}, so the heap may have to grow again",) if refused else ()


def grow_heap(amount: Bytes) -> None:
    """Gets `amount` from the kernel, touched, and leaves it free for objects larger than `SMALL`.

    For amounts below `BLOCK_LIMIT`, and after `keep_heap`: else it goes back at once.
    """
    bytes(1) * amount


def hold_arenas(amount: Bytes) -> tuple[bytes, ...]:
    """Gets arenas of `amount` in all from the kernel, touched and empty but for the pins that are returned.

    An arena that is wholly free is unmapped, and mapped again when it is needed; so one small object is
    to be kept in each of them. A window of half an arena's size fits into each wherever it begins.
    """
    block = SMALL - b"".__sizeof__()
    blocks = [bytes(block) for _ in range(amount // SMALL)]
    return tuple({id(block) // (ARENA // 2): block for block in blocks}.values())


def hold_descriptors(number: int) -> None:
    """Has the kernel make room in the table of descriptors for so many, which it keeps.

    To grow the table of a process with threads, it waits until each CPU has been through its scheduler
    (fs/file.c `expand_fdtable()`, synchronize_rcu()). In the middle of a fork bomb that took five seconds.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    with open(os.devnull, "rb") as file:
        os.close(fcntl.fcntl(file, fcntl.F_DUPFD_CLOEXEC, min(number, soft) - 1))


def shrink_stacks() -> None:
    """Gives the threads to come small stacks: a locked stack counts in full."""
    stack_size(STACK)


def pause_collector() -> None:
    """Collects garbage now and then only when asked: in a collection every object is visited."""
    gc.collect()
    gc.freeze()
    gc.disable()


def exempt(proc: str | os.PathLike[str] = "/proc") -> tuple[str, ...]:
    """Takes this process off the kernel's own list of victims (proc_pid_oom_score_adj(5))."""
    try:
        with open(os.path.join(proc, "self/oom_score_adj"), "wb") as file:
            file.write(b"-1000")
    except OSError as error:
        remedy = "give it CAP_SYS_RESOURCE, or start it with OOMScoreAdjust=-1000"
        return (f"the kernel may kill the guard itself ({error.strerror}): {remedy}",)
    return ()


def hurry() -> tuple[str, ...]:
    """Takes the CPU before others do: in real time, or else by nice (sched_setscheduler(2), setpriority(2)).

    In real time it may also dip into the last reserve of memory where others have to reclaim some first
    (mm/page_alloc.c `gfp_to_alloc_flags()`). What it starts from now on has an ordinary priority.
    """
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, -20)
    try:
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(REAL_TIME))
    except OSError as error:
        remedy = "give it CAP_SYS_NICE, and RestrictRealtime=no"
        return (f"the guard has to wait its turn for the CPU and for memory ({error.strerror}): {remedy}",)
    return ()
