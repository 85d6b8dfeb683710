"""Pressure stall information: the time that tasks lost for want of memory (kernel/sched/psi.c)."""

from __future__ import annotations

import errno

from oomguard.fields import number, whole
from oomguard.frozen import frozen
from oomguard.units import Seconds

NO_PSI = (errno.ENOENT, errno.EOPNOTSUPP, errno.EACCES, errno.EPERM)
"""How reading fails where stalls are not accounted for (not built in, psi=0), or not for us to see."""


@frozen
class Pressure:
    """The `total=` of both lines: stall time since boot, stalls in progress included.

    The averages are left unread: they move every 2 s only, and lag.
    """

    some: Seconds
    """At least one task waited."""
    full: Seconds
    """No task could run: this is the damage."""


# some avg10=0.00 avg60=0.12 avg300=0.05 total=181955
# full avg10=0.00 avg60=0.10 avg300=0.04 total=142011
def parse_pressure(data: bytes) -> Pressure:
    """`Pressure` from a memory.pressure or /proc/pressure/memory text; raises `Malformed`."""
    some, newline, full = whole(data).partition(b"\nfull ")
    return Pressure(some=_total(some + newline), full=_total(full))


def _total(line: bytes) -> Seconds:
    return Seconds(number(line, b" total=", b"\n") / 1_000_000)
