"""Of many newcomers, those are read first who may matter."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from oomguard.census import Census
from oomguard.interest import Interest
from oomguard.newcomers import FEW, MOST_AT_MEETING, STALE
from oomguard.procfs import ProcFS
from oomguard.rules import Effect, Field, Rule, pattern
from oomguard.units import Pages, Pid, Ticks
from tests.builders import PAGE, pages
from tests.processfolder import WatchedProcFS, host, place
from tests.test_census import Slow, clock, hold

__all__ = ["clock"]

MANY = range(100, 100 + 2 * FEW)
LARGE, YOUNG, PARENT = 110, 120, 130
START = 9_995
INTEREST = Interest(page_size=PAGE, least=pages(50), swapped=Pages(0), young_since=Ticks(START * 100))


@pytest.fixture
def crowd(tmp_path: Path, clock: list[float]) -> Path:
    """One holds much, and one has just started; the others do not matter."""
    host(tmp_path)
    for pid in MANY:
        place(tmp_path, pid, started=START * 100 if pid == YOUNG else 100)
        hold(tmp_path, pid, 90 if pid == LARGE else 1)
        size(tmp_path, pid, 200)
    stat = tmp_path / f"proc/{YOUNG}/stat"
    head, _, tail = stat.read_text().partition(") S ")
    stat.write_text(f"{head}) S {PARENT} {tail.partition(' ')[2]}")
    return tmp_path


def size(root: Path, pid: int, mib: int) -> None:
    stat = root / f"proc/{pid}/stat"
    head, closing, tail = stat.read_text().rpartition(") ")
    fields = tail.split(" ")
    fields[20] = str(mib << 20)
    stat.write_text(head + closing + " ".join(fields))


def taken(census: Census, interest: Interest = INTEREST) -> set[int]:
    return set(census.take_likely((), interest))


def test_who_matters_is_read_and_the_parents_of_these(crowd: Path) -> None:
    census = Census(WatchedProcFS(crowd), (), None)
    assert taken(census) == {LARGE, YOUNG, PARENT}
    assert census.left_out == len(MANY) - 3
    census.catch_up()
    assert set(census.known()) == set(MANY)
    assert census.left_out == 0


def test_few_are_read_in_full(crowd: Path) -> None:
    for pid in MANY[FEW:]:
        shutil.rmtree(crowd / f"proc/{pid}")
    census = Census(WatchedProcFS(crowd), (), None)
    assert taken(census) == set(MANY[:FEW])
    assert census.left_out == 0


@pytest.mark.parametrize(("effect", "all_read"), [(Effect.PREFER, True), (Effect.NEVER, False)])
def test_where_rules_put_somebody_before_others_all_are_read(
    crowd: Path, effect: Effect, all_read: bool
) -> None:
    rule = Rule(name="a", patterns=(pattern(Field.EXE, "/bin/x"),), effect=effect)
    assert (taken(Census(WatchedProcFS(crowd), (rule,), None)) == set(MANY)) is all_read


def test_who_was_left_is_looked_at_again_after_a_while(crowd: Path, clock: list[float]) -> None:
    census = Census(WatchedProcFS(crowd), (), None)
    first = taken(census)
    hold(crowd, MANY[0], 90)
    clock[0] += STALE / 2
    assert taken(census) == first
    clock[0] += STALE
    assert taken(census) == first | {MANY[0]}


def test_who_has_gone_meanwhile_keeps_nobody_waiting(crowd: Path) -> None:
    class Leaving(WatchedProcFS):
        def living(self, pids: object) -> list[Pid]:
            return []

        def pids(self) -> list[Pid]:
            return [*super().pids(), Pid(7777)]

    census = Census(Leaving(crowd), (), None)
    assert taken(census) == {LARGE, YOUNG, PARENT}


def test_while_armed_they_are_met_for_a_moment_at_a_time(crowd: Path, clock: list[float]) -> None:
    census = Census(Slow(crowd, clock, 0, 0.004), (), None)
    rounds = 0
    while len(census.known()) < len(MANY):
        began = clock[0]
        census.meet()
        assert clock[0] - began < MOST_AT_MEETING + 0.01
        rounds += 1
    assert rounds > 1


def test_real_glimpses_say_what_a_reading_says() -> None:
    procfs = ProcFS()
    process, seen = procfs.process(Pid(1)), procfs.outline(Pid(1))
    assert process.memory is not None
    assert seen.starttime == process.key.starttime
    assert seen.size == process.memory.total_vm * PAGE
    assert seen.resident == pytest.approx(process.memory.rss, rel=0.1)
