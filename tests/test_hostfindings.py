from __future__ import annotations

from dataclasses import replace

import pytest

from oomguard.cgroup import Layout
from oomguard.finding import Severity, Topic
from oomguard.hostfindings import GROUP_FILES, Call, Groups, Host, host_findings
from oomguard.meminfo import Overcommit
from oomguard.pressure import StallOf
from oomguard.swapspace import SwapArea
from oomguard.units import MIB, Bytes
from tests.builders import memory

NOTHING = Bytes(0)
GROUPS = Groups(
    layout=Layout.UNIFIED, controllers=frozenset(("memory", "pids")), files=frozenset(GROUP_FILES)
)
AREA = SwapArea(size=Bytes(500 * MIB), used=NOTHING, in_memory=False)
HOST = Host(
    memory=memory(swap_total=500),
    swaps=(AREA,),
    zswap=False,
    overcommit=Overcommit(mode=0, admin_reserve=NOTHING, user_reserve=NOTHING),
    psi=True,
    psi_off=False,
    no_alarm="",
    counts_delays=False,
    groups=GROUPS,
    lacks=frozenset(),
    panic_on_oom=0,
    min_free=Bytes(45 * MIB),
)
LEGACY = replace(GROUPS, layout=Layout.LEGACY, controllers=frozenset(), files=frozenset())
STRICT = replace(HOST.overcommit, mode=2)
WELL, NOTE, WARNING, PROBLEM = Severity


def test_a_host_with_which_all_is_well() -> None:
    found = tuple(host_findings(HOST, StallOf.BYSTANDERS))
    assert {one.severity for one in found} == {WELL}
    assert [one.topic for one in found] == [
        Topic.STALLS, Topic.SWAP, Topic.OVERCOMMIT, Topic.CGROUPS, Topic.KERNEL,
    ]  # fmt: skip
    assert not any(one.remedy for one in found)


@pytest.mark.parametrize(
    ("host", "severity", "topic", "what"),
    [
        (replace(HOST, psi=False), WARNING, Topic.STALLS, "does not account for stalls: the stall budget"),
        (replace(HOST, psi=False, psi_off=True), WARNING, Topic.STALLS, "booted with psi=0"),
        (replace(HOST, no_alarm="no"), NOTE, Topic.STALLS, "looks once a second: no."),
        (replace(HOST, memory=memory(), swaps=()), NOTE, Topic.SWAP, "There is no swap"),
        (replace(HOST, swaps=(replace(AREA, in_memory=True), AREA)), NOTE, Topic.SWAP, "500 MiB of swap"),
        (replace(HOST, zswap=True), NOTE, Topic.SWAP, "zswap is on"),
        (replace(HOST, overcommit=STRICT), NOTE, Topic.OVERCOMMIT, "500 MiB of memory are good for caches"),
        (
            replace(HOST, overcommit=STRICT, memory=memory(swap_total=500, commit_limit=1200)),
            NOTE,
            Topic.OVERCOMMIT,
            "once 1200 MiB are promised, whatever is available; commit.term acts before that.",
        ),
        (replace(HOST, groups=LEGACY), WARNING, Topic.CGROUPS, "(v1)"),
        (replace(HOST, groups=LEGACY, counts_delays=True), NOTE, Topic.CGROUPS, "at once."),
        (
            replace(HOST, groups=replace(GROUPS, files=frozenset(GROUP_FILES[1:]))),
            WARNING,
            Topic.CGROUPS,
            "no pressure of their own",
        ),
        (
            replace(HOST, groups=replace(GROUPS, controllers=frozenset(("pids",)))),
            NOTE,
            Topic.CGROUPS,
            "memory controller is not enabled",
        ),
        (replace(HOST, lacks=frozenset((Call.PIDFD,))), PROBLEM, Topic.KERNEL, "There are no pidfds"),
        (replace(HOST, lacks=frozenset((Call.RELEASE,))), NOTE, Topic.KERNEL, "no process_mrelease"),
        (
            replace(HOST, groups=replace(GROUPS, files=frozenset(GROUP_FILES[:2]))),
            NOTE,
            Topic.KERNEL,
            "no cgroup.freeze, memory.reclaim:",
        ),
        (replace(HOST, panic_on_oom=1), NOTE, Topic.KERNEL, "vm.panic_on_oom = 1"),
        (replace(HOST, panic_on_oom=2), WARNING, Topic.KERNEL, "so it does for a control group"),
        (replace(HOST, min_free=Bytes(101 * MIB)), WARNING, Topic.KERNEL, "101 MiB of 1000 MiB aside"),
        (replace(HOST, min_free=Bytes(MIB - 1)), WARNING, Topic.KERNEL, "1023 KiB: below 1 MiB"),
    ],
)  # fmt: skip
def test_what_is_not_as_it_should_be(host: Host, severity: Severity, topic: Topic, what: str) -> None:
    (found,) = [one for one in host_findings(host, StallOf.BYSTANDERS) if one.severity is not WELL]
    assert (found.severity, found.topic) == (severity, topic)
    assert what in found.what
    assert found.remedy or severity is NOTE


def test_without_pressure_no_group_is_missed_twice() -> None:
    host = replace(HOST, psi=False, groups=replace(GROUPS, files=frozenset(GROUP_FILES[1:])))
    (found,) = [one for one in host_findings(host, StallOf.BYSTANDERS) if one.severity is WARNING]
    assert found.topic is Topic.STALLS


def test_old_groups_cost_less_where_anyones_stall_counts() -> None:
    found = host_findings(replace(HOST, groups=LEGACY), StallOf.ANYONE)
    assert [one.severity for one in found if one.topic is Topic.CGROUPS] == [NOTE]


@pytest.mark.parametrize("min_free", [Bytes(MIB), Bytes(100 * MIB), None])
def test_what_the_kernel_may_set_aside(min_free: Bytes | None) -> None:
    found = host_findings(replace(HOST, min_free=min_free), StallOf.ANYONE)
    assert {one.severity for one in found if one.topic is Topic.KERNEL} == {WELL}
