"""Swap in compressed memory, of pages that cannot be compressed: swapping takes what it gives."""

from __future__ import annotations

from pathlib import Path

from tests.vm.guest import guard
from tests.vm.guest.check import check
from tests.vm.guest.hog import hog, leaker_dies
from tests.vm.guest.host import meminfo, run, until

DEVICE = "/dev/zram0"


@check(limit=120)
def starts() -> None:
    run("modprobe", "zram")
    Path("/sys/block/zram0/disksize").write_text("400M")
    run("mkswap", DEVICE)
    run("swapon", DEVICE)
    assert meminfo("SwapTotal") >= 399, meminfo("SwapTotal")
    guard.install("")


@check(limit=120)
def a_leaker_dies() -> None:
    leaker_dies("leaker", rate=100)


@check(limit=120)
def a_process_that_grows_flat_out_dies() -> None:
    with hog("flat", "flat", "4000") as unit:
        until(lambda: not unit.alive, "its death", limit=90)
        assert unit.ending.startswith("killed"), unit.ending
