"""The kernel as the judge: what `badness` computes is what /proc/PID/oom_score says."""

from __future__ import annotations

import mmap
import os
import select
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest

from oomguard.badness import Machine, oom_score
from oomguard.errors import Gone
from oomguard.process import Process
from oomguard.procfs import ProcFS
from oomguard.units import Bytes, Pages, Pid

COUNTERS = 4
"""rss_file, rss_anon, rss_shmem and swap, each with a slack of its own."""
ATTEMPTS = 5
"""How often a process that changes while it is read is read anew."""
WAIT = 60

Prepare = Callable[[Bytes], object]
"""What a process does before it waits: takes so much memory, and returns what holds it."""


def slack(threads: int, machine: Machine) -> Pages:
    """How far the kernel's rss counters may be from the sums that status shows.

    Up to 6.1 each thread keeps up to 64 pages of a counter to itself (TASK_RSS_EVENTS_THRESH), since 6.2
    each CPU up to `percpu_counter_batch` of them (lib/percpu_counter.c `compute_batch_value()`).
    """
    if machine.release < (6, 2):
        return Pages(COUNTERS * 64 * threads)
    cpus = os.cpu_count() or 1
    return Pages(COUNTERS * max(32, 2 * cpus) * cpus)


def allowed(process: Process, threads: int, machine: Machine) -> range:
    """The scores within the slack."""
    if process.memory is None:
        return range(1)
    anon, pages = process.memory.rss_anon, slack(threads, machine)
    least, most = (
        oom_score(replace(process, memory=replace(process.memory, rss_anon=Pages(number))), machine)
        for number in (anon - pages, anon + pages)
    )
    return range(least, most + 1)


def still(procfs: ProcFS, pid: Pid) -> tuple[Process, int] | None:
    """The process and its score, read while neither changed; None where that never was, or it ended."""
    for _ in range(ATTEMPTS):
        try:
            score, process, again = procfs.oom_score(pid), procfs.process(pid), procfs.oom_score(pid)
            if score == again and procfs.process(pid).memory == process.memory:
                return process, score
        except Gone:
            return None
    return None


def threads_of(pid: Pid) -> int:
    try:
        return sum(1 for _ in Path(f"/proc/{pid}/task").iterdir())
    except FileNotFoundError:
        return 1


def in_initial_pid_namespace() -> bool:
    return Path("/proc/self/ns/pid").stat().st_ino == 0xEFFFFFFC  # PROC_PID_INIT_INO


@contextmanager
def child(prepare: Prepare, size: Bytes) -> Iterator[Pid]:
    """A process of our own that has done `prepare` and waits; it ends with the block."""
    ready, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            wait_with(prepare(size), tell)
        finally:
            os._exit(1)
    os.close(tell)
    try:
        assert select.select([ready], [], [], WAIT)[0], "the child never got ready"
        assert os.read(ready, 1) == b"!", "the child failed"
        yield Pid(pid)
    finally:
        os.close(ready)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def wait_with(held: object, tell: int) -> NoReturn:
    os.write(tell, b"!")
    while True:
        signal.pause()


def nothing(size: Bytes) -> object:
    return None


def anonymous_memory(size: Bytes) -> object:
    return written(mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))


def shared_memory(size: Bytes) -> object:
    return written(mmap.mmap(-1, size, flags=mmap.MAP_SHARED | mmap.MAP_ANONYMOUS))


def mapped_file(size: Bytes) -> object:
    with tempfile.TemporaryFile() as file:
        file.truncate(size)
        return written(mmap.mmap(file.fileno(), size, flags=mmap.MAP_SHARED))


def page_tables(size: Bytes) -> object:
    """A page read in the reach of each table: the zero page, which counts for nobody."""
    reach = mmap.PAGESIZE * mmap.PAGESIZE // 8
    length = size // mmap.PAGESIZE * reach
    memory = mmap.mmap(-1, length, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=mmap.PROT_READ)
    memory.madvise(mmap.MADV_NOHUGEPAGE)
    return memory, sum(memory[offset] for offset in range(0, length, reach))


def written(memory: mmap.mmap) -> mmap.mmap:
    for offset in range(0, len(memory), mmap.PAGESIZE):
        memory[offset] = 1
    return memory


def at(oom_score_adj: int, prepare: Prepare) -> Prepare:
    def prepared(size: Bytes) -> object:
        Path("/proc/self/oom_score_adj").write_text(str(oom_score_adj))
        return prepare(size)

    return prepared


def test_every_live_process_has_the_score_that_the_kernel_shows() -> None:
    procfs = ProcFS()
    machine = procfs.machine()
    pids = [pid for pid in procfs.pids() if pid != 1 or in_initial_pid_namespace()]
    wrong: list[str] = []
    compared = with_memory = 0
    for pid in pids:
        seen = still(procfs, pid)
        if seen is None:
            continue
        process, score = seen
        compared += 1
        with_memory += process.memory is not None
        if score not in allowed(process, threads_of(pid), machine):
            wrong.append(f"{process}: kernel {score}, computed {oom_score(process, machine)}")
    assert not wrong, "\n".join(wrong)
    assert compared >= len(pids) * 3 // 4
    assert with_memory >= 2, "this process and its parent at the least"


@pytest.mark.parametrize(
    ("prepare", "adj", "held"),
    [
        pytest.param(nothing, 0, False, id="idle"),
        pytest.param(nothing, 300, False, id="idle at 300"),
        pytest.param(nothing, 1000, False, id="idle at 1000"),
        pytest.param(anonymous_memory, 0, True, id="anonymous memory"),
        pytest.param(anonymous_memory, 300, True, id="anonymous memory at 300"),
        pytest.param(anonymous_memory, 1000, True, id="anonymous memory at 1000"),
        pytest.param(shared_memory, 0, True, id="shared memory"),
        pytest.param(mapped_file, 0, True, id="a mapped file"),
        pytest.param(page_tables, 0, True, id="page tables"),
    ],
)
def test_a_process_of_our_own_has_the_score_that_the_kernel_shows(
    prepare: Prepare, adj: int, held: bool
) -> None:
    procfs = ProcFS()
    machine = procfs.machine()
    size = Bytes(machine.total // 200 * machine.page_size)
    with child(at(adj, nothing), size) as pid:
        idle = still(procfs, pid)
    with child(at(adj, prepare), size) as pid:
        seen = still(procfs, pid)
    assert idle is not None, "it did nothing but wait"
    assert seen is not None, "it did nothing but wait"
    process, score = seen
    assert score in allowed(process, 1, machine), process
    # A 200th of the memory is three steps of the score: a term that is left out cannot stay unseen.
    assert (score not in allowed(idle[0], 1, machine)) is held
