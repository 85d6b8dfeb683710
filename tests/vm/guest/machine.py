"""The machine itself: without these, no other check means anything."""

from __future__ import annotations

import time
from pathlib import Path

from tests.vm.guest.check import check
from tests.vm.guest.host import Unit, eat, meminfo, run, until, vmstat


@check()
def is_debian_12_with_systemd() -> None:
    assert run("systemctl", "--version").startswith("systemd 252"), run("systemctl", "--version")
    assert Path("/etc/debian_version").read_text().startswith("12.")


@check()
def has_unified_cgroups_and_pressure() -> None:
    assert "memory" in Path("/sys/fs/cgroup/cgroup.controllers").read_text().split()
    assert Path("/proc/pressure/memory").read_text().startswith("some ")


@check()
def has_its_memory_and_swap() -> None:
    assert 900 < meminfo("MemTotal") < 1024, meminfo("MemTotal")
    assert 250 < meminfo("SwapTotal") <= 256, meminfo("SwapTotal")


@check()
def swap_is_as_slow_as_asked_for() -> None:
    """96 MiB at 30 MB/s; the throttle lets a tenth of a second's worth through at once."""
    start = time.monotonic()
    run("dd", "if=/dev/disk/by-id/virtio-swap", "of=/dev/null", "bs=1M", "count=96", "iflag=direct")
    took = time.monotonic() - start
    assert took > 2.5, f"96 MiB in {took:.1f} s"


@check()
def peers_are_there_and_off() -> None:
    for peer in ("earlyoom", "nohang", "nohang-desktop", "systemd-oomd"):
        assert Unit(peer)["LoadState"] == "loaded", peer
        assert Unit(peer)["ActiveState"] == "inactive", peer
        assert Unit(peer)["UnitFileState"] == "disabled", peer


@check()
def nothing_failed_at_boot() -> None:
    failed = run("systemctl", "list-units", "--failed", "--plain", "--no-legend")
    assert not failed, failed


@check()
def eat_leaks_at_its_rate() -> None:
    start = time.monotonic()
    unit = eat("leaker", "leak", "60", "20")
    until(lambda: unit.rss >= 60, "60 MiB")
    took = time.monotonic() - start
    unit.stop()
    assert 2.5 < took < 10, f"60 MiB at 20 MiB/s in {took:.1f} s"


@check()
def eat_renames_itself() -> None:
    unit = eat("renamer", "--name", "sshd", "flat", "1")
    until(lambda: Path(f"/proc/{unit.pid}/comm").read_text() == "sshd\n", "the name")
    unit.stop()


@check()
def eat_is_deaf_to_term() -> None:
    unit = eat("deaf", "--deaf", "flat", "10")
    until(lambda: unit.rss >= 10, "10 MiB")
    run("systemctl", "kill", "--signal=TERM", unit.name)
    time.sleep(1)
    assert unit.alive, unit.ending
    run("systemctl", "kill", "--signal=KILL", unit.name)
    until(lambda: not unit.alive, "death by KILL")
    assert unit.ending == "killed KILL", unit.ending
    unit.stop()


@check()
def eat_has_as_many_processes_as_told() -> None:
    for words, count in ((("bomb", "20", "1"), 20), (("workers", "5", "1", "1"), 6), (("crowd", "30"), 31)):
        unit = eat("many", *words)
        until(lambda: unit["TasksCurrent"] == str(count), f"{count} processes of {words}")  # noqa: B023 - used at once
        unit.stop()


@check()
def eat_fills_a_tmpfs_and_exits() -> None:
    unit = eat("filler", "file", "/run/filling", "20")
    until(lambda: not unit.alive, "the exit")
    assert unit.ending == "exited 0", unit.ending
    assert Path("/run/filling").stat().st_size == 20 << 20
    Path("/run/filling").unlink()
    unit.stop()


@check(limit=120)
def the_kernel_kills_what_exhausts_it() -> None:
    before = vmstat("oom_kill")
    unit = eat("hog", "flat", "4096")
    until(lambda: not unit.alive, "the kernel's kill", limit=100)
    assert unit.ending == "killed KILL", unit.ending
    assert vmstat("oom_kill") > before
    unit.stop()
