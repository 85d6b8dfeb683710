"""What reclaim does in shortages of several kinds, as a Markdown table: where thrashing begins.

    python -m bench.thrash [NAME…]
    python -m bench.thrash tests/incidents/*.xz

Each scenario of the gauntlet runs in a machine of its own under a guard in dry run, so that it takes its
course; or it has run already, and is on record (bench.incidents). Its rows are the window of ten seconds in
which most was refaulted, and the one with the longest stall.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench.gauntlet.scenario import scenarios
from bench.incidents.record import record
from oomguard.event import Mode
from oomguard.pressure import Sample
from oomguard.units import MIB, Seconds
from tests.incident import Read, load

NAMES = ("thrash", "mapping", "page-cache", "burst", "flat-out")
WINDOW = Seconds(10.0)
RECORD = ".jsonl.xz"
WATCHED = 40
"""Seconds of each scenario; the gauntlet's own limits are longer."""
PAGE = 4096
COLUMNS = (
    "scenario",
    "window",
    "refaults, of memory",
    "of them anon",
    "swapped in",
    "scans a refault",
    "full stall",
    "available",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """What happened within one window."""

    refaults: float
    """As a share of memory; as is `swapped_in`."""
    anon: float
    """The share of the refaults that are of anonymous memory."""
    swapped_in: float
    scans: float
    """Pages that the whole machine's reclaim looked at, for each that was refaulted."""
    stall: Seconds
    available: int
    """MiB, at the end."""


def main(names: Sequence[str]) -> None:
    """Run them, and print the table."""
    out(f"| {' | '.join(COLUMNS)} |")
    out(f"{'|---' * len(COLUMNS)}|")
    for name in names:
        recorded = Path(name).read_bytes() if name.endswith(RECORD) else run(name)
        if recorded is None:
            continue
        samples = [line.sample for line in load(recorded) if isinstance(line, Read)]
        found = courses(samples)
        title = Path(name).name.removesuffix(RECORD)
        row(title, "most refaults", max(found, key=lambda course: course.refaults))
        row(title, "longest stall", max(found, key=lambda course: course.stall))


def run(name: str) -> bytes | None:
    """A record of the scenario; None, with the story told, where there is none."""
    scenario = next(each for each in scenarios() if each.name == name)
    return record(replace(scenario, limit=WATCHED, linger=2), Mode.DRY_RUN)


def courses(samples: Sequence[Sample]) -> list[Course]:
    """The course of each window that the samples have whole."""
    found = []
    start = 0
    for sample in samples:
        while sample.at - samples[start + 1].at >= WINDOW:
            start += 1
        if sample.at - samples[start].at >= WINDOW:
            found.append(course(samples[start], sample))
    return found


def course(first: Sample, last: Sample) -> Course:
    """What happened between two samples."""
    before, after = first.vmstat, last.vmstat
    memory = last.memory.total / PAGE
    anon = after.refault_anon - before.refault_anon
    refaults = after.refault_file - before.refault_file + anon
    scans = after.pgscan_kswapd - before.pgscan_kswapd + after.pgscan_direct - before.pgscan_direct
    waited = last.pressure.full - first.pressure.full if last.pressure and first.pressure else 0.0
    return Course(
        refaults=refaults / memory,
        anon=anon / max(refaults, 1),
        swapped_in=(after.pswpin - before.pswpin) / memory,
        scans=scans / max(refaults, 1),
        stall=Seconds(waited),
        available=last.memory.available // MIB,
    )


def row(name: str, window: str, found: Course) -> None:
    """One row of the table."""
    out(
        f"| {name} | {window} | {found.refaults:.1%} | {found.anon:.0%} | {found.swapped_in:.1%} "
        f"| {found.scans:.1f} | {found.stall:.1f} s | {found.available} MiB |"
    )


def out(line: str) -> None:
    """Print one line."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:] or NAMES)
