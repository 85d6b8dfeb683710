from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given

from oomguard.bystanders import (
    MOST,
    MOST_PROCESSES,
    Appetite,
    Bystanders,
    Neighbours,
    culprit,
    groups,
    neighbours,
)
from oomguard.process import Key
from oomguard.ranking import Judged
from oomguard.rules import Standing
from oomguard.taskstats import Delays
from oomguard.units import Pid, Seconds, Ticks
from tests.builders import crowds, judged, process, psi, ranked, sample, verdict

WINDOW = Seconds(10.0)


STALLS = {"/hog": 0.8, "/db": 0.0}
"""Of a second, each second."""


@pytest.mark.parametrize(
    ("culprits", "stalls", "is_there"),
    [
        pytest.param(["/hog"] * 9, STALLS, True, id="it waits"),
        pytest.param(["/db"] * 9, STALLS, False, id="it does not"),
        pytest.param(["/hog"] * 8 + ["/db"], STALLS, False, id="another one waited"),
        pytest.param(["/db"] * 8 + ["/hog"], STALLS, False, id="it was not followed so far"),
        pytest.param(["/hog"] * 8 + [None], STALLS, False, id="there is none any more"),
        pytest.param(["/hog"] * 9, {"/db": 0.8}, False, id="its group is not watched"),
    ],
)
def test_appetite(culprits: list[str | None], stalls: dict[str, float], is_there: bool) -> None:
    appetite = Appetite()
    for step, group_of_culprit in enumerate(culprits):
        at = step / 10
        appetite.add(
            Seconds(at), group_of_culprit, {group: Seconds(at * share) for group, share in stalls.items()}
        )
    assert appetite.is_there() is is_there


def test_appetite_ends_with_the_group() -> None:
    appetite = Appetite()
    for step in range(9):
        appetite.add(Seconds(step / 10), "/hog", {"/hog": Seconds(step / 10)})
    assert appetite.is_there()
    appetite.add(Seconds(1.0), "/hog", {})
    assert not appetite.is_there()


def watched(*readings: dict[str, float]) -> Bystanders:
    """One reading a second: what each group tells."""
    found = Bystanders(WINDOW)
    for at, totals in enumerate(readings):
        found.add(sample(at, stalls=totals))
    return found


@pytest.mark.parametrize(
    ("culprit", "worst"),
    [
        pytest.param("/s/hog", 2.0, id="outside of its group"),
        pytest.param("/s/db", 5.0, id="another culprit"),
        pytest.param("/s", 1.0, id="what lies below it"),
        pytest.param("/s/hog/child", 2.0, id="what lies above it"),
        pytest.param("/", None, id="everybody is in its group"),
    ],
)
def test_worst(culprit: str, worst: float | None) -> None:
    found = watched({"/s/hog": 1, "/s/db": 3, "/t": 0}, {"/s/hog": 6, "/s/db": 5, "/t": 1})
    assert found.told(culprit) == worst


def test_nobody_is_watched() -> None:
    assert watched({}).told("/hog") is None
    assert watched({"/db": 1}, {"/db": 9}, {}).told("/hog") is None


def test_a_newcomer_counts_from_its_first_reading() -> None:
    assert watched({"/a": 0}, {"/a": 1, "/b": 50}, {"/a": 1, "/b": 52}).told("/hog") == 2.0


@pytest.mark.parametrize(
    ("full", "told", "disk", "likely"),
    [
        pytest.param(0.5, 0.2, 0.5, 5.0, id="it waited while everybody did"),
        pytest.param(0.5, 0.1, 0.5, 4.0, id="no more than some times what it tells"),
        pytest.param(0.5, 0.0, 0.5, 0.0, id="it tells nothing"),
        pytest.param(0.3, 0.2, 0.9, 3.0, id="as long as everybody did"),
        pytest.param(0.5, 0.2, 0.3, 3.0, id="as long as it waited for disks"),
        pytest.param(0.0, 0.2, 1.0, 2.0, id="for the disk alone"),
        pytest.param(0.9, 0.6, 0.4, 6.0, id="it tells more"),
        pytest.param(None, 0.2, 1.0, 2.0, id="nobody knows of everybody"),
        pytest.param(0.9, 0.2, None, 2.0, id="nobody knows of its disks"),
    ],
)
def test_what_no_group_tells(full: float | None, told: float, disk: float | None, likely: float) -> None:
    """Of each second."""
    found = Bystanders(WINDOW)
    for at in range(20):
        now = sample(at, None, None if full is None else psi(full * at), stalls={"/db": told * at})
        waits = {} if disk is None else {"/db": Seconds(disk * at)}
        found.add(replace(now, disk_waits=waits))
    assert found.told("/hog") == pytest.approx(told * WINDOW)
    assert found.likely("/hog") == pytest.approx(likely)
    assert found.likely("/db") is None


def test_what_was_waited_for_disks_unseen_does_not_count() -> None:
    """There was plenty of memory in between."""
    found = Bystanders(WINDOW)
    for at, waited in enumerate((None, 50, 51, None, 90)):
        now = sample(at, None, psi(at), stalls={"/db": 0.5 * at})
        found.add(replace(now, disk_waits={} if waited is None else {"/db": Seconds(waited)}))
    assert found.likely("/hog") == pytest.approx(0.5 + 1 + 0.5 + 0.5)


def test_restart() -> None:
    found = watched({"/a": 0}, {"/a": 3})
    found.restart()
    assert found.told("/hog") == 0.0


def test_the_culprit_is_who_would_die_next() -> None:
    assert culprit(ranked()) is None
    assert culprit(ranked(judged(process(10, 5), cgroup="/a"), judged(process(11, 9), cgroup="/b"))) == "/b"
    spared = judged(process(10), verdict(Standing.NEVER), cgroup="/a")
    assert culprit(ranked(spared)) is None


def test_groups_of_the_protected_and_of_the_big_come_first() -> None:
    small = [judged(process(100 + n, 1 + n), cgroup=f"/{n}") for n in range(MOST + 9)]
    never = judged(process(10, 0.5), verdict(Standing.NEVER), cgroup="/never")
    last = judged(process(11, 0.5), verdict(Standing.LAST), cgroup="/last")
    nowhere = judged(process(12, 900), cgroup="/")
    kthread = judged(process(2, 0, kernel_thread=True), cgroup="/k")
    found = groups(ranked(*small, never, last, nowhere, kthread))
    assert len(found) == MOST
    assert found >= {"/never", "/last", f"/{MOST + 8}"}
    assert not found & {"/", "/0", "/10"}


@given(crowds())
def test_the_order_of_processes_changes_nothing(everybody: tuple[Judged, ...]) -> None:
    assert groups(ranked(*everybody)) == groups(ranked(*reversed(everybody)))


def key(pid: int) -> Key:
    return Key(pid=Pid(pid), starttime=Ticks(0))


def waiting(*readings: dict[int, tuple[float, float]]) -> Neighbours:
    """One reading a second: what each process waited, and what it did besides."""
    found = Neighbours(WINDOW)
    for at, delays in enumerate(readings):
        found.add(
            Seconds(at),
            {
                key(pid): Delays(waited=Seconds(waited), wanted=Seconds(waited + other))
                for pid, (waited, other) in delays.items()
            },
        )
    return found


@pytest.mark.parametrize(
    ("waited", "other", "worst"),
    [
        pytest.param(0.25, 0.0, 0.25, id="and slept"),
        pytest.param(0.25, 0.75, 0.25, id="and ran"),
        pytest.param(0.0, 1.0, 0.0, id="never"),
        pytest.param(0.0, 0.0, 0.0, id="slept all the time"),
        pytest.param(1.0, 7.0, 0.125, id="one of eight threads"),
        pytest.param(8.0, 0.0, 1.0, id="all of eight threads"),
        pytest.param(4.0, 4.0, 0.5, id="four of eight threads"),
    ],
)
def test_what_a_process_waited(waited: float, other: float, worst: float) -> None:
    assert waiting({7: (5, 5)}, {7: (5 + waited, 5 + other)}).worst() == pytest.approx(worst)


def test_the_worst_of_the_neighbours_counts() -> None:
    found = waiting({7: (0, 0), 8: (0, 0)}, {7: (0.1, 0), 8: (0.3, 0)})
    assert found.worst() == pytest.approx(0.3)
    found.restart()
    assert found.worst() == 0.0


def test_without_neighbours_nothing_is_known() -> None:
    assert waiting().worst() is None
    assert waiting({}).worst() is None
    assert waiting({7: (0, 0)}, {7: (1, 0)}, {}).worst() is None


def test_what_was_waited_before_the_window_does_not_count() -> None:
    readings = [{7: (min(at, 5.0), float(at))} for at in range(30)]
    assert waiting(*readings).worst() == 0.0


@pytest.mark.parametrize(
    ("told", "watched"),
    [
        pytest.param(set(), {10, 11, 12, 13}, id="no groups"),
        pytest.param({"/db"}, {10, 11, 12}, id="one is spoken for"),
        pytest.param({"/s", "/s/hog", "/s/hog/below", "/db"}, {10, 11, 12}, id="its own and those around it"),
    ],
)
def test_neighbours_are_whom_no_group_speaks_for(told: set[str], watched: set[int]) -> None:
    hog = judged(process(9, 900), cgroup="/s/hog")
    others = zip((10, 11, 12, 13), ("/s/hog", "/s", "/s/hog/below", "/db"), strict=True)
    found = neighbours(ranked(hog, *(judged(process(pid), cgroup=group) for pid, group in others)), told)
    assert {each.pid for each in found} == watched


def test_the_protected_and_the_big_are_watched_first() -> None:
    small = [judged(process(100 + n, 1 + n)) for n in range(MOST_PROCESSES + 9)]
    protected = judged(process(10, 1), verdict(Standing.LAST))
    found = neighbours(ranked(protected, *small), set())
    assert len(found) == MOST_PROCESSES
    assert found[0].pid == 10
    assert [each.pid for each in found[1:]] == [one.process.key.pid for one in reversed(small)][
        1:MOST_PROCESSES
    ]


def test_nobody_is_a_neighbour_of_nobody() -> None:
    assert neighbours(ranked(judged(process(10), verdict(Standing.NEVER))), set()) == ()
