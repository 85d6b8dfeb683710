"""The checks of tests/vm/guest, each made in a machine of its own that they may exhaust."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from functools import cache

import pytest

from tests.vm import build
from tests.vm.guest.check import Check, checks_of
from tests.vm.image import missing
from tests.vm.machine import Machine, Outcome, Swap, run

BOOT = 180
"""How long a machine may take until its checks begin, in seconds."""

FIRST_VERSION = ("systemd.unified_cgroup_hierarchy=0", "systemd.legacy_systemd_cgroup_controller=1")
MACHINES = {
    "machine": Machine(swap=Swap(mib=256, bytes_per_second=30_000_000, operations_per_second=1500)),
    "service": Machine(),
    "kills": Machine(),
    "privileges": Machine(),
    "telling": Machine(),
    "relief": Machine(swap=Swap(mib=256, bytes_per_second=30_000_000, operations_per_second=1500)),
    "faults": Machine(),
    "steady": Machine(swap=Swap(mib=256, bytes_per_second=30_000_000, operations_per_second=1500)),
    "suspend": Machine(),
    "paused": Machine(cmdline=("tsc=reliable",)),
    "settings": Machine(),
    "enclosures": Machine(),
    "crowd": Machine(),
    "small": Machine(mib=512),
    "large": Machine(mib=8192),
    "zram": Machine(),
    "nopsi": Machine(mib=512, cmdline=("psi=0",)),
    "cgroup1": Machine(cmdline=FIRST_VERSION),
    "sources": Machine(cmdline=(*FIRST_VERSION, "delayacct")),
}
FEW = frozenset(("service", "kills", "small", "nopsi"))
"""Made by default. The others take longer: they are made where `vm` is asked for."""


def checks(module: str) -> tuple[Check, ...]:
    return checks_of(importlib.import_module(f"tests.vm.guest.{module}"))


@pytest.fixture(scope="module")
def outcome_of() -> Callable[[str], Outcome]:
    """The outcome of a module's checks, all made in one run of its machine."""
    if tools := missing():
        pytest.skip(f"no machine to exhaust: this host lacks {', '.join(tools)}")
    if os.geteuid() != 0:
        pytest.skip("no machine to exhaust: building its disk needs root")
    return cache(_run)


def _run(module: str) -> Outcome:
    limit = BOOT + sum(check.limit for check in checks(module))
    return run(MACHINES[module], build.checks(module), limit)


@pytest.mark.vm
@pytest.mark.parametrize(
    ("module", "check"),
    [
        pytest.param(module, check.name, marks=() if module in FEW else pytest.mark.vm_all)
        for module in MACHINES
        for check in checks(module)
    ],
)
def test_check(outcome_of: Callable[[str], Outcome], module: str, check: str) -> None:
    outcome = outcome_of(module)
    result = next((result for result in outcome.results if result.get("check") == check), None)
    assert result, f"it was not made: {outcome.story}"
    assert not result["problem"], result["problem"]
