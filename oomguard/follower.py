"""Following a record from outside: what is new in it, over restarts of the guard."""

from __future__ import annotations

import os

from oomguard.errors import RecordError
from oomguard.reader import Reader, Told


class Follower:
    """Reads what is told from now on in the record at a path, which need not be there yet."""

    def __init__(self, path: str) -> None:
        """What is in the record already is old."""
        self._path = path
        self._file: tuple[int, int] | None = None
        self._reader: Reader | None = None
        self._after = 0
        try:
            self._open()
        except RecordError:
            return
        if self._reader is not None:
            self._after = self._reader.told

    def news(self) -> tuple[int, tuple[Told, ...]]:
        """How many events were lost since the last call, and those that were not. Raises `RecordError`."""
        if self._identity() != self._file:
            self._open()
            self._after = 0
        if self._reader is None or self._reader.told == self._after:
            return 0, ()
        lost, events = self._reader.events(self._after)
        self._after = events[-1].sequence if events else self._after + lost
        return lost, events

    def _open(self) -> None:
        """Open what is there now: a guard that finds no record of this boot makes another file."""
        if self._reader is not None:
            self._reader.close()
        self._reader, self._file = None, None
        file = self._identity()
        if file is not None:
            self._reader, self._file = Reader.open(self._path), file

    def _identity(self) -> tuple[int, int] | None:
        try:
            found = os.stat(self._path)
        except OSError:
            return None
        return found.st_dev, found.st_ino
