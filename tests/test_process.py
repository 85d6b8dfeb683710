import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import fields, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oomguard.errors import Malformed
from oomguard.names import decode
from oomguard.process import (
    Key,
    MemoryUse,
    Outline,
    Stat,
    Statm,
    Status,
    parse_outline,
    parse_stat,
    parse_statm,
    parse_status,
)
from oomguard.units import Bytes, Pages, Pid, Ticks, Uid
from tests.builders import process

FIXTURES = Path(__file__).parent / "fixtures"
PLAIN = FIXTURES / "linux-6.18/proc/5984"
KTHREADD = FIXTURES / "linux-6.18/proc/2"

STAT = (
    b"7 (%s) S 5 6 4 0 -1 4194304 1 2 3 4 50 7 800 900 20 -5 3 0 133267 3133440 360 18446744073709551615 "
    + (b"9001 9002 9003 0 0 0 0 0 0 0 0 0 17 1 0 0 0 0 0 9004 9005 9006 9007 9008 9009 9010 0\n")
)


def stat(pid: int | str = "self") -> Stat:
    return parse_stat(Path(f"/proc/{pid}/stat").read_bytes())


def test_stat() -> None:
    assert parse_stat(STAT % b"cat") == Stat(
        key=Key(Pid(7), Ticks(133267)),
        comm="cat",
        state="S",
        ppid=Pid(5),
        pgid=6,
        sid=4,
        kernel_thread=False,
        cpu_time=Ticks(57),
        nice=-5,
        threads=3,
        fingerprint=hash(STAT % b"cat"),
        image=hash((9001, 9002, 9003, 9004, 9005, 9006, 9007)),
    )


def test_stat_of_a_kernel_thread() -> None:
    kthreadd = parse_stat((KTHREADD / "stat").read_bytes())
    assert (kthreadd.comm, kthreadd.key.pid, kthreadd.ppid) == ("kthreadd", 2, 0)
    assert kthreadd.kernel_thread
    assert kthreadd.image == 0


def test_stat_without_ptrace_access_tells_no_image() -> None:
    hidden = (STAT % b"cat").replace(b" 9001 9002 9003 ", b" 1 1 0 ")
    assert parse_stat(hidden).image == 0


def test_stat_of_older_kernels_is_shorter() -> None:
    linux_2_6_32 = b" ".join((STAT % b"cat").split()[:44]) + b"\n"
    assert parse_stat(linux_2_6_32).image == hash((9001, 9002, 9003))


@pytest.mark.parametrize("field", [26, 27, 28, 45, 46, 47, 48])
def test_image_is_all_of_the_layout(field: int) -> None:
    words = (STAT % b"cat").split()
    words[field - 1] += b"0"
    assert parse_stat(b" ".join(words) + b"\n").image != parse_stat(STAT % b"cat").image


@pytest.mark.parametrize("field", [14, 22, 23, 24, 49])
def test_image_is_nothing_but_the_layout(field: int) -> None:
    words = (STAT % b"cat").split()
    words[field - 1] += b"0"
    assert parse_stat(b" ".join(words) + b"\n").image == parse_stat(STAT % b"cat").image


def test_image_is_passed_on_by_fork() -> None:
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        os.read(ours, 1)
        os._exit(0)
    try:
        assert stat(child).image == stat().image != 0
    finally:
        os.write(theirs, b"x")
        os.waitpid(child, 0)
        os.close(ours)
        os.close(theirs)


def test_image_changes_with_exec() -> None:
    again = "import sys; print(flush=True); sys.stdin.readline()"
    once = f"{again}; import os; os.execv(sys.executable, [sys.executable, '-c', {again!r}])"
    with subprocess.Popen(
        [sys.executable, "-c", once], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        before = stat(process.pid)
        process.stdin.write(b"\n")
        process.stdout.readline()
        after = stat(process.pid)
    assert after.key == before.key
    assert 0 != after.image != before.image != 0


@pytest.mark.parametrize("end", [0, 1, 10, 60, 150, len(STAT) - 3])
def test_stat_cut_off(end: int) -> None:
    with pytest.raises(Malformed):
        parse_stat((STAT % b"a\nb)")[:end])


@pytest.mark.parametrize(
    "data", [b"7 (a) S 1\n", b"7 a S" + b" 1" * 50 + b"\n", b"x (a) S" + b" 1" * 50 + b"\n", b")(\n"]
)
def test_stat_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        parse_stat(data)


@given(st.binary(min_size=1, max_size=64).filter(lambda comm: b"\0" not in comm))
def test_no_comm_fools_stat(comm: bytes) -> None:
    plain = parse_stat(STAT % b"x")
    fooled = parse_stat(STAT % comm)
    assert fooled.comm == decode(comm)
    for field in {each.name for each in fields(Stat)} - {"comm", "fingerprint"}:
        assert getattr(fooled, field) == getattr(plain, field)


@pytest.mark.parametrize(
    ("pid", "comm"),
    [
        (5985, b") Z 1 ("),
        (5986, b"a) S 1\nUid:\t7"),
        (5987, b"\nUid:\t7\t7\t7\n"),
        (5988, b"\xff\xfe\x1b[2J\xc3"),
        (5989, b"\\\"' % {}\t"),
        (5990, b""),
    ],
)
def test_hostile_names_as_recorded(pid: int, comm: bytes) -> None:
    folder = FIXTURES / f"hostile/proc/{pid}"
    process = parse_stat((folder / "stat").read_bytes())
    assert process.comm == decode(comm)
    assert (process.key.pid, process.state) == (pid, "S")
    status = parse_status((folder / "status").read_bytes(), 4096)
    assert status.uid == 0
    assert status.memory is not None
    assert status.memory.rss > 1000


STATUS = b"""\
Name:\t%s
State:\tS (sleeping)
Pid:\t7
PPid:\t5
Uid:\t1000\t0\t0\t0
Gid:\t1001\t0\t0\t0
Groups:\t0 1 2
VmPeak:\t    9000 kB
VmSize:\t    3060 kB
VmLck:\t       0 kB
VmHWM:\t    1616 kB
VmRSS:\t    1616 kB
RssAnon:\t     112 kB
RssFile:\t    1500 kB
RssShmem:\t       4 kB
VmData:\t     360 kB
VmStk:\t     132 kB
VmExe:\t      20 kB
VmLib:\t    1528 kB
VmPTE:\t      40 kB
VmSwap:\t       8 kB
HugetlbPages:\t       0 kB
CoreDumping:\t0
Threads:\t1
CapPrm:\t0000000000000000
CapEff:\t000001fffeffffff
CapBnd:\t0000000000000001
"""

USE = MemoryUse(
    total_vm=Pages(765),
    rss_anon=Pages(28),
    rss_file=Pages(375),
    rss_shmem=Pages(1),
    swap=Pages(2),
    page_tables=Pages(10),
    private_committed=Pages(123),
)


def lines_without(text: bytes, *keys: bytes) -> bytes:
    return b"".join(line for line in text.splitlines(keepends=True) if not line.startswith(keys))


def test_status() -> None:
    status = parse_status(STATUS % b"cat", 4096)
    assert status == Status(uid=Uid(1000), cap_effective=0x1FFFEFFFFFF, memory=USE)
    assert USE.rss == 404


def test_what_is_held_is_resident_or_swapped_out() -> None:
    assert process(7, memory=replace(USE, page_tables=Pages(99))).held == 404 + 2
    assert replace(process(7), memory=None).held == 0


def test_status_in_larger_pages() -> None:
    memory = parse_status(STATUS % b"cat", 16384).memory
    assert memory is not None
    assert (memory.total_vm, memory.rss_file) == (3060 // 16, 1500 // 16)


def test_status_without_address_space() -> None:
    text = lines_without(STATUS % b"cat", b"Vm", b"Rss", b"Hugetlb")
    assert parse_status(text, 4096) == Status(uid=Uid(1000), cap_effective=0x1FFFEFFFFFF, memory=None)
    assert parse_status((KTHREADD / "status").read_bytes(), 4096).memory is None


def test_status_before_4_5_counts_all_rss_as_anonymous() -> None:
    memory = parse_status(lines_without(STATUS % b"cat", b"Rss"), 4096).memory
    assert memory is not None
    assert (memory.rss_anon, memory.rss_file, memory.rss_shmem) == (404, 0, 0)


def test_status_adds_up_the_levels_of_page_tables() -> None:
    text = (STATUS % b"cat").replace(b"VmPTE:", b"VmPMD:\t      12 kB\nVmPTE:")
    memory = parse_status(text, 4096).memory
    assert memory is not None
    assert memory.page_tables == 13


@pytest.mark.parametrize("key", [b"Uid", b"CapEff", b"VmPTE", b"VmSwap", b"VmData", b"VmStk", b"RssFile"])
def test_status_cannot_do_without(key: bytes) -> None:
    with pytest.raises(Malformed):
        parse_status(lines_without(STATUS % b"cat", key), 4096)


@pytest.mark.parametrize("end", range(0, len(STATUS % b"cat") - 45, 7))
def test_status_cut_off(end: int) -> None:
    with pytest.raises(Malformed):
        parse_status((STATUS % b"cat")[:end], 4096)


# The kernel escapes newlines in Name; what follows does not rest on it.
@given(st.binary(max_size=15) | st.sampled_from([b"\nUid:\t0\t", b"\nVmSize:\t1 kB\n", b"\nCapEff:\tf\n"]))
def test_no_name_fools_status(comm: bytes) -> None:
    assert parse_status(STATUS % comm, 4096) == parse_status(STATUS % b"cat", 4096)


def test_statm() -> None:
    assert parse_statm(b"765 404 376 5 0 123 0\n") == Statm(size=Pages(765), resident=Pages(404))


@pytest.mark.parametrize("data", [b"", b"765 4", b"765\n", b"a b\n"])
def test_statm_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        parse_statm(data)


NOISE = st.binary().map(lambda noise: noise + b"\n")


@given(
    st.binary()
    | NOISE
    | NOISE.map(lambda noise: STATUS % noise)
    | NOISE.map(lambda noise: STATUS[:-30] + noise)
)
def test_any_status_parses_or_is_malformed(data: bytes) -> None:
    with suppress(Malformed):
        parse_status(data, 4096)


@given(st.binary() | NOISE | NOISE.map(lambda noise: STAT[:-60] + noise))
def test_any_stat_parses_or_is_malformed(data: bytes) -> None:
    for parse in (parse_stat, parse_statm):
        with suppress(Malformed):
            parse(data)


@pytest.mark.parametrize("comm", [b"cat", b") R 1 2", b"a (b) c"])
def test_glimpse(comm: bytes) -> None:
    assert parse_outline(STAT % comm) == Outline(Bytes(3133440), Pages(360), Ticks(133267), is_hollow=False)


@pytest.mark.parametrize(
    ("threads", "size", "is_hollow"), [(b"1", b"0", False), (b"2", b"0", True), (b"2", b"4096", False)]
)
def test_a_leader_that_has_exited_is_hollow(threads: bytes, size: bytes, is_hollow: bool) -> None:
    fields = b"Z 5 6 4 0 -1 0 0 0 0 0 0 0 0 0 20 0 %b 0 99 %b 0 0\n" % (threads, size)
    assert parse_outline(b"7 (cat) " + fields) == Outline(Bytes(int(size)), Pages(0), Ticks(99), is_hollow)


@pytest.mark.parametrize("text", [b"", b"7 (cat) S 5", b"7 (cat) " + 22 * b"x ", b"no comm"])
def test_what_is_no_stat_gives_no_glimpse(text: bytes) -> None:
    with pytest.raises(Malformed):
        parse_outline(text)
