"""Looks at everybody, and keeps the order in which they would die: in full once, then by what has changed."""

from __future__ import annotations

import time
from collections.abc import Callable

from oomguard.badness import Machine, Policy
from oomguard.census import FRESH, Census
from oomguard.family import worst_family_first
from oomguard.frozen import frozen, replace
from oomguard.interest import interest
from oomguard.ladder import Basis, Ladder, enclosed
from oomguard.pressure import GroupFigures, Reason, Sample
from oomguard.process import Key
from oomguard.procfs import uptime
from oomguard.ranking import Exempt, Ranking
from oomguard.rules import Scope
from oomguard.units import Pages, Pid, Seconds

SHARE = 0.1
"""Of a CPU, for looking again and again while nobody may be killed."""
WATCH_EVERY = Seconds(1.0)
"""How often everybody is ranked anew while armed."""


@frozen
class Look:
    """What one look found."""

    machine: Machine
    ranking: Ranking
    left_out: int
    """How many who did not seem to matter have not been read yet."""
    again: Seconds
    """When another one is due, if it is to take no more than its share of a CPU."""


class Scout:
    """Finds whoever would die next, under one configuration."""

    def __init__(
        self,
        *,
        policy: Policy,
        scope: Scope,
        census: Census,
        machine: Machine,
        own: Callable[[], frozenset[Pid]],
    ) -> None:
        """`own`: the pids of oomguard itself, which change as its helpers are started again."""
        self.policy = policy
        self.scope = scope
        self.census = census
        self.latest: Look | None = None
        """Kept until the next look is done: so each finds the memory that the one before it held, and takes
        none from the kernel."""
        self._machine = machine
        self._own = own
        self._ladder = Ladder()
        self._looked_at = Seconds(0.0)

    @property
    def candidates(self) -> int:
        """How many may die, as of the latest look."""
        return len(self.latest.ranking.candidates) if self.latest else 0

    @property
    def spared(self) -> int:
        """How many may not."""
        return len(self.latest.ranking.spared) if self.latest else 0

    def forget(self) -> None:
        """Rank everybody anew at the next look."""
        self._ladder = Ladder()

    def watch(self, sample: Sample, passed_over: frozenset[Key]) -> None:
        """While armed: keep the candidates known, at a bounded share of a CPU."""
        self.census.follow()
        if sample.at >= self._looked_at + WATCH_EVERY:
            # At the limit a newcomer is spared until it is known what the system says of its group.
            self.census.meet()
            self.look(sample, (), passed_over)

    def look(
        self,
        sample: Sample,
        reasons: tuple[Reason, ...],
        passed_over: frozenset[Key],
        group: GroupFigures | None = None,
    ) -> Look:
        """Everybody in the order of death, or all in a `group`; the likely ones as of now.

        Safe in the kill path.
        """
        began = time.monotonic()
        memory = sample.memory
        machine = replace(
            self._machine,
            total=Pages((memory.total + memory.swap_total) // self._machine.page_size),
            uptime=uptime(),
        )
        exempt = Exempt(own=self._own(), passed_over=passed_over)
        basis = Basis(policy=self.policy, reasons=reasons, machine=machine, exempt=exempt)
        ladder = self._ladder
        if not ladder.measures_like(basis) or sample.at > self._looked_at + FRESH:
            ladder.rank(self.census.known(), basis)
        likely = ladder.likely() if group is None else ladder.likely(group.path)
        swapped = Pages((memory.swap_total - memory.swap_free) // machine.page_size)
        everybody = self.census.take_likely(likely, interest(machine, swapped))
        found = self._families(ladder.rank(everybody, basis))
        self._looked_at = sample.at
        again = Seconds(sample.at + (time.monotonic() - began) / SHARE)
        self.latest = Look(machine=machine, ranking=found, left_out=self.census.left_out, again=again)
        if group is None:
            return self.latest
        # A share of memory is one of the group's, as for the kernel (mm/oom_kill.c `oom_badness()`).
        machine = replace(machine, total=Pages((group.limit + group.swap_limit) // machine.page_size))
        members = enclosed(found, group.path, replace(basis, machine=machine))
        return replace(self.latest, machine=machine, ranking=self._families(members))

    def _families(self, found: Ranking) -> Ranking:
        return worst_family_first(found) if self.scope is Scope.FAMILY else found
