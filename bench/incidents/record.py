"""Runs a machine out of memory, and has the guard in it tell what it got and did."""

from __future__ import annotations

import base64
import sys
from dataclasses import replace
from pathlib import Path

from bench.gauntlet.cell import BOOT_LIMIT, GUEST, Cell
from bench.gauntlet.guards import GUARDS, Guard
from bench.gauntlet.scenario import Expect, Scenario
from oomguard.event import Mode
from tests.vm import machine
from tests.vm.build import REPOSITORY
from tests.vm.payload import RUN

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
MODE = """mkdir -p /etc/oomguard/conf.d
cat >/etc/oomguard/conf.d/mode.toml <<'END'
mode = "{mode}"
stall.budget = "2s"
END
"""
"""The budget is that of all records, whatever the default is (tests/taped.py)."""
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


def record(scenario: Scenario, mode: Mode) -> bytes | None:
    """What the guard saw of one run of `scenario`, as `tests.incident.dump` has it.

    None, with the story told on standard error, where it could not tell.
    """
    cell = Cell(scenario=scenario, guard=_recorder(mode))
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


def _recorder(mode: Mode) -> Guard:
    """oomguard as it runs in the gauntlet, but for its unit."""
    oomguard = next(each for each in GUARDS if each.name == "oomguard")

    def setup(scenario: Scenario) -> str:
        return oomguard.setup(scenario) + MODE.format(mode=mode) + SETUPS.get(scenario.name, "")

    return replace(oomguard, name="recorder", unit="recorder.service", setup=setup)
