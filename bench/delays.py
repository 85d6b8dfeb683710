"""Whom does a hog stall? Two processes in one control group, seen by PSI and by their delays. Takes root.

    .venv/bin/python -m bench.delays [SECONDS]

The group may hold LIMIT of memory, and there is no swap. The first hog reads a file that is larger, over and
over, beside a database whose memory cannot be evicted: it waits for its own pages. The second hog holds most
of it, beside a database that reads a file: it waits for nothing, and the database waits for its pages. After
SECONDS of each (10 unless told) it says how long everybody stalled by PSI's `full`, how long the hog waited,
and how long the database. kernel.task_delayacct is switched on meanwhile, and put back.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from oomguard import netlink
from oomguard.bystanders import MOST_PROCESSES, Neighbours
from oomguard.delays import TaskDelays
from oomguard.gauge import ARMED_PAUSE
from oomguard.process import Key
from oomguard.procfs import ProcFS
from oomguard.psi import parse_pressure
from oomguard.units import MIB, Pid, Seconds

LIMIT = 64 * MIB
LARGE, HELD, SMALL = 96 * MIB, 48 * MIB, 32 * MIB
SYSCTL = Path("/proc/sys/kernel/task_delayacct")
GROUPS = Path("/sys/fs/cgroup/memory")
PRESSURE = Path("/proc/pressure/memory")
ROUNDS = 60

USER = """
import mmap, os, sys, time
size, pause = int(sys.argv[2]), float(sys.argv[3])
if sys.argv[1]:
    pages = mmap.mmap(os.open(sys.argv[1], os.O_RDONLY), size, prot=mmap.PROT_READ)
else:
    pages = mmap.mmap(-1, size)
    pages.write(bytes(size))
print(flush=True)
while True:
    for at in range(0, size, 4096):
        pages[at]
    time.sleep(pause)
"""
"""Uses so much memory, a file's or its own, over and over with a pause in between."""


def main() -> None:
    """Measure, and print the table."""
    seconds = Seconds(float(sys.argv[1]) if len(sys.argv) > 1 else 10.0)
    out("| the hog | full stall (PSI) | the hog's delay | the database's |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder, counted(), group() as procs:
        large, small = (written(Path(folder) / str(size), size) for size in (LARGE, SMALL))
        for title, hogs, hers in (
            ("stalls itself", (large, LARGE, 0), ("", SMALL, 0.1)),
            ("stalls the database", ("", HELD, 0.1), (small, SMALL, 0.1)),
        ):
            with user(procs, hogs) as hog, user(procs, hers) as database:
                full, own, worst = watched(hog, database, seconds)
                out(f"| {title} | {full / seconds:.1%} | {own / seconds:.1%} | {worst / seconds:.1%} |")


def written(path: Path, size: int) -> str:
    """The path of a file that nobody has in memory: who reads it first is charged with it."""
    with path.open("wb") as file:
        file.write(os.urandom(size))
        file.flush()
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return str(path)


def watched(hog: Key, database: Key, seconds: Seconds) -> tuple[Seconds, Seconds, Seconds]:
    """The stall of everybody, of the hog, and of the worst bystander."""
    delays = TaskDelays(netlink.account(frozenset()))
    sys.stderr.write(f"following {MOST_PROCESSES} processes takes {cost(delays, hog):.2%} of a core\n")
    delays.watch((hog, database))
    its, others = Neighbours(seconds), Neighbours(seconds)
    before, began = parse_pressure(PRESSURE.read_bytes()).full, time.monotonic()
    while (at := Seconds(time.monotonic())) < began + seconds:
        read = delays.read()
        if len(read) < 2:
            sys.exit("the kernel does not tell the delays of both")
        its.add(at, {hog: read[hog]})
        others.add(at, {database: read[database]})
        time.sleep(ARMED_PAUSE)
    full = Seconds(parse_pressure(PRESSURE.read_bytes()).full - before)
    return full, its.worst() or Seconds(0.0), others.worst() or Seconds(0.0)


def cost(delays: TaskDelays, one: Key) -> float:
    """The share of a core for reading the delays of as many as the guard watches."""
    delays.watch([one] * MOST_PROCESSES)
    spent, began = 0.0, time.monotonic()
    for _ in range(ROUNDS):
        before = time.process_time()
        delays.read()
        spent += time.process_time() - before
        time.sleep(ARMED_PAUSE)
    return spent / (time.monotonic() - began)


@contextmanager
def counted() -> Iterator[None]:
    """The kernel counts delays for whoever starts from now on."""
    before = SYSCTL.read_text()
    SYSCTL.write_text("1")
    try:
        yield
    finally:
        SYSCTL.write_text(before)


@contextmanager
def group() -> Iterator[Path]:
    """The list of processes of a control group of the first version, that may hold `LIMIT`."""
    folder = GROUPS / f"oomguard-bench-{os.getpid()}"
    folder.mkdir()
    try:
        (folder / "memory.limit_in_bytes").write_text(str(LIMIT))
        yield folder / "cgroup.procs"
    finally:
        folder.rmdir()


@contextmanager
def user(procs: Path, arguments: tuple[str, int, float]) -> Iterator[Key]:
    """A `USER` of memory, in its group and at work."""
    enter = f"open({str(procs)!r}, 'w').write('0')\n"
    words = (sys.executable, "-c", enter + USER, *map(str, arguments))
    with subprocess.Popen(words, stdout=subprocess.PIPE) as process:  # noqa: S603
        try:
            if process.stdout is None or not process.stdout.readline():
                sys.exit("one of the two does not start")
            yield ProcFS().stat(Pid(process.pid)).key
        finally:
            process.kill()


def out(line: str) -> None:
    """Print one line."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
