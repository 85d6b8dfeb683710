"""Anyone's view of the record (`record`): what a guard has published, read as it goes on publishing."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from types import TracebackType
from typing import Self, TypeVar

from oomguard import recordfile
from oomguard.counters import Counter, Distribution, distributions, tallied
from oomguard.decoder import decode as decode_event
from oomguard.errors import RecordError
from oomguard.event import Event
from oomguard.frozen import positional
from oomguard.layout import (
    COUNTED,
    EVENTS,
    HEADER,
    LOOKED,
    MICROSECOND,
    SAMPLES,
    SIZE,
    SLOT,
    STATES,
    TABLE,
    WALL,
    Ring,
    checksum,
    mismatch,
)
from oomguard.packing import unpack_sample, unpack_state
from oomguard.pressure import Sample
from oomguard.state import State, as_of
from oomguard.units import Seconds

_TRIES = 4
"""How often a slot is read that the writer seems to be at."""

_Entry = TypeVar("_Entry")


@positional
class Told:
    """An event as it was told."""

    sequence: int
    wall: float
    """Seconds since the epoch."""
    event: Event


class Reader:
    """Anyone's view of a record. Whatever bytes it meets, it gives valid values or `RecordError`.

    It reads the file rather than mapping it, so that a file which is cut short cannot end it with SIGBUS.
    """

    def __init__(self, record: int) -> None:
        """Take over the descriptor `record`; `open` and `from_fd` are the ways to make one."""
        self._record = record

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Self:
        """The record at `path`. Raises `RecordError` where there is none of this version and this boot."""
        reader = cls.from_fd(recordfile.find(os.fspath(path)), os.fspath(path))
        if reader.boot_id != recordfile.boot_id():
            reader.close()
            raise RecordError(f"{path}: written before this boot; no guard has run since")
        return reader

    @classmethod
    def from_fd(cls, record: int, name: str = "the record") -> Self:
        """The record behind a descriptor, which is closed with the reader. Raises `RecordError`."""
        reader = cls(record)
        try:
            problem = mismatch(reader._read(0, HEADER.size))
            if problem is None and os.fstat(record).st_size < SIZE:
                problem = "cut short; the guard makes it anew when it starts"
        except RecordError as error:
            reader.close()
            raise RecordError(f"{name}: {error}") from error
        if problem is not None:
            reader.close()
            raise RecordError(f"{name}: {problem}")
        return reader

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the record."""
        os.close(self._record)

    @property
    def boot_id(self) -> bytes:
        """Of the boot in which the record was begun."""
        boot_id: bytes = HEADER.unpack(self._read(0, HEADER.size))[-1]
        return boot_id

    @property
    def told(self) -> int:
        """The sequence number of the newest event; 0 where there is none."""
        return self._cells()[EVENTS.head]

    def counters(self) -> dict[Counter, int]:
        """Every counter, in the order of `counters.FAMILIES`."""
        return tallied(self._cells()[COUNTED:])

    def histograms(self) -> tuple[Distribution, ...]:
        """Every histogram."""
        return distributions(self._cells()[COUNTED:])

    def state(self) -> State | None:
        """The newest state; None where no guard has published one."""
        states = self._last(STATES, 1, unpack_state)
        return as_of(states[0], Seconds(self._cells()[LOOKED] * MICROSECOND)) if states else None

    def samples(self, newest: int = SAMPLES.slots) -> tuple[Sample, ...]:
        """The last samples, at most `newest`, the newest one last."""
        return tuple(self._last(SAMPLES, newest, unpack_sample))

    def events(self, after: int) -> tuple[int, tuple[Told, ...]]:
        """How many events after sequence number `after` are lost, and those that are not, in their order."""
        newest = self.told
        entries = self._entries(EVENTS, after, newest, _stamped)
        told = tuple(Told(sequence, wall, event) for sequence, (wall, event) in entries)
        return max(0, newest - after) - len(told), told

    def _last(self, ring: Ring, count: int, decode: Callable[[bytes], _Entry]) -> list[_Entry]:
        newest = self._cells()[ring.head]
        return [entry for _, entry in self._entries(ring, newest - count, newest, decode)]

    def _entries(
        self, ring: Ring, after: int, newest: int, decode: Callable[[bytes], _Entry]
    ) -> list[tuple[int, _Entry]]:
        oldest = max(after, 0, newest - ring.slots) + 1
        entries = ((sequence, self._entry(ring, sequence, decode)) for sequence in range(oldest, newest + 1))
        return [(sequence, entry) for sequence, entry in entries if entry is not None]

    def _entry(self, ring: Ring, sequence: int, decode: Callable[[bytes], _Entry]) -> _Entry | None:
        for _ in range(_TRIES):
            slot = self._read(ring.at(sequence), ring.size)
            number, length, crc = SLOT.unpack_from(slot)
            content = slot[SLOT.size : SLOT.size + length]
            if number == sequence and length <= ring.room and crc == checksum(sequence, content):
                try:
                    return decode(content)
                except (ValueError, struct.error):
                    return None
        return None

    def _cells(self) -> memoryview[int]:
        return memoryview(self._read(TABLE.start, TABLE.stop - TABLE.start)).cast("Q")

    def _read(self, offset: int, size: int) -> bytes:
        try:
            data = os.pread(self._record, size, offset)
        except OSError as error:
            raise RecordError(f"cannot be read: {error.strerror}") from error
        if len(data) < size:
            raise RecordError("cut short; the guard makes it anew when it starts")
        return data


def _stamped(content: bytes) -> tuple[float, Event]:
    (wall,) = WALL.unpack_from(content)
    return wall, decode_event(content[WALL.size :])
