"""The decision that is left when the guard's own fail: whom the kernel would pick, once memory is low.

It looks at /proc/meminfo and /proc/PID/oom_score and remembers nothing but its own victim: no windows, no
forecast, no families, none of what failed. Only who is spared is told by the code that tells it always
(`registry`, `ranking.spared_for`): a simpler answer would protect fewer. Whoever cannot be judged is spared.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable

from oomguard import account, badness
from oomguard.badness import Machine, Policy
from oomguard.census import resolver_for
from oomguard.config import Config
from oomguard.episode import Sent
from oomguard.event import Killing, Mode
from oomguard.frozen import frozen, mutable
from oomguard.hostfile import read
from oomguard.pressure import Level, Reason, memory_alone
from oomguard.process import Key
from oomguard.procfs import ProcFS
from oomguard.ranking import Exempt, Judged, spared_for
from oomguard.registry import UNREADABLE, Registry
from oomguard.rules import Scope, Standing
from oomguard.units import KIB, Amount, Bytes, Percent, Pid, Seconds, resolve

PAUSE = Seconds(0.05)
"""From one look to the next."""
SETTLING = Seconds(1.0)
"""What the memory of a victim has to come back, before anybody else is picked."""
HANGS_AFTER = Seconds(10.0)
"""Who has not ended so long after SIGKILL is passed over."""
LEAST = Percent(2.0)
"""Of memory: who holds less is not worth a death."""


@frozen
class Look:
    """What memory was like."""

    at: Seconds
    total: Bytes
    available: Bytes
    swap_total: Bytes
    swap_free: Bytes
    level: Level


@mutable
class _Flight:
    """The one victim in flight."""

    victim: Judged
    pidfd: int
    sent: Sent
    at: Seconds
    """When `sent` was."""


class Fallback:
    """One victim at a time, under one configuration."""

    def __init__(
        self, config: Config, procfs: ProcFS, machine: Machine, own: Callable[[], frozenset[Pid]]
    ) -> None:
        """`own`: the pids of oomguard itself."""
        self.is_calm = True
        """Memory was well at the last look, and nobody is in flight."""
        self._limits = config.limits
        self._grace = config.grace
        self._procfs = procfs
        self._machine = machine
        self._registry = Registry(procfs, config.rules, resolver_for(config.rules, procfs))
        self._own = own
        self._proc = procfs.proc
        self._flight: _Flight | None = None
        self._passed_over: frozenset[Key] = frozenset()
        self._settled_at = Seconds(0.0)

    @property
    def is_busy(self) -> bool:
        """A victim is in flight, or its memory on its way: nobody else is to be picked, by whomever."""
        return self._flight is not None or time.monotonic() < self._settled_at

    def settle(self, at: Seconds) -> None:
        """Somebody else's victim may be on its way."""
        self._settled_at = Seconds(at + SETTLING)

    def end(self) -> None:
        """The guard decides again."""
        if self._flight is not None:
            os.close(self._flight.pidfd)
            self._flight = None
        self._passed_over = frozenset()

    def close(self) -> None:
        """Another configuration comes."""
        self.end()
        self._registry.close()

    def poll(self) -> Killing | None:
        """One look, and whom it cost a signal; after whatever it raises only the kernel's killer is left."""
        look = self._look()
        self.is_calm = look.level is Level.CALM and self._flight is None
        if self._flight is not None:
            return self._follow(self._flight, look)
        if look.level is Level.CALM or look.at < self._settled_at:
            return None
        return self._pick(look)

    def _look(self) -> Look:
        at = Seconds(time.monotonic())
        # MemAvailable:   15962116 kB
        words = (line.split() for line in read(f"{self._proc}/meminfo").splitlines())
        sizes = {name: Bytes(int(number) * KIB) for name, number, *_ in words}
        total, available = sizes[b"MemTotal:"], sizes[b"MemAvailable:"]
        swap_total, swap_free = sizes[b"SwapTotal:"], sizes[b"SwapFree:"]

        def is_below(memory: Amount, swap: Amount) -> bool:
            no_swap = not swap_total or swap_free <= resolve(swap, swap_total)
            return no_swap and available <= resolve(memory, total)

        limits, level = self._limits, Level.CALM
        if is_below(limits.available.kill, limits.swap_free.kill):
            level = Level.KILL
        elif is_below(limits.available.term, limits.swap_free.term):
            level = Level.TERM
        return Look(
            at=at, total=total, available=available, swap_total=swap_total, swap_free=swap_free, level=level
        )

    def _follow(self, flight: _Flight, look: Look) -> Killing | None:
        if _has_exited(flight.pidfd):
            self._land(flight, look)
        elif flight.sent is Sent.KILL:
            if look.at > flight.at + HANGS_AFTER:
                self._passed_over |= {flight.victim.process.key}
                self._land(flight, look)
        elif look.level is Level.KILL or look.at > flight.at + self._grace:
            return self._send(flight.victim, flight.pidfd, Sent.KILL, look)
        return None

    def _pick(self, look: Look) -> Killing | None:
        """Who is to be the last dies if there is nobody else."""
        self._registry.collect()
        exempt = Exempt(own=self._own(), passed_over=self._passed_over)
        the_last = None
        worst = self._worst()
        self._registry.forget(self._registry.dossiers.keys() - worst)
        for pid in worst:
            judged = self._judge(pid, look.at)
            if judged is None or spared_for(judged, exempt) or not self._is_worth_it(judged, look):
                continue
            if judged.verdict.standing is not Standing.LAST:
                return self._aim(judged, look)
            the_last = the_last or judged
        return None if the_last is None else self._aim(the_last, look)

    def _worst(self) -> tuple[Pid, ...]:
        """Everybody that the kernel would kill, in its order; of equals, the last pid."""
        scores = []
        for name in os.listdir(self._proc):
            if name.isdecimal():
                try:
                    scores.append((int(read(f"{self._proc}/{name}/oom_score")), Pid(int(name))))
                except (OSError, ValueError):
                    continue
        return tuple(pid for score, pid in sorted(scores, reverse=True) if score > 0)

    def _judge(self, pid: Pid, at: Seconds) -> Judged | None:
        try:
            dossier = self._registry.enter(self._procfs.process(pid), at)
            self._registry.judge_fully(dossier)
            self._registry.place(dossier)
        # Whoever makes the guard stumble is left out, and is no reason to do nothing at all.
        except Exception:  # noqa: BLE001
            return None
        return dossier.judged

    def _is_worth_it(self, judged: Judged, look: Look) -> bool:
        memory = judged.process.memory
        pages = 0 if memory is None else memory.rss_anon + memory.rss_shmem + memory.swap
        return pages * self._machine.page_size >= LEAST.of(look.total)

    def _aim(self, judged: Judged, look: Look) -> Killing | None:
        """A pidfd, and then a look at who has the pid: whoever gets it later is never hit."""
        process = judged.process
        try:
            pidfd = os.pidfd_open(process.key.pid)
        except OSError:
            return None
        try:
            now = self._procfs.stat(process.key.pid)
        except UNREADABLE:
            now = None
        if now is None or (now.key, now.image) != (process.key, process.image):
            os.close(pidfd)
            return None
        return self._send(judged, pidfd, Sent.KILL if look.level is Level.KILL else Sent.TERM, look)

    def _send(self, victim: Judged, pidfd: int, sent: Sent, look: Look) -> Killing | None:
        self._flight = flight = _Flight(victim=victim, pidfd=pidfd, sent=sent, at=look.at)
        try:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL if sent is Sent.KILL else signal.SIGTERM)
        except OSError:
            self._passed_over |= {victim.process.key}
            self._land(flight, look)
            return None
        return self._told(flight, look)

    def _land(self, flight: _Flight, look: Look) -> None:
        os.close(flight.pidfd)
        self._flight = None
        self._settled_at = Seconds(look.at + SETTLING)

    def _told(self, flight: _Flight, look: Look) -> Killing:
        limits, victim = self._limits, flight.victim
        return Killing(
            mode=Mode.ENFORCE,
            reasons=(Reason.LOW_MEMORY,),
            level=look.level,
            policy=Policy.KERNEL,
            scope=Scope.PROCESS,
            sent=flight.sent,
            victim=account.person(victim, badness.kernel(victim.process, self._machine), self._machine),
            members=1,
            runners_up=(),
            kernel_choice=None,
            figures=memory_alone(
                available=look.available,
                available_limit=resolve(limits.available.term, look.total),
                swap_free=look.swap_free,
                swap_limit=resolve(limits.swap_free.term, look.swap_total),
                stall_budget=limits.stall_budget,
            ),
            reaction=Seconds(time.monotonic() - look.at),
        )


def _has_exited(pidfd: int) -> bool:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(0))
