"""What the guard may do: all that it wants, nothing, or all of it as a user of its own; what doctor says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.vm.guest import guard
from tests.vm.guest.check import check, measured
from tests.vm.guest.guard import GUARD, OOMGUARD, bad, counter, doctor, events, status
from tests.vm.guest.hog import hog
from tests.vm.guest.host import run, until

DROP_IN = Path("/etc/systemd/system/oomguard.service.d/test.conf")
TRACING = Path("/sys/kernel/tracing")


@contextmanager
def dropped_in(text: str) -> Iterator[None]:
    """A guard whose unit says this as well."""
    DROP_IN.parent.mkdir(exist_ok=True)
    DROP_IN.write_text(text)
    _restart()
    try:
        yield
    finally:
        DROP_IN.unlink()
        _restart()


def _restart() -> None:
    run("systemctl", "daemon-reload")
    run("systemctl", "restart", GUARD.name)
    until(lambda: status()["state"]["pid"] == GUARD.pid, "its record")


@check(limit=120)
def doctor_is_content_with_a_healthy_host() -> None:
    guard.install("")
    code, findings = doctor()
    assert (code, bad(findings)) == (0, []), findings
    assert "  guard: The guard runs" in run(OOMGUARD, "doctor")


@check(limit=120)
def doctor_names_other_guards() -> None:
    others = ("earlyoom", "nohang")
    run("systemctl", "start", *others)
    try:
        until(lambda: len(bad(doctor()[1])) == len(others), "both")
        code, findings = doctor()
        assert code == 1
        assert sorted(what.split()[0] for what in bad(findings)) == list(others), findings
    finally:
        run("systemctl", "stop", *others)


@check(limit=180)
def without_capabilities_it_says_so_and_goes_on() -> None:
    with dropped_in("[Service]\nCapabilityBoundingSet=\n"):
        told = [event["text"] for event in events("degraded")]
        for capability in ("CAP_KILL", "CAP_SYS_PTRACE", "CAP_DAC_OVERRIDE", "CAP_SYS_NICE"):
            assert sum(capability in text for text in told) == 1, told
        code, findings = doctor()
        assert code == 1
        assert any("lacks CAP_KILL" in what for what in bad(findings)), findings
        with hog("roots", "leak", "4000", "200") as unit:
            until(lambda: not unit.alive, "its death: it is root's, as the guard is", limit=60)


@check(limit=240)
def a_user_of_its_own_guards_all_the_same() -> None:
    run("systemd-sysusers", "/opt/vm/systemd/oomguard.sysusers")
    degraded, polls = counter("degraded"), counter("polls")
    with dropped_in(Path("/opt/vm/systemd/own-user.conf").read_text()):
        words = {line.split(":")[0]: line.split()[1:] for line in _status().splitlines()}
        assert "0" not in words["Uid"] + words["Gid"], words
        assert words["Seccomp"] == ["2"], words
        assert counter("degraded") == degraded, events("degraded")
        assert counter("polls") >= polls, "another record"
        code, findings = doctor()
        assert (code, bad(findings)) == (0, []), findings
        told = run("systemd-analyze", "security", "--no-pager", GUARD.name).splitlines()[-1]
        exposure = re.search(r"exposure level for \S+: ([0-9.]+)", told)
        assert exposure, told
        measured("exposure as a user of its own", float(exposure[1]))
        assert float(exposure[1]) <= 3.0, told
        calls = _calls_of_a_kill()
        assert "group_killed: " in calls, calls


def _status() -> str:
    """The guard's, as /proc has it."""
    return Path(f"/proc/{GUARD.pid}/status").read_text()


def _calls_of_a_kill() -> str:
    """What the guard gets through to the kernel while it ends a group that is deaf, and root's.

    By probes in the kernel: under strace, which is not locked in memory, the guard would wait for the disk.
    """
    probes, trace = TRACING / "kprobe_events", TRACING / "trace"
    if not probes.exists():
        run("mount", "-t", "tracefs", "tracefs", str(TRACING))
    probes.write_text("p:group_killed cgroup_kill_write\nr:released __x64_sys_process_mrelease\n")
    enabled = TRACING / "events/kprobes/enable"
    enabled.write_text("1")
    try:
        with hog("deaf", "--deaf", "leak", "4000", "100", properties=("OOMPolicy=kill",)) as unit:
            until(lambda: not unit.alive, "its death", limit=90)
            assert unit.ending == "killed KILL", unit.ending
        until(lambda: "released: " in trace.read_text(), "process_mrelease", limit=10)
        return trace.read_text()
    finally:
        enabled.write_text("0")


@check()
def root_takes_over_again() -> None:
    assert "\nUid:\t0\t" in _status()
    assert doctor()[0] == 0, doctor()


@check()
def nothing_failed() -> None:
    assert counter("failures") == 0, events("failed")
