"""A firewall box whose kernel does not account for stalls (psi=0): said once, and what needs none goes on."""

from __future__ import annotations

from pathlib import Path

from tests.vm.guest import guard
from tests.vm.guest.check import check
from tests.vm.guest.guard import GUARD, bad, counter, doctor, events, journal, status
from tests.vm.guest.hog import flat_out_dies, leaker_dies
from tests.vm.guest.host import meminfo, until


@check(limit=120)
def starts_and_says_what_is_missing() -> None:
    assert not Path("/proc/pressure/memory").exists()
    assert meminfo("MemTotal") < 512, meminfo("MemTotal")
    assert meminfo("SwapTotal") == 0
    guard.install(Path("/opt/vm/config/utm.toml").read_text())
    told = [event["text"] for event in events("degraded")]
    assert len(told) == 1, told
    assert "psi=1" in told[0], told
    until(lambda: "psi=1" in journal(GUARD), "the same in the journal")
    assert not status()["state"]["psi"]


@check()
def doctor_says_so_too() -> None:
    code, findings = doctor()
    assert code == 1
    (what,) = bad(findings)
    assert "psi=0" in what, what


@check(limit=90)
def a_leaker_dies_by_term() -> None:
    leaker_dies("leaker")


@check(limit=90)
def a_process_that_grows_flat_out_dies() -> None:
    flat_out_dies(4000, within=60)


@check()
def nothing_failed() -> None:
    assert counter("failures") == 0, events("failed")
