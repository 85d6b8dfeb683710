"""Control groups of the first version, as older distributions have them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.vm.guest import guard
from tests.vm.guest.check import check
from tests.vm.guest.guard import counter, events
from tests.vm.guest.hog import hog, leaker_dies
from tests.vm.guest.host import Unit, meminfo, until

RULES = """
[[rule]]
name = "database"
unit = "database*.service"
effect = "never"

[[rule]]
name = "whole-unit"
unit = "parent*.service"
effect = "prefer"
scope = "unit"
"""
FREEZER = Path("/sys/fs/cgroup/freezer")


@check(limit=120)
def starts() -> None:
    assert not Path("/sys/fs/cgroup/cgroup.controllers").exists()
    guard.install(RULES)


@check(limit=90)
def a_leaker_dies_by_term() -> None:
    leaker_dies("leaker")
    assert events("killing")[-1]["victim"]["unit"] == "leaker.service"


@check(limit=90)
def a_protected_unit_survives_though_it_is_the_biggest() -> None:
    with hog("database", "flat", "500") as database:
        until(lambda: database.rss >= 500, "the database")
        leaker_dies("leaker2", rate=100)
        assert database.alive, database.ending


@check(limit=90)
def a_unit_dies_as_a_whole() -> None:
    # One worker's end would be enough: the three that are left fit into memory.
    with hog("parent", "workers", "4", "210", "60") as parent:
        until(lambda: parent["TasksCurrent"] in {"0", "[not set]"}, "the death of all", limit=60)


@check(limit=120)
def a_victim_that_cannot_die_gives_its_memory_back() -> None:
    """Not even SIGKILL ends what the first version's freezer holds, but process_mrelease(2) empties it."""
    recovered = counter("outcomes", outcome="recovered")
    with hog("stuck", "flat", "500") as stuck:
        until(lambda: stuck.rss >= 500, "its size")
        with _frozen(stuck), hog("leaker3", "leak", _nearly_all(), "100") as leaker:
            until(lambda: stuck.rss < 100, "its memory", limit=60)
            assert stuck.alive, stuck.ending
            until(lambda: counter("outcomes", outcome="recovered") > recovered, "the episode's end")
            assert leaker.alive, leaker.ending


@check(limit=150)
def a_victim_that_cannot_die_is_passed_over() -> None:
    """Nothing gives back the memory of a tmpfs while somebody has it mapped."""
    file = Path("/dev/shm/held")
    hung = counter("outcomes", outcome="hung")
    with hog("held", "map", str(file), "400") as held:
        until(lambda: held.rss >= 350, "its size", limit=60)
        file.unlink()
        with _frozen(held), hog("leaker4", "leak", _nearly_all(), "100") as leaker:
            until(lambda: not leaker.alive, "the leaker's death", limit=60)
            assert held.alive, held.ending
    assert counter("outcomes", outcome="hung") == hung + 1


def _nearly_all() -> str:
    """As much as leaves the guard time for both: between the limits, and no more."""
    return str(meminfo("MemAvailable") - 70)


@contextmanager
def _frozen(unit: Unit) -> Iterator[None]:
    group = FREEZER / "held"
    group.mkdir(exist_ok=True)
    (group / "cgroup.procs").write_text(str(unit.pid))
    state = group / "freezer.state"
    state.write_text("FROZEN")
    until(lambda: state.read_text() == "FROZEN\n", "the frost")
    try:
        yield
    finally:
        state.write_text("THAWED")


@check()
def nothing_failed() -> None:
    assert counter("failures") == 0, events("failed")
