"""Reading the kernel's files: once, or again and again; what does not parse is named by its path."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Generic, TypeVar

from oomguard.errors import Malformed
from oomguard.units import KIB

T = TypeVar("T")

_FLAGS = os.O_RDONLY | os.O_CLOEXEC
_BUFFER = 16 * KIB
_SHORT = 2 * KIB
"""Less than this is the whole of a file: a long one stops short at the end of a page (fs/seq_file.c
`seq_read_iter()`), by less than one of its lines."""


class KeptOpen(Generic[T]):
    """A file of the host that is read again and again from its start, without the walk to it.

    Where it says what it said before, it is not parsed anew: what `parse` gives must not change by itself.
    """

    def __init__(self, path: str, parse: Callable[[bytes], T]) -> None:
        self._path = path
        self._parse = parse
        self._fd: int | None = None
        self._latest: tuple[bytes, T] | None = None

    def read(self) -> T:
        """What the file says now; raises `Malformed`, and `OSError` where it cannot be read."""
        text = self._text()
        if self._latest is not None and self._latest[0] == text:
            return self._latest[1]
        found = parsed(self._path, self._parse, text)
        self._latest = text, found
        return found

    def close(self) -> None:
        """Close it until the next reading."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _text(self) -> bytes:
        if self._fd is not None:
            try:
                return _read_from_start(self._fd)
            except OSError:  # opened anew below, which says what is wrong
                self.close()
        self._fd = os.open(self._path, _FLAGS)
        return _read_from_start(self._fd)


def read(path: str | bytes, folder: int | None = None) -> bytes:
    """The whole text of a file, below the open `folder` if there is one; raises `OSError`."""
    fd = os.open(path, _FLAGS, dir_fd=folder)
    try:
        text = os.read(fd, _BUFFER)
        # What fits is read in one go, and so of one instant: the files of a process come whole.
        if len(text) == _BUFFER:
            while more := os.read(fd, _BUFFER):
                text += more
        return text
    finally:
        os.close(fd)


def read_start(path: str, most: int) -> bytes:
    """The first `most` bytes of a file, whatever its length; raises `OSError`."""
    fd = os.open(path, _FLAGS)
    try:
        return os.read(fd, most)
    finally:
        os.close(fd)


def parsed(path: str, parse: Callable[[bytes], T], text: bytes) -> T:
    """What `parse` makes of the `text` of the file at `path`; raises `Malformed`, which names it."""
    try:
        return parse(text)
    except Malformed as error:
        raise Malformed(f"{path}: {error}") from error


def _read_from_start(fd: int) -> bytes:
    text = os.pread(fd, _BUFFER, 0)
    # To ask for what follows has the kernel word all of it once more.
    if len(text) >= _SHORT:
        while more := os.pread(fd, _BUFFER, len(text)):
            text += more
    return text
