"""Files and folders that somebody else has a hand in."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from oomguard.trust import check_file, check_folder

NOBODY = 65534


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder two levels below one that nobody else has a hand in."""
    folder = tmp_path / "above" / "folder"
    folder.mkdir(parents=True)
    return folder


def foreign(path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("NOT TESTED: giving files away takes root")
    os.chown(path, NOBODY, NOBODY, follow_symlinks=False)


def test_ours_alone(folder: Path) -> None:
    check_folder(str(folder))


def test_what_is_sticky_lets_nobody_move_what_is_ours(folder: Path) -> None:
    folder.parent.chmod(0o1777)
    check_folder(str(folder))


@pytest.mark.parametrize(
    ("hand", "words"),
    [
        pytest.param(foreign, "folder belongs to uid 65534", id="theirs"),
        pytest.param(lambda folder: foreign(folder.parent), "above belongs to uid 65534", id="above theirs"),
        pytest.param(lambda folder: folder.chmod(0o777), "folder may be written by others", id="open to all"),
        pytest.param(
            lambda folder: folder.chmod(0o775), "folder may be written by others", id="open to a group"
        ),
        pytest.param(
            lambda folder: folder.parent.chmod(0o777), "above may be written", id="above open to all"
        ),
    ],
)
def test_who_could_put_another_file_there(folder: Path, hand: Callable[[Path], None], words: str) -> None:
    hand(folder)
    with pytest.raises(PermissionError, match=words):
        check_folder(str(folder))


def test_a_link_is_as_good_as_its_owner_and_as_what_it_leads_to(folder: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(folder)
    check_folder(str(link))
    foreign(link)
    with pytest.raises(PermissionError, match="link belongs to uid 65534"):
        check_folder(str(link))
    link.unlink()
    link.symlink_to(folder)
    folder.parent.chmod(0o777)
    with pytest.raises(PermissionError, match="above may be written"):
        check_folder(str(link))


def test_a_folder_that_is_not_there(folder: Path) -> None:
    with pytest.raises(FileNotFoundError):
        check_folder(str(folder / "missing"))


def _second_name(path: Path) -> None:
    path.touch()
    os.link(path, path.with_name("second"))


def _foreign_file(path: Path) -> None:
    path.touch()
    foreign(path)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (Path.touch, None),
        (_second_name, "hard link"),
        (_foreign_file, "belongs to uid 65534"),
        (os.mkfifo, "not a regular file"),
        (Path.mkdir, "not a regular file"),
    ],
)
def test_files(folder: Path, make: Callable[[Path], None], words: str | None) -> None:
    make(folder / "file")
    descriptor = os.open(folder / "file", os.O_RDONLY | os.O_NONBLOCK)
    try:
        if words is None:
            check_file(descriptor)
        else:
            with pytest.raises(PermissionError, match=words):
                check_file(descriptor)
    finally:
        os.close(descriptor)
