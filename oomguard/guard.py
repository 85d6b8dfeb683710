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

from oomguard import bystanders, fallback
from oomguard.aftermath import Aftermath
from oomguard.brake import Brake
from oomguard.cgroup import Layout
from oomguard.chronicle import Chronicle, InForce, Turn
from oomguard.config import Config
from oomguard.crew import Recruiter
from oomguard.easing import Easing
from oomguard.episode import Outcome
from oomguard.errors import ConfigError
from oomguard.event import (
    Degraded,
    Event,
    Lifecycle,
    LifecycleChanged,
    Mode,
)
from oomguard.failsafe import Failsafe
from oomguard.fallback import Fallback
from oomguard.frozen import replace
from oomguard.gauge import LONGEST_PAUSE, pause
from oomguard.glimpse import Lull, lull
from oomguard.handover import Opened
from oomguard.helpers import Helpers
from oomguard.kill import Releaser
from oomguard.phase import Phases
from oomguard.pressure import Assessment, Phase, Sample
from oomguard.procfs import ProcFS
from oomguard.record import Writer
from oomguard.sampler import Sampler
from oomguard.scout import Look
from oomguard.units import Pid, Seconds
from oomguard.wakeup import Wakeup

ACTING_PAUSE = Seconds(0.02)
COLLECT_EVERY = Seconds(600.0)
"""Errors can leave cycles behind, and the collector runs only when asked (`resident.pause_collector`)."""
NO_V2 = "control groups of version 2 alone: no [[cgroup]] of the configuration can be watched without"
CUT_SHORT = "somebody cut the record short: what it held is lost, but for the counters"


class Guard:
    """One guard over one host."""

    def __init__(
        self,
        config: Config,
        load: Callable[[], Config],
        procfs: ProcFS,
        writer: Writer,
        helpers: Helpers,
        wakeup: Wakeup,
        opened: Opened,
    ) -> None:
        """`load` gives another configuration, at each reload; raises `ConfigError`.

        `opened` are the sources besides /proc that could be opened.
        """
        self._load = load
        self._procfs = procfs
        self._writer = writer
        self._helpers = helpers
        self._wakeup = wakeup
        self._machine = procfs.machine()
        self._recruiter = Recruiter(
            procfs=procfs, machine=self._machine, opened=opened, releaser=Releaser(), own=self._own
        )
        self._easing = Easing(config.relief, config.rules, config.mode, self._machine, helpers.reliever)
        brake = Brake(procfs.cgroups(), f"{config.record}.brake")
        self._aftermath = Aftermath(brake, config.relief.swapping, config.mode)
        self._events: list[Event] = []
        self._phases = Phases()
        self._sampler = Sampler(procfs)
        self._learnt: Look | None = None
        self._failsafe = Failsafe(writer, helpers.teller.wake)
        self._chronicle = Chronicle(writer, helpers.teller, self._failsafe, procfs.vmstat().oom_kill)
        self._was_acting = False
        self._collect_at = Seconds(0.0)
        self._reload_due = False
        self._pause = Seconds(0.0)
        self._lull: Lull | None = None
        self._configure(config)

    def _configure(self, config: Config) -> None:
        """Put a configuration in force."""
        self._in_force = InForce(config=config, since=time.time(), is_latest=True)
        self._fallback = Fallback(config, self._procfs, self._machine, self._own)
        self._set_out()

    def _set_out(self) -> None:
        """What was known of the host and its processes is learnt anew."""
        config = self._in_force.config
        self._crew = crew = self._recruiter.crew(config)
        self._gauge, self._scout, self._warden, self._hunt = crew.gauge, crew.scout, crew.warden, crew.hunt
        self._sampler.listen_to(crew.delays)
        self._warden.tend(Seconds(time.monotonic()), self._easing.throttled)
        if config.enclosures and self._procfs.cgroups().layout is not Layout.UNIFIED:
            self._events.append(Degraded(text=NO_V2))

    def _own(self) -> frozenset[Pid]:
        return self._helpers.pids() | {Pid(os.getpid())}

    def run(self, missing: tuple[str, ...]) -> None:
        """Guard until told to stop; `missing`: what this host lacks, to be told at the start.

        Raises `failsafe.Broken` where an error of its own leaves nothing that it could decide by.
        """
        self._begin(missing)
        while True:
            signals = self._wakeup.wait(self._pause)
            if signals & {signal.SIGTERM, signal.SIGINT}:
                break
            self._reload_due |= signal.SIGHUP in signals
            if not self._failsafe.attempt(self._glimpse):
                self._poll()
        self._end()

    def _begin(self, missing: tuple[str, ...]) -> None:
        """Go the whole way once before it matters, then say so."""
        self._failsafe.attempt(self._aftermath.recover)
        # It takes as long to begin as all of this does.
        self._failsafe.attempt(partial(self._tend, Seconds(time.monotonic())))
        turn = self._failsafe.attempt(self._rehearse)
        self._events += [Degraded(text=text) for text in missing]
        self._events.append(LifecycleChanged(what=Lifecycle.STARTED, text=self._described()))
        if turn is not None:
            self._failsafe.attempt(partial(self._publish, turn))
        self._failsafe.attempt(self._tell)

    def _rehearse(self) -> Turn:
        sample, host = self._read()
        self._read_groups(sample, host, None)
        self._hunt.rehearse(sample, host)
        if self._in_force.config.enclosures:
            self._hunt.rehearse(sample, self._warden.of("/", host))
        if not host.reasons:
            self._scout.census.refresh()
        self._learn()
        phase = self._phases.now
        return Turn(sample=sample, host=host, overall=host, before=phase, phase=phase, pause=self._pause)

    def _end(self) -> None:
        """Whoever was asked to end is left to it: nobody insists any more."""
        attempt = self._failsafe.attempt
        attempt(self._aftermath.lift)
        attempt(self._scout.census.relax)
        stopping = LifecycleChanged(what=Lifecycle.STOPPING, text="told to")
        attempt(partial(self._writer.tell, stopping))
        for end in self._helpers.endings():
            attempt(end)

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

    def _glimpse(self) -> bool:
        """Whether calm has lasted, and nothing else is due: then no poll is needed."""
        calm = self._lull
        if calm is None or not self._wakeup.rested:
            return False
        seen = self._sampler.glimpse()
        self._mend()
        if self._events or not calm.lasts(seen):
            return False
        self._sampler.remember(seen)
        self._pause = calm.rest(seen)
        self._chronicle.glimpsed(seen.at, self._pause)
        return True

    def _poll(self) -> None:
        """Decide and act; then all else."""
        attempt, self._lull = self._failsafe.attempt, None
        attempt(self._mend)
        aims = self._failsafe.stands_in and self._fallback.is_busy
        turn = None if aims else attempt(self._decide)
        acting = self._hunt.in_flight
        if acting is not self._was_acting:
            self._was_acting = acting
            attempt(lambda: self._wakeup.watch(self._hunt.actor.fds))
            attempt(lambda: self._easing.make_way(self._hunt.aimed_at))
        if turn is None:
            self._do_without()
        else:
            self._events += self._failsafe.decided(self._fallback)
            self._follow_up(turn)
        attempt(self._tell)

    def _mend(self) -> None:
        if self._writer.mend():
            self._events.append(Degraded(text=CUT_SHORT))

    def _decide(self) -> Turn:
        for missed in self._sampler.remembered():
            self._gauge.read(self._hunt.actor.world(missed), self._hunt.kill_takes)
        sample, host = self._read()
        hunt, acting = self._hunt, self._hunt.in_flight
        self._read_groups(sample, host, hunt.group)
        overall = self._warden.overall(host)
        if acting:
            self._follow(sample, host)
        elif host.reasons:
            hunt.act(sample, host, self._read)
        else:
            self._act_in_groups(sample)
        before = self._phases.now
        phase = self._phases.advance(sample.at, overall.level, acting=hunt.in_flight)
        self._pause = ACTING_PAUSE if acting or hunt.in_flight else self._until_due(overall)
        return Turn(sample=sample, host=host, overall=overall, before=before, phase=phase, pause=self._pause)

    def _follow_up(self, turn: Turn) -> None:
        """What can wait until it is decided; none of it is the end of the rest."""
        attempt, sample, host = self._failsafe.attempt, turn.sample, turn.host
        ending = self._hunt.in_flight and self._hunt.group is None
        attempt(partial(self._aftermath.follow, sample, host, ending=ending))
        attempt(partial(self._easing.follow, sample, host))
        if not self._hunt.in_flight:
            attempt(partial(self._rest, sample, host))
        attempt(partial(self._note, turn))
        attempt(self._learn)
        if self._phases.now is not Phase.CALM:
            attempt(self._sampler.follow)
        attempt(partial(self._publish, turn))
        self._lull = attempt(partial(self._lull_after, turn))

    def _lull_after(self, turn: Turn) -> Lull | None:
        """What glimpses go by from now on; None while there is more to look after than the host's memory."""
        census, actor = self._scout.census, self._hunt.actor
        is_busy = census.is_under_way or self._easing.is_on or self._aftermath.is_on or actor.pretended()
        if turn.phase is not Phase.CALM or is_busy or self._reload_due or self._in_force.config.enclosures:
            return None
        return lull(self._sampler.latest or turn.sample, turn.host, self._wakeup.longest)

    def _do_without(self) -> None:
        """Nothing was decided: after a few such polls the fallback decides, and what it went by is made anew.

        Not in dry run, where nobody is to die anyway.
        """
        self._pause = fallback.PAUSE
        self._failsafe.attempt(self._aftermath.lift)
        self._chronicle.missed()
        if self._in_force.config.mode is Mode.DRY_RUN:
            return
        now = Seconds(time.monotonic())
        if self._hunt.in_flight:
            self._fallback.settle(now)
        stood_in = self._failsafe.stands_in
        self._events += self._failsafe.undecided(self._fallback)
        if not self._failsafe.stands_in:
            return
        attempt = self._failsafe.attempt
        if not stood_in:
            attempt(self._hunt.actor.stand_down)
            attempt(partial(self._renew, self._set_out))
        if self._fallback.is_calm:
            attempt(partial(self._tend, now))
            if self._reload_due:
                attempt(self._reload)
        attempt(partial(self._chronicle.stand_in, self._in_force, self._crew, self._pause))

    def _until_due(self, assessment: Assessment) -> Seconds:
        now = Seconds(time.monotonic())
        longest = LONGEST_PAUSE if self._scout.census.is_under_way else self._wakeup.longest
        if self._aftermath.is_on:
            return ACTING_PAUSE
        return min(pause(assessment, longest), max(self._warden.pause(now), ACTING_PAUSE))

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
            self._sampler.watch_processes(bystanders.neighbours(look.ranking, self._sampler.groups))

    def _note(self, turn: Turn) -> None:
        self._events += self._chronicle.note(turn, self._crew, self._machine)

    def _rest(self, sample: Sample, assessment: Assessment) -> None:
        """What has time only while nobody is in flight, and what has time only while no limit is crossed."""
        self._scout.census.refresh()
        self._warden.tend(sample.at, self._easing.throttled)
        if self._reload_due:
            self._reload()
        if assessment.reasons:
            return
        if self._phases.now is Phase.CALM:
            self._hunt.relax()
            if sample.at >= self._collect_at:
                self._collect_at = Seconds(sample.at + COLLECT_EVERY)
                gc.collect()
        else:
            self._hunt.watch(sample)
            look = self._scout.latest
            if look is not None and look is not self._learnt:
                self._easing.ease(sample, assessment, look)
        self._tend(sample.at)

    def _tend(self, at: Seconds) -> None:
        told = self._helpers.tend(at, is_relief_wanted=self._easing.needs_help)
        self._events += [Degraded(text=text) for text in told]

    def _reload(self) -> None:
        """Another configuration, or the old one where the new one is refused."""
        self._reload_due = False
        self._writer.tell(LifecycleChanged(what=Lifecycle.RELOADING, text=""))
        try:
            config = self._load()
        except ConfigError as error:
            self._in_force = replace(self._in_force, is_latest=False)
            self._events.append(LifecycleChanged(what=Lifecycle.RELOAD_REFUSED, text=str(error)))
            return
        before = self._fallback
        self._renew(partial(self._configure, config))
        before.close()
        self._easing.reconfigure(config.relief, config.rules, config.mode)
        self._aftermath.reconfigure(config.relief.swapping, config.mode)
        self._events.append(LifecycleChanged(what=Lifecycle.RELOADED, text=self._described()))

    def _renew(self, make: Callable[[], None]) -> None:
        """Have what knows the host made anew, and close what was there before."""
        before = self._crew
        # What the last hunt has left to tell, such as the end of an episode that the reload waited for.
        self._events += self._hunt.events
        make()
        before.close()

    def _described(self) -> str:
        config = self._in_force.config
        return (
            f"{config.mode} mode, {config.policy} badness, {config.scope} scope, "
            f"rules: {len(config.rules)}, stall budget {config.limits.stall_budget:g} s"
        )

    def _publish(self, turn: Turn) -> None:
        self._chronicle.publish(turn, self._in_force, self._crew)

    def _tell(self) -> None:
        sources = (self._events, self._hunt.events, self._easing.events, self._aftermath.events)
        events = [event for source in sources for event in source]
        for source in sources:
            source.clear()
        self._chronicle.tell(events)
