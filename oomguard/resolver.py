"""Names that may take long to read, read by a thread that may wait: command lines and user names.

/proc/PID/cmdline takes the mmap lock of a process that may be stuck, a user's name may come from a
server that is down. The deciding thread asks here, goes on, and collects what has been found.
"""

from __future__ import annotations

import pwd
import threading
from dataclasses import dataclass
from queue import Empty, SimpleQueue

from oomguard.errors import Gone, Malformed
from oomguard.process import Key
from oomguard.procfs import ProcFS
from oomguard.units import Pid, Uid


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What was found. None: there is no such name."""

    key: Key
    """Who had the pid when the command line was read, and what it ran then."""
    image: int
    uid: Uid
    user: str | None
    cmdline: str | None


class Resolver:
    """Asks on behalf of the deciding thread; never makes it wait."""

    def __init__(self, procfs: ProcFS) -> None:
        self._procfs = procfs
        self._asked: SimpleQueue[tuple[Pid, Uid] | None] = SimpleQueue()
        self._found: SimpleQueue[Names] = SimpleQueue()
        self._users: dict[Uid, str | None] = {}
        threading.Thread(target=self._work, name="resolve", daemon=True).start()

    def ask(self, pid: Pid, uid: Uid) -> None:
        """Have the names of this process found; they come by `found`, unless it ends before."""
        self._asked.put((pid, uid))

    def close(self) -> None:
        """Ask nothing any more: the thread ends once it has no more to read."""
        self._asked.put(None)

    def found(self) -> tuple[Names, ...]:
        """What has been found since the last call."""
        names = []
        while True:
            try:
                names.append(self._found.get_nowait())
            except Empty:
                return tuple(names)

    def _work(self) -> None:
        while True:
            asked = self._asked.get()
            if asked is None:
                return
            pid, uid = asked
            try:
                cmdline = self._procfs.cmdline(pid)
                stat = self._procfs.stat(pid)
            except (Gone, Malformed, OSError):
                continue
            self._found.put(
                Names(key=stat.key, image=stat.image, uid=uid, user=self._user(uid), cmdline=cmdline)
            )

    def _user(self, uid: Uid) -> str | None:
        if uid not in self._users:
            try:
                self._users[uid] = pwd.getpwuid(uid).pw_name
            except KeyError:
                self._users[uid] = None
        return self._users[uid]
