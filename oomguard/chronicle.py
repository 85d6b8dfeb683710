"""What each poll came to: counted, put into the record, and off to those who tell."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from functools import partial

from oomguard import account
from oomguard.badness import Machine
from oomguard.config import Config
from oomguard.counters import EPISODES, EVENTS_DROPPED, KERNEL_KILLS, POLL_OVERRUNS, POLLS
from oomguard.crew import Crew
from oomguard.event import Event, KernelKilled
from oomguard.failsafe import Failsafe
from oomguard.frozen import frozen, replace
from oomguard.phase import Headlines
from oomguard.pressure import Assessment, Level, Phase, Sample, memory_alone
from oomguard.record import Writer
from oomguard.spell import Toll
from oomguard.state import State, Thresholds, thresholds
from oomguard.teller import Teller
from oomguard.units import Bytes, Pid, Seconds


@frozen
class InForce:
    """The configuration that counts."""

    config: Config
    since: float
    """Wall time."""
    is_latest: bool
    """False where a later one was refused."""


@frozen
class Turn:
    """What one poll saw and decided."""

    sample: Sample
    host: Assessment
    overall: Assessment
    """The worst of the host's and of the groups'."""
    before: Phase
    phase: Phase
    pause: Seconds
    """Until the next poll."""


class Chronicle:
    """Keeps the record of one guard."""

    def __init__(self, writer: Writer, teller: Teller, failsafe: Failsafe, kernel_kills: int) -> None:
        """`kernel_kills`: those since boot that are none of this guard's time."""
        self._writer = writer
        self._teller = teller
        self._failsafe = failsafe
        self._kernel_kills = kernel_kills
        self._kernel_toll = Toll()
        self._headlines = Headlines()
        self._started = time.time()
        self._polls = 0
        self._due: Seconds | None = None
        self._worst_lateness = Seconds(0.0)
        self._latest: State | None = None

    def note(self, turn: Turn, crew: Crew, machine: Machine) -> list[Event]:
        """What happened to the loop and to the host since the last poll."""
        events: list[Event] = []
        if turn.phase is Phase.ACTING and turn.before is not Phase.ACTING:
            self._writer.count(EPISODES)
        change = self._headlines.change(turn.sample.at, turn.phase)
        if change is not None:
            # Where only a control group is near its limit, the likeliest of the host is not who would die.
            host, overall = turn.host, turn.overall
            is_hosts = (overall.level, overall.figures) == (host.level, host.figures)
            look = crew.scout.latest if turn.phase is Phase.ARMED and is_hosts else None
            found, machine = (look.ranking, look.machine) if look else (None, machine)
            events.append(account.phase_changed(*change, overall, found, machine))
        kills = max(0, turn.sample.vmstat.oom_kill - self._kernel_kills)
        self._kernel_kills = turn.sample.vmstat.oom_kill
        self._writer.count(KERNEL_KILLS, kills)
        if told := self._kernel_toll.note(turn.sample.at, kills):
            events.append(KernelKilled(kills=told))
        return events

    def publish(self, turn: Turn, in_force: InForce, crew: Crew) -> None:
        """The figures and the state as of this poll."""
        at = turn.sample.at
        took = Seconds(time.monotonic() - at)
        self._looked(at, turn.pause)
        if took > turn.pause:
            self._writer.count(POLL_OVERRUNS)
        self._writer.sample(turn.sample)
        self._latest = self._state(turn, in_force, crew, took)
        self._writer.state(self._latest)

    def glimpsed(self, at: Seconds, pause: Seconds) -> None:
        """Calm has lasted, so figures and state are those of the latest poll."""
        self._looked(at, pause)
        self._writer.looked(at)

    def missed(self) -> None:
        """A poll decided nothing, so how late the next one is says nothing."""
        self._due = None

    def stand_in(self, in_force: InForce, crew: Crew, pause: Seconds) -> None:
        """There is a guard, while its figures are those of before, or none: the fallback decides."""
        self._polls += 1
        self._writer.count(POLLS)
        self._latest = replace(
            self._latest or self._unseen(in_force, crew),
            phase=Phase.FALLBACK,
            polls=self._polls,
            polled=time.time(),
            polled_at=Seconds(time.monotonic()),
            pause=pause,
        )
        self._writer.state(self._latest)

    def tell(self, events: Iterable[Event]) -> None:
        """What has happened, off to those who tell; what cannot be told now could not be later either."""
        if dropped := self._teller.dropped():
            self._writer.count(EVENTS_DROPPED, dropped)
        told = False
        for event in events:
            self._failsafe.attempt(partial(self._writer.tell, event))
            told = True
        if told:
            self._teller.wake()

    def _looked(self, at: Seconds, pause: Seconds) -> None:
        if self._due is not None:
            self._worst_lateness = max(Seconds(at - self._due), self._worst_lateness)
        self._due = Seconds(at + pause)
        self._polls += 1
        self._writer.count(POLLS)

    def _unseen(self, in_force: InForce, crew: Crew) -> State:
        """No poll has seen anything yet."""
        nothing, no_time = Bytes(0), Seconds(0.0)
        return State(
            pid=Pid(os.getpid()),
            started=self._started,
            mode=crew.hunt.actor.mode,
            phase=Phase.CALM,
            level=Level.CALM,
            reasons=(),
            figures=memory_alone(
                available=nothing,
                available_limit=nothing,
                swap_free=nothing,
                swap_limit=nothing,
                stall_budget=in_force.config.limits.stall_budget,
            ),
            thresholds=Thresholds(
                available_term=nothing,
                available_kill=nothing,
                swap_term=nothing,
                swap_kill=nothing,
                commit_term=nothing,
                stall_window=in_force.config.limits.stall_window,
            ),
            polls=0,
            polled=0.0,
            polled_at=no_time,
            poll_took=no_time,
            pause=no_time,
            worst_lateness=self._worst_lateness,
            configured=in_force.since,
            config_ok=in_force.is_latest,
            psi=False,
            candidates=0,
            spared=0,
            watched=(),
        )

    def _state(self, turn: Turn, in_force: InForce, crew: Crew, took: Seconds) -> State:
        sample, found = turn.sample, turn.overall
        return State(
            pid=Pid(os.getpid()),
            started=self._started,
            mode=crew.hunt.actor.mode,
            phase=turn.phase,
            level=found.level,
            reasons=found.reasons,
            figures=found.figures,
            thresholds=thresholds(in_force.config.limits, sample.memory, found.figures),
            polls=self._polls,
            polled=time.time(),
            polled_at=sample.at,
            poll_took=took,
            pause=turn.pause,
            worst_lateness=self._worst_lateness,
            configured=in_force.since,
            config_ok=in_force.is_latest,
            psi=sample.pressure is not None,
            candidates=crew.scout.candidates,
            spared=crew.scout.spared,
            watched=crew.warden.watched(),
        )
