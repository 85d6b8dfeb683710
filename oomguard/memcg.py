"""What a v2 control group holds and may hold: memory.stat, memory.max and their like (cgroups(7)). Pure."""

from __future__ import annotations

from oomguard.errors import Malformed
from oomguard.fields import number, parse_int, whole
from oomguard.meminfo import Holdings
from oomguard.units import Bytes


# 536870912
# max
def parse_limit(data: bytes) -> Bytes | None:
    """memory.max, memory.high, memory.swap.max; None for no limit. Raises `Malformed`."""
    return None if data == b"max\n" else parse_usage(data)


# 536870912
def parse_usage(data: bytes) -> Bytes:
    """memory.current, memory.swap.current. Raises `Malformed`."""
    text = whole(data)[:-1]
    if not text.isdigit():
        raise Malformed("not a number of bytes")
    return Bytes(parse_int(text))


# 1
def parse_switch(data: bytes) -> bool:
    """memory.oom.group. Raises `Malformed`."""
    return parse_usage(data) != 0


# anon 425984
# file 1204224
# kernel_stack 32768
# pagetables 40960
# sec_pagetables 0
# percpu 960
# sock 0
# shmem 0
# zswap 0
# inactive_file 1204224
# active_file 0
# slab_reclaimable 263872
# slab_unreclaimable 82352
def parse_memory_stat(data: bytes) -> Holdings:
    """What the memory of a group is used for, from the whole text of memory.stat.

    `total` and `swap_used` are left at 0: they are in files of their own. Reclaimable is what the kernel
    drops before it kills in a group at its limit: the page cache, and the slab that it can shrink. What a
    kernel may leave out is 0; raises `Malformed` where a line is missing that every kernel writes.
    """
    text = b"\n" + whole(data)
    evictable = _bytes(text, b"\ninactive_file ") + _bytes(text, b"\nactive_file ")
    shmem = _bytes(text, b"\nshmem ")
    nothing = Bytes(0)
    return Holdings(
        total=nothing,
        free=nothing,
        reclaimable=Bytes(evictable + _bytes(text, b"\nslab_reclaimable ", 0)),
        swap_used=nothing,
        anon=_bytes(text, b"\nanon "),
        zswap=_bytes(text, b"\nzswap ", 0),
        shmem=shmem,
        locked_files=Bytes(max(0, _bytes(text, b"\nfile ") - shmem - evictable)),
        slab_unreclaimable=_bytes(text, b"\nslab_unreclaimable ", 0),
        hugetlb=nothing,
        kernel_stacks=_bytes(text, b"\nkernel_stack ", 0),
        page_tables=Bytes(_bytes(text, b"\npagetables ", 0) + _bytes(text, b"\nsec_pagetables ", 0)),
        percpu=_bytes(text, b"\npercpu ", 0),
        sockets=_bytes(text, b"\nsock ", 0),
    )


def _bytes(text: bytes, key: bytes, default: int | None = None) -> Bytes:
    return Bytes(number(text, key, b"\n", default))
