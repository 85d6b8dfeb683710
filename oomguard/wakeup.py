"""The one place where the loop waits: for time, for signals, for stalls, for victims to exit."""

from __future__ import annotations

import os
import select
import signal
from contextlib import suppress
from types import FrameType

from oomguard.gauge import LONGEST_PAUSE, LONGEST_REST
from oomguard.units import Seconds

HEEDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
NO_SIGNALS: frozenset[int] = frozenset()


class Wakeup:
    """An epoll over the signals that the guard heeds, PSI triggers and pidfds."""

    longest = LONGEST_PAUSE
    """How long to wait at the most."""
    rested = False
    """Nothing but time has ended the last wait."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._signalled, written = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        for number in HEEDED:
            signal.signal(number, _noted)
        # Ignored, as a supervisor may pass it on, nobody could learn how a helper ended (waitpid(2)).
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.set_wakeup_fd(written, warn_on_full_buffer=False)
        self._epoll.register(self._signalled, select.EPOLLIN)
        self._victims: tuple[int, ...] = ()

    def add_trigger(self, fd: int) -> None:
        """Wake for a PSI trigger of the whole host's, so that there is no hurry to look for stalls."""
        self._epoll.register(fd, select.EPOLLPRI)
        self.longest = LONGEST_REST

    def watch(self, pidfds: tuple[int, ...]) -> None:
        """Wake when one of these processes exits, and no more for those watched before.

        A pidfd stays readable once its process has exited, so each wakes once.
        """
        for fd in self._victims:
            # Closed at the end of its episode, it has left by itself (epoll(7)), and may be another file now.
            with suppress(OSError):
                self._epoll.unregister(fd)
        for fd in pidfds:
            self._epoll.register(fd, select.EPOLLIN | select.EPOLLONESHOT)
        self._victims = pidfds

    def wait(self, pause: Seconds) -> frozenset[int]:
        """Until something happens or `pause` is over; gives the signals that came."""
        events = self._epoll.poll(pause)
        self.rested = not events
        if self.rested:
            return NO_SIGNALS
        for fd, event in events:
            if event & select.EPOLLERR and fd != self._signalled and fd not in self._victims:
                # The trigger's control group is gone, and would wake for ever.
                self._epoll.unregister(fd)
                self.longest = LONGEST_PAUSE
        try:
            return frozenset(os.read(self._signalled, 64))
        except BlockingIOError:
            return NO_SIGNALS


def _noted(_number: int, _frame: FrameType | None) -> None:
    """The wake-up pipe has it: a handler must be there for Python to write to it."""
