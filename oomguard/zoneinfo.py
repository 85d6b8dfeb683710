"""/proc/zoneinfo: free pages in lists that each CPU keeps for itself (mm/page_alloc.c, `per_cpu_pages`).

MemFree and MemAvailable leave them out. Since Linux 6.7 the lists tune themselves, and may grow to gigabytes:
what a victim held lands there when it exits, and a guard that believed MemAvailable would kill on.
"""

from __future__ import annotations

from oomguard.errors import Malformed
from oomguard.units import Pages


#   pagesets
#     cpu: 0
#               count: 3456
#               high:  29110
def parse_per_cpu_pages(data: bytes) -> Pages:
    """The pages in the lists of all CPUs and zones; raises `Malformed`."""
    try:
        return Pages(sum(int(part.partition(b"\n")[0]) for part in data.split(b" count: ")[1:]))
    except ValueError as error:
        raise Malformed("a count without a number") from error
