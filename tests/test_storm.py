from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oomguard.process import Key
from oomguard.ranking import EXPORTER_UNIT, Exempt, Judged, Ranking
from oomguard.rules import Standing
from oomguard.storm import (
    GUARD_UNIT,
    REMEMBERED,
    Obstacle,
    Origin,
    Response,
    Storm,
    Storms,
    Tolerance,
    may_be_stopped,
    origin_of,
)
from oomguard.units import Pid, Seconds, Ticks, Uid
from tests.builders import judged, process, ranked, verdict
from tests.telling import HOSTILE

ALERT = Tolerance(kills=3, within=Seconds(600.0), action=Response.ALERT)
STOP = replace(ALERT, action=Response.STOP_UNIT)
NOBODY = ranked()


def of(unit: str) -> Judged:
    return judged(process(20), cgroup=f"/system.slice/{unit}", unit=unit)


def storms(deaths: str, tolerance: Tolerance = ALERT, remembered: Storms | None = None) -> list[str]:
    """The storms of `deaths`, such as "a0 b10": a unit by its letter, and when somebody in it died."""
    memory = remembered or Storms(tolerance)
    found = []
    for death in deaths.split():
        storm = memory.note(of(f"{death[0]}.service"), Seconds(float(death[1:])), NOBODY)
        if storm is not None:
            assert storm.origin.unit == f"{death[0]}.service"
            found.append(f"{death}:{storm.kills}")
    return found


@pytest.mark.parametrize(
    ("deaths", "expected"),
    [
        ("a0", []),
        ("a0 a1", []),
        ("a0 a1 a2", ["a2:3"]),
        ("a0 a599 a599.9", ["a599.9:3"]),
        ("a0 a300 a600", []),
        ("a0 a300 a600 a601", ["a601:3"]),
        ("a0 b1 a2 b3", []),
        ("a0 b1 a2 b3 a4", ["a4:3"]),
        ("a0 b1 a2 b3 a4 b5", ["a4:3", "b5:3"]),
        # Told once, ...
        ("a0 a1 a2 a3 a4 a5 a6", ["a2:3"]),
        ("a0 a1 a2 a300 a601.9", ["a2:3"]),
        # ... and again where it goes on after the while.
        ("a0 a1 a2 a300 a601 a602", ["a2:3", "a602:3"]),
        ("a0 a1 a2 a200 a300 a400 a500 a700", ["a2:3", "a700:5"]),
        # Of the second one there have to be as many as of the first.
        ("a0 a1 a2 a603 a604", ["a2:3"]),
        ("a0 a1 a2 a603 a604 a605", ["a2:3", "a605:3"]),
    ],
)
def test_so_many_within_a_while_are_a_storm(deaths: str, expected: list[str]) -> None:
    assert storms(deaths) == expected


def test_dry_run_and_enforce_do_not_mix() -> None:
    """Each has its own memory, as a guard that changes its mode begins anew."""
    real, dry = Storms(ALERT), Storms(ALERT)
    assert storms("a0 a1", remembered=real) == []
    assert storms("a2 a3", remembered=dry) == []
    assert storms("a4", remembered=real) == ["a4:3"]


def test_memory_is_bounded() -> None:
    others = " ".join(f"b{n}" for n in range(2, 2 + REMEMBERED))
    assert storms(f"a0 a1 {others} a100 a101") == ["b4:3"]
    assert storms(f"a0 a1 {others} a100 a101 a102") == ["b4:3", "a102:3"]


DEATHS = st.lists(
    st.tuples(st.sampled_from("abc"), st.floats(0, 300, allow_nan=False)), max_size=3 * REMEMBERED
)


@given(DEATHS, st.integers(2, 16), st.floats(1, 2000))
def test_laws(deaths: list[tuple[str, float]], kills: int, within: float) -> None:
    memory = Storms(Tolerance(kills=kills, within=Seconds(within), action=Response.ALERT))
    at, died, told = 0.0, Counter[str](), Counter[str]()
    last: dict[str, float] = {}
    for unit, pause in deaths:
        at += pause
        died[unit] += 1
        storm = memory.note(of(unit), Seconds(at), NOBODY)
        if storm is None:
            continue
        told[unit] += 1
        assert kills <= storm.kills <= died[unit]
        # Nobody is told of again in a while, unless so many died since that the last time is forgotten.
        assert at - last.get(unit, -within) >= within or died.total() > REMEMBERED
        last[unit] = at
    assert all(told[unit] <= died[unit] // kills for unit in died)


PARENT = judged(process(7))
KEY = Key(Pid(7), Ticks(70))


@pytest.mark.parametrize(
    ("unit", "cgroup", "origin"),
    [
        ("a.service", "/system.slice/a.service", Origin(unit="a.service")),
        ("a.service", "/system.slice/a.service/below", Origin(unit="a.service")),
        ("run-1.scope", "/system.slice/run-1.scope", Origin(unit="run-1.scope")),
        ("session-3.scope", "/user.slice/session-3.scope", Origin(cgroup="/user.slice/session-3.scope")),
        ("session-a.service", "/session-a.service", Origin(unit="session-a.service")),
        ("user@0.service", "/user@0.service/b.service", Origin(cgroup="/user@0.service/b.service")),
        (None, "/docker/1", Origin(cgroup="/docker/1")),
        (None, "/", Origin(uid=Uid(1000), parent=KEY)),
        ("user@0.service", "/", Origin(uid=Uid(1000), parent=KEY)),
    ],
)
def test_origin(unit: str | None, cgroup: str, origin: Origin) -> None:
    victim = judged(process(20, ppid=7), cgroup=cgroup, unit=unit)
    found = ranked(PARENT, victim)
    assert origin_of(victim, found) == origin
    renamed = replace(victim, process=replace(victim.process, comm="another"))
    assert origin_of(renamed, found) == origin


def test_a_parent_that_has_gone_is_not_known() -> None:
    victim = judged(process(20, ppid=7), cgroup="/")
    assert origin_of(victim, ranked(victim)) == Origin(uid=Uid(1000))


def test_a_parent_counts_even_where_it_may_not_die() -> None:
    victim = judged(process(20, ppid=7), cgroup="/")
    protected = replace(PARENT, verdict=verdict(Standing.NEVER))
    assert origin_of(victim, ranked(protected, victim)).parent == KEY


def storm_of(victim: Judged, found: Ranking, tolerance: Tolerance = STOP) -> Storm:
    memory = Storms(tolerance)
    *none, storm = (memory.note(victim, Seconds(at), found) for at in range(tolerance.kills))
    assert none == [None] * (tolerance.kills - 1)
    assert storm is not None
    return storm


INSIDE = judged(process(21), unit="a.service")
ZOMBIE = replace(INSIDE, process=replace(INSIDE.process, memory=None))


@pytest.mark.parametrize(
    ("others", "obstacle"),
    [
        ([], None),
        ([INSIDE], None),
        ([ZOMBIE], None),
        ([judged(process(21), verdict(Standing.NEVER), unit="b.service")], None),
        ([judged(process(21, adj=-1000), unit=None)], None),
        ([replace(INSIDE, verdict=verdict(Standing.NEVER))], Obstacle.PROTECTED),
        ([replace(INSIDE, verdict=verdict(unresolved=True))], Obstacle.PROTECTED),
        ([replace(ZOMBIE, verdict=verdict(Standing.NEVER))], Obstacle.PROTECTED),
        ([judged(process(21, adj=-1000), unit="a.service")], Obstacle.PROTECTED),
        ([judged(process(1), unit="a.service")], Obstacle.PROTECTED),
    ],
)
def test_a_unit_with_somebody_who_may_not_die_is_not_stopped(
    others: list[Judged], obstacle: Obstacle | None
) -> None:
    victim = of("a.service")
    storm = storm_of(victim, ranked(victim, *others))
    assert storm.obstacle is obstacle
    assert storm.action is (Response.STOP_UNIT if obstacle is None else Response.ALERT)
    assert storm_of(victim, ranked(victim, *others), ALERT).obstacle is None


def test_the_guards_own_unit_is_not_stopped_whatever_its_name() -> None:
    victim = of("a.service")
    own = Exempt(own=frozenset((Pid(21),)), passed_over=frozenset())
    assert storm_of(victim, ranked(victim, INSIDE, exempt=own)).obstacle is Obstacle.PROTECTED


def test_who_was_passed_over_is_no_reason_to_spare_its_unit() -> None:
    victim = of("a.service")
    ghost = Exempt(own=frozenset(), passed_over=frozenset((INSIDE.process.key,)))
    assert storm_of(victim, ranked(victim, INSIDE, exempt=ghost)).obstacle is None


@pytest.mark.parametrize(
    "victim", [judged(process(20), cgroup="/x"), judged(process(20), cgroup="/"), of("init.scope")]
)
def test_what_is_no_unit_is_not_stopped(victim: Judged) -> None:
    assert storm_of(victim, NOBODY).obstacle is Obstacle.NO_UNIT
    assert storm_of(victim, NOBODY, ALERT).obstacle is None


@pytest.mark.parametrize(
    ("unit", "may"),
    [
        ("cache.service", True),
        ("cache@eu-1.service", True),
        ("run-r1.scope", True),
        ("dev\\x2dsda.service", True),
        ("user-runtime-dir@0.service", True),
        (GUARD_UNIT, False),
        (EXPORTER_UNIT, False),
        ("init.scope", False),
        ("session-3.scope", False),
        ("user@1000.service", False),
        ("*.service", False),
        ("a?.service", False),
        ("[ab].service", False),
        ("-.service", False),
        ("--force.service", False),
        ("/etc/a.service", False),
        ("a b.service", False),
        ("a.service\n", False),
        ("a.service b.service", False),
        ("é.service", False),
        (".service", False),
        ("a.slice", False),
        ("a.socket", False),
        ("a.service…", False),
        ("", False),
        ("a" * 247 + ".service", True),
        ("a" * 248 + ".service", False),
        (HOSTILE + ".service", False),
    ],
)
def test_may_be_stopped(unit: str, may: bool) -> None:
    assert may_be_stopped(unit) is may
