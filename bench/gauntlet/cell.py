"""A cell: one scenario under one guard. Boots the machine, runs it, makes a row of what was recorded."""

from __future__ import annotations

import hashlib
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

from bench.gauntlet.guards import Guard
from bench.gauntlet.hostwait import host_wait
from bench.gauntlet.measure import Figures, measure, told_stall
from bench.gauntlet.rows import Key
from bench.gauntlet.scenario import Scenario
from tests.vm import build, machine
from tests.vm.cache import cached
from tests.vm.machine import Outcome
from tests.vm.payload import RUN, Tree

HARNESS = 1
"""To be raised whenever the bystanders, the recorder or the figures change their meaning."""
GUEST = Path(__file__).parent / "guest"
BYSTANDERS = ("database", "interactive", "locked")
BOOT_LIMIT = 240
"""What booting, making ready and telling may take beside the scenario, in seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One scenario under one guard."""

    scenario: Scenario
    guard: Guard

    @property
    def name(self) -> str:
        """SCENARIO/GUARD."""
        return f"{self.scenario.name}/{self.guard.name}"

    @property
    def key(self) -> Key:
        """What its rows are known by."""
        scenario, guard = self.scenario, self.guard
        inputs = (HARNESS, scenario, guard.setup(scenario), guard.protected)
        setup = hashlib.sha256(repr(inputs).encode()).hexdigest()[:12]
        return Key(scenario=scenario.name, guard=guard.name, version=guard.version(), setup=setup)

    def run(self) -> tuple[Outcome, float]:
        """One run: what came out, and how long a second the machine waited for CPUs of the host."""
        with host_wait() as waited:
            limit = BOOT_LIMIT + self.scenario.limit + self.scenario.linger
            outcome = machine.run(self.scenario.machine, self.payload(), limit)
        return outcome, waited.share

    def figures(self, outcome: Outcome) -> Figures:
        """The figures of a run; ValueError where the recorder did not get to tell all of them."""
        found = measure((each for each in outcome.results if len(each) == 1), self.scenario)
        return replace(found, told_stall=told_stall(f"\n{outcome.output}"))

    def payload(self) -> Tree:
        """What goes into the machine."""
        scenario, guard = self.scenario, self.guard
        settings = {
            "LIMIT": scenario.limit,
            "LINGER": scenario.linger,
            "DATABASE": scenario.database,
            "DISK": scenario.disk,
            "GUARD": guard.unit,
            "PROTECTED": guard.protected if scenario.protect else "",
        }
        probe = program("probe")
        return {
            **guard.tree(),
            "/opt/vm/eat": build.eat(),
            "/opt/vm/recorder": program("recorder"),
            **{f"/opt/vm/{name}": probe for name in BYSTANDERS},
            "/opt/vm/cell": "".join(f"{name}='{value}'\n" for name, value in settings.items()),
            "/opt/vm/setup": f"#!/bin/sh\nset -eu\n{guard.setup(scenario)}",
            "/opt/vm/start": scenario.start,
            RUN: (GUEST / "run.sh").read_text(),
        }


def program(name: str) -> Path:
    """A program of guest/, for any x86-64 Linux."""
    sources = (GUEST / f"{name}.c", GUEST / "board.h")
    gcc = ("gcc", "-static", "-O2", "-Wall", "-Wextra", "-Werror", str(sources[0]), "-o")
    inputs = (*(path.read_bytes() for path in sources), " ".join(gcc).encode())
    made = cached(f"gauntlet-{name}", inputs, lambda into: _run(*gcc, str(into / name)))
    return made / name


def _run(*words: str) -> None:
    subprocess.run(words, check=True)  # noqa: S603 - our own words
