"""/proc/spl/kstat/zfs/arcstats: what ZFS's cache can give back (arcstat(1), zfs(4) `zfs_arc_min`).

Its pages are on none of the kernel's lists of caches, so MemAvailable counts them as used; but it shrinks
when memory is short (module/os/linux/zfs/arc_os.c `arc_shrinker_scan()`), and not below its minimum.
"""

from __future__ import annotations

from oomguard.errors import Malformed
from oomguard.fields import whole
from oomguard.units import Bytes


# 13 1 0x01 147 39984 1405644657 619562335795635
# name                            type data
# c_min                           4    1055913088
# size                            4    8375190192
def parse_arcstats(data: bytes) -> Bytes:
    """What the cache holds beyond its minimum; raises `Malformed`."""
    text = whole(data)
    return Bytes(max(_value(text, b"\nsize ") - _value(text, b"\nc_min "), 0))


def _value(text: bytes, key: bytes) -> int:
    line, _, _ = text[text.find(key) + 1 :].partition(b"\n")
    try:
        _, _, value = line.split()
        return int(value)
    except ValueError as error:
        raise Malformed(f"{key!r} has no number") from error
