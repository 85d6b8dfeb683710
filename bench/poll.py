"""What one poll and one look at everybody cost in CPU, as a Markdown table.

    .venv/bin/python -m bench.poll

Reads this host; decides nothing.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace

from bench.soak import Clock, silently
from oomguard import ranking
from oomguard.badness import Policy
from oomguard.census import Census
from oomguard.config import DEFAULTS
from oomguard.event import Mode
from oomguard.forecast import Pace
from oomguard.gauge import LONGEST_PAUSE, Gauge
from oomguard.guard import Guard
from oomguard.handover import NOTHING_OPENED
from oomguard.pressure import Sample
from oomguard.procfs import ProcFS
from oomguard.ranking import Exempt
from oomguard.record import Writer
from oomguard.resident import pause_collector
from oomguard.sampler import Sampler
from oomguard.units import Seconds
from oomguard.wakeup import Wakeup

ROUNDS = 5
SAMPLES = 50_000
"""More than are read in all rounds together."""
LEARNING, POLLS = 200, 1_000
MICROSECOND = 1e-6


def main() -> None:
    """Measure, and print the table."""
    pause_collector()
    procfs = ProcFS()
    census = Census(procfs, (), None)
    writer = Writer.anonymous()
    sampler = Sampler(procfs)
    gauge = Gauge(DEFAULTS.limits, procfs.overcommit(), procfs.machine().page_size)
    sample = Sample(
        at=Seconds(0.0), memory=procfs.memory(), pressure=procfs.pressure(), vmstat=procfs.vmstat()
    )
    # As far apart as in calm: of those that are too near each other, thousands would be kept.
    samples = tuple(replace(sample, at=Seconds(number * LONGEST_PAUSE)) for number in range(SAMPLES))
    waiting = iter(samples)
    everybody = census.take()
    takes = Pace().takes()
    nobody = Exempt(own=frozenset(), passed_over=frozenset())

    def look() -> None:
        machine = procfs.machine()
        seen = census.take()
        measure = ranking.score(Policy.KERNEL, (), seen, machine)
        ranking.rank(seen, measure, machine, nobody)

    steps: dict[str, tuple[Callable[[], object], int]] = {
        "a glimpse": (sampler.glimpse, 1),
        "meminfo": (procfs.memory, 1),
        "PSI": (procfs.pressure, 1),
        "vmstat, where somebody waited": (procfs.vmstat, 1),
        "comparing with the limits": (lambda: gauge.read(next(waiting), takes), 1),
        "publishing a sample": (lambda: writer.sample(sample), 1),
        "listing /proc, a process": (procfs.pids, len(everybody)),
        "a look at everybody, ranked, a process": (look, len(everybody)),
    }
    sys.stdout.write(f"{len(everybody)} processes\n\n| step | CPU, µs |\n|---|---|\n")
    sys.stdout.write(
        f"| a poll in calm, all of it | {min(whole() for _ in range(ROUNDS)) / MICROSECOND:.1f} |\n"
    )
    for title, (step, share) in steps.items():
        sys.stdout.write(f"| {title} | {cpu(step) / share / MICROSECOND:.1f} |\n")


class Calm(Wakeup):
    """In place of waiting: the clocks are put ahead. Once all is known, so many polls are timed.

    Nothing but time ends the wait, so most of these polls are glimpses.
    """

    rested = True

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._done = 0
        self.spent = 0.0

    def wait(self, pause: Seconds) -> frozenset[int]:
        """Do not."""
        if self._done == LEARNING:
            self.spent = -time.process_time()
        self._clock.skipped += pause
        self._done += 1
        if self._done <= LEARNING + POLLS:
            return frozenset()
        self.spent += time.process_time()
        return frozenset((signal.SIGTERM,))


def whole() -> float:
    """Seconds of CPU that a poll of the guard takes, with its share of looking at everybody now and then."""
    clock, config, writer = Clock(), replace(DEFAULTS, mode=Mode.DRY_RUN), Writer.anonymous()
    with clock.ahead():
        calm = Calm(clock)
        guard = Guard(config, lambda: config, ProcFS(), writer, silently(config), calm, NOTHING_OPENED)
        guard.run(())
    return calm.spent / POLLS


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
