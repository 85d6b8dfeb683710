"""Real kills: who dies, how, and who does not. The machine has 1 GiB and no swap."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tests.vm.guest import guard
from tests.vm.guest.check import check
from tests.vm.guest.guard import GUARD, counter, events
from tests.vm.guest.host import Unit, eat, meminfo, run, until, vmstat

RULES = """
[victim]
grace = "5s"

[[rule]]
name = "database"
unit = "database*.service"
effect = "never"

[[rule]]
name = "a-name-that-anyone-can-take"
comm = "postgres"
effect = "never"

[[rule]]
name = "whole-unit"
unit = "parent-unit*.service"
effect = "prefer"
scope = "unit"

[[rule]]
name = "whole-cgroup"
unit = "parent-cgroup*.service"
effect = "prefer"
scope = "cgroup"

[[rule]]
name = "whole-group"
unit = "parent-group*.service"
effect = "prefer"
scope = "group"
"""
ALL_PROTECTED = """
[[rule]]
name = "everybody"
cgroup = "*"
effect = "never"
"""
DRY_RUN = f'mode = "dry-run"\n{RULES}'


@contextmanager
def hog(name: str, *words: str, properties: tuple[str, ...] = ()) -> Iterator[Unit]:
    """`eat` as a service that is gone, with its memory, when the check is over; and who else died is told."""
    innocent = _services()
    kernel_kills, available = vmstat("oom_kill"), meminfo("MemAvailable")
    unit = eat(name, *words, properties=properties)
    try:
        yield unit
        now = _services()
        died = sorted(each for each, pid in innocent.items() if now.get(each) != pid)
        assert not died, f"innocent, and dead: {died}"
        assert vmstat("oom_kill") == kernel_kills, "the kernel was faster"
    finally:
        unit.stop()
        until(lambda: meminfo("MemAvailable") > available - 50, "the memory back")


def _services() -> dict[str, str]:
    """Every running service that is not a hog, and its main process."""
    told = run("systemctl", "show", "--state=running", "--property=Id,MainPID,Transient", "*.service")
    services = [dict(line.split("=", 1) for line in block.splitlines()) for block in told.split("\n\n")]
    return {each["Id"]: each["MainPID"] for each in services if each["Transient"] == "no"}


@check(limit=120)
def starts() -> None:
    guard.install(RULES)
    until(lambda: counter("polls") > 0, "polls")


@check(limit=90)
def a_leaker_dies_by_term() -> None:
    terms = counter("kills", signal="term")
    with hog("leaker", "leak", "4000", "200") as unit:
        until(lambda: not unit.alive, "its death", limit=60)
        assert unit.ending == "killed TERM", unit.ending
    assert counter("kills", signal="term") == terms + 1
    assert events("killing")[-1]["victim"]["unit"] == "leaker.service"


@check(limit=90)
def a_process_that_grows_flat_out_dies() -> None:
    with hog("flat", "flat", "4000") as unit:
        until(lambda: not unit.alive, "its death", limit=60)
        assert unit.ending.startswith("killed"), unit.ending


@check(limit=90)
def who_ignores_term_dies_by_kill() -> None:
    with hog("deaf", "--deaf", "leak", "4000", "200") as unit:
        until(lambda: not unit.alive, "its death", limit=60)
        assert unit.ending == "killed KILL", unit.ending


@check(limit=90)
def a_protected_process_survives_though_it_is_the_biggest() -> None:
    with hog("database", "flat", "500") as database:
        until(lambda: database.rss >= 500, "the database")
        with hog("leaker2", "leak", "4000", "100") as leaker:
            until(lambda: not leaker.alive, "the leaker's death", limit=60)
        assert database.alive, database.ending


@check(limit=90)
def an_unkillable_process_survives_though_it_is_the_biggest() -> None:
    with hog("unkillable", "--adj", "-1000", "flat", "500") as unkillable:
        until(lambda: unkillable.rss >= 500, "the unkillable")
        with hog("leaker3", "leak", "4000", "100") as leaker:
            until(lambda: not leaker.alive, "the leaker's death", limit=60)
        assert unkillable.alive, unkillable.ending


@check(limit=90)
def a_protected_name_that_was_taken_protects_nobody() -> None:
    with hog("renamed", "--name", "postgres", "leak", "4000", "200") as unit:
        until(lambda: not unit.alive, "its death", limit=60)
        assert unit.ending == "killed TERM", unit.ending


def _dies_as_a_whole(name: str) -> None:
    # One worker's end would be enough: the three that are left fit into memory.
    with hog(name, "workers", "4", "210", "60") as parent:
        until(lambda: parent["TasksCurrent"] in {"0", "[not set]"}, "the death of all", limit=60)


@check(limit=90)
def a_unit_dies_as_a_whole() -> None:
    _dies_as_a_whole("parent-unit")


@check(limit=90)
def a_cgroup_dies_as_a_whole() -> None:
    _dies_as_a_whole("parent-cgroup")


@check(limit=90)
def a_process_group_dies_as_a_whole() -> None:
    _dies_as_a_whole("parent-group")


@check(limit=90)
def a_stopped_process_dies() -> None:
    with hog("stopped", "flat", "600") as unit:
        until(lambda: unit.rss >= 600, "its size")
        run("systemctl", "kill", "--signal=STOP", unit.name)
        with hog("leaker4", "leak", "250", "50"):
            until(lambda: not unit.alive, "its death", limit=60)


@check(limit=90)
def a_frozen_process_dies() -> None:
    with hog("frozen", "flat", "600") as unit:
        until(lambda: unit.rss >= 600, "its size")
        run("systemctl", "freeze", unit.name)
        with hog("leaker5", "leak", "250", "50"):
            until(lambda: not unit.alive, "its death", limit=60)


@check(limit=90)
def a_journal_that_hangs_delays_no_kill() -> None:
    journald = Unit("systemd-journald.service")
    run("systemctl", "kill", "--signal=STOP", journald.name)
    try:
        with hog("leaker6", "leak", "4000", "200") as unit:
            until(lambda: not unit.alive, "its death", limit=60)
    finally:
        run("systemctl", "kill", "--signal=CONT", journald.name)


@check(limit=90)
def a_cgroup_at_its_own_limit_is_the_kernels_business() -> None:
    kills, kernel_kills = counter("kills"), counter("kernel_kills")
    unit = eat("limited", "flat", "200", properties=("MemoryMax=50M",))
    until(lambda: not unit.alive, "the kernel's kill")
    unit.stop()
    until(lambda: counter("kernel_kills") > kernel_kills, "its count")
    assert counter("kills") == kills


@check(limit=120)
def in_dry_run_nobody_dies() -> None:
    guard.reload(DRY_RUN)
    kills, would_kill = counter("kills"), counter("would_kills")
    with hog("dry", "flat", str(meminfo("MemAvailable") - 70)) as unit:
        until(lambda: counter("would_kills") > would_kill, "what would have been", limit=60)
        assert unit.alive, unit.ending
    assert counter("kills") == kills


@check(limit=120)
def when_all_are_protected_nobody_dies_and_it_is_told() -> None:
    guard.reload(ALL_PROTECTED)
    kills, holds = counter("kills"), counter("holds", reason="all_protected")
    with hog("held", "flat", str(meminfo("MemAvailable") - 70)) as unit:
        until(lambda: counter("holds", reason="all_protected") > holds, "the hold", limit=60)
        assert unit.alive, unit.ending
    assert counter("kills") == kills
    assert GUARD["ActiveState"] == "active"
