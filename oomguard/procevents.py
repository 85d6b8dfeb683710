"""Who was started, runs another program or has ended: told by the kernel, while the guard is armed.

The kernel queues one datagram for each such event on a netlink socket (drivers/connector/cn_proc.c). The
socket and its two orders come ready from `netlink`: here it is a file that never makes anybody wait.
"""

from __future__ import annotations

import os
import struct
from contextlib import suppress

from oomguard.frozen import frozen
from oomguard.units import Pid

MOST = 1024
"""Events taken in at a time."""
LONGEST = 256
"""Bytes of a datagram that are read; each has 76."""

# struct nlmsghdr, struct cn_msg, then struct proc_event (include/uapi/linux/cn_proc.h): what, cpu, time, ids
_WHAT = struct.Struct("=36xI")
_IDS = struct.Struct("=ii")
_IDS_AT = {
    0x1: 60,  # PROC_EVENT_FORK, whose parent's come first
    0x2: 52,  # PROC_EVENT_EXEC
    0x80000000: 52,  # PROC_EVENT_EXIT
}
"""Where the ids are of the thread and the process that an event is about."""


@frozen
class Subscription:
    """A socket of the connector, and what to write to it."""

    fd: int
    listen: bytes
    ignore: bytes


@frozen
class News:
    """What was heard at a time."""

    pids: tuple[Pid, ...]
    """Who has changed, each once: of whether they still are there it says nothing."""
    complete: bool
    """Nobody else has, since the news before: if not, only a listing of /proc tells."""


NO_NEWS = News(pids=(), complete=False)


class NoEvents:
    """In place of events, where there are none."""

    def listen(self) -> None:
        """There is nothing to listen to."""

    def ignore(self) -> None:
        """Nobody listens."""

    def drain(self) -> News:
        """Somebody may have changed, as ever."""
        return NO_NEWS


class ProcEvents:
    """The events of this host."""

    def __init__(self, subscription: Subscription) -> None:
        """Nothing is heard before `listen`."""
        self._subscription = subscription
        self._listening = False
        self._complete = False
        os.set_blocking(subscription.fd, False)

    def listen(self) -> None:
        """Hear of everybody from now on; where the kernel refuses, all news are incomplete."""
        if self._listening:
            return
        # Before Linux 6.6 events come while anybody listens, and so old ones may wait here.
        self._read({})
        with suppress(OSError):
            os.write(self._subscription.fd, self._subscription.listen)
            self._listening = True
            self._complete = False

    def ignore(self) -> None:
        """Hear of nobody: the kernel then spends nothing on it."""
        if self._listening:
            self._listening = False
            with suppress(OSError):
                os.write(self._subscription.fd, self._subscription.ignore)

    def drain(self) -> News:
        """All that was heard since the last time, as far as it is not too much. Safe in the kill path."""
        if not self._listening:
            return NO_NEWS
        pids: dict[Pid, None] = {}
        # The first news after `listen` cannot tell of who came before.
        complete, self._complete = self._complete, True
        everything = self._read(pids)
        return News(pids=tuple(pids), complete=complete and everything)

    def _read(self, pids: dict[Pid, None]) -> bool:
        """Add who has changed to `pids`; gives whether that is all: nothing was lost, and nothing is left."""
        fd = self._subscription.fd
        for _ in range(MOST):
            try:
                datagram = os.read(fd, LONGEST)
            except BlockingIOError:
                return True
            # ENOBUFS: the queue was full, and events were dropped (netlink(7)).
            except OSError:
                return False
            pid = changed(datagram)
            if pid is not None:
                pids[pid] = None
        return False


def changed(datagram: bytes) -> Pid | None:
    """The process that `datagram` says was started, runs another program or has ended; None for all else.

    Threads are none of our business, but for the first one of each process: the others come and go.
    """
    try:
        (what,) = _WHAT.unpack_from(datagram)
        ids_at = _IDS_AT.get(what)
        if ids_at is None:
            return None
        thread, process = _IDS.unpack_from(datagram, ids_at)
    except struct.error:
        return None
    return Pid(process) if thread == process else None
