from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from oomguard.cgroup import Layout
from oomguard.config import DEFAULTS
from oomguard.enclosure import Entry
from oomguard.event import Degraded
from oomguard.examination import Examiner
from oomguard.guardfindings import Absent, Present
from oomguard.hostfindings import GROUP_FILES, Groups
from oomguard.pressure import Level, Limit
from oomguard.record import Writer
from oomguard.rules import Effect, Field, Rule, pattern
from oomguard.units import KIB, MIB, Percent, Pid, Seconds
from tests.builders import NO_PRIVILEGES
from tests.groupfolder import hold
from tests.processfolder import FOREIGN, RECORDED, host, place
from tests.specimens import STATE

LIMITS = "Max locked memory         65536                65536                bytes     \n"
ABSENT = Absent("none")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A host with one process, 10."""
    shutil.copytree(RECORDED.parent, tmp_path / "host", symlinks=True)
    root = host(tmp_path / "host")
    put(root, "proc/sys/vm/panic_on_oom", "2\n")
    put(root, "proc/sys/vm/min_free_kbytes", "67584\n")
    put(root, "proc/10/limits", "Limit Soft Limit\n" + LIMITS)
    place(root, 10)
    put(root, "proc/10/limits", "Limit Soft Limit\n" + LIMITS)
    return root


def put(root: Path, path: str, text: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)


def examiner(root: Path) -> Examiner:
    return Examiner(str(root))


def test_a_guard_that_runs(root: Path, tmp_path: Path) -> None:
    writer = Writer.open(tmp_path / "record")
    writer.tell(Degraded(text="an earlier guard's"))
    state = replace(STATE, started=time.time(), polled_at=Seconds(time.monotonic()), pause=Seconds(3600))
    for text in ("no alarm", "no alarm", "no PSI"):
        writer.tell(Degraded(text=text))
    writer.state(state)
    found = examiner(root).guard(str(tmp_path / "record"))
    writer.close()
    assert found == Present(state=state, degraded=(Degraded(text="no alarm"), Degraded(text="no PSI")))


def test_no_guard(root: Path, tmp_path: Path) -> None:
    found = examiner(root).guard(str(tmp_path / "record"))
    assert isinstance(found, Absent)
    assert found.why.startswith(f"No guard runs: {tmp_path}/record: ")


def test_what_a_process_may_do(root: Path) -> None:
    found = examiner(root).privileges(Pid(10))
    assert found is not None
    assert (found.lockable, found.oom_score_adj, found.uid) == (64 * KIB, 0, 0)
    assert examiner(root).privileges(Pid(11)) is None


def test_the_host(root: Path) -> None:
    found = examiner(root).host(ABSENT)
    assert (found.panic_on_oom, found.min_free) == (2, 66 * MIB)
    assert (found.psi, found.psi_off, found.zswap, found.swaps) == (True, False, False, ())
    assert found.lacks == frozenset()
    assert found.groups.layout is Layout.HYBRID


def test_what_not_every_host_has(root: Path) -> None:
    put(root, "proc/cmdline", "quiet psi=0\n")
    put(root, "sys/module/zswap/parameters/enabled", "Y\n")
    (root / "proc/pressure/memory").unlink()
    for name in ("panic_on_oom", "min_free_kbytes"):
        (root / "proc/sys/vm" / name).unlink()
    found = examiner(root).host(ABSENT)
    assert (found.panic_on_oom, found.min_free) == (0, None)
    assert (found.psi, found.psi_off, found.zswap) == (False, True, True)
    assert "CONFIG_PSI" in found.no_alarm


def test_a_guard_that_runs_knows_better_what_wakes_it(root: Path) -> None:
    (root / "proc/pressure/memory").unlink()
    assert examiner(root).host(Present(state=STATE, degraded=())).no_alarm == ""


@pytest.mark.parametrize(
    ("mounts", "hides"),
    [("", False), ("28 21 0:25 / /proc rw - proc proc rw,hidepid=2\n", True)],
)
def test_hidepid(root: Path, mounts: str, hides: bool) -> None:
    put(root, "proc/self/mountinfo", mounts)
    assert examiner(root).hides_processes() is hides


def unified(root: Path, *, files: tuple[str, ...] = GROUP_FILES) -> Path:
    """Control groups of version 2, with one group."""
    cgroups = root / "sys/fs/cgroup"
    shutil.rmtree(cgroups)
    put(cgroups, "cgroup.controllers", "memory pids\n")
    put(cgroups, "cgroup.subtree_control", "memory pids\n")
    for name in ("cgroup.procs", *files):
        put(cgroups, f"a.slice/{name}", "")
    return cgroups


@pytest.mark.parametrize("files", [GROUP_FILES, GROUP_FILES[:2], ()])
def test_what_control_groups_can_do(root: Path, files: tuple[str, ...]) -> None:
    unified(root, files=files)
    assert examiner(root).host(ABSENT).groups == Groups(
        layout=Layout.UNIFIED, controllers=frozenset(("memory", "pids")), files=frozenset(files)
    )


@pytest.mark.parametrize(
    ("own", "above", "reserved"),
    [("33554432\n", "max\n", 32 * MIB), ("33554432\n", "0\n", 0), ("", "", None), ("max\n", "max\n", None)],
)
def test_memory_that_is_set_aside(root: Path, own: str, above: str, reserved: int | None) -> None:
    cgroups = unified(root)
    put(cgroups, "a.slice/memory.min", above)
    put(cgroups, "a.slice/g.service/memory.min", own)
    place(root, 12, cgroup="/a.slice/g.service")
    assert examiner(root).reserved(Pid(12)) == reserved
    assert examiner(root).reserved(Pid(99)) is None


def test_groups_of_the_configuration(root: Path) -> None:
    cgroups = unified(root)
    for name, limit in (("b", 100), ("c", None)):
        hold(cgroups, f"pens/{name}", 10, limit=limit)
        put(cgroups, f"pens/{name}/cgroup.procs", "")
    entries = tuple(
        Entry(name=path, path=path, term=Percent(90.0), kill=Percent(95.0), budget=None)
        for path in ("/pens/*", "/gone", "/a.slice")
    )
    assert examiner(root).groups_of(replace(DEFAULTS, enclosures=entries)) == {
        "/pens/*": {"/pens/b": True, "/pens/c": False},
        "/gone": {},
        "/a.slice": {"/a.slice": False},
    }


def test_everybody_who_might_guard(root: Path) -> None:
    place(root, 12, exe="/usr/bin/earlyoom", cgroup="/system.slice/earlyoom.service", cap_effective=32, uid=9)
    place(root, 13, exe="/usr/bin/earlyoom", namespace=FOREIGN)
    (root / "proc/10/stat").write_text("malformed\n")
    found = {one.pid: one for one in examiner(root).neighbours()}
    assert Pid(13) not in found, "root of a user namespace of his own"
    assert not {Pid(2), Pid(10), Pid(os.getpid())} & found.keys()
    one = found[Pid(12)]
    assert (one.uid, one.effective, one.exe, one.unit) == (9, 32, "/usr/bin/earlyoom", "earlyoom.service")


@pytest.mark.parametrize(("term", "level"), [("10%", Level.CALM), ("100%", Level.TERM)])
def test_how_bad_it_is_by_the_limits(root: Path, term: str, level: Level) -> None:
    limit = Limit(term=Percent(float(term[:-1])), kill=Percent(5.0))
    config = replace(DEFAULTS, limits=replace(DEFAULTS.limits, available=limit))
    assert examiner(root).assessment(config).level is level


@pytest.fixture
def ruled(root: Path) -> Callable[[int], object]:
    rules = tuple(
        Rule(name=name, patterns=(pattern(Field.EXE, exe),), effect=Effect.NEVER)
        for name, exe in (("python", "/usr/bin/python*"), ("other", "/x"))
    )
    config = replace(DEFAULTS, rules=rules, record="/nonexistent")
    return lambda effective: examiner(root).matched(config, replace(NO_PRIVILEGES, effective=effective))


def test_whom_the_rules_match(ruled: Callable[[int], object]) -> None:
    found = ruled(-1)
    assert getattr(found, "rules", None) == {"python"}


def test_who_may_not_see_does_not_say(ruled: Callable[[int], object]) -> None:
    assert ruled(0) is None


def test_without_rules_anybody_may_say(root: Path) -> None:
    found = examiner(root).matched(replace(DEFAULTS, record="/nonexistent"), NO_PRIVILEGES)
    assert found is not None
    assert found.candidates > 0
