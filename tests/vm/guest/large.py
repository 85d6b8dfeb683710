"""A server: 8 GiB, no swap, and the configuration as it is shipped."""

from __future__ import annotations

from pathlib import Path

from tests.vm.guest import guard
from tests.vm.guest.check import check, measured
from tests.vm.guest.guard import GUARD, bad, counter, doctor, events, status
from tests.vm.guest.hog import flat_out_dies, hog
from tests.vm.guest.host import meminfo, until

GIB = 1024


@check(limit=120)
def starts_as_it_is_shipped() -> None:
    assert meminfo("MemTotal") > 7.5 * GIB, meminfo("MemTotal")
    guard.install(Path("/opt/vm/config/oomguard.toml").read_text())
    assert status()["state"]["config_ok"]
    _, findings = doctor()
    assert not bad(findings), findings


@check()
def guard_is_small() -> None:
    measured("guard_mib", GUARD.rss)
    assert GUARD.rss <= 18, f"{GUARD.rss} MiB"


@check(limit=180)
def a_leaker_dies() -> None:
    with hog("leaker", "leak", "20000", "400") as unit:
        until(lambda: not unit.alive, "its death", limit=120)
        assert unit.ending == "killed TERM", unit.ending


@check(limit=180)
def a_process_that_grows_flat_out_dies() -> None:
    flat_out_dies(20000, within=120)


@check()
def nothing_failed() -> None:
    assert counter("failures") == 0, events("failed")
