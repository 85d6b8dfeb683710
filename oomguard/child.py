"""A helper process of the guard's own, of which the guard waits for nothing."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence

from oomguard.units import Pid

UNTIL_ITS_OWN_END = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
"""Meant for the guard; blocked in its helpers, which end after the guard's last words."""


def spawn(module: str, words: Sequence[str], fds: Sequence[int]) -> Pid:
    """Start `module` with `words` and the numbers of `fds`, which it is passed. Raises OSError.

    For calm moments: between vfork and exec the kernel holds the guard up, and exec reads files.
    """
    # -P: the folder that the guard was started in is no place to import from, as it is root's process.
    command = (sys.executable, "-P", "-m", module, *words, *map(str, fds))
    return Pid(
        os.posix_spawn(
            sys.executable,
            command,
            os.environ,
            # Onto itself: passes the descriptor on as it is (posix_spawn_file_actions_adddup2(3)).
            file_actions=[(os.POSIX_SPAWN_DUP2, fd, fd) for fd in fds],
            setsigmask=UNTIL_ITS_OWN_END,
        )
    )


def has_ended(pid: Pid) -> bool:
    """Whether it is no more; never waits, and is to be asked no more once it has."""
    return os.waitpid(pid, os.WNOHANG) != (0, 0)
