"""The units: start, reload, fail, come back, stop; and what they are allowed to do."""

from __future__ import annotations

import re
from pathlib import Path

from tests.vm.guest import guard
from tests.vm.guest.check import check
from tests.vm.guest.guard import EXPORTER, GUARD, OOMGUARD, counter, journal, metrics, status
from tests.vm.guest.host import run, until


@check(limit=120)
def units_are_clean() -> None:
    units = map(str, sorted(Path("/opt/vm/systemd").iterdir()))
    complaints = run("systemd-analyze", "verify", "--man=no", *units)
    assert not complaints, complaints


@check(limit=120)
def starts_and_says_ready() -> None:
    guard.install("")
    assert GUARD["ActiveState"] == "active", GUARD["ActiveState"]
    assert GUARD["StatusText"], "no STATUS= was sent"
    assert status()["state"]["phase"] == "calm", status()["state"]


@check()
def exporter_serves_metrics() -> None:
    until(lambda: "oomguard_polls_total" in metrics(), "metrics")


@check()
def guard_is_small() -> None:
    lines = Path(f"/proc/{GUARD.pid}/status").read_text().splitlines()
    sizes = {line.split(":")[0]: int(line.split()[1]) for line in lines if line.startswith(("Vm", "Rss"))}
    assert sizes["VmRSS"] <= 16 << 10, sizes


@check()
def guard_cannot_be_killed_by_the_kernel() -> None:
    assert Path(f"/proc/{GUARD.pid}/oom_score").read_text() == "0\n"
    locked = re.search(r"VmLck:\s+(\d+) kB", Path(f"/proc/{GUARD.pid}/status").read_text())
    assert locked, "no VmLck"
    assert int(locked[1]) > 0, "nothing is locked"


@check()
def exporter_has_no_privileges() -> None:
    lines = Path(f"/proc/{EXPORTER.pid}/status").read_text().splitlines()
    words = {line.split(":")[0]: line.split()[1:] for line in lines}
    assert set(words["CapEff"] + words["CapBnd"]) == {"0000000000000000"}, words
    assert "0" not in words["Uid"] + words["Gid"], words


@check(limit=120)
def units_are_locked_up() -> None:
    for unit, most in ((GUARD, 3.0), (EXPORTER, 2.0)):
        told = run("systemd-analyze", "security", "--no-pager", unit.name).splitlines()[-1]
        exposure = re.search(r"exposure level for \S+: ([0-9.]+)", told)
        assert exposure, told
        assert float(exposure[1]) <= most, told


@check()
def reload_puts_a_new_configuration_in_force() -> None:
    pid = GUARD.pid
    guard.reload('mode = "dry-run"\n')
    until(lambda: status()["state"]["mode"] == "dry-run", "dry run")
    assert GUARD.pid == pid


@check()
def reload_refuses_a_bad_configuration() -> None:
    pid, refused = GUARD.pid, counter("config_reloads", result="refused")
    guard.reload('mode = "enforce"\nbanana = 1\n')
    until(lambda: counter("config_reloads", result="refused") == refused + 1, "the refusal")
    assert status()["state"]["mode"] == "dry-run", "the old configuration is gone"
    assert GUARD.pid == pid
    assert GUARD["ActiveState"] == "active", GUARD["ActiveState"]
    until(lambda: "banana" in journal(GUARD), "the bad key in the journal")
    assert "a newer one was refused" in run(OOMGUARD, "status")
    until(lambda: "\noomguard_config_last_reload_successful 0.0\n" in metrics(), "the same in the metrics")
    assert f'\noomguard_config_reloads_total{{result="refused"}} {refused + 1}.0\n' in metrics()
    guard.reload("")
    until(lambda: status()["state"]["mode"] == "enforce", "enforcing again")


@check()
def exporter_dies_and_the_guard_does_not_notice() -> None:
    guard_pid, exporter_pid, polls = GUARD.pid, EXPORTER.pid, counter("polls")
    run("systemctl", "kill", "--signal=KILL", EXPORTER.name)
    until(lambda: EXPORTER.pid not in {0, exporter_pid}, "another exporter")
    until(lambda: "oomguard_polls_total" in metrics(), "metrics again")
    assert GUARD.pid == guard_pid
    assert counter("polls") > polls


@check()
def guard_comes_back_with_its_counters() -> None:
    pid, polls, accepted = GUARD.pid, counter("polls"), counter("config_reloads", result="accepted")
    assert polls > 0
    run("systemctl", "kill", "--signal=KILL", "--kill-whom=main", GUARD.name)
    guard.comes_back(pid)
    assert counter("polls") >= polls
    assert counter("config_reloads", result="accepted") == accepted


@check(limit=180)
def watchdog_ends_a_guard_that_hangs() -> None:
    drop_in = Path(f"/run/systemd/system/{GUARD.name}.d/watchdog.conf")
    drop_in.parent.mkdir(parents=True)
    drop_in.write_text("[Service]\nWatchdogSec=10\n")
    run("systemctl", "daemon-reload")
    run("systemctl", "restart", GUARD.name)
    pid, polls = GUARD.pid, counter("polls")
    run("systemctl", "kill", "--signal=STOP", "--kill-whom=main", GUARD.name)
    guard.comes_back(pid)
    drop_in.unlink()
    run("systemctl", "daemon-reload")
    assert "watchdog" in journal(GUARD).lower(), "it was not the watchdog"
    assert counter("polls") >= polls


@check()
def stops_cleanly() -> None:
    run("systemctl", "stop", EXPORTER.name, GUARD.name)
    for unit in (GUARD, EXPORTER):
        assert unit["ActiveState"] == "inactive", (unit.name, unit["ActiveState"])
        assert unit["Result"] == "success", (unit.name, unit["Result"])
    leftovers = [pid for pid in _pids() if OOMGUARD.encode() in _cmdline(pid)]
    assert not leftovers, leftovers


@check()
def does_not_start_with_a_bad_configuration() -> None:
    guard.CONFIG.write_text("banana = 1\n")
    run("systemctl", "start", "--no-block", GUARD.name)
    until(lambda: GUARD["Result"] == "exit-code", "the failure")
    assert "banana" in journal(GUARD)
    guard.CONFIG.write_text("")
    until(lambda: GUARD["ActiveState"] == "active", "a guard, once the file is right")


def _pids() -> list[Path]:
    return [path for path in Path("/proc").iterdir() if path.name.isdigit()]


def _cmdline(pid: Path) -> bytes:
    try:
        return (pid / "cmdline").read_bytes()
    except FileNotFoundError:
        return b""
