"""What a host and its kernel mean for a guard, whatever its configuration. Values in, findings out; pure."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum

from oomguard.cgroup import Layout
from oomguard.finding import Finding, Topic, note, problem, warning, well
from oomguard.frozen import frozen
from oomguard.gauge import NEVER_OVERCOMMIT
from oomguard.meminfo import Memory, Overcommit
from oomguard.pressure import StallOf
from oomguard.swapspace import SwapArea
from oomguard.units import MIB, Bytes
from oomguard.wording import size


class Call(StrEnum):
    """System calls that the guard makes, and not every kernel knows."""

    PIDFD = "pidfd_send_signal"
    RELEASE = "process_mrelease"


@frozen
class Groups:
    """What the host's control groups (v2) can do."""

    layout: Layout
    controllers: frozenset[str]
    """Those that the root hands down (cgroup.subtree_control)."""
    files: frozenset[str]
    """Those of `GROUP_FILES` that groups have."""


GROUP_FILES = ("memory.pressure", "cgroup.kill", "cgroup.freeze", "memory.reclaim")


@frozen
class Host:
    """What matters of a host."""

    memory: Memory
    swaps: tuple[SwapArea, ...]
    zswap: bool
    overcommit: Overcommit
    psi: bool
    """The kernel accounts for stalls."""
    psi_off: bool
    """Its command line says psi=0."""
    no_alarm: str
    """Why the kernel would wake nobody for a stall; "" where it would, or a guard runs that knows better."""
    counts_delays: bool
    groups: Groups
    lacks: frozenset[Call]
    panic_on_oom: int
    """vm.panic_on_oom: 0, 1 for a host that is out of memory, 2 for a control group too."""
    min_free: Bytes | None
    """vm.min_free_kbytes; None where that cannot be read."""


TOO_MUCH_FREE = 0.1
"""The kernel itself sets aside a twentieth of memory at the most (`set_recommended_min_free_kbytes()`)."""
PANIC_FOR_GROUPS = 2
"""Of vm.panic_on_oom."""
TOO_LITTLE_FREE = Bytes(MIB)
"""Below this the kernel may deadlock (Documentation/admin-guide/sysctl/vm.rst)."""


def host_findings(host: Host, stall_of: StallOf) -> Iterator[Finding]:
    """All of them, a reassuring one for each topic with which nothing is wrong included.

    `stall_of`: whose stall counts, by the configuration.
    """
    yield from _stalls(host)
    yield from _swap(host)
    yield _overcommit(host)
    yield _groups(host, stall_of)
    yield from _kernel(host)


def _stalls(host: Host) -> Iterator[Finding]:
    if not host.psi:
        why = ", as it was booted with psi=0" if host.psi_off else ""
        estimate = "the stall budget rests on an estimate, from what reclaim did"
        yield warning(
            Topic.STALLS,
            f"This kernel does not account for stalls{why}: {estimate}.",
            "Boot with psi=1; that takes Linux 4.20 and CONFIG_PSI.",
        )
    elif host.no_alarm:
        yield note(
            Topic.STALLS,
            f"No stall wakes a guard started like this, so it looks once a second: {host.no_alarm}.",
            "Run the guard with CAP_SYS_RESOURCE, as its unit does.",
        )
    else:
        yield well(Topic.STALLS, "The kernel accounts for stalls (PSI).")


def _swap(host: Host) -> Iterator[Finding]:
    in_memory = Bytes(sum(area.size for area in host.swaps if area.in_memory))
    if not host.memory.swap_total:
        yield note(
            Topic.SWAP,
            "There is no swap: what is available decides alone, and limits.swap_free counts for nothing.",
            "Some swap, on a disk or in zram, gives the guard time; it does without.",
        )
    elif in_memory:
        room = "of what is free there, only what compression saves counts as room"
        yield note(Topic.SWAP, f"{size(in_memory)} of swap are in zram, which is memory: {room}.")
    else:
        yield well(Topic.SWAP, f"There are {size(host.memory.swap_total)} of swap.")
    if host.zswap:
        yield note(Topic.SWAP, "zswap is on: what is swapped out stays in memory at first, compressed.")


def _overcommit(host: Host) -> Finding:
    mode, memory = f"vm.overcommit_memory = {host.overcommit.mode}", host.memory
    if host.overcommit.mode != NEVER_OVERCOMMIT:
        return well(Topic.OVERCOMMIT, f"{mode}: promises have no limit, and commit.term counts for nothing.")
    refused = f"memory is refused once {size(memory.commit_limit)} are promised, whatever is available"
    what = f"{mode}: {refused}; commit.term acts before that."
    if memory.commit_limit >= memory.total:
        return note(Topic.OVERCOMMIT, what)
    return note(
        Topic.OVERCOMMIT,
        f"{what} {size(Bytes(memory.total - memory.commit_limit))} of memory are good for caches only.",
        "Raise vm.overcommit_ratio (100 with little swap), where that is not meant.",
    )


def _groups(host: Host, stall_of: StallOf) -> Finding:
    groups = host.groups
    if groups.layout is not Layout.UNIFIED:
        return _not_unified(host, stall_of)
    if "memory.pressure" not in groups.files and host.psi:
        return warning(
            Topic.CGROUPS,
            "Control groups have no pressure of their own, so the whole host's stall counts.",
            "Take cgroup_disable=pressure off the kernel's command line.",
        )
    if "memory" not in groups.controllers:
        return note(
            Topic.CGROUPS,
            "The memory controller is not enabled: control groups have no limits, and no relief.",
            "Take cgroup_disable=memory off the kernel's command line (a Raspberry Pi wants "
            'cgroup_enable=memory), or write "+memory" to cgroup.subtree_control.',
        )
    return well(Topic.CGROUPS, "Control groups are version 2, with memory and pressure.")


def _not_unified(host: Host, stall_of: StallOf) -> Finding:
    lost = "no [[cgroup]], no relief, no killing of a whole group at once"
    what = f"Control groups are not version 2 alone ({host.groups.layout}): {lost}"
    boot = "Boot with systemd.unified_cgroup_hierarchy=1"
    if stall_of is StallOf.ANYONE or host.counts_delays:
        return note(Topic.CGROUPS, f"{what}.", f"{boot} to have them.")
    return warning(
        Topic.CGROUPS,
        f"{what}; and whom a hog stalls is not known, so the whole host's stall counts.",
        f"{boot}, or with delayacct, which tells what single processes wait for; or set "
        'stall.of = "anyone", where that is meant.',
    )


def _kernel(host: Host) -> Iterator[Finding]:
    found = (*_calls(host), *_settings(host))
    yield from found or (well(Topic.KERNEL, "The kernel knows all that the guard asks for."),)


def _calls(host: Host) -> Iterator[Finding]:
    if Call.PIDFD in host.lacks:
        yield problem(
            Topic.KERNEL,
            "There are no pidfds, so nobody is signalled: the pid may be another's by then.",
            "Linux 5.3 or later, and no seccomp filter that refuses pidfd_open and pidfd_send_signal.",
        )
    if Call.RELEASE in host.lacks:
        yield note(
            Topic.KERNEL,
            "There is no process_mrelease: the memory of a victim comes back once it gets to run.",
            "Linux 5.15 or later, and no seccomp filter that refuses it.",
        )
    absent = [name for name in GROUP_FILES[1:] if name not in host.groups.files]
    if host.groups.layout is Layout.UNIFIED and "memory" in host.groups.controllers and absent:
        yield note(
            Topic.KERNEL,
            f"Control groups have no {', '.join(absent)}: what needs that is left out.",
            "Linux 5.14 has cgroup.kill, 5.19 memory.reclaim.",
        )


def _settings(host: Host) -> Iterator[Finding]:
    if host.panic_on_oom:
        panic = f"vm.panic_on_oom = {host.panic_on_oom}: a host that runs out of memory panics"
        remedy = "Set it to 0, unless another host takes over at once."
        if host.panic_on_oom == PANIC_FOR_GROUPS:
            yield warning(Topic.KERNEL, f"{panic}, and so it does for a control group at its limit.", remedy)
        else:
            yield note(Topic.KERNEL, f"{panic}, unless the guard comes first.", remedy)
    if host.min_free is None:
        return
    if host.min_free > TOO_MUCH_FREE * host.memory.total:
        aside = f"{size(host.min_free)} of {size(host.memory.total)}"
        yield warning(
            Topic.KERNEL,
            f"vm.min_free_kbytes sets {aside} aside, which nobody can use.",
            "Leave it to the kernel, or set a twentieth of memory at the most.",
        )
    if host.min_free < TOO_LITTLE_FREE:
        yield warning(
            Topic.KERNEL,
            f"vm.min_free_kbytes is {size(host.min_free)}: below 1 MiB the kernel itself may deadlock.",
            "Leave it to the kernel.",
        )
