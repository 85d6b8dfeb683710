"""A scenario: a machine, its bystanders, and what eats the memory; one file of scenarios/ each."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, fields
from enum import StrEnum
from pathlib import Path
from typing import Any

from tests.vm.machine import Machine, Swap

SCENARIOS = Path(__file__).parent / "scenarios"


class Expect(StrEnum):
    """What a guard that does its work well does."""

    ENDS = "ends"
    """The hog is ended, and nobody else."""
    SPARES = "spares"
    """Nobody is ended: it passes by itself."""
    MAY_END = "may end"
    """The hog may be ended or not, but nobody else is: no death helps."""
    LEAVES_IT = "leaves it"
    """The hog is the kernel's business, and nobody else is ended."""


class Speed(StrEnum):
    """How fast the swap disk is."""

    DISK = "disk"
    FAST = "fast"


SPEEDS = {Speed.DISK: (30_000_000, 1500), Speed.FAST: (400_000_000, 50_000)}
"""Bytes and operations a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """What happens in a cell of the gauntlet, whatever the guard."""

    name: str
    """Of its file."""
    title: str
    about: str
    expect: Expect
    memory: int = 1024
    """MiB."""
    swap: int = 512
    """MiB; 0 for none."""
    speed: Speed = Speed.DISK
    disk: int = 0
    """MiB of a data disk as fast as the swap disk, in its place: the hogs find it where that would be."""
    database: int = 150
    """The resident set of the biggest bystander, MiB."""
    protect: bool = True
    """Whether the guard is told to spare the database."""
    hogs: tuple[str, ...]
    """Command lines, each a service of its own; $AVAILABLE is what MemAvailable is at the start, in MiB."""
    properties: tuple[str, ...] = ()
    """Of the hogs' services."""
    limit: int = 45
    """Seconds to watch for at most."""
    linger: int = 8
    """Seconds to watch for when no hog is left."""

    @property
    def machine(self) -> Machine:
        """The machine that it takes."""
        speed, operations = SPEEDS[self.speed]
        mib = self.swap or self.disk
        swap = Swap(mib=mib, bytes_per_second=speed, operations_per_second=operations)
        return Machine(mib=self.memory, swap=swap if mib else None)

    @property
    def hardware(self) -> str:
        """The machine, for people."""
        speed, operations = SPEEDS[self.speed]
        swap = f"{self.swap} MiB of swap" if self.swap else "no swap"
        disk = f" and a data disk of {self.disk} MiB" if self.disk else ""
        pace = f" at {speed // 1_000_000} MB/s and {operations} IOPS" if self.swap or self.disk else ""
        return f"{self.memory} MiB, {swap}{disk}{pace}"

    @property
    def start(self) -> str:
        """The program that starts the hogs."""
        words = ("systemd-run --quiet --slice=workload-hogs.slice", "--property=OOMPolicy=continue")
        settings = (
            *words,
            "--property=TasksMax=infinity",
            *(f"--property={each}" for each in self.properties),
        )
        lines = (f"{' '.join(settings)} --unit=hog{i} {hog}\n" for i, hog in enumerate(self.hogs))
        available = "AVAILABLE=$(($(sed -n 's/MemAvailable: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo) / 1024))"
        return f"#!/bin/sh\n{available}\n{''.join(lines)}"


def load(path: Path) -> Scenario:
    """The scenario of a file; ValueError, with the file and the key, where it is none."""
    values: dict[str, Any] = tomllib.loads(path.read_text())
    known = {field.name for field in fields(Scenario)} - {"name"}
    if unknown := values.keys() - known:
        raise ValueError(
            f"{path}: {', '.join(sorted(unknown))}: no such key; there are {', '.join(sorted(known))}"
        )
    for key, make in (("expect", Expect), ("speed", Speed), ("hogs", tuple), ("properties", tuple)):
        if key in values:
            values[key] = make(values[key])
    try:
        return Scenario(name=path.stem, **values)
    except TypeError as error:
        raise ValueError(f"{path}: {error}") from error


def scenarios() -> tuple[Scenario, ...]:
    """All of them, in the order of the report: first what must end, then what must not."""
    found = map(load, sorted(SCENARIOS.glob("*.toml")))
    order = list(Expect)
    return tuple(sorted(found, key=lambda each: order.index(each.expect)))
