"""On a tree of plain files; what only a kernel does is checked in a machine (tests/vm/guest/relief.py)."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from oomguard import restraint
from oomguard.cgroupfs import CgroupFS
from oomguard.remedy import Action, Result
from oomguard.restraint import CHUNK, SLACK, Note, Refusal
from oomguard.units import MIB, Bytes, Pid

PAGE = os.sysconf("SC_PAGE_SIZE")
HELD = 100 * MIB + 7
MEMBERS = (Pid(5), Pid(6), Pid(7))
BOUND = str((HELD + SLACK) // PAGE * PAGE)


@pytest.fixture
def group(tmp_path: Path) -> Path:
    (tmp_path / "cgroup.controllers").touch()
    group = tmp_path / "a.slice/a.service"
    below = group / "below"
    below.mkdir(parents=True)
    (group / "cgroup.procs").write_text("5\n6\n")
    (below / "cgroup.procs").write_text("7\n")
    (group / "cgroup.freeze").write_text("0\n")
    (group / "cgroup.events").write_text("populated 1\nfrozen 0\n")
    (group / "memory.high").write_text("max\n")
    (group / "memory.current").write_text(f"{HELD}\n")
    (group / "memory.reclaim").touch()
    return group


@pytest.fixture
def groups(group: Path, tmp_path: Path) -> CgroupFS:
    return CgroupFS(str(tmp_path))


NAME = "/a.slice/a.service"


def plan(groups: CgroupFS, action: Action, members: tuple[Pid, ...] = MEMBERS, name: str = NAME) -> Note:
    return restraint.plan(groups, action, name, members)


def refused(act: Callable[[], object]) -> Result:
    with pytest.raises(Refusal) as caught:
        act()
    return caught.value.result


@pytest.mark.parametrize(
    ("action", "file", "before", "written", "held_to"),
    [
        (Action.FREEZE, "cgroup.freeze", "0", "1", 0),
        (Action.THROTTLE, "memory.high", "max", BOUND, int(BOUND)),
        (Action.THROTTLE, "memory.high", str(HELD * 2), BOUND, int(BOUND)),
    ],
)
def test_done_and_undone(
    groups: CgroupFS, group: Path, action: Action, file: str, before: str, written: str, held_to: int
) -> None:
    (group / file).write_text(f"{before}\n")
    note = plan(groups, action)
    assert (group / file).read_text() == f"{before}\n"
    assert note == Note(action=action, cgroup=NAME, inode=group.stat().st_ino, before=before, written=written)
    restraint.restrain(groups, note)
    assert (group / file).read_text() == written
    assert restraint.held_to(note) == held_to
    for _ in range(2):
        restraint.undo(groups, note)
        assert (group / file).read_text() == before


@pytest.mark.parametrize("action", [Action.FREEZE, Action.THROTTLE])
@pytest.mark.parametrize("members", [MEMBERS[:2], MEMBERS[1:], ()])
def test_nobody_is_restrained_with_somebody_who_was_not_judged(
    groups: CgroupFS, action: Action, members: tuple[Pid, ...]
) -> None:
    assert refused(lambda: plan(groups, action, members)) is Result.CHANGED
    assert refused(lambda: restraint.reclaim(groups, NAME, members, CHUNK, lambda: True)) is Result.CHANGED


def test_who_has_gone_since_is_not_missed(groups: CgroupFS) -> None:
    assert plan(groups, Action.FREEZE, (*MEMBERS, Pid(8))).written == "1"


@pytest.mark.parametrize(
    ("action", "file", "text"),
    [
        (Action.FREEZE, "cgroup.freeze", "1\n"),
        (Action.FREEZE, "cgroup.events", "populated 1\nfrozen 1\n"),
        (Action.THROTTLE, "memory.high", f"{HELD}\n"),
    ],
)
def test_what_somebody_else_has_done_is_let_be(
    groups: CgroupFS, group: Path, action: Action, file: str, text: str
) -> None:
    (group / file).write_text(text)
    assert refused(lambda: plan(groups, action)) is Result.ALREADY


@pytest.mark.parametrize(
    ("action", "file"), [(Action.FREEZE, "cgroup.freeze"), (Action.THROTTLE, "memory.high")]
)
def test_an_older_kernel_is_told(groups: CgroupFS, group: Path, action: Action, file: str) -> None:
    (group / file).unlink()
    assert refused(lambda: plan(groups, action)) is Result.UNSUPPORTED


def test_what_somebody_else_has_written_since_stays(groups: CgroupFS, group: Path) -> None:
    note = plan(groups, Action.THROTTLE)
    restraint.restrain(groups, note)
    (group / "memory.high").write_text("4096\n")
    restraint.undo(groups, note)
    assert (group / "memory.high").read_text() == "4096\n"


def test_another_group_of_the_same_name_is_not_touched(groups: CgroupFS, group: Path) -> None:
    note = plan(groups, Action.FREEZE)
    group.rename(group.with_name("old"))
    group.mkdir()
    (group / "cgroup.freeze").write_text("1\n")
    assert refused(lambda: restraint.restrain(groups, note)) is Result.VANISHED
    restraint.undo(groups, note)
    assert (group / "cgroup.freeze").read_text() == "1\n"


def test_a_group_that_has_gone(groups: CgroupFS, group: Path) -> None:
    note = plan(groups, Action.FREEZE)
    group.rename(group.with_name("old"))
    assert refused(lambda: plan(groups, Action.FREEZE)) is Result.VANISHED
    restraint.undo(groups, note)


@pytest.mark.parametrize("name", ["/..", "/a.slice/../a.slice/a.service"])
def test_nothing_outside_is_touched(groups: CgroupFS, name: str) -> None:
    assert refused(lambda: plan(groups, Action.FREEZE, name=name)) is Result.VANISHED


def test_where_v2_is_not_alone_nothing_is_done(tmp_path: Path) -> None:
    (tmp_path / "unified").mkdir()
    (tmp_path / "unified/cgroup.controllers").touch()
    groups = CgroupFS(str(tmp_path))
    assert refused(lambda: plan(groups, Action.FREEZE)) is Result.UNSUPPORTED
    with pytest.raises(FileNotFoundError):
        groups.open(NAME)


def test_what_could_not_be_undone_is_to_be_tried_again(
    groups: CgroupFS, monkeypatch: pytest.MonkeyPatch
) -> None:
    note = plan(groups, Action.FREEZE)
    restraint.restrain(groups, note)

    def refuse(*_: object) -> int:
        raise PermissionError

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", refuse)
        assert refused(lambda: restraint.undo(groups, note)) is Result.REFUSED
    restraint.undo(groups, note)


def test_memory_is_reclaimed_piece_by_piece(groups: CgroupFS, monkeypatch: pytest.MonkeyPatch) -> None:
    written = []
    monkeypatch.setattr(os, "write", lambda _, text: written.append(text))
    assert restraint.reclaim(groups, NAME, MEMBERS, Bytes(CHUNK + 5), lambda: True) == CHUNK + 5
    assert written == [str(CHUNK).encode(), b"5"]
    assert restraint.reclaim(groups, NAME, MEMBERS, Bytes(9 * CHUNK), lambda: len(written) < 4) == 2 * CHUNK


def test_what_the_kernel_could_not_reclaim_does_not_count(
    groups: CgroupFS, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        raise BlockingIOError

    monkeypatch.setattr(os, "write", refuse)
    assert restraint.reclaim(groups, NAME, MEMBERS, CHUNK, lambda: True) == 0
