"""A host of a few processes in a folder: who uses what, how much is left, and whom the kernel would kill."""

from __future__ import annotations

import shutil
from pathlib import Path

from oomguard.units import KIB
from tests.processfolder import RECORDED, host, place

TOTAL = 4096
"""MiB of memory."""
MEMINFO = f"""MemTotal: {TOTAL * KIB} kB
MemFree: {{free}} kB
MemAvailable: {{free}} kB
Buffers: 0 kB
Cached: 0 kB
SwapCached: 0 kB
Active(file): 0 kB
Inactive(file): 0 kB
Unevictable: 0 kB
Mlocked: 0 kB
SwapTotal: {{swap_total}} kB
SwapFree: {{swap_free}} kB
AnonPages: 0 kB
Mapped: 0 kB
Shmem: 0 kB
SUnreclaim: 0 kB
KernelStack: 0 kB
PageTables: 0 kB
Percpu: 0 kB
CommitLimit: {TOTAL * KIB} kB
Committed_AS: 0 kB
Hugetlb: 0 kB
"""


class SmallHost:
    """Below `root`, to be read by `ProcFS(root)`."""

    def __init__(self, root: Path) -> None:
        self.root = host(root)
        for name in ("pressure", "sys"):
            shutil.copytree(RECORDED / name, root / "proc" / name)
        for name in ("uptime", "vmstat"):
            shutil.copy(RECORDED / name, root / "proc" / name)
        self._swap = 0, 0
        self.has_available(TOTAL)

    def has_available(self, mib: int) -> None:
        self._available = mib
        self._tell()

    def has_swap(self, *, total: int, free: int) -> None:
        self._swap = total, free
        self._tell()

    def has_stalled(self, seconds: float) -> None:
        """Everybody, for so long since boot."""
        total = int(seconds * 1e6)
        lines = (f"{which} avg10=0.00 avg60=0.00 avg300=0.00 total={total}\n" for which in ("some", "full"))
        (self.root / "proc/pressure/memory").write_text("".join(lines))

    def _tell(self) -> None:
        total, free = self._swap
        sizes = {"free": self._available, "swap_total": total, "swap_free": free}
        text = MEMINFO.format(**{name: size * KIB for name, size in sizes.items()})
        (self.root / "proc/meminfo").write_text(text)

    def runs(
        self, pid: int, mib: int, *, adj: int = 0, oom_score: int | None = None, exe: str = "/bin/hog"
    ) -> None:
        """A process that uses `mib` of its own, with the kernel's score for that unless another is given."""
        place(self.root, pid, comm=exe.rpartition("/")[2], exe=exe, cgroup=f"/{pid}.service")
        folder = self.root / f"proc/{pid}"
        sizes = {"VmSize": mib, "VmRSS": mib, "RssAnon": mib, "RssFile": 0, "RssShmem": 0}
        lines = (folder / "status").read_text().splitlines()
        (folder / "status").write_text("".join(f"{_sized(line, sizes)}\n" for line in lines))
        score = 667 + mib * 667 // TOTAL if oom_score is None else oom_score
        (folder / "oom_score").write_text(f"{score}\n")
        (folder / "oom_score_adj").write_text(f"{adj}\n")


def _sized(line: str, sizes: dict[str, int]) -> str:
    name = line.partition(":")[0]
    return f"{name}:\t{sizes[name] * KIB} kB" if name in sizes else line
