from __future__ import annotations

import pytest

from oomguard.errors import Malformed
from oomguard.memcg import parse_limit, parse_memory_stat, parse_switch, parse_usage

STAT = b"""anon 1000
file 5000
kernel 900
kernel_stack 16
pagetables 20
sec_pagetables 1
percpu 3
sock 40
shmem 500
file_mapped 77
zswap 6
inactive_anon 400
active_anon 600
inactive_file 3000
active_file 1000
unevictable 0
slab_reclaimable 200
slab_unreclaimable 100
slab 300
"""


@pytest.mark.parametrize(("text", "limit"), [(b"max\n", None), (b"0\n", 0), (b"536870912\n", 536870912)])
def test_limits(text: bytes, limit: int | None) -> None:
    assert parse_limit(text) == limit


@pytest.mark.parametrize(
    "text", [b"", b"max", b"12", b"-1\n", b"1 2\n", b"\n", b"1.5\n", b"\xd9\xa1\n", b"1" * 5000 + b"\n"]
)
def test_no_amounts(text: bytes) -> None:
    with pytest.raises(Malformed):
        parse_limit(text)
    with pytest.raises(Malformed):
        parse_usage(text)


@pytest.mark.parametrize(("text", "on"), [(b"0\n", False), (b"1\n", True)])
def test_switches(text: bytes, on: bool) -> None:
    assert parse_switch(text) is on


def test_memory_stat() -> None:
    found = parse_memory_stat(STAT)
    assert found.reclaimable == 3000 + 1000 + 200
    assert (found.anon, found.shmem, found.zswap, found.slab_unreclaimable) == (1000, 500, 6, 100)
    assert (found.kernel_stacks, found.page_tables, found.percpu, found.sockets) == (16, 21, 3, 40)
    assert found.locked_files == 5000 - 500 - 4000
    assert (found.total, found.free, found.swap_used, found.hugetlb) == (0, 0, 0, 0)


def test_what_a_kernel_may_leave_out() -> None:
    """Those that tell nothing of the kernel's own memory (cgroup.memory=nokmem)."""
    least = b"anon 1\nfile 2\nshmem 3\ninactive_file 4\nactive_file 5\n"
    found = parse_memory_stat(least)
    assert (found.reclaimable, found.locked_files) == (9, 0)


@pytest.mark.parametrize("line", [b"anon", b"file", b"shmem", b"inactive_file", b"active_file"])
def test_what_every_kernel_writes(line: bytes) -> None:
    with pytest.raises(Malformed):
        parse_memory_stat((b"\n" + STAT).replace(b"\n" + line + b" ", b"\nx ")[1:])


def test_cut_off() -> None:
    with pytest.raises(Malformed):
        parse_memory_stat(STAT[:-1])
