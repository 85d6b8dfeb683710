"""`python -m bench.incidents NAME…` runs machines out of memory and writes tests/incidents/NAME.jsonl.xz."""

from __future__ import annotations

import argparse
import base64
import sys
from dataclasses import replace
from pathlib import Path

from bench.gauntlet.cell import BOOT_LIMIT, GUEST, Cell
from bench.gauntlet.guards import GUARDS, Guard
from bench.gauntlet.scenario import Expect, Scenario, scenarios
from tests.vm import machine
from tests.vm.build import REPOSITORY
from tests.vm.payload import RUN

INCIDENTS = REPOSITORY / "tests/incidents"
ZRAM = Scenario(
    name="zram",
    title="a leak into zram",
    about="A process leaks 40 MiB a second of what cannot be compressed, with swap in compressed memory.",
    expect=Expect.ENDS,
    swap=0,
    hogs=("/opt/vm/eat leak 4000 40",),
)
SETUPS = {
    ZRAM.name: """modprobe zram
echo 400M >/sys/block/zram0/disksize
mkswap -q /dev/zram0
swapon /dev/zram0
"""
}
"""What a scenario needs beside the guard's configuration."""
UNIT = """[Service]
Type=notify
NotifyAccess=all
Environment=PYTHONPATH=/opt/vm
ExecStart=/opt/oomguard/bin/python /opt/vm/recorder.py /run/incident
RuntimeDirectory=oomguard
Slice=-.slice
MemoryMin=64M
MemorySwapMax=0
LimitMEMLOCK=infinity
OOMScoreAdjust=-1000
Nice=-20
TimeoutStopSec=60
"""
AFTER = """#!/bin/sh
/opt/vm/cell.sh
systemctl stop recorder.service
echo "{\\"incident\\": \\"$(base64 -w0 /run/incident)\\"}"
"""


def main() -> int:
    """Does what the command line asks for; how many came to nothing."""
    parser = argparse.ArgumentParser(prog="python -m bench.incidents", description=__doc__)
    known = {each.name: each for each in (*scenarios(), ZRAM)}
    parser.add_argument("names", nargs="+", choices=known, metavar="NAME", help=", ".join(known))
    failures = 0
    for name in parser.parse_args().names:
        recorded = record(known[name])
        if recorded is None:
            failures += 1
            continue
        path = INCIDENTS / f"{name}.jsonl.xz"
        path.write_bytes(recorded)
        sys.stdout.write(f"{path}: {len(recorded)} bytes\n")
    return failures


def record(scenario: Scenario) -> bytes | None:
    """What the guard saw of one run of `scenario`; None, with the story told, where it could not tell."""
    cell = Cell(scenario=scenario, guard=recorder())
    tree = {
        **cell.payload(),
        "/opt/vm/cell.sh": (GUEST / "run.sh").read_text(),
        "/opt/vm/recorder.py": Path(__file__).with_name("recorder.py"),
        "/opt/vm/tests/incident.py": REPOSITORY / "tests/incident.py",
        "/etc/systemd/system/recorder.service": UNIT,
        RUN: AFTER,
    }
    limit = BOOT_LIMIT + scenario.limit + scenario.linger
    outcome = machine.run(scenario.machine, tree, limit)
    told = next((each["incident"] for each in outcome.results if "incident" in each), "")
    if not told:
        sys.stderr.write(f"{scenario.name}: {outcome.story}\n")
        return None
    return base64.b64decode(told)


def recorder() -> Guard:
    """oomguard as it runs in the gauntlet, but for its unit."""
    oomguard = next(each for each in GUARDS if each.name == "oomguard")

    def setup(scenario: Scenario) -> str:
        return oomguard.setup(scenario) + SETUPS.get(scenario.name, "")

    return replace(oomguard, name="recorder", unit="recorder.service", setup=setup)


if __name__ == "__main__":
    sys.exit(main())
