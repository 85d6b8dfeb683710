"""Where everything lies in the record: header, table of cells, rings of slots.

Pure. A slot is its sequence number, the length of its content, a CRC and the content. The CRC starts from the
sequence number, so that new content never passes under an old number, nor the other way round.
"""

from __future__ import annotations

from struct import Struct
from zlib import crc32

from oomguard import codec
from oomguard.counters import COUNTERS, HISTOGRAMS, TABLE_SIZE
from oomguard.event import Person
from oomguard.frozen import positional
from oomguard.packing import SAMPLE, STATE, WATCHED
from oomguard.pressure import Figures, GroupFigures, Level, Phase, Reason

MAGIC = b"oomguard"
VERSION = 3
BOOT_ID = 36
HEADER = Struct(f"=8sIIQ{BOOT_ID}s4x")
"""Magic, version, fingerprint, size of the file, boot id as the kernel prints it."""
PAGE = 4096
SLOT = Struct("=QII")
"""What stands before the content of a slot: sequence number, length, CRC."""
WALL = Struct("=d")
"""The time of day, before the JSON of an event."""


@positional
class Ring:
    """Slots of one size that are written in turn; the first entry ever has the sequence number 1."""

    head: int
    """The cell that holds the newest sequence number."""
    offset: int
    slots: int
    size: int
    """Of one slot in bytes, a power of two, so that none straddles pages needlessly."""

    def at(self, sequence: int) -> int:
        """Where the slot of entry `sequence` begins in the file."""
        return self.offset + sequence % self.slots * self.size

    @property
    def room(self) -> int:
        """How many bytes of content a slot holds."""
        return self.size - SLOT.size

    @property
    def end(self) -> int:
        """Where the ring ends in the file."""
        return self.offset + self.slots * self.size


def checksum(sequence: int, content: bytes) -> int:
    """The CRC of a slot."""
    return crc32(content, sequence & 0xFFFFFFFF)


def _paged(offset: int) -> int:
    return -(-offset // PAGE) * PAGE


LOOKED = 3
"""The cell, after the heads of the rings, of when the guard looked last: microseconds of CLOCK_MONOTONIC."""
MICROSECOND = 1e-6
COUNTED = 4
"""The first cell of what `counters` counts."""
TABLE = slice(HEADER.size, HEADER.size + 8 * (COUNTED + TABLE_SIZE))
"""The bytes of the table: 64-bit cells."""
STATES = Ring(0, _paged(TABLE.stop), 8, 2048)
SAMPLES = Ring(1, STATES.end, 512, 256)
EVENTS = Ring(2, _paged(SAMPLES.end), 128, PAGE)
SIZE = EVENTS.end

_MEANING = (
    (STATES, SAMPLES, EVENTS, STATE.format, SAMPLE.format, WATCHED.format),
    (tuple(Phase), tuple(Level), tuple(Reason)),
    (COUNTERS, HISTOGRAMS),
    tuple((tag, list(kind.__annotations__.items())) for tag, kind in codec.KINDS.items()),
    tuple(field for kind in (Person, Figures, GroupFigures) for field in kind.__annotations__.items()),
)
FINGERPRINT = crc32(repr(_MEANING).encode())
"""Differs as soon as any part of the layout does, so that no reader takes one cell or word for another."""


def header(boot_id: bytes) -> bytes:
    """The header of a record that is written in this boot."""
    return HEADER.pack(MAGIC, VERSION, FINGERPRINT, SIZE, boot_id)


def mismatch(found: bytes) -> str | None:
    """What keeps a file with the header `found` from being read as a record of this layout."""
    magic, version, fingerprint, size, _ = HEADER.unpack(found)
    if magic != MAGIC:
        return "not a record"
    if (version, fingerprint, size) != (VERSION, FINGERPRINT, SIZE):
        return "written by another version of oomguard"
    return None
