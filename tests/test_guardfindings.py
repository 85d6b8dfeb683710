from __future__ import annotations

from dataclasses import replace

import pytest

from oomguard.event import Degraded, Mode
from oomguard.finding import Severity, Topic
from oomguard.guardfindings import (
    ENOUGH,
    UNSEEN,
    Absent,
    Neighbour,
    Present,
    hiding_findings,
    memlock_findings,
    other_findings,
    presence_findings,
    privilege_findings,
    reservation_findings,
    residence_findings,
    said_findings,
    storm_findings,
)
from oomguard.privilege import Capability, Privileges
from oomguard.storm import Response
from oomguard.units import MIB, Bytes, Pid, Uid
from tests.specimens import HOSTILE, STATE

EVERYTHING = (1 << 41) - 1
GUARD = Privileges(
    uid=0,
    effective=EVERYTHING,
    no_new_privileges=True,
    filtered=True,
    locked=Bytes(12 * MIB),
    oom_score_adj=-1000,
    real_time=True,
    nice=-20,
    lockable=None,
)
PRESENT = Present(state=replace(STATE, mode=Mode.ENFORCE, config_ok=True), degraded=())
OTHER = Neighbour(pid=Pid(7), uid=Uid(0), effective=0, exe="/usr/bin/earlyoom", unit="earlyoom.service")
WELL, NOTE, WARNING, PROBLEM = Severity


def without(*lost: Capability) -> Privileges:
    return replace(GUARD, effective=EVERYTHING - sum(1 << each for each in lost))


@pytest.mark.parametrize(
    ("guard", "severity", "what"),
    [
        (PRESENT, WELL, "runs (pid 4711)."),
        (replace(PRESENT, state=replace(PRESENT.state, mode=Mode.DRY_RUN)), NOTE, "in dry run"),
        (Absent("No guard runs: /x: nothing\n"), WARNING, "No guard runs: /x: nothing\\n."),
    ],
)
def test_whether_it_guards(guard: Present | Absent, severity: Severity, what: str) -> None:
    (found,) = presence_findings(guard)
    assert found.severity is severity
    assert what in found.what


def test_a_refused_configuration() -> None:
    _, found = presence_findings(replace(PRESENT, state=replace(PRESENT.state, config_ok=False)))
    assert (found.severity, found.topic) == (WARNING, Topic.CONFIGURATION)


def test_what_the_guard_said_is_told_once() -> None:
    said = (Degraded(text="no alarm\x1b"), Degraded(text="the kernel may kill: give it CAP_SYS_RESOURCE"))
    first, second = said_findings(said, GUARD)
    assert first.what == "The guard itself says: no alarm\\x1b."
    assert "CAP_SYS_RESOURCE" in second.what
    assert tuple(said_findings(said, without(Capability.SYS_RESOURCE))) == (first,)


@pytest.mark.parametrize(
    ("lost", "severity"),
    [
        (Capability.KILL, PROBLEM),
        (Capability.SYS_PTRACE, WARNING),
        (Capability.IPC_LOCK, WARNING),
        (Capability.SYS_NICE, WARNING),
        (Capability.SYS_RESOURCE, WARNING),
        (Capability.DAC_OVERRIDE, NOTE),
        (Capability.NET_ADMIN, NOTE),
    ],
)
def test_a_capability_that_is_missing(lost: Capability, severity: Severity) -> None:
    (found,) = privilege_findings(without(lost), "It")
    assert found.severity is severity
    assert found.what.startswith(f"It lacks {lost.spelt}: ")
    assert lost.spelt in found.remedy


def test_all_the_capabilities() -> None:
    (found,) = privilege_findings(GUARD, "It")
    assert found.severity is WELL
    (found,) = privilege_findings(without(Capability.SYS_NICE), "It", UNSEEN)
    assert found.severity is WELL


@pytest.mark.parametrize(
    ("guard", "severity", "what"),
    [
        (replace(GUARD, locked=Bytes(0)), WARNING, "not locked"),
        (replace(GUARD, oom_score_adj=-999), WARNING, "(oom_score_adj -999)"),
        (replace(GUARD, real_time=False), NOTE, "(nice -20)"),
        (replace(GUARD, filtered=False), NOTE, "sandbox"),
        (replace(GUARD, no_new_privileges=False), NOTE, "sandbox"),
    ],
)
def test_what_became_of_the_guard(guard: Privileges, severity: Severity, what: str) -> None:
    assert tuple(residence_findings(GUARD)) == ()
    (found,) = residence_findings(guard)
    assert found.severity is severity
    assert what in found.what


@pytest.mark.parametrize(
    ("action", "uid", "is_found"),
    [(Response.STOP_UNIT, 997, True), (Response.STOP_UNIT, 0, False), (Response.ALERT, 997, False)],
)
def test_who_can_stop_units(action: Response, uid: int, is_found: bool) -> None:
    assert bool(tuple(storm_findings(action, replace(GUARD, uid=uid)))) is is_found


@pytest.mark.parametrize(("reserved", "severities"), [(Bytes(0), [NOTE]), (Bytes(32 * MIB), []), (None, [])])
def test_memory_that_is_set_aside(reserved: Bytes | None, severities: list[Severity]) -> None:
    assert [one.severity for one in reservation_findings(reserved)] == severities


@pytest.mark.parametrize(("who", "severity"), [(GUARD, WELL), (without(Capability.SYS_PTRACE), PROBLEM)])
def test_a_proc_that_hides(who: Privileges, severity: Severity) -> None:
    (found,) = hiding_findings(who, "It")
    assert found.severity is severity


@pytest.mark.parametrize(
    ("lockable", "lost", "is_found"),
    [
        (Bytes(ENOUGH - 1), Capability.IPC_LOCK, True),
        (ENOUGH, Capability.IPC_LOCK, False),
        (None, Capability.IPC_LOCK, False),
        (Bytes(0), Capability.KILL, False),
    ],
)
def test_a_limit_of_locked_memory(lockable: Bytes | None, lost: Capability, is_found: bool) -> None:
    found = tuple(memlock_findings(replace(without(lost), lockable=lockable)))
    assert bool(found) is is_found


@pytest.mark.parametrize(
    ("neighbour", "what", "remedy"),
    [
        (OTHER, 'earlyoom runs too (pid 7, "/usr/bin/earlyoom")', "disable --now earlyoom.service"),
        (replace(OTHER, unit=None), "earlyoom runs too", "disable --now earlyoom,"),
        (replace(OTHER, exe=None), "earlyoom runs too (pid 7)", "earlyoom.service"),
        (replace(OTHER, exe="/usr/bin/earlyoom (deleted)", unit=None), "earlyoom runs too", "earlyoom"),
        (replace(OTHER, exe="/bin/python3", unit="nohang.service"), "nohang runs too", "nohang.service"),
        (replace(OTHER, exe="/usr/lib/systemd/systemd-oomd"), "oomctl", "earlyoom.service"),
        (replace(OTHER, uid=Uid(998), effective=1 << Capability.KILL), "earlyoom runs too", "earlyoom"),
        (replace(OTHER, exe=f"/{HOSTILE}/oomd", unit=HOSTILE), "oomd runs too", "\\x1b"),
    ],
)  # fmt: skip
def test_another_guard(neighbour: Neighbour, what: str, remedy: str) -> None:
    (found,) = other_findings((replace(OTHER, exe="/bin/sh", unit="x.service"), neighbour))
    assert (found.severity, found.topic) == (WARNING, Topic.OTHERS)
    assert what in found.what
    assert remedy in found.remedy
    assert (found.what + found.remedy).isprintable()


@pytest.mark.parametrize(
    "neighbour",
    [
        replace(OTHER, uid=Uid(1000)),
        replace(OTHER, uid=Uid(1000), effective=EVERYTHING - (1 << Capability.KILL)),
        replace(OTHER, exe="/usr/bin/earlyoom/vim", unit=None),
        replace(OTHER, exe=None, unit=None),
    ],
)
def test_who_cannot_kill_or_is_called_otherwise_is_none(neighbour: Neighbour) -> None:
    (found,) = other_findings((neighbour,))
    assert found.severity is WELL
