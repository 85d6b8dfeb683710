import errno
import os
import shutil
import subprocess
import threading
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from oomguard.badness import Machine
from oomguard.cgroup import Layout
from oomguard.errors import Malformed
from oomguard.meminfo import Overcommit, parse_holdings, parse_meminfo
from oomguard.procfs import ProcFS
from oomguard.psi import Pressure
from oomguard.units import KIB, Bytes, Pages, Pid, Seconds
from oomguard.vmstat import parse_vmstat

FIXTURES = Path(__file__).parent / "fixtures"
RECORDED = FIXTURES / "linux-6.18"


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """A recorded host to be changed at will."""
    return shutil.copytree(RECORDED, tmp_path / "host", symlinks=True)


def test_recorded_host() -> None:
    procfs = ProcFS(RECORDED)
    meminfo = (RECORDED / "proc/meminfo").read_bytes()
    assert procfs.pids() == [2, 5984]
    assert procfs.memory() == parse_meminfo(meminfo)
    assert procfs.vmstat() == parse_vmstat((RECORDED / "proc/vmstat").read_bytes())
    assert procfs.pressure() == Pressure(some=Seconds(4.181955), full=Seconds(3.142011))
    assert procfs.layout() is Layout.HYBRID
    assert procfs.machine() == Machine(
        total=Pages(procfs.memory().total // os.sysconf("SC_PAGE_SIZE")),
        page_size=os.sysconf("SC_PAGE_SIZE"),
        ticks_per_second=os.sysconf("SC_CLK_TCK"),
        uptime=Seconds(float((RECORDED / "proc/uptime").read_text().split()[0])),
        release=(6, 18),
    )
    procfs.close()


def test_groups_of_a_recorded_host(host: Path) -> None:
    group = host / "sys/fs/cgroup/unified/a"
    group.mkdir()
    shutil.copy(RECORDED / "proc/pressure/memory", group / "memory.pressure")
    (group / "cgroup.kill").touch()
    (host / "sys/fs/cgroup/cgroup.controllers").touch()
    (host / "sys/fs/cgroup/a").symlink_to("unified/a")
    procfs = ProcFS(host)
    assert procfs.layout() is Layout.UNIFIED
    stalls = procfs.group_stalls()
    stalls.watch(frozenset({"/a"}))
    pressure = procfs.pressure()
    assert pressure is not None
    assert stalls.read() == {"/a": pressure.full}
    stalls.close()
    assert procfs.kill_cgroup("/a")
    assert (group / "cgroup.kill").read_bytes() == b"1\n"


def test_overcommit(host: Path) -> None:
    vm = host / "proc/sys/vm"
    (vm / "overcommit_memory").write_text("2\n")
    (vm / "admin_reserve_kbytes").write_text("8192\n")
    (vm / "user_reserve_kbytes").write_text("131072\n")
    assert ProcFS(host).overcommit() == Overcommit(
        mode=2, admin_reserve=Bytes(8192 * KIB), user_reserve=Bytes(131072 * KIB)
    )


def test_holdings(host: Path) -> None:
    expected = parse_holdings((RECORDED / "proc/meminfo").read_bytes())
    page = os.sysconf("SC_PAGE_SIZE")
    procfs = ProcFS(host)
    assert procfs.holdings() == expected
    (host / "proc/net").mkdir()
    (host / "proc/net/sockstat").write_text("sockets: used 1\nTCP: inuse 1 mem 3\n")
    (host / "proc/zoneinfo").write_text("  pagesets\n    cpu: 0\n              count: 5\n")
    free = Bytes(expected.free + 5 * page)
    assert procfs.holdings() == replace(expected, free=free, sockets=Bytes(3 * page))
    procfs.close()


def test_swap_counts_as_memory_to_the_machine(host: Path) -> None:
    meminfo = host / "proc/meminfo"
    before = ProcFS(host).machine().total
    meminfo.write_text(meminfo.read_text().replace("SwapTotal:             0", "SwapTotal:       1048576"))
    assert ProcFS(host).machine().total - before == 1048576 * KIB // os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize(
    ("text", "release"),
    [("6.1.0-38-amd64", (6, 1)), ("4.19-rc3", (4, 19)), ("2.6.32", (2, 6)), ("3.10.0-1160.el7", (3, 10))],
)
def test_release(host: Path, text: str, release: tuple[int, int]) -> None:
    (host / "proc/sys/kernel/osrelease").write_text(f"{text}\n")
    assert ProcFS(host).machine().release == release


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("sys/kernel/osrelease", "Linux\n"),
        ("sys/kernel/osrelease", ""),
        ("uptime", ""),
        ("uptime", "soon\n"),
        ("meminfo", ""),
        ("meminfo", "MemTotal: 1 kB\n"),
    ],
)
def test_malformed_files_are_named(host: Path, file: str, text: str) -> None:
    (host / "proc" / file).write_text(text)
    with pytest.raises(Malformed, match=f"proc/{file}: "):
        ProcFS(host).machine()


def test_no_pressure_where_the_kernel_does_not_account_for_it(host: Path) -> None:
    procfs = ProcFS(host)
    (host / "proc/pressure/memory").unlink()
    assert procfs.pressure() is None


def test_pressure_that_cannot_be_read_is_an_error(host: Path) -> None:
    (host / "proc/pressure/memory").unlink()
    (host / "proc/pressure/memory").mkdir()
    with pytest.raises(IsADirectoryError):
        ProcFS(host).pressure()


def test_sees_changes_while_files_are_kept_open(host: Path) -> None:
    procfs = ProcFS(host)
    procfs.pressure()
    with (host / "proc/pressure/memory").open("r+") as file:
        file.write((RECORDED / "proc/pressure/memory").read_text().replace("total=4", "total=5"))
    pressure = procfs.pressure()
    assert pressure is not None
    assert pressure.some == 5.181955
    procfs.close()


@pytest.mark.parametrize(
    ("itself", "loadavg", "last"),
    [
        pytest.param(str(os.getpid()), "0.20 0.18 0.12 1/80 11206\n", 11206, id="ours"),
        pytest.param("7", "0.20 0.18 0.12 1/80 11206\n", None, id="of another pid namespace"),
        pytest.param(str(os.getpid()), "0.20 0.18 0.12 1/80\n", None, id="worded oddly"),
        pytest.param(str(os.getpid()), None, None, id="no such file"),
    ],
)
def test_the_pid_given_away_last(host: Path, itself: str, loadavg: str | None, last: int | None) -> None:
    (host / "proc/self").unlink(missing_ok=True)
    (host / "proc/self").symlink_to(itself)
    (host / "proc/loadavg").unlink(missing_ok=True)
    if loadavg is not None:
        (host / "proc/loadavg").write_text(loadavg)
    assert ProcFS(host).last_pid() == last


def test_whoever_is_made_has_the_pid_given_away_last() -> None:
    procfs = ProcFS()
    before = procfs.last_pid()
    assert before is not None
    os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0)
    assert procfs.last_pid() != before


def test_pids_are_given_to_threads_too() -> None:
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    gone = subprocess.Popen(("/bin/true",))
    gone.wait()
    try:
        assert thread.native_id is not None
        asked = (os.getpid(), thread.native_id, gone.pid, 1)
        assert ProcFS().living(asked) == [os.getpid(), 1]
    finally:
        done.set()
        thread.join()


def test_whoever_cannot_be_asked_for_may_live(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_pid: int) -> int:
        raise OSError(errno.EMFILE, "no descriptor is left")

    monkeypatch.setattr(os, "pidfd_open", refuse)
    assert ProcFS().living((7,)) == [7]


def test_a_file_mounted_over_the_kernels_tells_nothing(host: Path) -> None:
    """As lxcfs does."""
    (host / "proc/self").symlink_to(str(os.getpid()))
    (host / "proc/loadavg").symlink_to("/proc/loadavg")
    assert ProcFS(host).last_pid() is None


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_close_closes_all() -> None:
    before = descriptors()
    procfs = ProcFS(RECORDED)
    procfs.machine()
    procfs.vmstat()
    procfs.pressure()
    assert descriptors() == before + 5
    procfs.close()
    assert descriptors() == before
    assert procfs.memory().total > 0
    procfs.close()


def test_hidepid_shows_what_it_shows(host: Path) -> None:
    shutil.rmtree(host / "proc/2")
    assert ProcFS(host).pids() == [Pid(5984)]


def test_this_host() -> None:
    procfs = ProcFS()
    ours = Pid(os.getpid())
    assert ours in procfs.pids()
    pids = procfs.pids()
    assert pids == sorted(pids)
    assert procfs.process(ours).key == procfs.stat(ours).key
    assert procfs.process(ours).image == procfs.stat(ours).image
    assert procfs.fingerprint(ours) != procfs.fingerprint(Pid(os.getppid()))
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - procfs.started(procfs.stat(ours).key)
    assert age == pytest.approx(time.time() - psutil.Process().create_time(), abs=1.5)
    assert procfs.exe(ours) == str(Path("/proc/self/exe").readlink())
    assert procfs.user_namespace(ours) == str(Path("/proc/self/ns/user").readlink())
    assert procfs.oom_score(ours) == int(Path("/proc/self/oom_score").read_text())
    assert "pytest" in procfs.cmdline(ours)
    assert procfs.statm(ours).size > procfs.statm(ours).resident > 0
    assert procfs.membership(ours).path.startswith("/")
    assert procfs.overcommit().mode == int(Path("/proc/sys/vm/overcommit_memory").read_text())
    procfs.close()
