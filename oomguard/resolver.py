"""Names that may take long to read, read by a thread that may wait: command lines and user names.

/proc/PID/cmdline takes the mmap lock of a process that may be stuck, a user's name may come from a
server that is down. The deciding thread asks here, goes on, and collects what has been found.
"""

from __future__ import annotations

import pwd
import time
from _thread import start_new_thread
from collections import deque
from collections.abc import Callable

from oomguard.errors import Gone, Malformed
from oomguard.frozen import frozen
from oomguard.mailbox import Mailbox
from oomguard.process import Key
from oomguard.procfs import ProcFS
from oomguard.rules import Field
from oomguard.units import Pid, Seconds, Uid

STUCK_AFTER = Seconds(1.0)
MOST_WORKERS = 8
"""Threads that may be stuck before newcomers stay unresolved."""


@frozen
class Names:
    """What was found. None: there is no such name, or it was not asked for."""

    key: Key
    """Who had the pid when the command line was read, and what it ran then."""
    image: int
    uid: Uid
    user: str | None
    cmdline: str | None


class Resolver:
    """Asks on behalf of the deciding thread; never makes it wait.

    Whoever makes a reading wait for ever (a command line on a file system that does not answer) has one
    thread to itself then, and the others are asked by another.
    """

    def __init__(self, procfs: ProcFS, fields: frozenset[Field]) -> None:
        """`fields`: what is asked for; what is not is not read."""
        self._procfs = procfs
        self._fields = fields
        self._asked: Mailbox[tuple[Pid, Uid] | None] = Mailbox()
        self._found: deque[Names] = deque()
        self._users: dict[Uid, str | None] = {}
        self._workers: list[_Worker] = []
        self._hire()

    def ask(self, pid: Pid, uid: Uid) -> None:
        """Have the names of this process found; they come by `found`, unless it ends before."""
        self._asked.put((pid, uid))

    def close(self) -> None:
        """Ask nothing any more: the threads end once they have no more to read."""
        for _ in self._workers:
            self._asked.put(None)

    def found(self) -> tuple[Names, ...]:
        """What has been found since the last call."""
        now = time.monotonic()
        if len(self._workers) < MOST_WORKERS and all(worker.is_stuck(now) for worker in self._workers):
            self._hire()
        return tuple(self._found.popleft() for _ in range(len(self._found)))

    def _hire(self) -> None:
        worker = _Worker(self._asked, self._resolve)
        self._workers.append(worker)
        start_new_thread(worker.run, ())

    def _resolve(self, pid: Pid, uid: Uid) -> None:
        user = self._user(uid) if Field.USER in self._fields else None
        try:
            cmdline = self._procfs.cmdline(pid) if Field.CMDLINE in self._fields else None
            stat = self._procfs.stat(pid)
        except (Gone, Malformed, OSError):
            return
        self._found.append(Names(key=stat.key, image=stat.image, uid=uid, user=user, cmdline=cmdline))

    def _user(self, uid: Uid) -> str | None:
        if uid not in self._users:
            try:
                self._users[uid] = pwd.getpwuid(uid).pw_name
            except KeyError:
                self._users[uid] = None
        return self._users[uid]


class _Worker:
    """What one thread does, which may wait."""

    def __init__(self, asked: Mailbox[tuple[Pid, Uid] | None], resolve: Callable[[Pid, Uid], None]) -> None:
        self._asked = asked
        self._resolve = resolve
        self._since: float | None = None

    def is_stuck(self, now: float) -> bool:
        """It has been at one process for too long."""
        since = self._since
        return since is not None and now - since > STUCK_AFTER

    def run(self) -> None:
        """Resolve until told to end."""
        while (asked := self._asked.take()) is not None:
            self._since = time.monotonic()
            self._resolve(*asked)
            self._since = None
