from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oomguard.errors import Malformed
from oomguard.meminfo import Holdings, Memory, parse_holdings, parse_meminfo, parse_sockstat
from oomguard.units import KIB, MIB, Bytes

RECORDED = (Path(__file__).parent / "fixtures/linux-6.18/proc/meminfo").read_bytes()

# As Linux 3.10 words it: no MemAvailable, no Hugetlb.
LINUX_3_10 = b"""\
MemTotal:         500000 kB
MemFree:           20000 kB
Buffers:            1000 kB
Cached:            60000 kB
SwapCached:          100 kB
AnonPages:         90000 kB
Active:            90000 kB
Inactive:          70000 kB
Active(anon):      60000 kB
Inactive(anon):    40000 kB
Active(file):      30000 kB
Inactive(file):    20000 kB
SwapTotal:        102400 kB
SwapFree:          51200 kB
Shmem:              3000 kB
Slab:              30000 kB
SReclaimable:      10000 kB
SUnreclaim:         5000 kB
CommitLimit:      352400 kB
Committed_AS:     300000 kB
HugePages_Total:       4
HugePages_Free:        4
Hugepagesize:       2048 kB
"""


def without(text: bytes, key: bytes) -> bytes:
    return b"".join(line for line in text.splitlines(keepends=True) if not line.startswith(key))


def recorded(key: str) -> Bytes:
    """By another way: split into words."""
    for line in RECORDED.decode().splitlines():
        name, value, *_ = line.split()
        if name == f"{key}:":
            return Bytes(int(value) * KIB)
    raise KeyError(key)


def test_recorded() -> None:
    assert parse_meminfo(RECORDED) == Memory(
        total=recorded("MemTotal"),
        free=recorded("MemFree"),
        available=recorded("MemAvailable"),
        swap_total=Bytes(0),
        swap_free=Bytes(0),
        active_file=recorded("Active(file)"),
        inactive_file=recorded("Inactive(file)"),
        shmem=recorded("Shmem"),
        slab_unreclaimable=recorded("SUnreclaim"),
        commit_limit=recorded("CommitLimit"),
        committed=recorded("Committed_AS"),
        hugetlb=Bytes(0),
    )


def test_estimates_available_where_the_kernel_does_not_say() -> None:
    memory = parse_meminfo(LINUX_3_10)
    assert memory.available == (20000 + (30000 + 20000 + 10000) // 2) * KIB
    assert memory.hugetlb == 8 * MIB
    assert memory.swap_free == 50 * MIB


def test_takes_hugetlb_of_all_sizes_where_the_kernel_says() -> None:
    assert parse_meminfo(LINUX_3_10 + b"Hugetlb:         1048576 kB\n").hugetlb == 1024 * MIB


@pytest.mark.parametrize(
    "key", [b"Active(file)", b"Shmem", b"SReclaimable", b"SUnreclaim", b"HugePages", b"Hugep"]
)
def test_does_without(key: bytes) -> None:
    assert parse_meminfo(without(LINUX_3_10, key)).total == 500000 * KIB


@pytest.mark.parametrize(
    "key", [b"MemTotal", b"MemFree", b"SwapTotal", b"SwapFree", b"CommitLimit", b"Committed_AS"]
)
def test_cannot_do_without(key: bytes) -> None:
    with pytest.raises(Malformed, match=key.decode()):
        parse_meminfo(without(LINUX_3_10, key))


@pytest.mark.parametrize("end", [0, 1, 500, len(RECORDED) - 1])
def test_cut_off(end: int) -> None:
    with pytest.raises(Malformed):
        parse_meminfo(RECORDED[:end])


@given(st.binary() | st.binary().map(lambda noise: LINUX_3_10 + noise + b"\n"))
def test_any_text_parses_or_is_malformed(data: bytes) -> None:
    with suppress(Malformed):
        parse_meminfo(data)


SOCKSTAT = b"""\
sockets: used 12
TCP: inuse 1 orphan 0 tw 0 alloc 1 mem 152
UDP: inuse 0 mem 7
UDPLITE: inuse 0
RAW: inuse 0
FRAG: inuse 0 memory 900
"""


def test_recorded_holdings() -> None:
    evictable = recorded("Active(file)") + recorded("Inactive(file)")
    assert parse_holdings(RECORDED) == Holdings(
        total=recorded("MemTotal"),
        free=recorded("MemFree"),
        reclaimable=Bytes(evictable + recorded("SReclaimable")),
        swap_used=Bytes(0),
        anon=recorded("AnonPages"),
        zswap=recorded("Zswap"),
        shmem=recorded("Shmem"),
        locked_files=Bytes(recorded("Buffers") + recorded("Cached") - recorded("Shmem") - evictable),
        slab_unreclaimable=recorded("SUnreclaim"),
        hugetlb=Bytes(0),
        kernel_stacks=recorded("KernelStack"),
        page_tables=Bytes(recorded("PageTables") + recorded("SecPageTables")),
        percpu=recorded("Percpu"),
        sockets=Bytes(0),
    )


def test_holdings_of_an_old_kernel() -> None:
    found = parse_holdings(LINUX_3_10 + b"Zswap: 9 kB\n")
    assert found.swap_used == (102400 - 51200 - 100) * KIB
    assert found.locked_files == (1000 + 60000 - 3000 - 50000) * KIB
    assert (found.anon, found.zswap, found.hugetlb) == (90000 * KIB, 9 * KIB, 8 * MIB)
    assert (found.percpu, found.page_tables, found.kernel_stacks) == (0, 0, 0)


def test_counts_that_are_not_of_one_instant_leave_nothing_below_zero() -> None:
    text = LINUX_3_10.replace(b"SwapCached:          100", b"SwapCached:        99999")
    found = parse_holdings(text.replace(b"Shmem:              3000", b"Shmem:             99999"))
    assert (found.swap_used, found.locked_files) == (0, 0)


@pytest.mark.parametrize(
    "key", [b"MemTotal", b"MemFree", b"Buffers", b"Cached", b"AnonPages", b"SwapTotal", b"SwapFree"]
)
def test_holdings_cannot_do_without(key: bytes) -> None:
    with pytest.raises(Malformed, match=key.decode()):
        parse_holdings(without(LINUX_3_10, key))


@pytest.mark.parametrize(
    ("text", "pages"),
    [
        (SOCKSTAT, 159),
        (without(SOCKSTAT, b"TCP"), 7),
        (without(SOCKSTAT, b"UDP:"), 152),
        (SOCKSTAT.replace(b" mem 152", b""), 7),
        (b"sockets: used 12\n", 0),
    ],
)
def test_sockstat(text: bytes, pages: int) -> None:
    assert parse_sockstat(text) == pages


@pytest.mark.parametrize("text", [b"", SOCKSTAT[:-1], SOCKSTAT.replace(b"152", b"many")])
def test_malformed_sockstat(text: bytes) -> None:
    with pytest.raises(Malformed):
        parse_sockstat(text)


@given(st.binary() | st.binary().map(lambda noise: LINUX_3_10 + SOCKSTAT + noise + b"\n"))
def test_any_text_is_holdings_or_malformed(data: bytes) -> None:
    for parse in (parse_holdings, parse_sockstat):
        with suppress(Malformed):
            parse(data)
