"""How bad is a process? The kernel's measure, today's and the classic one, and the culprit's, term by term.

Pure. `kernel` follows mm/oom_kill.c `oom_badness()` of 5.9 and later; `classic` follows `badness()`
of kernels up to 2.6.35; `culprit` adds to the kernel's who has grown of late.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from itertools import accumulate
from math import isqrt

from oomguard.frozen import frozen, positional
from oomguard.process import Process
from oomguard.units import Pages, Pid, Points, Seconds

CAP_SYS_RAWIO = 1 << 17
CAP_SYS_ADMIN = 1 << 21
CAP_SYS_RESOURCE = 1 << 24
"""Capabilities as `Process.cap_effective` has them (capabilities(7), linux/capability.h)."""

OOM_SCORE_ADJ_MIN = -1000
OOM_SCORE_ADJ_MAX = 1000
OOM_DISABLE = -17
OOM_ADJUST_MAX = 15
"""The two scales of linux/oom.h: oom_score_adj, and the oom_adj that it replaced in 2.6.36."""

ROOT_PAYS_IN_FULL = (4, 17)
"""Since then ("mm, oom: remove 3% bonus for CAP_SYS_ADMIN processes")."""
SCORE_TELLS_NEGATIVES = (5, 9)
"""Since then ("mm, oom: make the calculation of oom badness more accurate")."""

GROWTH_WEIGHT = 6
"""How often what a process gained of late counts, beyond what it holds.

Of a burst that is the gain of some ten seconds, so six times as much is what another minute at that pace
would add: `culprit` ranks by what each would hold a minute from now. Who has leaked for minutes has gained
more, and is weighed as the habit that it is. A leaker at 30 % of memory passes a steady database at 50 % once
it has gained 3.4 %. With much less weight whoever is big dies for what others do; with much more, a small
program that has just started passes the one that fills the machine.
"""


class Policy(StrEnum):
    """Which measure ranks the processes."""

    KERNEL = "kernel"
    CLASSIC = "classic"
    CULPRIT = "culprit"


@frozen
class Machine:
    """What badness needs to know of the host."""

    total: Pages
    """Memory and swap together: `totalpages` of `constrained_alloc()`."""
    page_size: int
    ticks_per_second: int
    uptime: Seconds
    """Since boot, on the clock of `Key.starttime`."""
    release: tuple[int, int]
    """The kernel's version."""


class Term(StrEnum):
    """A step of the computation."""

    RSS_ANON = "rss_anon"
    RSS_FILE = "rss_file"
    RSS_SHMEM = "rss_shmem"
    SWAP = "swap"
    PAGE_TABLES = "page_tables"
    OOM_SCORE_ADJ = "oom_score_adj"
    TOTAL_VM = "total_vm"
    CHILDREN = "children"
    CPU_TIME = "cpu_time"
    RUN_TIME = "run_time"
    NICE = "nice"
    ADMIN = "admin"
    RAW_IO = "raw_io"
    OOM_ADJ = "oom_adj"
    GROWTH = "growth"
    RULES = "rules"
    """What the operator's `adjust` rules add."""


@positional
class Step:
    """One term, and the points once it has been taken into account."""

    term: Term
    points: Points


def kernel(process: Process, machine: Machine) -> Points:
    """The points that `oom_badness()` gives a killable process; 0 without memory. May be negative.

    Two things of older kernels: before 4.17, CAP_SYS_ADMIN takes 3 % off here as it did there; before
    5.9, whoever was at 0 or below counted as 1, while here they keep their order.
    """
    memory = process.memory
    if memory is None:
        return Points(0)
    held = memory.rss_anon + memory.rss_file + memory.rss_shmem + memory.swap + memory.page_tables
    held -= _root_bonus(held, process, machine)
    return Points(held + process.oom_score_adj * (machine.total // 1000))


def explain_kernel(process: Process, machine: Machine) -> tuple[Step, ...]:
    """The same, step by step: the last step has the points of `kernel`. Empty without memory."""
    memory = process.memory
    if memory is None:
        return ()
    *sums, held = accumulate(
        (memory.rss_anon, memory.rss_file, memory.rss_shmem, memory.swap, memory.page_tables)
    )
    terms = (Term.RSS_ANON, Term.RSS_FILE, Term.RSS_SHMEM, Term.SWAP, Term.PAGE_TABLES)
    steps = [Step(term, Points(points)) for term, points in zip(terms, (*sums, held), strict=True)]
    if bonus := _root_bonus(held, process, machine):
        steps.append(Step(Term.ADMIN, Points(held - bonus)))
    steps.append(Step(Term.OOM_SCORE_ADJ, kernel(process, machine)))
    return tuple(steps)


def _root_bonus(held: int, process: Process, machine: Machine) -> int:
    if machine.release >= ROOT_PAYS_IN_FULL or not process.cap_effective & CAP_SYS_ADMIN:
        return 0
    return held * 3 // 100


def culprit(process: Process, growth: Pages, machine: Machine) -> Points:
    """The points of `kernel`, and `GROWTH_WEIGHT` times the growth; 0 without memory.

    `growth`: what the process has gained of late. Where nobody grows, the order is the kernel's.
    """
    if process.memory is None:
        return Points(0)
    return Points(kernel(process, machine) + GROWTH_WEIGHT * growth)


def explain_culprit(process: Process, growth: Pages, machine: Machine) -> tuple[Step, ...]:
    """The same, step by step: the last step has the points of `culprit`. Empty without memory."""
    steps = explain_kernel(process, machine)
    return (*steps, Step(Term.GROWTH, culprit(process, growth, machine))) if steps else ()


def oom_score(process: Process, machine: Machine) -> int:
    """What /proc/PID/oom_score shows for it (fs/proc/base.c `proc_oom_score()` of `machine.release`).

    The kernel shows 0 for two more, which look like others from outside: a child in vfork, on memory
    that is its parent's, and a victim whose memory was reaped (MMF_OOM_SKIP). Pid 1 is taken for the
    host's init; in a pid namespace of its own it is not, and the kernel shows its score there.
    """
    if process.memory is None or process.kernel_thread or process.key.pid == 1:
        return 0
    if process.oom_score_adj == OOM_SCORE_ADJ_MIN:
        return 0
    points = kernel(process, machine)
    if machine.release < SCORE_TELLS_NEGATIVES:
        return max(points, 1) * 1000 // machine.total
    return _divided((1000 + _divided(points * 1000, machine.total)) * 2, 3)


def _divided(number: int, by: int) -> int:
    """C's division, by a positive number: it truncates toward zero where Python's // rounds down."""
    return number // by if number >= 0 else -(-number // by)


def classic(process: Process, children: Pages, machine: Machine) -> Points:
    """The points of the classic `badness()`; 0 without memory and where oom_score_adj is -1000.

    `children`: for each direct child with an address space of its own, half its total_vm and a page.

    CPU time counts in units of 2^(SHIFT_HZ + 3) timer ticks, so their length depended on the HZ that the
    kernel was built with: 8.192 s at 250 and at 1000, 10.24 s at 100. HZ is taken to be
    `machine.ticks_per_second`, the only one that userspace is shown, which is 100 nearly everywhere.
    """
    points = Points(0)
    for _, points in _classic_terms(process, children, machine):  # noqa: B007 (the last one is what counts)
        pass
    return points


def explain_classic(process: Process, children: Pages, machine: Machine) -> tuple[Step, ...]:
    """The same, step by step: the last step has the points of `classic`. Empty without memory."""
    return tuple(Step(term, points) for term, points in _classic_terms(process, children, machine))


def _classic_terms(process: Process, children: Pages, machine: Machine) -> Iterator[tuple[Term, Points]]:
    """Each term of mm/oom_kill.c `badness()` of 2.6.35, in its order, with the points after it."""
    if process.memory is None:
        return
    points: int = process.memory.total_vm
    yield Term.TOTAL_VM, Points(points)
    points += children
    yield Term.CHILDREN, Points(points)
    points //= isqrt(_cpu_time(process, machine)) or 1
    yield Term.CPU_TIME, Points(points)
    points //= isqrt(isqrt(_run_time(process, machine))) or 1
    yield Term.RUN_TIME, Points(points)
    if process.nice > 0:
        points *= 2
    yield Term.NICE, Points(points)
    if process.cap_effective & (CAP_SYS_ADMIN | CAP_SYS_RESOURCE):
        points //= 4
    yield Term.ADMIN, Points(points)
    if process.cap_effective & CAP_SYS_RAWIO:
        points //= 4
    yield Term.RAW_IO, Points(points)
    yield Term.OOM_ADJ, Points(_shifted(points, oom_adj(process.oom_score_adj)))


def _cpu_time(process: Process, machine: Machine) -> int:
    # SHIFT_HZ of linux/jiffies.h: HZ from 3/4 of a power of two to below 3/2 of it counts as that power.
    shift_hz = (machine.ticks_per_second * 4 // 3).bit_length() - 1
    return process.cpu_time >> (shift_hz + 3)


def _run_time(process: Process, machine: Machine) -> int:
    started = process.key.starttime // machine.ticks_per_second
    return max(int(machine.uptime) - started, 0) >> 10


def _shifted(points: int, adj: int) -> int:
    if adj == OOM_DISABLE:
        return 0
    if adj > 0:
        return max(points, 1) << adj
    return points >> -adj


def oom_adj(oom_score_adj: int) -> int:
    """The old scale's value for one of the new (fs/proc/base.c `oom_adj_read()`): -17 to 15."""
    return min(_divided(oom_score_adj * -OOM_DISABLE, OOM_SCORE_ADJ_MAX), OOM_ADJUST_MAX)


def childrens_share(processes: tuple[Process, ...]) -> dict[Pid, Pages]:
    """For each parent's pid, the `children` argument of `classic`; a pid without children is absent.

    Which children have an address space of their own is not shown, so it is inferred: one whose program
    and memory are equal to its parent's in every figure is taken to be in vfork, on its parent's memory.
    """
    by_pid = {process.key.pid: process for process in processes}
    shares: dict[Pid, Pages] = {}
    for child in processes:
        parent = by_pid.get(child.ppid)
        if child.memory is None or parent is None:
            continue
        if child.memory == parent.memory and child.image == parent.image:
            continue
        shares[child.ppid] = Pages(shares.get(child.ppid, 0) + child.memory.total_vm // 2 + 1)
    return shares


def adjusted(points: Points, thousandths: int, machine: Machine) -> Points:
    """`points` moved by the operator's rules: thousandths of `machine.total`, as oom_score_adj counts."""
    return Points(points + thousandths * (machine.total // 1000))
