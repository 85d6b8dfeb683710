"""Those who decide under one configuration: made anew at a reload, and where the guard's own errors last."""

from __future__ import annotations

from collections.abc import Callable

from oomguard.badness import Machine
from oomguard.census import Census, resolver_for
from oomguard.config import Config
from oomguard.delays import NoDelays, TaskDelays
from oomguard.dryrun import DryRun
from oomguard.event import Mode
from oomguard.frozen import frozen
from oomguard.gauge import Gauge
from oomguard.handover import Opened
from oomguard.hunt import Hunt
from oomguard.kill import Actor, Killer, Releaser
from oomguard.procevents import NoEvents, ProcEvents
from oomguard.procfs import ProcFS
from oomguard.scout import Scout
from oomguard.sources import Source, wanted
from oomguard.units import Pid
from oomguard.warden import Warden


@frozen
class Crew:
    """Who says how bad it is, who would die, and who does."""

    gauge: Gauge
    scout: Scout
    warden: Warden
    hunt: Hunt
    delays: TaskDelays | NoDelays

    def close(self) -> None:
        """Another crew takes over."""
        self.scout.census.close()
        self.warden.close()


@frozen
class Recruiter:
    """What a crew works with, whatever its configuration."""

    procfs: ProcFS
    machine: Machine
    opened: Opened
    """The sources besides /proc that could be opened."""
    releaser: Releaser
    own: Callable[[], frozenset[Pid]]
    """The pids of oomguard itself."""

    def crew(self, config: Config) -> Crew:
        """One that knows nothing yet of the host's processes."""
        procfs, machine = self.procfs, self.machine
        sources = wanted(config.sources, procfs.means())
        resolver = resolver_for(config.rules, procfs)
        census = Census(procfs, config.rules, resolver, self._events(sources))
        scout = Scout(policy=config.policy, scope=config.scope, census=census, machine=machine, own=self.own)
        return Crew(
            gauge=Gauge(config.limits, procfs.overcommit(), machine.page_size),
            scout=scout,
            warden=Warden(procfs.cgroups(), config.enclosures, config.limits.stall_window),
            hunt=Hunt(
                scout=scout,
                actor=self._actor(config.mode, census),
                grace=config.grace,
                storm=config.storm,
                machine=machine,
                holdings=procfs.holdings,
            ),
            delays=self._delays(sources),
        )

    def _actor(self, mode: Mode, census: Census) -> Actor:
        match mode:
            case Mode.ENFORCE:
                return Killer(self.procfs.kill_cgroup, census.confirms, self.releaser)
            case Mode.DRY_RUN:
                return DryRun(self.procfs, self.machine.page_size)

    def _events(self, sources: frozenset[Source]) -> ProcEvents | NoEvents:
        events = self.opened.events
        return ProcEvents(events) if events and Source.PROCESS_EVENTS in sources else NoEvents()

    def _delays(self, sources: frozenset[Source]) -> TaskDelays | NoDelays:
        delays = self.opened.delays
        return TaskDelays(delays) if delays and Source.DELAYS in sources else NoDelays()
