"""What the process that reads the configuration leaves to the guard that it becomes (`launch.launch`)."""

from __future__ import annotations

import marshal
import os
from typing import Self

from oomguard.delays import Accounting
from oomguard.documents import Document
from oomguard.frozen import frozen
from oomguard.procevents import Subscription


@frozen
class Opened:
    """The sources besides /proc that could be opened."""

    events: Subscription | None
    delays: Accounting | None
    missing: tuple[str, ...]
    """Which of those that are wanted could not, and why."""

    @property
    def fds(self) -> frozenset[int]:
        """Their sockets."""
        return frozenset(source.fd for source in (self.events, self.delays) if source)


NOTHING_OPENED = Opened(events=None, delays=None, missing=())


@frozen
class Legacy:
    """The files of the configuration, already parsed, and the open sources."""

    documents: list[Document]
    opened: Opened

    def leave(self) -> int:
        """A descriptor that outlives exec, for `take`."""
        events, delays = self.opened.events, self.opened.delays
        words = {
            "documents": self.documents,
            "events": events and [events.fd, events.listen.hex(), events.ignore.hex()],
            "delays": delays and [delays.fd, delays.order.hex()],
            "missing": self.opened.missing,
        }
        left = os.memfd_create("oomguard-start", flags=0)
        os.write(left, marshal.dumps(words))
        os.lseek(left, 0, os.SEEK_SET)
        for fd in self.opened.fds:
            os.set_inheritable(fd, True)
        return left

    @classmethod
    def take(cls, left: int) -> Self:
        """What was left behind this descriptor; the sources go no further than here."""
        with os.fdopen(left, "rb") as file:
            # The very interpreter that takes it has written it.
            words = marshal.load(file)  # noqa: S302
        events = delays = None
        if words["events"]:
            fd, listen, ignore = words["events"]
            events = Subscription(fd=fd, listen=bytes.fromhex(listen), ignore=bytes.fromhex(ignore))
        if words["delays"]:
            fd, order = words["delays"]
            delays = Accounting(fd=fd, order=bytes.fromhex(order))
        opened = Opened(events=events, delays=delays, missing=words["missing"])
        for fd in opened.fds:
            os.set_inheritable(fd, False)
        return cls(documents=words["documents"], opened=opened)
