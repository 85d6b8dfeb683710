"""What one poll and one look at everybody cost in CPU, as a Markdown table.

    .venv/bin/python -m bench.poll

Reads this host; decides nothing.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from oomguard import ranking
from oomguard.badness import Policy
from oomguard.census import Census
from oomguard.config import DEFAULTS
from oomguard.forecast import Pace
from oomguard.gauge import Gauge
from oomguard.pressure import Sample
from oomguard.procfs import ProcFS
from oomguard.ranking import Exempt
from oomguard.record import Writer
from oomguard.units import Seconds

ROUNDS = 5
MICROSECOND = 1e-6


def main() -> None:
    """Measure, and print the table."""
    procfs = ProcFS()
    census = Census(procfs, (), None)
    writer = Writer.anonymous()
    gauge = Gauge(DEFAULTS.limits, procfs.overcommit(), procfs.machine().page_size)
    sample = Sample(
        at=Seconds(1.0), memory=procfs.memory(), pressure=procfs.pressure(), vmstat=procfs.vmstat()
    )
    everybody = census.take()
    takes = Pace().takes()
    nobody = Exempt(own=frozenset(), passed_over=frozenset())

    def look() -> None:
        machine = procfs.machine()
        seen = census.take()
        measure = ranking.score(Policy.KERNEL, (), seen, machine)
        ranking.rank(seen, measure, machine, nobody)

    steps: dict[str, tuple[Callable[[], object], int]] = {
        "meminfo": (procfs.memory, 1),
        "PSI": (procfs.pressure, 1),
        "vmstat, where somebody waited": (procfs.vmstat, 1),
        "comparing with the limits": (lambda: gauge.read(sample, takes), 1),
        "publishing a sample": (lambda: writer.sample(sample), 1),
        "listing /proc, a process": (procfs.pids, len(everybody)),
        "a look at everybody, ranked, a process": (look, len(everybody)),
    }
    sys.stdout.write(f"{len(everybody)} processes\n\n| step | CPU, µs |\n|---|---|\n")
    for title, (step, share) in steps.items():
        sys.stdout.write(f"| {title} | {cpu(step) / share / MICROSECOND:.1f} |\n")


def cpu(step: Callable[[], object]) -> float:
    """Seconds of CPU that `step` takes: the best of several rounds, as other load only adds to it."""
    calls = 1
    while _timed(step, calls) < 0.02:
        calls *= 2
    return min(_timed(step, calls) for _ in range(ROUNDS)) / calls


def _timed(step: Callable[[], object], calls: int) -> float:
    began = time.process_time()
    for _ in range(calls):
        step()
    return time.process_time() - began


if __name__ == "__main__":
    main()
