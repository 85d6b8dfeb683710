"""The record: one mapped file of fixed size in which the guard publishes, and which everyone may read.

It holds a table of counters and three rings: states, samples, told events (`layout`). Nobody locks
anything: a reader that meets the writer half-way sees that by the CRC of the slot and reads again, and a
guard that died half-way leaves the slots before it readable. Publishing makes no system call.

The file belongs on a tmpfs, as /run is: on a disk, a page on its way there can make the writer wait.
"""

from __future__ import annotations

import os
import struct
import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self, TypeVar

from oomguard import codec, recordfile
from oomguard.counters import CELLS, Counter, Distribution, additions, distributions, tallied
from oomguard.errors import RecordError
from oomguard.event import Event
from oomguard.layout import (
    EVENTS,
    HEADER,
    HEADS,
    SAMPLES,
    SIZE,
    SLOT,
    STATES,
    TABLE,
    Ring,
    checksum,
    mismatch,
)
from oomguard.packing import pack_sample, pack_state, unpack_sample, unpack_state
from oomguard.pressure import Sample
from oomguard.state import State

_TRIES = 4
"""How often a slot is read that the writer seems to be at."""

_WALL = struct.Struct("=d")
"""The time of day, before the JSON of an event."""

_Entry = TypeVar("_Entry")


class Writer:
    """The guard's end of the record. Counters and rings go on where the last guard of this boot left them."""

    def __init__(self, record: int, lock: int | None) -> None:
        """Take over both descriptors; `open` and `anonymous` are the ways to make one."""
        self.fd = recordfile.read_only(record)
        """A descriptor of the record that can only read, to be handed to those who tell."""
        self._lock = lock
        self._map = recordfile.mapped(record)
        os.close(record)
        self._bytes = memoryview(self._map)
        self._table = self._bytes[TABLE].cast("Q")
        self._kept = array("Q", self._table)

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Self:
        """The record at `path`, whose folder is made if it is missing. One guard at a time can have it.

        Raises `RecordError` for all that stands in the way: another guard, a file that is not ours, no
        permission, no space.
        """
        claim = recordfile.claim(os.fspath(path))
        return cls(claim.record, claim.lock)

    @classmethod
    def anonymous(cls) -> Self:
        """A record without a path, which only those who are handed `fd` can read. Raises `RecordError`."""
        return cls(recordfile.anonymous(), None)

    @property
    def told(self) -> int:
        """The sequence number of the newest event; 0 where there is none."""
        return self._kept[EVENTS.head]

    def close(self) -> None:
        """Let go of the record; what was published stays readable at its path."""
        del self._table, self._bytes
        self._map.close()
        os.close(self.fd)
        if self._lock is not None:
            os.close(self._lock)

    def mend(self) -> bool:
        """Whether the record had been cut short: it is whole again, with its counters, without the rest.

        For the start of each poll, as writing beyond a file's end is the end of the writer (SIGBUS). Where
        all is well it is one system call, which waits for nobody. Raises `OSError` where there is no space.
        """
        if self._map.size() == SIZE:
            return False
        recordfile.refill(self.fd)
        self._table[:] = self._kept
        return True

    def count(self, counter: Counter, n: int = 1) -> None:
        """Add `n`, which is not negative, to a counter that no event stands for.

        Those of events are counted by `tell`.
        """
        self._put(HEADS + CELLS[counter], n)

    def state(self, state: State) -> None:
        """Publish the present state."""
        self._append(STATES, pack_state(state))

    def sample(self, sample: Sample) -> None:
        """Publish a sample; the ring keeps the last of them."""
        self._append(SAMPLES, pack_sample(sample))

    def tell(self, event: Event) -> None:
        """Publish an event, with the time of day, and count what it stands for (`counters.additions`)."""
        self._append(EVENTS, _WALL.pack(time.time()) + codec.encode(event, EVENTS.room - _WALL.size))
        for cell, n in additions(event):
            self._put(HEADS + cell, n)

    def _append(self, ring: Ring, content: bytes) -> None:
        sequence = self._kept[ring.head] + 1
        at = ring.at(sequence)
        SLOT.pack_into(self._map, at, sequence, len(content), checksum(sequence, content))
        self._bytes[at + SLOT.size : at + SLOT.size + len(content)] = content
        self._put(ring.head, 1)

    def _put(self, cell: int, n: int) -> None:
        """Add `n` to a cell of the table, and to what is kept of it."""
        self._kept[cell] += n
        self._table[cell] = self._kept[cell]


@dataclass(frozen=True, slots=True)
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
        return tallied(self._cells()[HEADS:])

    def histograms(self) -> tuple[Distribution, ...]:
        """Every histogram."""
        return distributions(self._cells()[HEADS:])

    def state(self) -> State | None:
        """The newest state; None where no guard has published one."""
        states = self._last(STATES, 1, unpack_state)
        return states[0] if states else None

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
    (wall,) = _WALL.unpack_from(content)
    return wall, codec.decode(content[_WALL.size :])
