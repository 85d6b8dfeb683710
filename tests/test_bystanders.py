from __future__ import annotations

import pytest
from hypothesis import given

from oomguard.bystanders import MOST, Bystanders, culprit, groups
from oomguard.ranking import Judged
from oomguard.rules import Standing
from oomguard.units import Seconds
from tests.builders import crowds, judged, process, ranked, verdict

WINDOW = Seconds(10.0)


def watched(*readings: dict[str, float]) -> Bystanders:
    found = Bystanders(WINDOW)
    for at, totals in enumerate(readings):
        found.add(Seconds(at), {group: Seconds(total) for group, total in totals.items()})
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
    assert found.worst(culprit) == worst


def test_nobody_is_watched() -> None:
    assert watched({}).worst("/hog") is None
    assert watched({"/db": 1}, {"/db": 9}, {}).worst("/hog") is None


def test_a_newcomer_counts_from_its_first_reading() -> None:
    assert watched({"/a": 0}, {"/a": 1, "/b": 50}, {"/a": 1, "/b": 52}).worst("/hog") == 2.0


def test_restart() -> None:
    found = watched({"/a": 0}, {"/a": 3})
    found.restart()
    assert found.worst("/hog") == 0.0


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
