"""Asks the kernel what processes have waited for memory: generic netlink, the family TASKSTATS.

The socket and the order come ready from `netlink`. The kernel answers an order before the write of it is over
(net/netlink/af_netlink.c `netlink_unicast_kernel()`), so nobody is waited for.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Mapping
from contextlib import suppress

from oomguard.errors import Gone, Malformed
from oomguard.fields import parse_int
from oomguard.frozen import frozen
from oomguard.hostfile import KeptOpen
from oomguard.process import Key
from oomguard.taskstats import Delays, parse_delays
from oomguard.units import KIB, Pid

LONGEST = 4 * KIB
"""Bytes of an answer that are read; each has less than 1 KiB."""
UNKNOWN: Mapping[Key, Delays] = {}

_PID = struct.Struct("=I")


@frozen
class Accounting:
    """A socket of the family, and what to write to it: the order's last four bytes are the process's id."""

    fd: int
    order: bytes


class NoDelays:
    """In place of delays, where nobody accounts for them."""

    def watch(self, processes: Iterable[Key]) -> None:
        """There is nothing to read."""

    def read(self) -> Mapping[Key, Delays]:
        """Nothing is known."""
        return UNKNOWN


class TaskDelays:
    """The delays of some processes of this host, none yet."""

    def __init__(self, accounting: Accounting, sysctl: str = "/proc/sys/kernel/task_delayacct") -> None:
        self._accounting = accounting
        self._counts = KeptOpen(sysctl, parse_int)
        self._processes: tuple[Key, ...] = ()
        os.set_blocking(accounting.fd, False)

    def watch(self, processes: Iterable[Key]) -> None:
        """Read those of these from now on, and of no others."""
        self._processes = tuple(processes)

    def read(self) -> Mapping[Key, Delays]:
        """The delays of all that are watched and have not gone.

        None at all where those of one are not known: who is not counted would seem never to wait.
        """
        delays: dict[Key, Delays] = {}
        try:
            if not self._processes or not self._counts.read():
                return UNKNOWN
            for key in self._processes:
                with suppress(Gone):
                    one = parse_delays(self._ask(key.pid))
                    if one is None:
                        return UNKNOWN
                    delays[key] = one
        except (OSError, Malformed):
            return UNKNOWN
        return delays

    def _ask(self, pid: Pid) -> bytes:
        fd, order = self._accounting.fd, self._accounting.order
        os.write(fd, order[: -_PID.size] + _PID.pack(pid))
        return os.read(fd, LONGEST)
