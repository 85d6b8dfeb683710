from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from oomguard import doctor
from oomguard.examination import Examiner
from oomguard.finding import Finding, Severity, Topic, note, problem, well
from oomguard.guardfindings import Absent, Present
from oomguard.privilege import Privileges
from oomguard.units import Pid
from tests.builders import NO_PRIVILEGES
from tests.specimens import STATE

FOUND = (
    problem(Topic.KERNEL, "It is broken.", "Mend it."),
    note(Topic.OTHERS, "Somebody is there."),
    well(Topic.SWAP, "There is some."),
)


class Ward(Examiner):
    """This host, but with this guard, these privileges, and a /proc that hides."""

    def __init__(self, guard: Present | Absent, who: Privileges | None) -> None:
        super().__init__()
        self._guard = guard
        self._who = who
        self.asked: list[Pid] = []

    def guard(self, record: str) -> Present | Absent:
        return self._guard

    def privileges(self, pid: Pid) -> Privileges | None:
        self.asked.append(pid)
        return self._who

    def hides_processes(self) -> bool:
        return True


@pytest.fixture
def config(tmp_path: Path) -> Callable[[str], str]:
    def write(text: str) -> str:
        path = tmp_path / "oomguard.toml"
        path.write_text(f'{text}\n[record]\npath = "{tmp_path}/record"\n')
        return str(path)

    return write


def told(found: tuple[Finding, ...]) -> str:
    return "\n".join(one.what for one in found)


def test_words() -> None:
    assert doctor.words(FOUND) == (
        "problem  kernel: It is broken.\n"
        "         - Mend it.\n"
        "note     other guards: Somebody is there.\n"
        "well     swap: There is some.\n"
        "problem 1, warning 0, note 1, well 1\n"
    )


def test_document() -> None:
    first, *_ = json.loads(doctor.document(FOUND))["findings"]
    assert first == {"severity": "problem", "topic": "kernel", "what": "It is broken.", "remedy": "Mend it."}


def test_of_the_guard_that_runs(config: Callable[[str], str]) -> None:
    ward = Ward(Present(state=STATE, degraded=()), NO_PRIVILEGES)
    found = told(doctor.diagnose(config('storm.action = "stop-unit"'), ward))
    assert STATE.pid in ward.asked
    for what in ("in dry run", "stop-unit", "The guard lacks CAP_KILL", "not locked in memory", "hidepid"):
        assert what in found
    assert "lacks CAP_IPC_LOCK" not in found, "said twice"


def test_of_a_guard_that_would_be_started_here(config: Callable[[str], str]) -> None:
    ward = Ward(Absent("No guard runs: no"), NO_PRIVILEGES)
    found = told(doctor.diagnose(config(""), ward))
    assert set(ward.asked) == {os.getpid()}
    for what in (
        "No guard runs",
        "A guard started like this lacks CAP_IPC_LOCK",
        "RLIMIT_MEMLOCK",
        "hidepid",
    ):
        assert what in found


@pytest.mark.parametrize("guard", [Present(state=STATE, degraded=()), Absent("no")])
def test_of_whom_nothing_can_be_told(config: Callable[[str], str], guard: Present | Absent) -> None:
    found = doctor.diagnose(config('[[rule]]\nname = "r"\neffect = "never"\nexe = "/x"'), Ward(guard, None))
    assert Topic.PRIVILEGES not in {one.topic for one in found}
    assert "cannot be told" in told(found)


def test_a_configuration_that_is_refused(config: Callable[[str], str]) -> None:
    found = doctor.diagnose(config('banana = 1\nmode = "x\\n"'), Ward(Absent("no"), NO_PRIVILEGES))
    refused = [one for one in found if one.topic is Topic.CONFIGURATION]
    assert [one.severity for one in refused] == [Severity.PROBLEM] * 2
    assert "banana" in told(tuple(refused))
    assert all(one.what.isprintable() for one in refused)
    assert Topic.STALLS in {one.topic for one in found}
    assert Topic.LIMITS not in {one.topic for one in found}


def test_what_check_warns_of_is_found_too(config: Callable[[str], str]) -> None:
    rule = '[[rule]]\nname = "r"\neffect = "never"\ncomm = "sshd"'
    found = doctor.diagnose(config(rule), Ward(Absent("no"), NO_PRIVILEGES))
    assert 'rule "r": it rests on comm or cmdline alone' in told(found)


def test_the_worst_comes_first(config: Callable[[str], str]) -> None:
    order = tuple(Severity)
    found = [
        order.index(one.severity) for one in doctor.diagnose(config(""), Ward(Absent("no"), NO_PRIVILEGES))
    ]
    assert found == sorted(found, reverse=True)


def command(*words: str) -> subprocess.CompletedProcess[str]:
    done = (sys.executable, "-m", "oomguard", "doctor", *words)
    return subprocess.run(done, check=False, capture_output=True, text=True)


def test_the_command(config: Callable[[str], str]) -> None:
    """This host, whatever it is like; no guard keeps this record."""
    path = config("")
    done = command("--config", path, "--json")
    assert done.stderr == ""
    findings = json.loads(done.stdout)["findings"]
    assert any("No guard runs" in each["what"] for each in findings)
    assert done.returncode == 1
    assert {each["severity"] for each in findings} <= set(Severity)
    done = command("--config", path)
    assert re.search(
        r"^warning  guard: No guard runs: .*\n         - systemctl enable", done.stdout, re.MULTILINE
    )
    assert command("--banana").returncode == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="not root: cannot become another user")
def test_anybody_may_ask(config: Callable[[str], str]) -> None:
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        pytest.skip("needs setpriv to become another user")
    words = (setpriv, "--reuid=65534", "--regid=65534", "--clear-groups", sys.executable, "-m", "oomguard")
    done = subprocess.run((*words, "doctor", "--json"), check=False, capture_output=True, text=True, cwd="/")
    assert json.loads(done.stdout)["findings"]
    assert "oomguard: " not in done.stderr
    assert done.returncode == 1
