"""The record: one mapped file of fixed size in which the guard publishes, and which everyone may read.

It holds a table of counters and three rings: states, samples, told events (`layout`). Nobody locks
anything: a reader that meets the writer half-way sees that by the CRC of the slot and reads again, and a
guard that died half-way leaves the slots before it readable. Publishing makes no system call.

The file belongs on a tmpfs, as /run is: on a disk, a page on its way there can make the writer wait.
"""

from __future__ import annotations

import os
import time
from array import array
from typing import Self

from oomguard import codec, recordfile
from oomguard.counters import CELLS, Counter, additions
from oomguard.event import Event
from oomguard.layout import (
    COUNTED,
    EVENTS,
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
)
from oomguard.packing import pack_sample, pack_state
from oomguard.pressure import Sample
from oomguard.state import State
from oomguard.units import Seconds


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
        self._put(COUNTED + CELLS[counter], n)

    def state(self, state: State) -> None:
        """Publish the present state."""
        self._append(STATES, pack_state(state))

    def looked(self, at: Seconds) -> None:
        """The latest state is true as of now: the guard has looked, and calm has lasted."""
        self._set(LOOKED, int(at / MICROSECOND))

    def sample(self, sample: Sample) -> None:
        """Publish a sample; the ring keeps the last of them."""
        self._append(SAMPLES, pack_sample(sample))

    def tell(self, event: Event) -> None:
        """Publish an event, with the time of day, and count what it stands for (`counters.additions`)."""
        self._append(EVENTS, WALL.pack(time.time()) + codec.encode(event, EVENTS.room - WALL.size))
        for cell, n in additions(event):
            self._put(COUNTED + cell, n)

    def _append(self, ring: Ring, content: bytes) -> None:
        sequence = self._kept[ring.head] + 1
        at = ring.at(sequence)
        SLOT.pack_into(self._map, at, sequence, len(content), checksum(sequence, content))
        self._bytes[at + SLOT.size : at + SLOT.size + len(content)] = content
        self._put(ring.head, 1)

    def _put(self, cell: int, n: int) -> None:
        """Add `n` to a cell of the table."""
        self._set(cell, self._kept[cell] + n)

    def _set(self, cell: int, value: int) -> None:
        self._kept[cell] = self._table[cell] = value
