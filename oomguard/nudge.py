"""A signal that asks a process to shrink itself, for those alone who catch it: others would end by it."""

from __future__ import annotations

import os
import signal

from oomguard.errors import Gone, Malformed
from oomguard.hostfile import read
from oomguard.pidfolder import read_stat
from oomguard.process import Key
from oomguard.remedy import Result
from oomguard.rules import Signal

NUMBERS = {
    Signal.HUP: int(signal.SIGHUP),
    Signal.USR1: int(signal.SIGUSR1),
    Signal.USR2: int(signal.SIGUSR2),
    Signal.WINCH: int(signal.SIGWINCH),
    Signal.RELEASE: int(signal.SIGRTMIN) + 18,
}


def nudge(key: Key, wanted: Signal) -> Result:
    """Send it, where the process still is who it was."""
    number = NUMBERS[wanted]
    folder = f"/proc/{key.pid}"
    try:
        fd = os.pidfd_open(key.pid)
    except OSError as error:
        return Result.VANISHED if isinstance(error, ProcessLookupError) else Result.REFUSED
    try:
        if read_stat(folder).key != key:
            return Result.VANISHED
        if not _catches(read(f"{folder}/status"), number):
            return Result.UNHEARD
        signal.pidfd_send_signal(fd, number)
    except (Gone, ProcessLookupError, FileNotFoundError):
        return Result.VANISHED
    except (OSError, Malformed):
        return Result.REFUSED
    finally:
        os.close(fd)
    return Result.DONE


# SigCgt:	0000000180000202
def _catches(status: bytes, number: int) -> bool:
    """Whether /proc/PID/status says that it has a handler (proc_pid_status(5))."""
    for line in status.splitlines():
        if line.startswith(b"SigCgt:"):
            return bool(int(line.removeprefix(b"SigCgt:"), 16) >> (number - 1) & 1)
    return False
