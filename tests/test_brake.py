"""On a tree of plain files; that it keeps bystanders out of swap was seen in a machine (docs/relief.md)."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from oomguard.brake import LASTS, Brake
from oomguard.cgroupfs import CgroupFS
from oomguard.remedy import Result
from tests import builders

BEFORE = {"system.slice": "max", "user.slice": "1048576", "guard.service": "0"}
"""memory.swap.max of each; the last has no swap anyway."""
HELD = {**BEFORE, "system.slice": "0", "user.slice": "0"}
START = 100.0
SWAP = builders.memory(swap_total=500)
THERE, SHORT = builders.assessment(available=101), builders.assessment(available=100)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "cgroup"
    root.mkdir()
    (root / "cgroup.controllers").touch()
    for name, most in BEFORE.items():
        (root / name).mkdir()
        (root / name / "memory.swap.max").write_text(f"{most}\n")
    (root / "without.slice").mkdir()
    return root


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    return tmp_path / "record.brake"


@pytest.fixture
def brake(root: Path, notes: Path) -> Brake:
    return Brake(CgroupFS(str(root)), str(notes))


def limits(root: Path) -> dict[str, str]:
    return {name: (root / name / "memory.swap.max").read_text().strip() for name in BEFORE}


def test_held_once_memory_is_there_and_let_go_in_time(brake: Brake, root: Path, notes: Path) -> None:
    assert brake.recover() == ()
    assert not notes.exists()
    assert brake.hold(builders.sample(START, SWAP), SHORT) is None
    assert brake.hold(builders.sample(START, SWAP), THERE) is Result.DONE
    assert (limits(root), brake.is_on) == (HELD, True)
    assert notes.stat().st_size
    brake.tend(builders.sample(START + LASTS - 0.01, SWAP), THERE)
    assert limits(root) == HELD
    brake.tend(builders.sample(START + LASTS, SWAP), THERE)
    assert (limits(root), brake.is_on, notes.stat().st_size) == (BEFORE, False, 0)


def test_let_go_at_once_where_memory_is_short_again(brake: Brake, root: Path) -> None:
    brake.hold(builders.sample(START, SWAP), THERE)
    brake.tend(builders.sample(START + 0.02, SWAP), SHORT)
    assert limits(root) == BEFORE


def test_once_an_episode(brake: Brake, root: Path) -> None:
    sample = builders.sample(START, SWAP)
    brake.hold(sample, THERE)
    brake.lift()
    assert brake.hold(sample, THERE) is None
    assert limits(root) == BEFORE
    brake.ready()
    assert brake.hold(sample, THERE) is Result.DONE


def test_what_is_held_already_is_not_noted_anew(brake: Brake, root: Path) -> None:
    sample = builders.sample(START, SWAP)
    brake.hold(sample, THERE)
    brake.ready()
    assert brake.hold(sample, THERE) is None
    brake.lift()
    assert limits(root) == BEFORE


def test_nothing_without_swap(brake: Brake, root: Path, notes: Path) -> None:
    assert brake.hold(builders.sample(START), THERE) is None
    assert (limits(root), notes.exists()) == (BEFORE, False)


def test_nothing_without_control_groups_of_version_2(root: Path, notes: Path) -> None:
    (root / "cgroup.controllers").unlink()
    brake = Brake(CgroupFS(str(root)), str(notes))
    assert brake.hold(builders.sample(START, SWAP), THERE) is None
    assert limits(root) == BEFORE


def test_what_another_has_written_meanwhile_stays(brake: Brake, root: Path) -> None:
    brake.hold(builders.sample(START, SWAP), THERE)
    (root / "user.slice" / "memory.swap.max").write_text("4096\n")
    brake.lift()
    assert limits(root) == {**BEFORE, "user.slice": "4096"}


def test_what_a_dead_guard_left_held_is_let_go(brake: Brake, root: Path, notes: Path) -> None:
    brake.hold(builders.sample(START, SWAP), THERE)
    brake.close()
    successor = Brake(CgroupFS(str(root)), str(notes))
    assert sorted(successor.recover()) == ["/system.slice", "/user.slice"]
    assert (limits(root), notes.stat().st_size) == (BEFORE, 0)
    assert successor.recover() == ()


def test_another_guard_does_not_wait_for_notes_that_nobody_needs(
    brake: Brake, root: Path, notes: Path
) -> None:
    brake.hold(builders.sample(START, SWAP), THERE)
    brake.lift()
    with notes.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        assert Brake(CgroupFS(str(root)), str(notes)).recover() == ()


def test_what_cannot_be_noted_is_not_done(root: Path, tmp_path: Path) -> None:
    brake = Brake(CgroupFS(str(root)), str(tmp_path / "missing" / "record.brake"))
    assert brake.hold(builders.sample(START, SWAP), THERE) is Result.REFUSED
    assert (limits(root), brake.is_on) == (BEFORE, False)
