from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from oomguard.enclosure import Entry, Reading
from oomguard.errors import Malformed
from oomguard.groupmemory import GroupMemory
from oomguard.units import Percent, Seconds
from tests.builders import memory, mib
from tests.groupfolder import hold, unified

ENTRY = Entry(name="pens", path="/pens/*", term=Percent(90.0), kill=Percent(95.0), budget=None)
PATIENT = replace(ENTRY, budget=Seconds(1.0))
HOST = memory(swap_total=500, swap_free=400)


def read(root: Path, path: str = "/a", entry: Entry = ENTRY) -> Reading | None:
    group = GroupMemory(unified(root), path)
    group.learn_limits(frozenset())
    try:
        return group.read(entry, Seconds(7.0), HOST)
    finally:
        group.close()


def known(found: Reading | None) -> Reading:
    assert found is not None
    return found


def test_far_from_its_limit_little_is_read(tmp_path: Path) -> None:
    (hold(tmp_path, "a", 100, limit=1000, swap=5) / "memory.stat").write_text("malformed")
    found = known(read(tmp_path))
    assert (found.at, found.current, found.limit) == (7.0, mib(100), mib(1000))
    assert (found.holdings, found.swap_total, found.stall) == (None, 0, None)


def test_near_its_limit_it_matters_what_the_memory_is_used_for(tmp_path: Path) -> None:
    hold(tmp_path, "a", 900, cache=300, limit=1000, swap=50)
    found = known(read(tmp_path))
    assert found.holdings is not None
    assert (found.holdings.reclaimable, found.holdings.anon) == (mib(300), mib(600))
    assert (found.swap_used, found.swap_total) == (mib(50), mib(450))


@pytest.mark.parametrize(
    ("swap", "limit", "used", "total"),
    [
        pytest.param(50, None, 50, 450, id="what is left to the host"),
        pytest.param(50, 150, 50, 150, id="what is left to it"),
        pytest.param(50, 40, 50, 50, id="more than it may by now"),
        pytest.param(0, 0, 0, 0, id="it may not"),
        pytest.param(None, None, 0, 0, id="a kernel that does not account for it"),
    ],
)
def test_how_much_it_may_swap(
    tmp_path: Path, swap: int | None, limit: int | None, used: int, total: int
) -> None:
    hold(tmp_path, "a", 900, limit=1000, swap=swap, swap_limit=limit)
    found = known(read(tmp_path))
    assert (found.swap_used, found.swap_total) == (mib(used), mib(total))


def test_its_stall_is_read_where_there_is_a_budget(tmp_path: Path) -> None:
    folder = hold(tmp_path, "a", 1, limit=1000, stall=3)
    assert known(read(tmp_path, entry=PATIENT)).stall == Seconds(3.0)
    (folder / "memory.pressure").unlink()
    assert known(read(tmp_path, entry=PATIENT)).stall is None


@pytest.mark.parametrize(
    ("own", "high", "above", "root", "smallest"),
    [
        (None, None, None, None, None),
        (1000, None, None, None, 1000),
        (1000, 800, None, None, 800),
        (1000, 2000, 700, None, 700),
        (None, None, None, 600, 600),
        (500, None, 700, 600, 500),
    ],
)
def test_the_smallest_limit_counts(
    tmp_path: Path,
    own: int | None,
    high: int | None,
    above: int | None,
    root: int | None,
    smallest: int | None,
) -> None:
    hold(tmp_path, "/", 1, limit=root)
    hold(tmp_path, "a", 1, high=above)
    hold(tmp_path, "a/b", 1, limit=own, high=high)
    found = read(tmp_path, "/a/b")
    assert (None if found is None else found.limit) == (None if smallest is None else mib(smallest))


@pytest.mark.parametrize(
    ("throttled", "limit"),
    [((), 500), (("/a/b",), 700), (("/a",), 500), (("/a", "/a/b"), 1000), (("/", "/a/b", "/c"), 700)],
)
def test_what_a_group_is_throttled_to_is_no_limit_of_its(
    tmp_path: Path, throttled: tuple[str, ...], limit: int
) -> None:
    hold(tmp_path, "a", 1, high=700)
    hold(tmp_path, "a/b", 1, limit=1000, high=500)
    group = GroupMemory(unified(tmp_path), "/a/b")
    group.learn_limits(frozenset(throttled))
    assert known(group.read(ENTRY, Seconds(7.0), HOST)).limit == mib(limit)
    group.close()


def test_the_root_of_a_host_has_no_files_and_so_no_limit(tmp_path: Path) -> None:
    assert read(tmp_path, "/") is None


def test_a_group_that_is_gone(tmp_path: Path) -> None:
    group = GroupMemory(unified(tmp_path), "/a")
    folder = hold(tmp_path, "a", 1, limit=1000)
    group.learn_limits(frozenset())
    assert group.read(ENTRY, Seconds(7.0), HOST)
    group.close()
    shutil.rmtree(folder)
    with pytest.raises(FileNotFoundError):
        group.read(ENTRY, Seconds(7.0), HOST)


def test_what_makes_no_sense(tmp_path: Path) -> None:
    (hold(tmp_path, "a", 1, limit=1000) / "memory.current").write_text("much\n")
    with pytest.raises(Malformed, match=r"memory\.current"):
        read(tmp_path)


@pytest.mark.parametrize("path", ["/..", "/../a"])
def test_nothing_outside_of_the_namespace(tmp_path: Path, path: str) -> None:
    hold(tmp_path, "a", 1, limit=1000)
    (tmp_path / "inner").mkdir()
    assert read(tmp_path / "inner", path) is None
