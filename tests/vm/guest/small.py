"""A firewall box: 512 MiB, no swap, and the configuration that is meant for it."""

from __future__ import annotations

from pathlib import Path

from tests.vm.guest import guard
from tests.vm.guest.check import check
from tests.vm.guest.guard import GUARD, counter, events, status
from tests.vm.guest.hog import flat_out_dies, leaker_dies
from tests.vm.guest.host import meminfo


@check(limit=120)
def starts_with_its_configuration() -> None:
    assert meminfo("MemTotal") < 512, meminfo("MemTotal")
    assert meminfo("SwapTotal") == 0
    guard.install(Path("/opt/vm/config/utm.toml").read_text())
    assert status()["state"]["thresholds"]["available_term"] == 32 << 20


@check()
def guard_is_small() -> None:
    assert GUARD.rss <= 16, f"{GUARD.rss} MiB"


@check(limit=90)
def a_leaker_dies() -> None:
    leaker_dies("leaker", rate=50)


@check(limit=90)
def a_process_that_grows_flat_out_dies() -> None:
    flat_out_dies(4000, within=60)


@check()
def nothing_failed() -> None:
    assert counter("failures") == 0, events("failed")
