"""Whether a file is ours alone to write: who owns it, and who could put another one in its place."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def check_file(descriptor: int) -> None:
    """Raises `PermissionError`, in words, unless it is a regular file of our own, with one name alone."""
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise _refusal("it is not a regular file; remove it")
    if status.st_uid != os.geteuid():
        raise _refusal(f"it belongs to uid {status.st_uid}; remove it")
    # A hard link can give any file of ours a name in a folder of somebody else's.
    if status.st_nlink > 1:
        raise _refusal("it has a second name (a hard link); remove it")


def check_folder(folder: str) -> None:
    """Raises `PermissionError`, in words, where somebody but us and root can change what `folder` leads to.

    That is whoever owns it or a folder above it, or a link on the way; and whoever may write to one, but for
    what is sticky, as /tmp is. Raises `OSError` where one is missing.
    """
    for way in _ways(folder):
        status = os.lstat(way)
        if status.st_uid not in {0, os.geteuid()}:
            raise _refusal(f"{way} belongs to uid {status.st_uid}, who could put another file there")
        # A link's own mode says nothing.
        loose = status.st_mode & _OTHERS_WRITE and not status.st_mode & stat.S_ISVTX
        if loose and not stat.S_ISLNK(status.st_mode):
            raise _refusal(f"{way} may be written by others, who could put another file there")


def _ways(folder: str) -> Iterator[str]:
    """It and all above it, by the name that was given and where that leads; but for the root."""
    for start in (os.path.abspath(folder), os.path.realpath(folder)):
        way = start
        while (above := os.path.dirname(way)) != way:
            yield way
            way = above


def _refusal(problem: str) -> PermissionError:
    return PermissionError(errno.EPERM, f"{problem}, or set [record] path")
