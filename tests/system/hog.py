"""Processes to kill: they take memory when told to, and end by themselves; all in one control group."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

from tests.system.patience import eventually

SOURCE = Path(__file__).with_name("hog.c")
HIERARCHIES = tuple(map(Path, ("/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/systemd")))
"""Where the guard looks for a process's control group first."""
MARK = "~"
"""No other control group's name begins like this, so a glob can tell who is in none of ours."""


def build(program: Path) -> None:
    """Compile the hog; without libraries, so that it holds nothing but what it takes."""
    subprocess.run(("gcc", "-O1", "-static", "-o", program, SOURCE), check=True)


def on_cpu_lists() -> int:
    """MiB that are free, but not in MemAvailable: it takes that much more to bring the figure down.

    Since Linux 6.7 each CPU may keep many of the pages that were freed on it (mm/page_alloc.c
    `nr_pcp_high()`), and MemFree counts only what it gave back.
    """
    words = (line.split() for line in Path("/proc/zoneinfo").read_text().splitlines())
    pages = sum(int(line[1]) for line in words if line[0] == "count:")
    return pages * os.sysconf("SC_PAGE_SIZE") >> 20


class Pen:
    """The control group of all hogs; whoever is in it dies with it."""

    def __init__(self) -> None:
        """Raises OSError where this host lets nobody make one."""
        hierarchy = next(at for at in HIERARCHIES if (at / "cgroup.procs").exists())
        self._folder = hierarchy / f"{MARK}oomguard-{os.getpid()}"
        self._folder.mkdir()
        # Before exec: whoever sees the program sees it in its group.
        self.enter = ("sh", "-c", 'echo $$ > "$0"; exec "$@"', self._folder / "cgroup.procs")
        """What to begin a command with that is to run in it."""

    def pids(self) -> frozenset[int]:
        return frozenset(map(int, (self._folder / "cgroup.procs").read_text().split()))

    def clear(self) -> None:
        """End everybody in it."""
        eventually(self._is_cleared)

    def close(self) -> None:
        self.clear()
        self._folder.rmdir()

    def _is_cleared(self) -> bool:
        for pid in self.pids():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not self.pids()


class Hog:
    """One hog. It holds next to nothing before `eat`."""

    def __init__(self, program: Path, pen: Pen, mib: int, *modes: str) -> None:
        self._process = subprocess.Popen(
            (*pen.enter, program, str(mib), str(2 * mib + on_cpu_lists()), *modes),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.pid = self._process.pid
        assert self._line() == "ready"

    def eat(self) -> tuple[int, ...]:
        """Have it take its memory; gives the pids of those that it begot."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        pids = []
        while (line := self._line()) not in {"full", ""}:
            pids.append(int(line))
        return tuple(pids)

    def stop(self) -> None:
        os.kill(self.pid, signal.SIGSTOP)

    def died_by(self) -> signal.Signals | None:
        """What ended it; None while it lives."""
        code = self._process.poll()
        return None if code is None else signal.Signals(-code)

    def close(self) -> None:
        """End it, if it still is there."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()
