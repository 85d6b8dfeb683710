"""PSI triggers: the kernel wakes the loop once memory stalls (Documentation/accounting/psi.rst)."""

from __future__ import annotations

import errno
import math
import os
from enum import StrEnum

from oomguard.frozen import frozen, positional
from oomguard.units import Seconds

ALARM_STALL = Seconds(0.15)
ALARM_WINDOW = Seconds(2.0)
"""A stall of this share wakes the loop from its longest pause."""
_UNPRIVILEGED_STEP = 2


class Line(StrEnum):
    """Which stall it waits for."""

    SOME = "some"
    FULL = "full"


@frozen
class Trigger:
    """A stall to be told of, at most once in `window`.

    `fd` polls EPOLLPRI once the stall within the window grew past `stall`, and EPOLLERR once its cgroup
    is gone.
    """

    fd: int
    line: Line
    stall: Seconds
    window: Seconds

    def close(self) -> None:
        """Take the trigger away."""
        os.close(self.fd)


@positional
class NoTrigger:
    """There is none to be had: the loop sees stalls by polling alone."""

    why: str


def open_alarm(path: str) -> Trigger | NoTrigger:
    """What wakes the guard from its longest pause; `path` is the host's pressure of memory."""
    return open_trigger(path, Line.SOME, ALARM_STALL, ALARM_WINDOW)


def open_trigger(path: str, line: Line, stall: Seconds, window: Seconds) -> Trigger | NoTrigger:
    """Wait for `stall` within `window` (from 0.5 to 10 s) at `path`, a pressure file.

    Without CAP_SYS_RESOURCE the kernel takes multiples of 2 s only (6.4 and later, psi_trigger_create()):
    then the next longer one, in which the same stall still counts.
    """
    try:
        fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        return NoTrigger(_why(path, error))
    refusal = _set(fd, line, stall, window)
    if refusal is not None:
        window = _unprivileged(window)
        refusal = _set(fd, line, stall, window)
    if refusal is None:
        return Trigger(fd=fd, line=line, stall=stall, window=window)
    os.close(fd)
    return NoTrigger(_why(path, refusal))


def _unprivileged(window: Seconds) -> Seconds:
    return Seconds(math.ceil(window / _UNPRIVILEGED_STEP) * _UNPRIVILEGED_STEP)


def _set(fd: int, line: Line, stall: Seconds, window: Seconds) -> OSError | None:
    """Set the trigger, or tell why the kernel refuses; it takes microseconds, up to a newline."""
    try:
        os.write(fd, f"{line} {stall * 1e6:.0f} {window * 1e6:.0f}\n".encode())
    except OSError as error:
        return error
    return None


def _why(path: str, error: OSError) -> str:
    match error.errno:
        case errno.ENOENT | errno.EOPNOTSUPP:
            return f"{path}: this kernel does not account for stalls (CONFIG_PSI, boot with psi=1)"
        case errno.EPERM | errno.EACCES:
            return f"{path}: may not be written; before Linux 6.4 that takes CAP_SYS_RESOURCE"
        case errno.EINVAL:
            return f"{path}: the kernel refuses the window; it takes 0.5 to 10 s, and no stall longer than it"
        case _:
            return f"{path}: {error.strerror}"
