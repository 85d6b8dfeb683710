"""`python -m bench.incidents NAME…` runs machines out of memory and writes tests/incidents/NAME.jsonl.xz."""

from __future__ import annotations

import argparse
import sys

from bench.gauntlet.scenario import scenarios
from bench.incidents.record import ZRAM, record
from oomguard.event import Mode
from tests.vm.build import REPOSITORY

INCIDENTS = REPOSITORY / "tests/incidents"


def main() -> int:
    """Does what the command line asks for; how many came to nothing."""
    known = {each.name: each for each in (*scenarios(), ZRAM)}
    parser = argparse.ArgumentParser(prog="python -m bench.incidents", description=__doc__)
    parser.add_argument("names", nargs="+", choices=known, metavar="NAME", help=", ".join(known))
    failures = 0
    for name in parser.parse_args().names:
        recorded = record(known[name], Mode.ENFORCE)
        if recorded is None:
            failures += 1
            continue
        path = INCIDENTS / f"{name}.jsonl.xz"
        path.write_bytes(recorded)
        sys.stdout.write(f"{path}: {len(recorded)} bytes\n")
    return failures


if __name__ == "__main__":
    sys.exit(main())
