"""What process events cost the guard, as Markdown tables. Takes root.

    .venv/bin/python -m bench.events [SECONDS]

The first table: CPU per 1,000 events, taken from the kernel's queue as the guard does, and by pyroute2. The
second: a guard in dry run that is armed all the time, with and without process events, on this host as it is
and while RATE processes a second start and end. Each is watched for SECONDS (20 unless told).
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import psutil
from pyroute2.netlink.connector.cn_proc import ProcEventMarshal  # type: ignore[import-untyped]

from bench.footprint import SETTLE_SECONDS, cpu_seconds
from oomguard import netlink
from oomguard.procevents import LONGEST, ProcEvents
from oomguard.sources import Use

KIB = 1024
BATCH = 200
ROUNDS = 9
EVENTS_EACH = 2
"""A child that is forked and ends at once."""
RATE = 300
STORM = """
import os, sys, time
while True:
    os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0)
    time.sleep(float(sys.argv[1]))
"""
ARMED = '[limits.available]\nterm = "60%"\nkill = "0B"\n'


def main() -> None:
    """Measure, and print the tables."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 20.0
    out("| per 1,000 events | CPU, ms |\n|---|---|")
    for title, milliseconds in taken_in():
        out(f"| {title} | {milliseconds:.2f} |")
    out("\n| process_events | processes started a second | RSS, KiB | CPU of a core |\n|---|---|---|---|")
    for storm in (nullcontext(), children()):
        with storm as started:
            for use in (Use.OFF, Use.ON):
                memory, share = armed(use, seconds)
                out(f"| {use} | {'none of ours' if started is None else RATE} | {memory} | {share:.2%} |")


def taken_in() -> Iterator[tuple[str, float]]:
    """The CPU of reading and understanding events."""
    subscription = netlink.subscribe(frozenset())
    events, marshal = ProcEvents(subscription), ProcEventMarshal()

    def ours() -> None:
        events.drain()

    def theirs() -> None:
        for _ in range(BATCH * EVENTS_EACH):
            list(marshal.parse(os.read(subscription.fd, LONGEST)))

    for title, take in (("as the guard does", ours), ("by pyroute2's decoder", theirs)):
        events.listen()
        events.drain()
        yield title, min(timed(take) for _ in range(ROUNDS)) / (BATCH * EVENTS_EACH) * 1e6
        events.ignore()


def timed(take: Callable[[], None]) -> float:
    """Seconds of CPU for a batch, as it lies in the queue."""
    for _ in range(BATCH):
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
    began = time.process_time()
    take()
    return time.process_time() - began


def armed(use: Use, seconds: float) -> tuple[int, float]:
    """RSS in KiB, and the share of a CPU, of a guard that is armed."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "oomguard.toml"
        config.write_text(f'sources.process_events = "{use}"\nrecord.path = "{folder}/record"\n{ARMED}')
        words = (sys.executable, "-m", "oomguard", "run", "--dry-run", "--config", str(config))
        running = subprocess.Popen(words, stderr=subprocess.DEVNULL)  # noqa: S603
        try:
            guard = psutil.Process(running.pid)
            time.sleep(SETTLE_SECONDS)
            before = cpu_seconds(guard)
            time.sleep(seconds)
            return guard.memory_info().rss // KIB, (cpu_seconds(guard) - before) / seconds
        finally:
            running.terminate()
            running.wait()


@contextmanager
def children() -> Iterator[int]:
    """`RATE` processes a second start and end."""
    storm = subprocess.Popen((sys.executable, "-c", STORM, str(1 / RATE)))  # noqa: S603
    try:
        yield storm.pid
    finally:
        storm.kill()
        storm.wait()


def out(line: str) -> None:
    """Print one line."""
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    main()
