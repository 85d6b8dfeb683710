from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oomguard.errors import Malformed
from oomguard.privilege import (
    COSTS,
    SILENT,
    Capability,
    Privileges,
    holds,
    lacking,
    parse_privileges,
)
from oomguard.units import KIB, Bytes

EVERYTHING = (1 << 41) - 1
STAT = b"7 (x) R 1) R 1 7 7 0 -1 0 0 0 0 0 1 2 0 0 20 -5 1 0 9 0 0 " + b"0 " * 15 + b"1 2 0 0 0 0 0 0\n"
STATUS = b"""Name:\tx
Uid:\t1000\t997\t997\t997
VmLck:\t      64 kB
CapEff:\t0000000000804020
NoNewPrivs:\t1
Seccomp:\t2
"""
LIMITS = b"""Limit                     Soft Limit           Hard Limit           Units
Max locked memory         8388608              8388608              bytes
"""


def test_the_files_of_one_process() -> None:
    assert parse_privileges(STATUS, STAT, LIMITS, b"-1000\n") == Privileges(
        uid=997,
        effective=0x804020,
        no_new_privileges=True,
        filtered=True,
        locked=Bytes(64 * KIB),
        oom_score_adj=-1000,
        real_time=True,
        nice=-5,
        lockable=Bytes(8388608),
    )


def test_what_older_kernels_do_not_tell() -> None:
    bare = STATUS.replace(b"NoNewPrivs:\t1\nSeccomp:\t2\n", b"").replace(b"VmLck:\t      64 kB\n", b"")
    limits = LIMITS.replace(b"8388608", b"unlimited")
    stat = STAT.replace(b"1 2 0 0 0 0 0 0\n", b"0 0 0 0 0 0 0 0\n")
    found = parse_privileges(bare, stat, limits, b"0\n")
    assert (found.no_new_privileges, found.filtered, found.locked) == (False, False, 0)
    assert (found.real_time, found.lockable) == (False, None)


def test_a_name_forges_nothing() -> None:
    forged = STATUS.replace(b"Name:\tx", b"Name:\tx\nUid:\t0\t0\t0\t0\nCapEff:\t000001ffffffffff")
    assert parse_privileges(forged, STAT, LIMITS, b"0\n").uid == 997


@pytest.mark.parametrize(
    ("status", "stat", "limits", "adj"),
    [
        (b"", STAT, LIMITS, b"0\n"),
        (STATUS[:-3], STAT, LIMITS, b"0\n"),
        (STATUS.replace(b"CapEff", b"CapEfg"), STAT, LIMITS, b"0\n"),
        (STATUS, STAT[:60], LIMITS, b"0\n"),
        (STATUS, STAT, b"", b"0\n"),
        (STATUS, STAT, LIMITS, b"x\n"),
    ],
)
def test_malformed(status: bytes, stat: bytes, limits: bytes, adj: bytes) -> None:
    with pytest.raises(Malformed):
        parse_privileges(status, stat, limits, adj)


@given(st.binary(max_size=200), st.binary(max_size=200), st.binary(max_size=100), st.binary(max_size=8))
def test_any_bytes_are_understood_or_refused(status: bytes, stat: bytes, limits: bytes, adj: bytes) -> None:
    with suppress(Malformed):
        parse_privileges(status + b"\n", stat, limits, adj)


def test_this_process() -> None:
    names = ("status", "stat", "limits", "oom_score_adj")
    found = parse_privileges(*((Path("/proc/self") / name).read_bytes() for name in names))
    assert found.uid == os.geteuid()
    assert found.nice == os.nice(0)
    assert found.oom_score_adj == int(Path("/proc/self/oom_score_adj").read_text())


def test_every_capability_has_its_cost() -> None:
    assert set(COSTS) == set(Capability)
    assert set(SILENT) < set(COSTS)
    assert all(text[0].islower() and not text.endswith(".") for text in COSTS.values())


@given(st.sets(st.sampled_from(Capability)))
def test_lacking_is_what_is_not_held(held: set[Capability]) -> None:
    effective = sum(1 << each for each in held)
    assert set(lacking(effective)) == set(Capability) - held
    assert {each for each in Capability if holds(effective, each)} == held


def test_lacking_of_what_is_wanted() -> None:
    assert lacking(1 << Capability.KILL, SILENT) == (Capability.SYS_PTRACE, Capability.DAC_OVERRIDE)
    assert lacking(EVERYTHING) == ()


def test_the_numbers_are_the_kernels(tmp_path: Path) -> None:
    capsh = shutil.which("capsh")
    if capsh is None:
        pytest.skip("capsh is missing: nobody knows the names of the numbers")
    decoded = f"--decode={sum(1 << each for each in Capability):x}"
    told = subprocess.run([capsh, decoded], check=True, capture_output=True, text=True).stdout
    names = told.strip().partition("=")[2].split(",")
    assert sorted(names) == sorted(each.spelt.lower() for each in Capability)


@pytest.mark.parametrize("lost", [Capability.KILL, Capability.SYS_PTRACE, Capability.DAC_OVERRIDE])
def test_the_guard_tells_of_what_would_show_too_late(lost: Capability, tmp_path: Path) -> None:
    setpriv = shutil.which("setpriv")
    if os.geteuid() != 0 or setpriv is None:
        pytest.skip("needs root and setpriv to take a capability away")
    config = tmp_path / "oomguard.toml"
    config.write_text(f'mode = "dry-run"\nrecord.path = "{tmp_path}/record"\n')
    name = lost.name.lower()
    words = (setpriv, f"--bounding-set=-{name}", f"--inh-caps=-{name}", sys.executable, "-m", "oomguard")
    told = []
    with subprocess.Popen((*words, "run", "--config", str(config)), stderr=subprocess.PIPE, text=True) as run:
        assert run.stderr is not None
        for each in run.stderr:
            told.append(each)
            if "Started" in each:
                break
        run.send_signal(signal.SIGTERM)
    said = [each for each in told if lost.spelt in each]
    assert said == [f"oomguard: Missing on this host: {COSTS[lost]}: give it {lost.spelt}\n"]
