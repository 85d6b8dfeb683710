"""Who is to be read before a victim is named, and who may be left for later. Pure.

To read all of one process takes many times as long as to read its stat. Who holds less than a death must
free is no victim alone, whatever its badness, and whatever the rules say of it. Who is older than the span in
which growth counts has not been seen to grow, so it makes no family either. Both are in its stat.

The kernel's own oom_score is cheaper by a third, and says neither: less badness than the victim's can be much
memory with a low oom_score_adj, and growth counts beyond badness. Nor does statm, which knows no start.
"""

from __future__ import annotations

from collections.abc import Iterable

from oomguard.badness import Machine, Policy
from oomguard.frozen import frozen
from oomguard.growth import SHORT
from oomguard.plan import Kill, Plan, least
from oomguard.pressure import Reason
from oomguard.process import Outline
from oomguard.ranking import Ranking
from oomguard.rules import Effect, Rule, Scope
from oomguard.units import Pages, Ticks

ALONE = (Scope.PROCESS, Scope.FAMILY)
"""Scopes by which nobody dies along who does not grow together with the victim."""


@frozen
class Interest:
    """What makes somebody who is not known matter."""

    page_size: int
    """Of the host, in bytes."""
    least: Pages
    """What a death must free."""
    swapped: Pages
    """What is in swap, of everybody: no one has more there, and its stat does not tell."""
    young_since: Ticks
    """Who has started since may count as growing."""

    def includes(self, outline: Outline) -> bool:
        """Whether it could be a victim, or grow together with one."""
        resident = outline.resident
        return (
            min(outline.size // self.page_size, resident + self.swapped) >= self.least
            or (outline.starttime >= self.young_since and resident > 0)
            or outline.is_hollow
        )


ALL = Interest(page_size=1, least=Pages(0), swapped=Pages(0), young_since=Ticks(0))
"""Everybody matters."""


def interest(machine: Machine, swapped: Pages) -> Interest:
    """That of a host: `machine` as it is now."""
    return Interest(
        page_size=machine.page_size,
        least=Pages(least(machine) // machine.page_size),
        swapped=swapped,
        young_since=Ticks(int((machine.uptime - SHORT) * machine.ticks_per_second)),
    )


def advances(rules: Iterable[Rule]) -> bool:
    """Whether they put somebody before others or have others die along, however little it holds."""
    return any(rule.effect is Effect.PREFER or rule.points > 0 or rule.scope is not None for rule in rules)


def settles(plan: Plan, ranking: Ranking, policy: Policy) -> bool:
    """Whether a plan that was made in doubt is the same once those are known who did not matter.

    It is where the victim is the first of all, and dies alone, and nobody else grows: then who is not known
    cannot come before it as it holds too little, nor be the root of a family, nor die along. What is summed
    up of everybody can only raise a doubt, and the plan was made in doubt. In a control group less is worth a
    death; under the classic policy the children count; and promises are not in the stat.
    """
    if not isinstance(plan, Kill) or plan.victim is not ranking.candidates[0]:
        return False
    return (
        len(plan.members) == 1
        and plan.scope in ALONE
        and all(one.judged is plan.victim.judged for one in ranking.growing)
        and policy is not Policy.CLASSIC
        and plan.assessment.figures.group is None
        and Reason.COMMIT_LIMIT not in plan.assessment.reasons
    )
