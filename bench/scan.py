"""What a look at everybody costs in CPU, the more processes there are, as a Markdown table.

    .venv/bin/python -m bench.scan [PROCESSES...]

Has so many children asleep (100, 1,000 and 10,000 unless told), each with some hundred KiB of memory, and
reads them as the guard does: all of them, and those who are likely to matter. Its children end with it.
"""

from __future__ import annotations

import gc
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from oomguard import badness, ranking
from oomguard.badness import Policy
from oomguard.census import FRESH, Census
from oomguard.procfs import ProcFS
from oomguard.ranking import Exempt, Judged
from oomguard.units import Pid

CROWDS = (100, 1_000, 10_000)
ROUNDS = 9
POLL = 0.05
"""Seconds between two polls while armed."""
MILLISECOND = 1e-3
NOBODY = Exempt(own=frozenset(), passed_over=frozenset())


class Children(ProcFS):
    """This host, as far as it is ours: so the others' doings do not count."""

    def __init__(self, pids: frozenset[Pid]) -> None:
        super().__init__()
        self._ours = pids

    def pids(self) -> list[Pid]:
        """Lists all, as that is part of the cost."""
        return [pid for pid in super().pids() if pid in self._ours]


def main() -> None:
    """Measure, and print the table."""
    # As the guard does.
    gc.disable()
    crowds = tuple(map(int, sys.argv[1:])) or CROWDS
    measured = {size: measure(size) for size in crowds}
    first = measured[crowds[0]]
    columns = "".join(f" {size:,} | ratio |" for size in crowds)
    sys.stdout.write(f"CPU in ms, the median of {ROUNDS}\n\n| |{columns}\n|---|{'---|---|' * len(crowds)}\n")
    for step in first:
        cells = "".join(f" {of[step]:.2f} | {of[step] / first[step]:.1f} |" for of in measured.values())
        sys.stdout.write(f"| {step} |{cells}\n")


def measure(size: int) -> dict[str, float]:
    """Milliseconds of each step with `size` processes."""
    with asleep(size) as pids:
        procfs = Children(pids)
        machine = procfs.machine()
        census = Census(procfs, (), None)
        census.take()

        def kernel(judged: Judged) -> int:
            return badness.kernel(judged.process, machine)

        def near() -> tuple[Judged, ...]:
            return census.take_likely(kernel)

        def rank(everybody: tuple[Judged, ...]) -> object:
            measure = ranking.score(Policy.KERNEL, (), everybody, machine)
            return ranking.rank(everybody, measure, machine, NOBODY)

        steps = {
            "listing /proc": cpu(procfs.pids),
            "everybody": cpu(census.take),
            "everybody, ranked": cpu(lambda: rank(census.take())),
        }
        polls = follow_all_around(census)
        steps["who is likely to matter"] = cpu(near)
        steps["who is likely to matter, ranked"] = cpu(lambda: rank(near()))
        steps["one poll's following, of each 50 ms"] = statistics.median(polls)
        time.sleep(FRESH + 1)
        steps["who is likely to matter, after calm"] = cpu(near, rounds=1)
    return steps


def follow_all_around(census: Census) -> list[float]:
    """Follow as while armed, long enough for everybody's turn; gives what each poll cost, in ms."""
    spent = []
    until = time.monotonic() + FRESH - 1
    while time.monotonic() < until:
        time.sleep(POLL)
        spent.append(cpu(census.follow, rounds=1))
    return spent


def cpu(step: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Milliseconds of CPU that `step` takes: the median."""
    taken = []
    for _ in range(rounds):
        began = time.process_time()
        step()
        taken.append(time.process_time() - began)
    return statistics.median(taken) / MILLISECOND


@contextmanager
def asleep(size: int) -> Iterator[frozenset[Pid]]:
    """So many children that sleep until this process lets go of them, by its end at the latest."""
    ours, theirs = os.pipe()
    pids: list[Pid] = []
    try:
        for _ in range(size):
            pid = os.fork()
            if pid == 0:
                os.close(theirs)
                os.read(ours, 1)
                os._exit(0)
            pids.append(Pid(pid))
        yield frozenset(pids)
    finally:
        os.close(theirs)
        os.close(ours)
        for pid in pids:
            os.waitpid(pid, 0)


if __name__ == "__main__":
    main()
