"""The loop: sense, decide, act, tell, wait. The only module that knows all the others.

Within one poll nothing is told and nothing waits before the decision has been made and carried out.
"""

from __future__ import annotations

import gc
import os
import signal
import time
from collections.abc import Callable
from functools import partial

from oomguard import bystanders
from oomguard.census import Census, resolver_for
from oomguard.cgroup import Layout
from oomguard.companion import Companion
from oomguard.config import Config
from oomguard.counters import EVENTS_DROPPED, POLL_OVERRUNS, POLLS
from oomguard.dryrun import DryRun
from oomguard.episode import Outcome
from oomguard.errors import ConfigError, origin
from oomguard.event import (
    Degraded,
    Event,
    Failed,
    KernelKilled,
    Lifecycle,
    LifecycleChanged,
    Mode,
    PhaseChanged,
)
from oomguard.gauge import Gauge, pause
from oomguard.hunt import Hunt
from oomguard.kill import Actor, Killer, Releaser
from oomguard.phase import Phases
from oomguard.pressure import Assessment, Phase, Sample
from oomguard.procfs import ProcFS
from oomguard.record import Writer
from oomguard.sampler import Sampler
from oomguard.scout import Look, Scout
from oomguard.state import State, thresholds
from oomguard.teller import Teller
from oomguard.units import Pid, Seconds
from oomguard.wakeup import Wakeup
from oomguard.warden import Warden

ACTING_PAUSE = Seconds(0.02)
COLLECT_EVERY = Seconds(600.0)
"""Errors can leave cycles behind, and the collector runs only when asked (`resident.pause_collector`)."""
NO_V2 = "control groups of version 2 alone: no [[cgroup]] of the configuration can be watched without"
LAST_WORDS = Seconds(2.0)
"""What the telling process has to tell that the guard stops."""


class Guard:
    """One guard over one host."""

    def __init__(
        self,
        config: Config,
        load: Callable[[], Config],
        procfs: ProcFS,
        writer: Writer,
        teller: Teller,
        wakeup: Wakeup,
        exporter: Companion | None,
    ) -> None:
        """`load` gives another configuration, at each reload; raises `ConfigError`."""
        self._load = load
        self._procfs = procfs
        self._writer = writer
        self._teller = teller
        self._wakeup = wakeup
        self._exporter = exporter
        self._machine = procfs.machine()
        self._releaser = Releaser()
        self._events: list[Event] = []
        self._phases = Phases()
        self._sampler = Sampler(procfs)
        self._learnt: Look | None = None
        self._kernel_kills = procfs.vmstat().oom_kill
        self._failure = ""
        self._collect_at = Seconds(0.0)
        self._reload_due = False
        self._started = time.time()
        self._polls = 0
        self._pause = Seconds(0.0)
        self._configure(config)

    def _configure(self, config: Config) -> None:
        """Put a configuration in force; what was known of the processes is learnt anew."""
        self._config = config
        self._configured, self._config_ok = time.time(), True
        self._gauge = Gauge(config.limits, self._procfs.overcommit(), self._machine.page_size)
        census = Census(self._procfs, config.rules, resolver_for(config.rules, self._procfs))
        self._scout = Scout(
            policy=config.policy, scope=config.scope, census=census, machine=self._machine, own=self._own
        )
        self._warden = Warden(self._procfs.cgroups(), config.enclosures, config.limits.stall_window)
        self._warden.tend(Seconds(time.monotonic()))
        if config.enclosures and self._procfs.cgroups().layout is not Layout.UNIFIED:
            self._events.append(Degraded(text=NO_V2))
        self._hunt = Hunt(
            scout=self._scout,
            actor=self._actor(config.mode, census),
            grace=config.grace,
            storm=config.storm,
            machine=self._machine,
            holdings=self._procfs.holdings,
        )

    def _actor(self, mode: Mode, census: Census) -> Actor:
        match mode:
            case Mode.ENFORCE:
                return Killer(self._procfs.kill_cgroup, census.confirms, self._releaser)
            case Mode.DRY_RUN:
                return DryRun(self._procfs, self._machine.page_size)

    def _own(self) -> frozenset[Pid]:
        helpers = (self._teller.pid, None if self._exporter is None else self._exporter.pid)
        return frozenset((Pid(os.getpid()), *(pid for pid in helpers if pid is not None)))

    def run(self, missing: tuple[str, ...]) -> None:
        """Guard until told to stop; `missing`: what this host lacks, to be told at the start."""
        self._begin(missing)
        while True:
            signals = self._wakeup.wait(self._pause)
            if signals & {signal.SIGTERM, signal.SIGINT}:
                break
            self._reload_due |= signal.SIGHUP in signals
            try:
                self._poll()
            # A guard that goes on after an error of its own is worth more than one that ends by it.
            except Exception as error:  # noqa: BLE001
                self._fail(error)
        self._end()

    def _begin(self, missing: tuple[str, ...]) -> None:
        """Go the whole way once before it matters, then say so."""
        sample, assessment = self._read()
        self._read_groups(sample, assessment, None)
        self._hunt.rehearse(sample, assessment)
        if self._config.enclosures:
            self._hunt.rehearse(sample, self._warden.of("/", assessment))
        self._scout.census.refresh()
        self._learn()
        self._events += [Degraded(text=text) for text in missing]
        self._events.append(LifecycleChanged(what=Lifecycle.STARTED, text=self._described()))
        self._tend(sample.at)
        self._publish(sample, assessment)

    def _end(self) -> None:
        self._writer.tell(LifecycleChanged(what=Lifecycle.STOPPING, text="told to"))
        self._teller.wake()
        if self._exporter is not None:
            self._exporter.stop()
        self._teller.stop(LAST_WORDS)

    def _read(self) -> tuple[Sample, Assessment]:
        sample = self._hunt.actor.world(self._sampler.take(self._gauge.is_near))
        return sample, self._gauge.read(sample, self._hunt.kill_takes)

    def _read_groups(self, sample: Sample, host: Assessment, urgent: str | None) -> None:
        hunt = self._hunt
        self._warden.read(sample, host, hunt.kill_takes, hunt.actor.pretended_in, urgent)

    def _read_group(self, path: str) -> tuple[Sample, Assessment]:
        """The host, and how bad it is for this control group of it."""
        sample, host = self._read()
        self._read_groups(sample, host, path)
        return sample, self._warden.of(path, host)

    def _poll(self) -> None:
        sample, host = self._read()
        hunt, acting = self._hunt, self._hunt.in_flight
        self._read_groups(sample, host, hunt.group)
        assessment = self._warden.overall(host)
        if acting:
            self._follow(sample, host)
        elif host.reasons:
            hunt.act(sample, host, self._read)
        else:
            self._act_in_groups(sample)
        if acting is not hunt.in_flight:
            self._wakeup.watch(hunt.actor.fds)
        self._note(sample, assessment)
        if not hunt.in_flight:
            self._rest(sample, host)
        self._learn()
        self._pause = ACTING_PAUSE if acting or hunt.in_flight else self._until_due(assessment)
        self._publish(sample, assessment)

    def _until_due(self, assessment: Assessment) -> Seconds:
        now = Seconds(time.monotonic())
        return min(pause(assessment), max(self._warden.pause(now), ACTING_PAUSE))

    def _act_in_groups(self, sample: Sample) -> None:
        """In the worst of those that are short, in which anybody may die."""
        for short in self._warden.crossed():
            group = short.figures.group
            if group is not None and not self._hunt.in_flight:
                self._hunt.act(sample, short, partial(self._read_group, group.path))

    def _follow(self, sample: Sample, host: Assessment) -> None:
        """The stall that a victim caused is forgotten once it has exited: what comes next is another's."""
        was_settling, group = self._hunt.settling, self._hunt.group
        outcome = self._hunt.follow(sample, host if group is None else self._warden.of(group, host))
        has_exited = self._hunt.settling or outcome in (Outcome.RECOVERED, Outcome.NOT_ENOUGH)
        if has_exited and not was_settling:
            if group is None:
                self._gauge.restart(sample.at)
            else:
                self._warden.restart(group)

    def _learn(self) -> None:
        """From the latest look: whose stall is the culprit's own, and who the bystanders are."""
        look = self._scout.latest
        if look is not None and look is not self._learnt:
            self._learnt = look
            self._gauge.culprit = bystanders.culprit(look.ranking)
            self._sampler.watch(bystanders.groups(look.ranking))

    def _note(self, sample: Sample, assessment: Assessment) -> None:
        """What happened to the loop and to the host since the last poll."""
        before = self._phases.now
        after = self._phases.advance(sample.at, assessment.level, acting=self._hunt.in_flight)
        if after is not before:
            self._events.append(
                PhaseChanged(
                    before=before, after=after, reasons=assessment.reasons, figures=assessment.figures
                )
            )
        kills = sample.vmstat.oom_kill - self._kernel_kills
        if kills > 0:
            self._events.append(KernelKilled(kills=kills))
        self._kernel_kills = sample.vmstat.oom_kill

    def _rest(self, sample: Sample, assessment: Assessment) -> None:
        """What has time only while nobody is in flight, and what has time only while no limit is crossed."""
        self._scout.census.refresh()
        self._warden.tend(sample.at)
        if self._reload_due:
            self._reload_due = False
            self._reload()
        if assessment.reasons:
            return
        if self._phases.now is Phase.CALM:
            self._hunt.relax(sample)
            if sample.at >= self._collect_at:
                self._collect_at = Seconds(sample.at + COLLECT_EVERY)
                gc.collect()
        else:
            self._hunt.watch(sample)
        self._tend(sample.at)

    def _tend(self, at: Seconds) -> None:
        self._teller.tend(at)
        if self._exporter is not None and (text := self._exporter.tend(at)) is not None:
            self._events.append(Degraded(text=text))

    def _reload(self) -> None:
        """Another configuration, or the old one where the new one is refused."""
        self._writer.tell(LifecycleChanged(what=Lifecycle.RELOADING, text=""))
        try:
            config = self._load()
        except ConfigError as error:
            self._config_ok = False
            self._events.append(LifecycleChanged(what=Lifecycle.RELOAD_REFUSED, text=str(error)))
            return
        self._scout.census.close()
        self._warden.close()
        # What the last hunt has left to tell, such as the end of an episode that the reload waited for.
        self._events += self._hunt.events
        self._configure(config)
        self._events.append(LifecycleChanged(what=Lifecycle.RELOADED, text=self._described()))

    def _described(self) -> str:
        config = self._config
        return (
            f"{config.mode} mode, {config.policy} badness, {config.scope} scope, "
            f"rules: {len(config.rules)}, stall budget {config.limits.stall_budget:g} s"
        )

    def _fail(self, error: Exception) -> None:
        """Told once for each kind of failure, however often it happens."""
        failure = origin(error)
        if failure != self._failure:
            self._failure = failure
            self._writer.tell(Failed(text=failure))
            self._teller.wake()

    def _publish(self, sample: Sample, assessment: Assessment) -> None:
        """Into the record, and off to those who tell."""
        now = Seconds(time.monotonic())
        took = Seconds(now - sample.at)
        self._polls += 1
        self._writer.count(POLLS)
        if took > self._pause:
            self._writer.count(POLL_OVERRUNS)
        self._writer.sample(sample)
        self._writer.state(self._state(sample, assessment, took))
        if dropped := self._teller.dropped():
            self._writer.count(EVENTS_DROPPED, dropped)
        self._events += self._hunt.events
        if self._events:
            for event in self._events:
                self._writer.tell(event)
            self._teller.wake()
        self._events.clear()
        self._hunt.events.clear()

    def _state(self, sample: Sample, assessment: Assessment, took: Seconds) -> State:
        return State(
            pid=Pid(os.getpid()),
            started=self._started,
            mode=self._hunt.actor.mode,
            phase=self._phases.now,
            level=assessment.level,
            reasons=assessment.reasons,
            figures=assessment.figures,
            thresholds=thresholds(self._config.limits, sample.memory, assessment.figures),
            polls=self._polls,
            polled=time.time(),
            polled_at=sample.at,
            poll_took=took,
            pause=self._pause,
            configured=self._configured,
            config_ok=self._config_ok,
            psi=sample.pressure is not None,
            candidates=self._scout.candidates,
            spared=self._scout.spared,
            watched=self._warden.watched(),
        )
