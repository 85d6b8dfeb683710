from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest

from oomguard.delays import UNKNOWN, NoDelays
from oomguard.meminfo import Memory
from oomguard.process import Key
from oomguard.procfs import ProcFS
from oomguard.sampler import Sampler
from oomguard.taskstats import Delays
from oomguard.units import Bytes, Pid, Seconds, Ticks
from tests.builders import mib

RECORDED = Path(__file__).parent / "fixtures/linux-6.18"
STALLED = "some avg10=0.00 total={some}\nfull avg10=0.00 total=1000000\n"


def far(_: Memory) -> bool:
    return False


def near(_: Memory) -> bool:
    return True


@pytest.fixture
def host(tmp_path: Path) -> Path:
    shutil.copytree(RECORDED, tmp_path / "host", symlinks=True)
    return tmp_path / "host"


class Zoned(ProcFS):
    """With 5 MiB in the lists of the CPUs."""

    def per_cpu_free(self) -> Bytes:
        return mib(5)


@pytest.fixture
def procfs(host: Path) -> Iterator[ProcFS]:
    procfs = Zoned(host)
    yield procfs
    procfs.close()


def press(host: Path, some: int) -> None:
    (host / "proc/pressure/memory").write_text(STALLED.format(some=some))


def test_what_the_cpus_keep_counts_near_the_limit_only(procfs: ProcFS) -> None:
    sampler = Sampler(procfs)
    available = sampler.take(far).memory.available
    assert available == procfs.memory().available
    assert sampler.take(near).memory.available == available + mib(5)


def test_where_nobody_waited_no_more_is_read(host: Path, procfs: ProcFS) -> None:
    (host / "sys/fs/cgroup/cgroup.controllers").touch()
    group = host / "sys/fs/cgroup/a"
    group.mkdir()
    (group / "memory.pressure").write_text(STALLED.format(some=1000000))
    press(host, 1)
    sampler = Sampler(ProcFS(host))
    sampler.watch(frozenset({"/a"}))
    first = sampler.take(far)
    assert first.stalls == {"/a": Seconds(1)}
    vmstat = host / "proc/vmstat"
    vmstat.write_text(vmstat.read_text().replace("\noom_kill ", "\noom_kill 7"))
    (group / "memory.pressure").write_text(
        STALLED.format(some=2000000).replace("total=1000000", "total=3000000")
    )
    again = sampler.take(far)
    assert (again.vmstat, again.stalls) == (first.vmstat, first.stalls)
    press(host, 2)
    later = sampler.take(far)
    assert later.vmstat.oom_kill != first.vmstat.oom_kill
    assert later.stalls == {"/a": Seconds(3)}


def test_how_long_groups_waited_for_disks_is_read_near_the_limit_only(host: Path) -> None:
    (host / "sys/fs/cgroup/cgroup.controllers").touch()
    (host / "sys/fs/cgroup/a").mkdir()
    for resource in ("memory", "io"):
        (host / f"sys/fs/cgroup/a/{resource}.pressure").write_text(STALLED.format(some=1000000))
    sampler = Sampler(ProcFS(host))
    sampler.watch(frozenset({"/a"}))
    for some, is_near, waits in ((1, far, {}), (2, near, {"/a": Seconds(1)}), (3, far, {})):
        press(host, some)
        assert sampler.take(is_near).disk_waits == waits


ZRAM = """Filename\t\tType\t\tSize\t\tUsed\t\tPriority
/dev/zram0 partition\t512000\t\t102400\t\t100
"""


def test_what_swap_takes_of_memory(host: Path) -> None:
    meminfo, vmstat = host / "proc/meminfo", host / "proc/vmstat"
    (host / "proc/swaps").write_text(ZRAM)
    vmstat.write_text(f"nr_zspages {60 << 20 >> 12}\n" + vmstat.read_text().replace("nr_zspages", "nr_other"))
    assert Sampler(ProcFS(host)).take(far).swap_cost == 0
    meminfo.write_text(
        meminfo.read_text().replace("SwapTotal:             0 kB", "SwapTotal:        512000 kB")
    )
    press(host, 1)
    sampler = Sampler(ProcFS(host))
    assert sampler.take(far).swap_cost == pytest.approx(0.6)
    vmstat.write_text(
        vmstat.read_text().replace(f"nr_zspages {60 << 20 >> 12}", f"nr_zspages {30 << 20 >> 12}")
    )
    assert sampler.take(far).swap_cost == pytest.approx(0.6)
    press(host, 2)
    assert sampler.take(far).swap_cost == pytest.approx(0.3)
    (host / "proc/swaps").unlink()
    assert Sampler(ProcFS(host)).take(far).swap_cost == 0


def test_without_psi_it_is_read_each_time(host: Path, procfs: ProcFS) -> None:
    (host / "proc/pressure/memory").unlink()
    sampler = Sampler(procfs)
    first = sampler.take(far)
    vmstat = host / "proc/vmstat"
    vmstat.write_text(vmstat.read_text().replace("\noom_kill ", "\noom_kill 7"))
    assert first.pressure is None
    assert sampler.take(far).vmstat.oom_kill != first.vmstat.oom_kill


def test_time_goes_on(procfs: ProcFS) -> None:
    sampler = Sampler(procfs)
    assert sampler.take(far).at <= sampler.take(far).at


class Waits(NoDelays):
    """Whoever is watched has waited one second more at each reading."""

    def __init__(self) -> None:
        self.read_times = 0
        self._processes: tuple[Key, ...] = ()

    def watch(self, processes: Iterable[Key]) -> None:
        self._processes = tuple(processes)

    def read(self) -> Mapping[Key, Delays]:
        self.read_times += 1
        waited = Seconds(self.read_times)
        return {key: Delays(waited=waited, wanted=waited) for key in self._processes}


def test_delays_are_read_between_the_samples(procfs: ProcFS) -> None:
    """A sample may be that of the kill path."""
    sampler, source, one = Sampler(procfs), Waits(), Key(pid=Pid(7), starttime=Ticks(1))
    assert sampler.take(far).delays == UNKNOWN
    sampler.listen_to(source)
    sampler.watch_processes([one])
    assert sampler.take(far).delays == UNKNOWN
    assert source.read_times == 0
    sampler.follow()
    for _ in range(2):
        assert sampler.take(far).delays == {one: Delays(waited=Seconds(1), wanted=Seconds(1))}
    sampler.listen_to(NoDelays())
    assert sampler.take(far).delays == UNKNOWN
