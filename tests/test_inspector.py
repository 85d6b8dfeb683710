"""Reading one process into the registry. What comes of it is told by test_census.py."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from oomguard.inspector import Inspector
from oomguard.process import Process
from oomguard.registry import Registry
from oomguard.units import Pid, Seconds
from tests.processfolder import WatchedProcFS, host, place
from tests.test_census import hold

NOW, LATER = Seconds(10_000.0), Seconds(10_001.0)
PID = Pid(10)


class Counted(WatchedProcFS):
    """Counts who is read in full, too."""

    def process(self, pid: Pid) -> Process:
        self.reads["process"] += 1
        return super().process(pid)

    def fingerprint(self, pid: Pid) -> int:
        self.reads["fingerprint"] += 1
        return super().fingerprint(pid)


@pytest.fixture
def procfs(tmp_path: Path) -> Counted:
    place(host(tmp_path), PID)
    return Counted(tmp_path)


@pytest.mark.parametrize(("change", "reads"), [(0, 1), (7, 2)])
def test_who_has_not_changed_is_not_read_again(
    procfs: Counted, change: int, reads: int, tmp_path: Path
) -> None:
    """Nor is a newcomer asked for whether it has changed: the first reading knows."""
    inspector = Inspector(procfs, Registry(procfs, (), None))
    first = inspector.look(PID, NOW)
    assert first is not None
    assert procfs.reads["fingerprint"] == 0
    if change:
        hold(tmp_path, PID, change)
    assert inspector.look(PID, LATER) is first
    assert (procfs.reads["process"], procfs.reads["fingerprint"], first.seen_at) == (reads, 1, LATER)
    inspector.look(PID, LATER)
    assert procfs.reads["process"] == reads


@pytest.mark.parametrize("known", [False, True])
def test_who_has_gone_is_forgotten(procfs: Counted, known: bool, tmp_path: Path) -> None:
    registry = Registry(procfs, (), None)
    inspector = Inspector(procfs, registry)
    if known:
        inspector.read(PID, NOW)
    shutil.rmtree(tmp_path / f"proc/{PID}")
    assert inspector.look(PID, LATER) is inspector.read(PID, LATER) is None
    assert registry.dossiers == {}
