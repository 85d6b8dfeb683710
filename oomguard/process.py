"""One process, as /proc/PID tells it: pure parsers of `stat`, `statm` and `status`."""

from __future__ import annotations

from oomguard.errors import Malformed
from oomguard.fields import number, whole
from oomguard.frozen import frozen, positional
from oomguard.names import decode
from oomguard.units import KIB, Bytes, Pages, Pid, Ticks, Uid

_PF_KTHREAD = 0x00200000


@positional
class Key:
    """The identity of a process: pids are reused, pids with their start time are not."""

    pid: Pid
    starttime: Ticks

    def __lt__(self, other: Key) -> bool:
        return (self.pid, self.starttime) < (other.pid, other.starttime)


@frozen
class Stat:
    """/proc/PID/stat (fs/proc/array.c `do_task_stat()`), as far as decisions need it."""

    key: Key
    comm: str
    state: str
    ppid: Pid
    pgid: int
    sid: int
    kernel_thread: bool
    """PF_KTHREAD of the flags."""
    cpu_time: Ticks
    """utime + stime."""
    nice: int
    threads: int
    fingerprint: int
    """A digest of all of it."""
    image: int
    """Changes with each exec (a digest of where code, data and stack were mapped), and is passed on by fork.

    0 without an address space, and where ptrace access is missing, as the kernel does not tell then. An
    exec of the same program with address randomization off can leave it the same. Any process can change
    it without an exec, or back to what it was before one (PR_SET_MM_MAP, prctl(2)): it says when to look
    anew, and proves nothing.
    """


@positional
class Outline:
    """What /proc/PID/stat alone tells of who is not known: enough to see whether it can matter."""

    size: Bytes
    """What it maps: no less than what it holds, in memory and in swap."""
    resident: Pages
    starttime: Ticks
    is_hollow: bool
    """It has threads and no memory, as a leader that has exited before them."""


@frozen
class Statm:
    """/proc/PID/statm: size and resident set, in pages."""

    size: Pages
    resident: Pages


@frozen
class MemoryUse:
    """What a process holds, from the Vm and Rss lines of /proc/PID/status (fs/proc/task_mmu.c)."""

    total_vm: Pages
    rss_anon: Pages
    rss_file: Pages
    rss_shmem: Pages
    swap: Pages
    page_tables: Pages
    private_committed: Pages
    """VmData + VmStk: what counts against the commit limit."""

    @property
    def rss(self) -> Pages:
        """The resident set, as `get_mm_rss()` adds it up."""
        return Pages(self.rss_anon + self.rss_file + self.rss_shmem)


@frozen
class Status:
    """/proc/PID/status, as far as decisions need it."""

    uid: Uid
    """The real user id: a setuid program does not earn the protection of its owner."""
    cap_effective: int
    memory: MemoryUse | None
    """None where there is no address space: kernel threads, zombies."""


@frozen
class Process:
    """All that a decision needs of one process, read at one time."""

    key: Key
    comm: str
    state: str
    ppid: Pid
    pgid: int
    sid: int
    kernel_thread: bool
    cpu_time: Ticks
    nice: int
    image: int
    uid: Uid
    cap_effective: int
    memory: MemoryUse | None
    oom_score_adj: int
    fingerprint: int = 0
    """Of its stat, read before all else: while it is the same, nothing of this need be read anew."""

    @property
    def held(self) -> Pages:
        """The resident set and what was swapped out of it; 0 without memory."""
        return Pages(self.memory.rss + self.memory.swap) if self.memory else Pages(0)


# 6858 (cat) R 6856 6856 4226 0 -1 4194304 100 0 0 0 0 0 0 0 20 0 1 0 133267 3133440 360 18446744073709551615
# 94805041078272 94805041098153 140733627645264 0 0 0 0 0 0 0 0 0 17 1 0 0 0 0 0 94805041114160 94805041115776
# 94805225803776 140733627648702 140733627648757 140733627648757 140733627650027 0
def parse_stat(data: bytes) -> Stat:
    """`Stat`; comm may hold anything, closing brackets and newlines included. Raises `Malformed`."""
    # What follows comm holds no bracket, so the last one is the kernel's.
    opening, closing = data.find(b" ("), data.rfind(b") ")
    # fields[0] is the third of proc_pid_stat(5).
    fields = whole(data)[closing + 2 :].split()
    if opening < 0 or closing < opening or len(fields) < 26:
        raise Malformed("not the fields of a process")
    try:
        # startcode, endcode, startstack; start_data, end_data, start_brk, arg_start (3.5).
        mapped = tuple(map(int, fields[23:26] + fields[42:46]))
        return Stat(
            key=Key(Pid(int(data[:opening])), Ticks(int(fields[19]))),
            comm=decode(data[opening + 2 : closing]),
            state=decode(fields[0]),
            ppid=Pid(int(fields[1])),
            pgid=int(fields[2]),
            sid=int(fields[3]),
            kernel_thread=bool(int(fields[6]) & _PF_KTHREAD),
            cpu_time=Ticks(int(fields[11]) + int(fields[12])),
            nice=int(fields[16]),
            threads=int(fields[17]),
            fingerprint=hash(data),
            image=hash(mapped) if mapped[2] else 0,
        )
    except ValueError as error:
        raise Malformed(f"not a number: {error}") from error


def parse_outline(data: bytes) -> Outline:
    """`Outline`; raises `Malformed`. No field is turned into a number but those that are needed: of thousands
    of processes, most are read no further."""
    fields = data[data.rfind(b") ") + 2 :].split(None, 22)
    try:
        size = Bytes(int(fields[20]))
        is_hollow = not size and fields[17] != b"1"
        return Outline(size, Pages(int(fields[21])), Ticks(int(fields[19])), is_hollow)
    except (ValueError, IndexError) as error:
        raise Malformed("not the fields of a process") from error


# 765 404 376 5 0 123 0
def parse_statm(data: bytes) -> Statm:
    """`Statm`; raises `Malformed`."""
    try:
        size, resident, *_ = whole(data).split()
        return Statm(size=Pages(int(size)), resident=Pages(int(resident)))
    except ValueError as error:
        raise Malformed("not the fields of statm") from error


# Name:	cat
# Uid:	0	0	0	0
# VmSize:	    3060 kB
# VmRSS:	    1616 kB
# RssAnon:	     112 kB
# RssFile:	    1504 kB
# RssShmem:	       0 kB
# VmData:	     360 kB
# VmStk:	     132 kB
# VmPTE:	      40 kB
# VmSwap:	       0 kB
# CapEff:	000001fffeffffff
def parse_status(data: bytes, page_size: int) -> Status:
    """`Status`, its kB turned into pages of `page_size` bytes; raises `Malformed`.

    Kernels before 4.5 do not tell the kinds of resident memory apart: all of it counts as anonymous.
    """
    # Only the first line is the process's own to write, so the last Uid is the kernel's.
    text = whole(data)[data.rfind(b"\nUid:\t") :]
    at = text.find(b"\nCapEff:\t")
    try:
        return Status(
            uid=Uid(number(text, b"\nUid:\t", b"\t")),
            # Sixteen hexadecimal digits; they follow the Vm lines, so these are whole where this is there.
            cap_effective=int(text[at + 9 : at + 25], 16),
            memory=_memory_use(text[vm:], page_size) if (vm := text.find(b"\nVmSize:\t")) >= 0 else None,
        )
    except (KeyError, ValueError) as error:
        raise Malformed(f"not the lines of a process: {error}") from error


def _memory_use(text: bytes, page_size: int) -> MemoryUse:
    # Up to VmSwap each line is a key, a number and kB.
    words = text[: text.find(b"\n", text.find(b"\nVmSwap:\t") + 1)].split()
    pages = {
        key: Pages(int(kilobytes) * KIB // page_size)
        for key, kilobytes in zip(words[::3], words[1::3], strict=True)
    }
    if b"RssAnon:" in pages:
        rss_anon, rss_file, rss_shmem = pages[b"RssAnon:"], pages[b"RssFile:"], pages[b"RssShmem:"]
    else:
        rss_anon, rss_file, rss_shmem = pages[b"VmRSS:"], Pages(0), Pages(0)
    return MemoryUse(
        total_vm=pages[b"VmSize:"],
        rss_anon=rss_anon,
        rss_file=rss_file,
        rss_shmem=rss_shmem,
        swap=pages[b"VmSwap:"],
        # From 4.0 to 4.14 the upper levels of the page tables are told apart.
        page_tables=Pages(pages[b"VmPTE:"] + pages.get(b"VmPMD:", 0)),
        private_committed=Pages(pages[b"VmData:"] + pages[b"VmStk:"]),
    )
