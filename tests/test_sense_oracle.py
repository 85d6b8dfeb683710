"""Our readings against psutil's, on every process of the host and on the host itself."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from oomguard.errors import Gone
from oomguard.process import Process
from oomguard.procfs import ProcFS
from oomguard.units import Pid

PAGE_SIZE = os.sysconf("SC_PAGE_SIZE")
TICK = 1 / os.sysconf("SC_CLK_TCK")
NEAR = 64 << 20
"""How far the host's memory may move between two readings."""


@pytest.fixture(scope="module")
def procfs() -> ProcFS:
    return ProcFS()


def tell_apart(check: Callable[[Pid], bool], pids: list[Pid]) -> int:
    """How many could be compared. Only a difference that is seen thrice counts: figures go up and down."""
    compared = 0
    for pid in pids:
        for last in (False, False, True):
            try:
                compared += check(pid)
                break
            except (Gone, psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
                break
            except AssertionError:
                if last:
                    raise
    return compared


def test_who_is_there(procfs: ProcFS) -> None:
    before = set(psutil.pids())
    ours = set(procfs.pids())
    after = set(psutil.pids())
    assert before & after <= ours
    assert len(ours & before) > 2


def test_every_process(procfs: ProcFS) -> None:
    boot = psutil.boot_time()

    def check(pid: Pid) -> bool:
        process, oracle = procfs.process(pid), psutil.Process(pid)
        with oracle.oneshot():
            times, memory = oracle.cpu_times(), oracle.memory_info()
            uid, ppid, nice = oracle.uids().real, oracle.ppid(), oracle.nice()
        comm = Path(f"/proc/{pid}/comm").read_text(errors="surrogateescape")[:-1]
        again = procfs.process(pid)
        if not steady(process, again):
            return False
        assert (process.ppid, process.nice, process.uid, process.comm) == (ppid, nice, uid, comm)
        assert boot + process.key.starttime * TICK == pytest.approx(oracle.create_time(), abs=1.5)
        assert process.cpu_time * TICK <= times.user + times.system + TICK / 2
        assert times.user + times.system <= again.cpu_time * TICK + TICK / 2
        held = process.memory
        assert (memory.vms, memory.rss) == (
            (held.total_vm * PAGE_SIZE, held.rss * PAGE_SIZE) if held else (0, 0)
        )
        return True

    assert tell_apart(check, procfs.pids()) > 10


def test_the_quick_readings_agree_with_the_whole(procfs: ProcFS) -> None:
    def check(pid: Pid) -> bool:
        process, stat, statm, again = (
            procfs.process(pid),
            procfs.stat(pid),
            procfs.statm(pid),
            procfs.process(pid),
        )
        if not steady(process, again):
            return False
        assert (stat.key, stat.image, stat.ppid) == (process.key, process.image, process.ppid)
        held = process.memory
        assert (statm.size, statm.resident) == ((held.total_vm, held.rss) if held else (0, 0))
        return True

    assert tell_apart(check, procfs.pids()) > 10


def steady(one: Process, other: Process) -> bool:
    """The same in two readings but for its CPU time, so that what was read in between is the same too."""
    return replace(one, cpu_time=other.cpu_time, state=other.state) == other


def exe_by_psutil(oracle: psutil.Process) -> str:
    try:
        return oracle.exe()
    except psutil.AccessDenied:
        return ""


def test_exe_and_cmdline(procfs: ProcFS) -> None:
    def check(pid: Pid) -> bool:
        oracle = psutil.Process(pid)
        assert (procfs.exe(pid) or "").removesuffix(" (deleted)") == exe_by_psutil(oracle)
        assert procfs.cmdline(pid).split() == " ".join(oracle.cmdline())[: 32 << 10].split()
        return True

    assert tell_apart(check, procfs.pids()) > 10


def test_the_hosts_memory(procfs: ProcFS) -> None:
    memory, virtual, swap = procfs.memory(), psutil.virtual_memory(), psutil.swap_memory()
    assert (memory.total, memory.swap_total) == (virtual.total, swap.total)
    assert memory.available == pytest.approx(virtual.available, abs=NEAR)
    assert memory.free == pytest.approx(virtual.free, abs=NEAR)
    assert memory.shmem == pytest.approx(virtual.shared, abs=NEAR)
    assert memory.swap_free == pytest.approx(swap.free, abs=NEAR)
    assert 0 < memory.active_file + memory.inactive_file < memory.total


def test_the_estimate_of_available_memory_is_near_the_kernels(tmp_path: Path) -> None:
    text = Path("/proc/meminfo").read_text()
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text(text.replace("MemAvailable", "MemAble"))
    told, estimated = ProcFS().memory(), ProcFS(tmp_path).memory().available
    cache = told.active_file + told.inactive_file
    assert told.available - cache <= estimated <= told.available + NEAR + told.total // 10
