"""Real kills: who dies, how, and who does not. The machine has 1 GiB and no swap."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.vm.guest import guard
from tests.vm.guest.check import check
from tests.vm.guest.guard import GUARD, counter, events, journal
from tests.vm.guest.hog import hog
from tests.vm.guest.host import EAT, eat, meminfo, run, until

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
CLASSIC = RULES.replace("[victim]", '[victim]\npolicy = "classic"\nscope = "tree"')
"""It charges a parent for its children, and the two go together."""
ALL_PROTECTED = """
[[rule]]
name = "everybody"
cgroup = "*"
effect = "never"
"""
WIDE = """
[limits.available]
term = "40%"
kill = "1%"
"""
"""Limits far apart, and far from where the kernel would act: there is time between them."""
BETWEEN = 250
"""MiB of available memory between these two."""


@check(limit=120)
def starts() -> None:
    guard.install(RULES)


@check(limit=90)
def a_leaker_dies_by_term() -> None:
    terms = counter("kills", signal="term")
    with hog("leaker", "leak", "4000", "60") as unit:
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
        assert unit.ending.startswith("killed"), unit.ending


@check(limit=90)
def who_is_more_than_its_user_dies() -> None:
    """Root by a file's mode, and nobody by its starter: /proc shows less of such a process."""
    program = "/var/tmp/eat"
    shutil.copy(EAT, program)
    Path(program).chmod(0o4755)
    with hog("setuid", "leak", "4000", "200", properties=("User=nobody",), program=program) as unit:
        until(lambda: not unit.alive, "its death", limit=60)
        assert unit.ending.startswith("killed"), unit.ending


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
def a_family_dies_as_a_whole() -> None:
    """No rule says so: it is what dies by default."""
    _dies_as_a_whole("workers-and-parent")


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
def a_cgroup_at_its_own_limit_is_the_kernels_business() -> None:
    kills, kernel_kills = counter("kills"), counter("kernel_kills")
    unit = eat("limited", "flat", "200", properties=("MemoryMax=50M",))
    until(lambda: not unit.alive, "the kernel's kill")
    unit.stop()
    until(lambda: counter("kernel_kills") > kernel_kills, "its count")
    assert counter("kills") == kills


@check(limit=150)
def when_the_kernel_comes_first_it_is_counted_and_told() -> None:
    guard.reload(ALL_PROTECTED)
    kills, kernel_kills = counter("kills"), counter("kernel_kills")
    unit = eat("unguarded", "flat", "4000")
    until(lambda: not unit.alive, "the kernel's kill", limit=90)
    unit.stop()
    until(lambda: counter("kernel_kills") > kernel_kills, "its count")
    assert counter("kills") == kills
    until(lambda: "The kernel itself killed" in journal(GUARD), "its line in the journal")


@check(limit=300)
def who_gets_the_pid_of_a_victim_lives() -> None:
    """One member of the group ends when asked; its pid is another's by the time of the group's SIGKILL."""
    guard.reload(WIDE + RULES.replace('grace = "5s"', 'grace = "30s"'))
    assert any(_bystander_has_the_pid_in_time() for _ in range(3)), journal(GUARD)


def _bystander_has_the_pid_in_time() -> bool:
    """Whether it came before the SIGKILL: the grace is shorter the less memory there is, it may be late."""
    with ExitStack() as processes, hog("parent-cgroup2", "--deaf", "leak", _down_to_between(), "150") as unit:
        member = processes.enter_context(_sleeper())
        Path(f"/proc/{member.pid}/oom_score_adj").write_text("0")
        Path(f"/sys/fs/cgroup{unit['ControlGroup']}/cgroup.procs").write_text(str(member.pid))
        member.wait(60)
        bystander = processes.enter_context(_sleeper(member.pid))
        in_time = unit.alive
        until(lambda: not unit.alive, "its death", limit=60)
        assert unit.ending == "killed KILL", unit.ending
        assert bystander.poll() is None, f"the bystander died: {bystander.returncode}"
        return in_time


@contextmanager
def _sleeper(pid: int | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """A process that does nothing, with a pid of our choice (pid_namespaces(7))."""
    sleeper = subprocess.Popen(("sleep", "1000"))
    try:
        while pid is not None and sleeper.pid != pid:
            sleeper.kill()
            sleeper.wait()
            Path("/proc/sys/kernel/ns_last_pid").write_text(str(pid - 1))
            sleeper = subprocess.Popen(("sleep", "1000"))
        yield sleeper
    finally:
        sleeper.kill()
        sleeper.wait()


@check(limit=120)
def a_tree_dies_as_a_whole() -> None:
    guard.reload(CLASSIC)
    _dies_as_a_whole("parent-tree")


@check(limit=120)
def in_dry_run_nobody_dies() -> None:
    guard.reload(f'mode = "dry-run"\n{WIDE}{RULES}')
    kills, would_kill = counter("kills"), counter("would_kills")
    with hog("dry", "flat", _down_to_between()) as unit:
        until(lambda: counter("would_kills") > would_kill, "what would have been", limit=60)
        assert unit.alive, unit.ending
    assert counter("kills") == kills


@check(limit=120)
def when_all_are_protected_nobody_dies_and_it_is_told() -> None:
    guard.reload(WIDE + ALL_PROTECTED)
    kills, holds = counter("kills"), counter("holds", reason="all_protected")
    with hog("held", "flat", _down_to_between()) as unit:
        until(lambda: counter("holds", reason="all_protected") > holds, "the hold", limit=60)
        assert unit.alive, unit.ending
    assert counter("kills") == kills
    assert GUARD["ActiveState"] == "active"


def _down_to_between() -> str:
    """How much is to be taken, in MiB, to stay between the limits."""
    return str(meminfo("MemAvailable") - BETWEEN)
