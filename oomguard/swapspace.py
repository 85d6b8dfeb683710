"""/proc/swaps: what is swapped to, and what free swap takes of memory once it is used.

Swap on a disk takes none. zram keeps what is swapped out in memory, compressed: of free swap there, only what
compression saves is room (Documentation/admin-guide/blockdev/zram.rst).
"""

from __future__ import annotations

from collections.abc import Iterable

from oomguard.errors import Malformed
from oomguard.fields import whole
from oomguard.frozen import frozen
from oomguard.units import KIB, MIB, Bytes

EXPECTED_COST = 0.5
"""While too little is stored to tell: zram.rst expects a ratio of 2:1."""
ENOUGH = Bytes(16 * MIB)
"""Stored: what that takes tells of what is yet to come."""


@frozen
class SwapArea:
    """A device or a file that is swapped to."""

    size: Bytes
    used: Bytes
    in_memory: bool
    """It is a zram device."""


# Filename				Type		Size		Used		Priority
# /dev/zram0                              partition	409596		1024		100
def parse_swaps(data: bytes) -> tuple[SwapArea, ...]:
    """All that is swapped to (mm/swapfile.c `swap_show()`); raises `Malformed`."""
    try:
        return tuple(_area(*line.split()) for line in whole(data).splitlines()[1:])
    except (TypeError, ValueError) as error:
        raise Malformed("not the columns of a swap area") from error


def _area(path: bytes, kind: bytes, size: bytes, used: bytes, _priority: bytes) -> SwapArea:
    name = path.rpartition(b"/")[2]
    return SwapArea(
        size=Bytes(int(size) * KIB),
        used=Bytes(int(used) * KIB),
        in_memory=kind == b"partition" and name.startswith(b"zram") and name[4:].isdigit(),
    )


def cost(areas: Iterable[SwapArea], compressed: Bytes) -> float:
    """What a byte of free swap takes of memory once it is used, from 0 to 1.

    `compressed`: all that zsmalloc holds (nr_zspages). Where zram is more than swap, swap seems to take more
    than it does. The device's mm_stat tells them apart, but its reader may have to wait for the device to be
    written back to a disk (drivers/block/zram/zram_drv.c, `init_lock`).
    """
    areas = tuple(areas)
    free = sum(area.size - area.used for area in areas)
    in_memory = [area for area in areas if area.in_memory]
    stored = sum(area.used for area in in_memory)
    share = min(compressed / stored, 1.0) if stored >= ENOUGH else EXPECTED_COST
    return share * sum(area.size - area.used for area in in_memory) / free if free else 0.0
