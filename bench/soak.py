"""Whether the guard grows while it polls and polls, as a Markdown table.

    .venv/bin/python -m bench.soak [POLLS]

Goes through a million polls (unless told) of a guard in dry run, with the waiting between them left out: its
clocks go ahead by each pause. Once in 5,000 polls memory is short, until somebody was ended as far as a dry
run does, and processes come and go all the time. Of this host it sees one that holds 1.1 GiB, another one for
each shortage, and the youngest that are small, so as to be done soon.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from unittest import mock

from bench.scan import asleep
from oomguard import resident
from oomguard.config import DEFAULTS, Config
from oomguard.errors import Gone
from oomguard.event import Failed, Killing, Mode
from oomguard.guard import Guard
from oomguard.handover import NOTHING_OPENED
from oomguard.helpers import Helpers
from oomguard.meminfo import Memory, Room
from oomguard.procfs import ProcFS
from oomguard.reader import Reader
from oomguard.record import Writer
from oomguard.reliever import Reliever
from oomguard.teller import Teller
from oomguard.units import KIB, Bytes, Pages, Percent, Pid, Seconds
from oomguard.wakeup import Wakeup

POLLS = 1_000_000
LINES = 10
SHORT_EVERY, SHORT_FOR = 5_000, 400
"""In polls: how often memory is short, and for how long."""
COMES_EVERY = 50
"""In polls: how often a process comes, to go at once."""
SEEN = 24
"""Processes."""
SMALL = Pages(1 << 14)
PLENTY, LITTLE = Percent(60.0), Percent(7.0)
GRACE = Seconds(0.5)


@dataclass(slots=True)
class Clock:
    """The host's clocks, ahead of themselves by all the pauses that were left out."""

    skipped: float = 0.0

    @contextmanager
    def ahead(self) -> Iterator[None]:
        """Meanwhile this is what the process sees of them."""
        monotonic, gettime = time.monotonic, time.clock_gettime
        with (
            mock.patch.object(time, "monotonic", lambda: monotonic() + self.skipped),
            mock.patch.object(time, "clock_gettime", lambda clock: gettime(clock) + self.skipped),
        ):
            yield


class Hog:
    """Whoever is worth a signal."""

    def __init__(self) -> None:
        self.pids: frozenset[Pid] = frozenset()
        self._life = ExitStack()

    def renew(self) -> None:
        """Another one in its place: a dry run takes it for dead, and its memory for free, until it exits."""
        self.end()
        self.pids = self._life.enter_context(asleep(1))

    def end(self) -> None:
        """Nobody any more."""
        self._life.close()


class Weather(ProcFS):
    """This host, as far as it is young, with as much memory available as is told."""

    available = PLENTY

    def __init__(self, hog: Hog) -> None:
        super().__init__()
        self._hog = hog

    def pids(self) -> list[Pid]:
        """The one, and those who came last."""
        return sorted(self._hog.pids.union(filter(self._is_small, super().pids()[-SEEN:])))

    def _is_small(self, pid: Pid) -> bool:
        try:
            return self.statm(pid).resident < SMALL
        except Gone:
            return False

    def memory(self) -> Memory:
        """As it is, but for what is available."""
        memory = super().memory()
        return replace(
            memory, available=self.available.of(memory.total), swap_total=Bytes(0), swap_free=Bytes(0)
        )

    def room(self) -> Room:
        """The same in short."""
        memory = self.memory()
        return Room(available=memory.available, swap_free=memory.swap_free)


class Silent(Teller):
    """Tells nobody."""

    pid = None

    def __init__(self) -> None:
        pass

    def tend(self, now: Seconds) -> None:
        """There is no process to start."""

    def wake(self) -> None:
        """Nobody."""

    def dropped(self) -> int:
        """None."""
        return 0

    def stop(self, timeout: Seconds) -> None:
        """It never began."""


def silently(config: Config) -> Helpers:
    """Helpers of a guard that has nobody to tell for it, and no exporter."""
    return Helpers(Silent(), Reliever(f"{config.record}.relief"), None)


class Turns(Wakeup):
    """In place of waiting: the clocks are put ahead, the weather changes, somebody comes and goes."""

    rested = True

    def __init__(self, clock: Clock, weather: Weather, hog: Hog, polls: int) -> None:
        self._clock, self._weather, self._hog, self._polls = clock, weather, hog, polls
        self._done = 0

    def watch(self, pidfds: tuple[int, ...]) -> None:
        """Nobody dies in a dry run."""

    def wait(self, pause: Seconds) -> frozenset[int]:
        """Do not."""
        done = self._done
        if done % (self._polls // LINES) == 0:
            out(done, self._clock)
        if done % COMES_EVERY == 0:
            come_and_go()
        if done % SHORT_EVERY == SHORT_FOR:
            self._hog.renew()
        self._weather.available = LITTLE if done % SHORT_EVERY < SHORT_FOR and done >= SHORT_EVERY else PLENTY
        self._clock.skipped += pause
        self._done += 1
        return frozenset((signal.SIGTERM,)) if done == self._polls else frozenset()


def main() -> None:
    """Go through them, and print the table."""
    polls = int(sys.argv[1]) if len(sys.argv) > 1 else POLLS
    clock, writer = Clock(), Writer.anonymous()
    config = replace(DEFAULTS, mode=Mode.DRY_RUN, grace=GRACE)
    sys.stdout.write(
        "| polls | hours | RSS, KiB | objects of the collector's | blocks |\n|---|---|---|---|---|\n"
    )
    hog = Hog()
    with ExitStack() as ending, clock.ahead():
        ending.callback(hog.end)
        weather = Weather(hog)
        turns = Turns(clock, weather, hog, polls)
        guard = Guard(config, lambda: config, weather, writer, silently(config), turns, NOTHING_OPENED)
        resident.keep_heap()
        resident.pause_collector()
        guard.run(())
    with Reader.from_fd(os.dup(writer.fd)) as reader:
        _, told = reader.events(0)
    kills = sum(isinstance(one.event, Killing) for one in told)
    failures = [one.event.text for one in told if isinstance(one.event, Failed)]
    sys.stdout.write(
        f"\nOf the last {len(told)} events {kills} are kills of the dry run; failures: {failures}\n"
    )


def out(done: int, clock: Clock) -> None:
    """One line of the table; what is garbage does not count."""
    gc.collect()
    with open("/proc/self/statm", "rb") as file:
        resident_pages = int(file.read().split()[1])
    objects, blocks = len(gc.get_objects()) + gc.get_freeze_count(), sys.getallocatedblocks()
    rss = resident_pages * os.sysconf("SC_PAGE_SIZE") // KIB
    sys.stdout.write(f"| {done:,} | {clock.skipped / 3600:.1f} | {rss} | {objects} | {blocks} |\n")
    sys.stdout.flush()


def come_and_go() -> None:
    """A process, for a moment."""
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)


if __name__ == "__main__":
    main()
