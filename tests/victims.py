"""The guard's own look, plan and signal, for real processes that are hard to read or hard to end (victims.c).

Whatever a plan says, nobody but the tests' own processes is ever signalled: the actor is on a leash.
"""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from oomguard.badness import Policy
from oomguard.census import NO_EVENTS, Census
from oomguard.config import DEFAULTS
from oomguard.episode import Sent
from oomguard.hunt import Hunt
from oomguard.kill import Delivery, Killer, Releaser
from oomguard.plan import Kill
from oomguard.pressure import Level
from oomguard.procevents import NoEvents, ProcEvents
from oomguard.procfs import ProcFS
from oomguard.rules import Effect, Field, Rule, Scope, pattern
from oomguard.scout import Scout
from tests import builders

SIZE = 20
"""MiB of a victim: enough to be worth a signal on the host of `builders`, which has 1000."""


def build(program: Path) -> None:
    """Compile the victims; without libraries, so that they hold nothing but what they take."""
    source = Path(__file__).with_name("victims.c")
    subprocess.run(("gcc", "-O1", "-pthread", "-static", "-o", program, source), check=True)


def said(process: subprocess.Popen[str]) -> int:
    """The pid that it says."""
    assert process.stdout is not None
    return int(process.stdout.readline())


class Leashed(Killer):
    """Kills, but nobody who is not on its list."""

    def __init__(self, census: Census, procfs: ProcFS) -> None:
        super().__init__(procfs.kill_cgroup, census.confirms, Releaser())
        self.ours: set[int] = set()
        self.deliveries: list[Delivery] = []

    def signal(self, kill: Kill, sent: Sent) -> Delivery:
        pids = {member.process.key.pid for member in kill.members}
        is_ours = pids <= self.ours and kill.whole_cgroup is None
        self.deliveries.append(super().signal(kill, sent) if is_ours else Delivery.REFUSED)
        return self.deliveries[-1]


class Scene:
    """The guard's own parts on this host; whoever runs `program` is preferred."""

    def __init__(self, program: Path, events: ProcEvents | NoEvents = NO_EVENTS) -> None:
        ours = Rule(name="ours", patterns=(pattern(Field.EXE, str(program)),), effect=Effect.PREFER)
        procfs = ProcFS()
        self._census = Census(procfs, (ours,), None, events)
        self.actor = Leashed(self._census, procfs)
        self._scout = Scout(
            policy=Policy.KERNEL,
            scope=Scope.PROCESS,
            census=self._census,
            machine=procfs.machine(),
            own=frozenset,
        )

    def attempt(self, level: Level) -> bool:
        """Go from a crossed limit to the signal; gives whether it was sent."""
        self.actor.stand_down()
        self.actor.deliveries.clear()
        at = builders.sample(time.monotonic(), builders.memory(50))
        low = builders.assessment(level=level, available=50)
        hunt = Hunt(
            scout=self._scout,
            actor=self.actor,
            grace=DEFAULTS.grace,
            storm=DEFAULTS.storm,
            machine=builders.MACHINE,
            holdings=builders.holdings,
        )
        hunt.watch(at)
        hunt.act(at, low, lambda: (at, low))
        return self.actor.deliveries == [Delivery.DELIVERED]

    def close(self) -> None:
        self.actor.stand_down()
        self._census.close()
