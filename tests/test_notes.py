from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from oomguard.notes import Notes
from oomguard.remedy import Action
from oomguard.restraint import Note
from tests.specimens import HOSTILE

FROZEN = Note(action=Action.FREEZE, cgroup=HOSTILE, inode=7, before="0", written="1")
HELD = Note(action=Action.THROTTLE, cgroup="/b", inode=8, before="max", written="4096")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "record.relief"


def test_what_is_noted_is_found_by_the_next_one(path: Path) -> None:
    notes = Notes(str(path))
    assert notes.read() == ()
    for noted in ((FROZEN, HELD), (HELD,), ()):
        notes.write(noted)
        assert notes.read() == noted
    assert path.stat().st_size == 0
    notes.write([FROZEN])
    notes.close()
    assert Notes(str(path)).read() == (FROZEN,)


def test_one_at_a_time_has_them(path: Path) -> None:
    notes = Notes(str(path))
    other = os.open(path, os.O_RDONLY)
    with pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    notes.close()
    fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(other)


@pytest.mark.parametrize(
    "text",
    [
        b"\xff\n",
        b"[]\n",
        b'{"action":"reclaim","cgroup":"/a","inode":1,"before":"0","written":"1"}\n',
        b'{"action":"freeze","cgroup":"/a","inode":"1","before":"0","written":"1"}\n',
        b'{"action":"freeze","cgroup":"/a",',
    ],
)
def test_what_is_no_note_is_left_out(path: Path, text: bytes) -> None:
    notes = Notes(str(path))
    notes.write([HELD])
    with path.open("ab") as file:
        file.write(text)
    assert notes.read() == (HELD,)


def test_only_root_reads_them_and_no_link_leads_elsewhere(path: Path) -> None:
    Notes(str(path))
    assert path.stat().st_mode & 0o777 == 0o600
    link = path.with_name("link")
    link.symlink_to(path)
    with pytest.raises(OSError, match="symbolic"):
        Notes(str(link))


def test_what_somebody_else_could_have_written_is_not_read(path: Path) -> None:
    path.write_bytes(b"")
    os.link(path, path.with_name("elsewhere"))
    with pytest.raises(PermissionError, match="hard link"):
        Notes(str(path))
    path.unlink()
    os.chown(path.parent, 65534, 65534)
    with pytest.raises(PermissionError, match="belongs to uid 65534"):
        Notes(str(path))
