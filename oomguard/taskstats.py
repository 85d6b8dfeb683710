"""What a process has waited for memory, as the kernel accounts for delays (kernel/delayacct.c). Pure."""

from __future__ import annotations

import errno
import struct

from oomguard.errors import Gone, Malformed
from oomguard.frozen import frozen
from oomguard.units import Seconds

VERSIONS = frozenset((13, 14, 16))
"""TASKSTATS_VERSION of Linux 6.0 to 6.13, and from 6.16 on: those between have the fields elsewhere."""

_NLMSG_ERROR = 2
_KIND = struct.Struct("=4xH")
_CODE = struct.Struct("=16xi")
_STATS_AT = 36
"""After struct nlmsghdr, struct genlmsghdr, and the headers of AGGR_TGID, TGID and STATS."""
_VERSION = struct.Struct(f"={_STATS_AT}xH")
# cpu_delay_total; swapin_delay_total; cpu_run_real_total; freepages_, thrashing_delay_total; wpcopy_count
_STATS = struct.Struct(f"={_STATS_AT}x24xQ24xQQ248xQ8xQ56xQ")
_NANOSECONDS = 1e-9


@frozen
class Delays:
    """Of one process, all its threads together, since it started."""

    waited: Seconds
    """For memory: in direct reclaim, and for pages that had been evicted."""
    wanted: Seconds
    """It wanted to run: it ran, waited for a CPU, or for memory."""


def parse_delays(reply: bytes) -> Delays | None:
    """The delays that `reply` to TASKSTATS_CMD_GET tells of; None where nobody has accounted for them.

    `kernel.task_delayacct` counts only for processes that start once it is 1 (`delayacct_tsk_init()`); one
    that has been counted has copied some page by now. Raises `Gone`, `OSError` where the kernel refuses, and
    `Malformed`.
    """
    try:
        (kind,) = _KIND.unpack_from(reply)
        if kind == _NLMSG_ERROR:
            (code,) = _CODE.unpack_from(reply)
            raise Gone("taskstats") if -code == errno.ESRCH else OSError(-code, "taskstats refuses")
        (version,) = _VERSION.unpack_from(reply)
        if version not in VERSIONS:
            raise Malformed(f"taskstats: version {version} is none that is known")
        for_cpu, swapping, ran, reclaiming, thrashing, copied = _STATS.unpack_from(reply)
    except struct.error as error:
        raise Malformed("taskstats: the reply is cut short") from error
    if not copied:
        return None
    # Whoever reads a page back in waits for it too: both count that time (mm/page_io.c `swap_read_folio()`).
    waited = reclaiming + max(swapping, thrashing)
    return Delays(
        waited=Seconds(waited * _NANOSECONDS), wanted=Seconds((waited + ran + for_cpu) * _NANOSECONDS)
    )
