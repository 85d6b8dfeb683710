"""Ending processes: signals through pidfds, and the memory of the dying released at once.

A pidfd is opened, then it is made sure who has the pid, then the signal is sent through the pidfd:
whoever gets the pid later is never hit (pidfd_open(2), pidfd_send_signal(2)).
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
from _thread import start_new_thread
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum
from typing import Protocol

from oomguard.episode import Sent
from oomguard.event import Mode
from oomguard.mailbox import Mailbox
from oomguard.plan import Kill
from oomguard.pressure import Sample
from oomguard.process import Key, Process
from oomguard.units import Bytes

PROCESS_MRELEASE = 448
"""process_mrelease(2), the same number on every architecture (5.15 and later)."""
STOPPED = frozenset("Tt")
"""States in which SIGTERM is not taken before SIGCONT."""


class Delivery(StrEnum):
    """What became of a signal, judged by the victim itself."""

    DELIVERED = "delivered"
    VANISHED = "vanished"
    REFUSED = "refused"


class Actor(Protocol):
    """Whoever carries a plan out, or only plays it through."""

    @property
    def mode(self) -> Mode:
        """Whether it kills."""
        ...

    @property
    def fds(self) -> tuple[int, ...]:
        """Descriptors that poll readable once a member exits."""
        ...

    def signal(self, kill: Kill, sent: Sent) -> Delivery:
        """Send it to all members; the first time for a plan, aim at them as well."""
        ...

    def left(self) -> int:
        """How many of the members aimed at have not exited yet."""
        ...

    def stand_down(self) -> None:
        """Let go of the members: the episode is over."""
        ...

    def world(self, sample: Sample) -> Sample:
        """`sample` as it would be, had this actor's victims died."""
        ...

    def pretended(self) -> frozenset[Key]:
        """Victims that it only pretends to have ended."""
        ...

    def pretended_in(self, group: str) -> Bytes:
        """The memory that these hold in a control group."""
        ...


class Killer:
    """The actor that kills."""

    mode = Mode.ENFORCE

    def __init__(
        self, kill_cgroup: Callable[[str], bool], confirms: Callable[[Process], bool], releaser: Releaser
    ) -> None:
        """`kill_cgroup`: kills all that is in one, and gives whether it could.

        `confirms`: whether this process is still who was judged, and may still die.
        """
        self._kill_cgroup = kill_cgroup
        self._confirms = confirms
        self._releaser = releaser
        self._aimed: list[tuple[Process, int]] = []

    @property
    def fds(self) -> tuple[int, ...]:
        """The pidfds of the members that are left."""
        return tuple(fd for _, fd in self._aimed)

    def signal(self, kill: Kill, sent: Sent) -> Delivery:
        """Send it to all members, and release the memory of those who cannot but die by it."""
        if self._aimed:
            has_ended = self._end_group(kill, sent)
        else:
            delivery = self._aim(kill.victim.judged.process)
            if delivery is not Delivery.DELIVERED:
                return delivery
            # Before the others are looked at one by one: meanwhile they would go on taking memory.
            has_ended = self._end_group(kill, sent)
            for judged in kill.members[1:]:
                self._aim(judged.process)
        victim = kill.victim.judged.process.key
        delivery = Delivery.VANISHED
        for process, fd in self._aimed:
            outcome = self._send(process, fd, sent)
            if process.key == victim:
                # By now it may have died of that.
                delivery = Delivery.DELIVERED if has_ended else outcome
        # Who does not catch SIGTERM is as good as dead from here on (kernel/signal.c `complete_signal()`),
        # and the kernel refuses it for all others.
        for _, fd in self._aimed:
            self._releaser.release(fd)
        return delivery

    def left(self) -> int:
        """A pidfd polls readable once all threads of its process have exited, zombie or not."""
        poll = select.poll()
        for _, fd in self._aimed:
            poll.register(fd, select.POLLIN)
        return len(self._aimed) - len(poll.poll(0))

    def stand_down(self) -> None:
        """Close the pidfds."""
        for _, fd in self._aimed:
            os.close(fd)
        self._aimed.clear()

    def world(self, sample: Sample) -> Sample:
        """The sample as it is."""
        return sample

    def pretended(self) -> frozenset[Key]:
        """Nobody."""
        return frozenset()

    def pretended_in(self, group: str) -> Bytes:  # noqa: ARG002 - of the Protocol
        """Nothing."""
        return Bytes(0)

    def _aim(self, process: Process) -> Delivery:
        """Open a pidfd, if it is still who it was."""
        try:
            fd = os.pidfd_open(process.key.pid)
        except ProcessLookupError:
            return Delivery.VANISHED
        except OSError:
            return Delivery.REFUSED
        if not self._confirms(process):
            os.close(fd)
            return Delivery.VANISHED
        self._aimed.append((process, fd))
        return Delivery.DELIVERED

    def _end_group(self, kill: Kill, sent: Sent) -> bool:
        """All of it in one go, where that can be: whether it was."""
        return sent is Sent.KILL and kill.whole_cgroup is not None and self._kill_cgroup(kill.whole_cgroup)

    def _send(self, process: Process, fd: int, sent: Sent) -> Delivery:
        number = signal.SIGKILL if sent is Sent.KILL else signal.SIGTERM
        try:
            signal.pidfd_send_signal(fd, number)
            if number is signal.SIGTERM and process.state in STOPPED:
                signal.pidfd_send_signal(fd, signal.SIGCONT)
        except ProcessLookupError:
            return Delivery.VANISHED
        except PermissionError:
            return Delivery.REFUSED
        return Delivery.DELIVERED


class Releaser:
    """Frees the memory of dying processes at once (process_mrelease(2)).

    On a thread of its own: the call waits for the victim's mmap lock, which may be held for long.
    """

    def __init__(self) -> None:
        self._pidfds: Mailbox[int] = Mailbox()
        self._syscall = ctypes.CDLL(None, use_errno=True).syscall
        start_new_thread(self._work, ())

    def release(self, pidfd: int) -> None:
        """Have the memory of this dying process freed; the caller may close `pidfd` at any time."""
        # Without a descriptor to spare, it is left to the kernel's own reaping.
        with suppress(OSError):
            self._pidfds.put(os.dup(pidfd))

    def _work(self) -> None:
        while True:
            fd = self._pidfds.take()
            # What fails is left to the kernel's own reaping: the process is dying anyway.
            self._syscall(PROCESS_MRELEASE, fd, 0)
            os.close(fd)
