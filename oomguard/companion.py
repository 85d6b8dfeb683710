"""The exporter as a child of the guard: `oomguard run --metrics` shows everything by one command."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

from oomguard.units import Pid, Seconds

RESTART_PAUSE = Seconds(10)


class Companion:
    """Starts the exporter, and starts it again when it was killed; not when it refused to run."""

    def __init__(self, address: str, record_fd: int) -> None:
        """To serve `address` from the record behind `record_fd`. Nothing is started before `tend`."""
        self._address = address
        self._record_fd = record_fd
        self._alive_while_open, self._theirs = os.pipe()
        self._pid: Pid | None = None
        self._started: Seconds | None = None
        self._refused = False

    @property
    def pid(self) -> Pid | None:
        """Of the exporter; None while there is none."""
        return self._pid

    def tend(self, now: Seconds) -> str | None:
        """Start the exporter where there should be one; gives what to tell, in words.

        For calm moments, as starting a process is no work for a bad one.
        """
        if self._pid is not None:
            return self._reap()
        if self._refused or (self._started is not None and now < self._started + RESTART_PAUSE):
            return None
        self._started = now
        options = ("--listen", self._address, "--record-fd", str(self._record_fd))
        command = (sys.executable, "-P", "-m", "oomguard", "exporter", *options)
        try:
            self._pid = Pid(
                os.posix_spawn(
                    sys.executable,
                    command,
                    os.environ,
                    # Onto itself: passes the record on as it is (posix_spawn_file_actions_adddup2(3)).
                    file_actions=[
                        (os.POSIX_SPAWN_DUP2, self._alive_while_open, 0),
                        (os.POSIX_SPAWN_DUP2, self._record_fd, self._record_fd),
                    ],
                )
            )
        except OSError as error:
            return f"the exporter cannot be started: {error.strerror}; there are no metrics"
        return None

    def stop(self) -> None:
        """Let the exporter end: it does when its standard input is at its end."""
        with suppress(OSError):
            os.close(self._theirs)

    def _reap(self) -> str | None:
        if self._pid is None:
            return None
        pid, status = os.waitpid(self._pid, os.WNOHANG)
        if pid == 0:
            return None
        self._pid = None
        code = os.waitstatus_to_exitcode(status)
        if code < 0:
            return f"the exporter was killed by signal {-code}; it is started again"
        self._refused = True
        return f"the exporter ended with status {code}; there are no metrics"
