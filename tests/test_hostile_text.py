"""Whatever the kernel's files seem to say, a parser gives a value or its own error, and soon.

The kernel is no enemy; but its texts hold names that processes chose, are cut off where memory is short, and
differ by version. Each parser gets texts that it knows, damaged; `make fuzz` gives it many more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oomguard.arcstats import parse_arcstats
from oomguard.cgroup import parse_cgroup
from oomguard.errors import Gone, Malformed
from oomguard.fields import parse_int
from oomguard.memcg import parse_limit, parse_memory_stat, parse_switch, parse_usage
from oomguard.meminfo import parse_holdings, parse_meminfo, parse_sockstat
from oomguard.mountinfo import in_memory, parse_mountinfo
from oomguard.process import parse_stat, parse_statm, parse_status
from oomguard.procevents import changed
from oomguard.psi import parse_pressure
from oomguard.swapspace import cost, parse_swaps
from oomguard.taskstats import parse_delays
from oomguard.units import Bytes
from oomguard.vmstat import parse_vmstat
from oomguard.zoneinfo import parse_per_cpu_pages
from tests import test_arcstats, test_mountinfo, test_taskstats, test_zoneinfo
from tests.mutated import damaged

PROC = Path(__file__).parent / "fixtures/linux-6.18/proc"
HOSTILE = sorted(Path(__file__).parent.glob("fixtures/hostile/proc/*"))
ZOMBIE = sorted(Path(__file__).parent.glob("fixtures/zombie-leader/proc/*/task/*"))


@dataclass(frozen=True, slots=True)
class Parser:
    """A parser, texts that it knows, and how it may fail."""

    parse: Callable[[bytes], object]
    texts: tuple[bytes, ...]
    refuses: tuple[type[Exception], ...] = (Malformed,)


def files(name: str) -> tuple[bytes, ...]:
    """This file of every recorded process."""
    return tuple(
        (folder / name).read_bytes()
        for folder in (PROC / "5984", PROC / "2", *HOSTILE, *ZOMBIE)
        if (folder / name).exists()
    )


def mounts_in_memory(data: bytes) -> object:
    return list(in_memory(parse_mountinfo(data)))


def swap_cost(data: bytes) -> float:
    return cost(parse_swaps(data), Bytes(1 << 20))


MEMINFO = (PROC / "meminfo").read_bytes()
CGROUP = b"7:memory:/a.slice/x.service\n1:name=systemd:/a.slice/x.service\n0::/a.slice/x.service (deleted)\n"
SOCKSTAT = b"sockets: used 12\nTCP: inuse 1 orphan 0 tw 0 alloc 1 mem 152\nUDP: inuse 0 mem 0\n"
MEMORY_STAT = (
    b"anon 425984\nfile 1204224\nkernel_stack 32768\nshmem 0\ninactive_file 1204224\nactive_file 0\n"
    b"slab_reclaimable 263872\nslab_unreclaimable 82352\n"
)
SWAPS = b"Filename\tType\tSize\tUsed\tPriority\n/dev/zram0 partition 409596 1024 100\n/swap file 9 0 -2\n"
PARSERS = {
    "meminfo": Parser(parse_meminfo, (MEMINFO,)),
    "holdings": Parser(parse_holdings, (MEMINFO,)),
    "sockstat": Parser(parse_sockstat, (SOCKSTAT,)),
    "vmstat": Parser(parse_vmstat, ((PROC / "vmstat").read_bytes(),)),
    "zoneinfo": Parser(parse_per_cpu_pages, (test_zoneinfo.TWO_CPUS,)),
    "psi": Parser(parse_pressure, ((PROC / "pressure/memory").read_bytes(),)),
    "stat": Parser(parse_stat, files("stat")),
    "statm": Parser(parse_statm, files("statm")),
    "status": Parser(lambda data: parse_status(data, 4096), files("status")),
    "cgroup": Parser(
        lambda data: (found := parse_cgroup(data)).unit or found.path, (CGROUP, *files("cgroup"))
    ),
    "mountinfo": Parser(mounts_in_memory, (test_mountinfo.HOST,), refuses=()),
    "memory.stat": Parser(parse_memory_stat, (MEMORY_STAT,)),
    "memory.max": Parser(parse_limit, (b"max\n", b"536870912\n")),
    "memory.current": Parser(parse_usage, (b"536870912\n",)),
    "memory.oom.group": Parser(parse_switch, (b"1\n",)),
    "swaps": Parser(swap_cost, (SWAPS,)),
    "arcstats": Parser(parse_arcstats, (test_arcstats.TEXT % (100, 700),)),
    "taskstats": Parser(
        parse_delays,
        (test_taskstats.reply(wpcopy_count=1), test_taskstats.refusal(3)),
        (Malformed, Gone, OSError),
    ),
    "process events": Parser(changed, (bytes(range(76)),), refuses=()),
    "a number": Parser(parse_int, (b"-1000\n",)),
}


@pytest.mark.parametrize("name", PARSERS)
@given(st.data())
def test_a_value_or_its_own_error(name: str, data: st.DataObject) -> None:
    parser = PARSERS[name]
    try:
        parser.parse(data.draw(damaged(*parser.texts)))
    except parser.refuses as error:
        assert len(str(error)) < 500


@pytest.mark.parametrize("name", PARSERS)
def test_what_is_damaged_was_whole(name: str) -> None:
    for text in PARSERS[name].texts:
        try:
            PARSERS[name].parse(text)
        except (Gone, Malformed):
            # Of the recorded, only these say that somebody has gone.
            assert name == "taskstats"


LINES = st.lists(
    st.builds(
        b"%d %d 0:%d / %b rw - tmpfs none rw\n".__mod__,
        st.tuples(
            st.integers(1, 4), st.integers(1, 4), st.integers(1, 3), st.sampled_from([b"/", b"/a", b"/a/b"])
        ),
    ),
    max_size=6,
)


@given(LINES)
def test_mounts_that_lead_in_circles_are_followed_to_an_end(lines: list[bytes]) -> None:
    """Ids are given away anew, and the text is not of one instant."""
    mounts = parse_mountinfo(b"".join(lines))
    assert len(list(in_memory(mounts))) <= len(mounts)
