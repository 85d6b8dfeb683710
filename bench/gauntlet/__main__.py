"""`python -m bench.gauntlet run` adds the runs that are missing, `report` writes docs/gauntlet.md."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path

from bench.gauntlet import report, rows
from bench.gauntlet.cell import Cell
from bench.gauntlet.guards import GUARDS
from bench.gauntlet.rows import RESULTS, Row
from bench.gauntlet.scenario import scenarios
from tests.vm.build import REPOSITORY
from tests.vm.cache import folder
from tests.vm.image import missing
from tests.vm.machine import Outcome

MOST_WAITED = 0.15
"""A run is not counted where its CPUs waited for more of a second than this in each second."""


def main() -> int:
    """Does what the command line asks for; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.gauntlet", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="make the runs that are missing, one after the other")
    run.add_argument("--cell", action="append", metavar="SCENARIO/GUARD", help="only these (globs)")
    run.add_argument("--runs", type=int, default=3, metavar="N", help="of each cell (default: 3)")
    commands.add_parser("list", help="the cells, and how many runs of each there are")
    commands.add_parser("report", help="write docs/gauntlet.md and its pictures from the rows that there are")
    arguments = parser.parse_args()
    if arguments.command == "report":
        report.write(rows.read(RESULTS), REPOSITORY / "docs")
        return 0
    if tools := missing():
        sys.exit(f"missing on this host: {', '.join(tools)}")
    if arguments.command == "list":
        for cell in cells(["*"]):
            out(f"{len(rows.runs(rows.read(RESULTS), cell.key)):3} {cell.name}")
        return 0
    chosen = cells(arguments.cell or ["*"])
    if not chosen:
        sys.exit(f"no such cell: {', '.join(arguments.cell)}; `list` names them")
    return 1 if make_runs(chosen, arguments.runs) else 0


def cells(patterns: list[str]) -> list[Cell]:
    """The cells that one of the patterns names."""
    every = (Cell(scenario=scenario, guard=guard) for scenario in scenarios() for guard in GUARDS)
    return [cell for cell in every if any(fnmatchcase(cell.name, pattern) for pattern in patterns)]


def make_runs(chosen: Iterable[Cell], count: int) -> int:
    """Makes `count` runs of each cell, less those that there are; how many came to nothing.

    Each cell's first run comes before any cell's second, so that an end before the end leaves a whole table.
    """
    failures = 0
    for number in range(1, count + 1):
        for cell in chosen:
            key = cell.key
            done = len(rows.runs(rows.read(RESULTS), key))
            if done >= number:
                continue
            outcome, waited = cell.run()
            kept = keep(cell, done + 1, outcome)
            try:
                figures = cell.figures(outcome)
            except ValueError as error:
                out(f"{cell.name}: no result: {error}; {kept}")
                failures += 1
                continue
            out(f"{cell.name} run {done + 1}: waited {waited}, {figures}; {kept}")
            if waited > MOST_WAITED:
                out(f"{cell.name}: not counted: it waited for the host's CPUs for {waited} s a second")
                failures += 1
                continue
            day = datetime.now(UTC).date().isoformat()
            rows.add(RESULTS, Row(key=key, run=done + 1, day=day, waited=waited, figures=figures))
    return failures


def keep(cell: Cell, number: int, outcome: Outcome) -> Path:
    """Everything that a run has said, for people who want to know why."""
    home = folder() / "gauntlet"
    home.mkdir(parents=True, exist_ok=True)
    path = home / f"{cell.name.replace('/', '.')}.{number}.txt"
    told = "\n".join(str(each) for each in outcome.results)
    path.write_text(f"{outcome.output}\n{told}\n{outcome.story}\n")
    return path


def out(line: str) -> None:
    """Print one line."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
