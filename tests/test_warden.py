from __future__ import annotations

import math
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from oomguard.enclosure import Entry
from oomguard.gauge import LONGEST_PAUSE
from oomguard.pressure import Assessment, Level, Reason, Sample
from oomguard.state import Watched
from oomguard.units import Bytes, Percent, Seconds
from oomguard.warden import LIST_EVERY, MOST, Warden
from tests.builders import assessment, mib, sample
from tests.groupfolder import hold, unified

PENS = Entry(name="pens", path="/pens/*", term=Percent(90.0), kill=Percent(95.0), budget=None)
FOLD = replace(PENS, name="fold", path="/fold")
WELL = replace(assessment(level=Level.CALM, available=900), reasons=(), headroom=1.0)
LOW = assessment(Reason.LOW_MEMORY)
TAKES = Seconds(0.1)


class Watch:
    """A warden and its time."""

    def __init__(self, root: Path, *entries: Entry) -> None:
        self.warden = Warden(unified(root), entries, Seconds(10.0))
        self.at = 100.0
        self.pretended = Bytes(0)
        self.warden.tend(Seconds(self.at), frozenset())

    @property
    def sample(self) -> Sample:
        return sample(self.at)

    def read(self, after: float = 2.0, host: Assessment = WELL, urgent: str | None = None) -> None:
        self.at += after
        self.warden.read(self.sample, host, TAKES, lambda _: self.pretended, urgent)

    def crossed(self) -> list[str]:
        return [path(one) for one in self.warden.crossed()]


def path(found: Assessment) -> str:
    assert found.figures.group is not None
    return found.figures.group.path


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Watch]:
    """Three pens: /pens/a is full, /pens/b nearly, /pens/c has plenty."""
    hold(tmp_path, "pens", 3)
    for name, current in (("a", 96), ("b", 85), ("c", 9)):
        hold(tmp_path, f"pens/{name}", current, limit=100)
    watch = Watch(tmp_path, PENS)
    watch.read()
    yield watch
    watch.warden.close()


def test_each_child_is_watched_on_its_own(watch: Watch) -> None:
    assert watch.warden.watched() == (Watched(entry="pens", groups=3, crossed=1),)
    assert watch.crossed() == ["/pens/a"]


@pytest.mark.parametrize(
    ("glob", "groups"),
    [("/pens/*", 3), ("/pens/[ab]", 2), ("/pens/c", 1), ("/pens", 1), ("/*", 1), ("/x/*", 0), ("/x", 1)],
)
def test_globs(tmp_path: Path, watch: Watch, glob: str, groups: int) -> None:
    """A group that is named counts before it is there."""
    other = Watch(tmp_path, replace(PENS, path=glob))
    assert other.warden.watched()[0].groups == groups
    other.warden.close()


def test_the_root_of_a_container_is_a_group_too(tmp_path: Path) -> None:
    hold(tmp_path, "/", 96, limit=100)
    watch = Watch(tmp_path, replace(PENS, path="/"))
    watch.read()
    assert watch.crossed() == ["/"]
    watch.warden.close()


def test_the_worst_comes_first(tmp_path: Path, watch: Watch) -> None:
    hold(tmp_path, "pens/b", 93, limit=100)
    hold(tmp_path, "pens/c", 92, limit=100)
    watch.read()
    assert watch.crossed() == ["/pens/a", "/pens/b", "/pens/c"]


def test_a_group_is_its_first_entrys(tmp_path: Path, watch: Watch) -> None:
    other = Watch(tmp_path, replace(PENS, name="one", path="/pens/a"), PENS)
    assert [each.groups for each in other.warden.watched()] == [1, 2]
    other.warden.close()


def test_who_comes_and_goes_is_seen_at_a_slow_pace(tmp_path: Path, watch: Watch) -> None:
    shutil.rmtree(tmp_path / "pens/a")
    hold(tmp_path, "pens/d", 96, limit=100)
    watch.warden.tend(Seconds(100 + LIST_EVERY - 0.1), frozenset())
    watch.read()
    assert watch.crossed() == ["/pens/a"]
    watch.warden.tend(Seconds(100 + LIST_EVERY), frozenset())
    watch.read()
    assert watch.crossed() == ["/pens/d"]
    assert watch.warden.watched()[0].groups == 3


def test_a_limit_that_is_changed_counts_at_the_next_listing(tmp_path: Path, watch: Watch) -> None:
    hold(tmp_path, "pens/a", 96, limit=1000)
    watch.warden.tend(Seconds(100 + LIST_EVERY), frozenset())
    watch.read()
    assert watch.crossed() == []


def test_nobody_dies_in_a_group_for_what_the_guard_itself_set(tmp_path: Path, watch: Watch) -> None:
    hold(tmp_path, "pens/c", 9, limit=100, high=9)
    watch.warden.tend(Seconds(100 + LIST_EVERY), frozenset({"/pens/c"}))
    watch.read()
    assert watch.crossed() == ["/pens/a"]
    watch.warden.tend(Seconds(100 + 2 * LIST_EVERY), frozenset())
    watch.read()
    assert watch.crossed() == ["/pens/a", "/pens/c"]


def test_without_a_limit_there_is_nothing_to_cross(tmp_path: Path) -> None:
    hold(tmp_path, "fold", 900)
    watch = Watch(tmp_path, FOLD)
    watch.read()
    assert (watch.crossed(), watch.warden.watched()[0].groups) == ([], 1)
    assert watch.warden.pause(Seconds(watch.at)) == LONGEST_PAUSE
    watch.warden.close()


def test_not_more_than_so_many(tmp_path: Path) -> None:
    for number in range(MOST + 3):
        hold(tmp_path, f"pens/{number:03}", 96, limit=100)
    watch = Watch(tmp_path, replace(PENS, path="/pens/000"), PENS)
    assert [each.groups for each in watch.warden.watched()] == [1, MOST - 1]
    watch.warden.close()


def test_only_those_are_read_that_are_due(tmp_path: Path, watch: Watch) -> None:
    for name in "abc":
        hold(tmp_path, f"pens/{name}", 99, limit=100)
    watch.read(0.01)
    assert watch.crossed() == ["/pens/a"]
    watch.read(0.01, urgent="/pens/c")
    assert watch.crossed() == ["/pens/a", "/pens/c"]
    watch.read(1.0)
    assert watch.crossed() == ["/pens/a", "/pens/b", "/pens/c"]


def test_the_loop_wakes_for_the_next_that_is_due(watch: Watch) -> None:
    assert watch.warden.pause(Seconds(watch.at)) == pytest.approx(0.05, abs=0.2)
    assert watch.warden.pause(Seconds(watch.at + 9)) == Seconds(0.0)


def test_a_group_that_is_gone_is_short_of_nothing(tmp_path: Path, watch: Watch) -> None:
    watch.warden.close()
    shutil.rmtree(tmp_path / "pens/a")
    watch.read()
    found = watch.warden.of("/pens/a", LOW)
    assert (found.level, found.reasons, path(found)) == (Level.CALM, (), "/pens/a")
    watch.warden.restart("/pens/a")


def test_all_of_a_group_that_goes_is_free(tmp_path: Path, watch: Watch) -> None:
    (tmp_path / "pens/a/memory.current").write_text("")
    watch.read()
    found = watch.warden.of("/pens/a", LOW)
    assert (found.level, found.reasons, found.holdings) == (Level.CALM, (), None)
    assert found.figures.group is not None
    assert found.figures.group.free == mib(100)
    assert watch.crossed() == []


def test_how_bad_it_is_all_in_all(tmp_path: Path, watch: Watch) -> None:
    overall = watch.warden.overall(WELL)
    assert (overall.level, overall.reasons, path(overall)) == (
        Level.KILL,
        (Reason.CGROUP_LIMIT,),
        "/pens/a",
    )
    both = watch.warden.overall(LOW)
    assert (both.figures, both.level) == (LOW.figures, LOW.level)
    assert both.reasons == (Reason.LOW_MEMORY, Reason.CGROUP_LIMIT)
    hold(tmp_path, "pens/a", 85, limit=100)
    watch.read()
    near = watch.warden.overall(WELL)
    assert (near.level, near.reasons, near.figures) == (Level.ARMED, (), WELL.figures)
    hold(tmp_path, "pens/a", 5, limit=100)
    hold(tmp_path, "pens/b", 5, limit=100)
    watch.read()
    assert watch.warden.overall(WELL) == WELL


def test_when_the_host_is_short_nobody_is_given_time(tmp_path: Path, watch: Watch) -> None:
    hold(tmp_path, "pens/a", 92, limit=100)
    watch.read()
    assert watch.warden.of("/pens/a", WELL).level is Level.TERM
    pressed = watch.warden.of("/pens/a", LOW)
    assert (pressed.level, pressed.headroom, pressed.reasons) == (Level.KILL, 0.0, (Reason.CGROUP_LIMIT,))
    hold(tmp_path, "pens/a", 50, limit=100)
    watch.read()
    assert watch.warden.of("/pens/a", LOW).level is Level.CALM


def test_the_victims_of_a_dry_run_count_as_gone(watch: Watch) -> None:
    watch.pretended = mib(50)
    watch.read()
    assert watch.crossed() == []


def test_the_stall_of_the_victims_of_a_dry_run_does_not_count(tmp_path: Path) -> None:
    watch = Watch(tmp_path, replace(FOLD, budget=Seconds(1.0)))
    for second in range(4):
        hold(tmp_path, "fold", 100, cache=90, limit=100, stall=second)
        watch.warden.tend(Seconds(watch.at + 2 * LIST_EVERY), frozenset())
        watch.read(1.0)
    assert watch.crossed() == ["/fold"]
    watch.warden.restart("/fold")
    watch.pretended = Bytes(1)
    hold(tmp_path, "fold", 100, cache=90, limit=100, stall=5)
    watch.read(1.0)
    assert watch.crossed() == []
    watch.warden.close()


def test_without_entries_nothing_is_looked_for(tmp_path: Path) -> None:
    watch = Watch(tmp_path)
    watch.read()
    assert (watch.crossed(), watch.warden.watched()) == ([], ())
    assert watch.warden.pause(Seconds(watch.at)) == math.inf
    assert watch.warden.overall(WELL) is WELL
