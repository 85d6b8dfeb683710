"""The sections of the configuration, each from its keys and defaults; what does not fit is refused."""

from __future__ import annotations

from functools import partial

from oomguard.pressure import Limit, Limits, StallOf
from oomguard.remedy import AfterKill, Remedies, Restraint
from oomguard.rules import Field, pattern
from oomguard.sources import Sources, Use
from oomguard.storm import Response, Tolerance
from oomguard.table import Table, word
from oomguard.units import (
    Amount,
    Percent,
    parse_amount,
    parse_duration,
    parse_percent,
    spell_amount,
    spell_duration,
)

_SHORTEST_WINDOW, _LONGEST_WINDOW = 1.0, 60.0
_FEWEST_KILLS, _MOST_KILLS = 2, 16
_SHORTEST_STORM, _LONGEST_STORM = 1.0, 86400.0
_SHORTEST_RESTRAINT, _LONGEST_RESTRAINT = 1.0, 60.0
_MOST_RECLAIMED_FROM = 16


def limits(table: Table, default: Limits) -> Limits:
    """[limits], [stall] and [commit]."""
    found = Limits(
        available=_limit(table, "limits.available", default.available),
        swap_free=_limit(table, "limits.swap_free", default.swap_free),
        stall_budget=table.take("stall.budget", parse_duration, default.stall_budget),
        stall_window=table.take("stall.window", parse_duration, default.stall_window),
        stall_of=table.take("stall.of", word(StallOf), default.stall_of),
        commit=table.take("commit.term", parse_percent, default.commit),
    )
    budget, window = spell_duration(found.stall_budget), spell_duration(found.stall_window)
    if not _SHORTEST_WINDOW <= found.stall_window <= _LONGEST_WINDOW:
        table.refuse(f"is {window}; it must be between 1s and 60s", "stall.window")
    elif table.sound("stall.budget", "stall.window") and not 0 < found.stall_budget <= found.stall_window:
        problem = (
            f"the budget is {budget} in a window of {window}; it must be above 0s and fit into the window"
        )
        table.refuse(problem, "stall.budget", "stall.window")
    if found.commit.value == 0:
        table.refuse("must be above 0%", "commit.term")
    return found


def _limit(table: Table, key: str, default: Limit) -> Limit:
    limit = Limit(
        term=table.take(f"{key}.term", parse_amount, default.term),
        kill=table.take(f"{key}.kill", parse_amount, default.kill),
    )
    if table.sound(f"{key}.term", f"{key}.kill") and _exceeds(limit.kill, limit.term):
        kill, term = spell_amount(limit.kill), spell_amount(limit.term)
        problem = f"kill is {kill} and term is {term}; kill is the last resort, and must not be above term"
        table.refuse(problem, f"{key}.kill", f"{key}.term")
    return limit


def _exceeds(one: Amount, other: Amount) -> bool:
    """Whether `one` is more than `other` on every host; a share and a size differ by the host."""
    match one, other:
        case Percent(), Percent():
            return one.value > other.value
        case int(), int():
            return one > other
        case _:
            return False


def storm(table: Table, default: Tolerance) -> Tolerance:
    """[storm]."""
    kills = table.take_integer("storm.kills")
    found = Tolerance(
        kills=default.kills if kills is None else kills,
        within=table.take("storm.within", parse_duration, default.within),
        action=table.take("storm.action", word(Response), default.action),
    )
    if not _FEWEST_KILLS <= found.kills <= _MOST_KILLS:
        table.refuse(f"is {found.kills}; it must be from 2 to 16", "storm.kills")
    if not _SHORTEST_STORM <= found.within <= _LONGEST_STORM:
        table.refuse(f"is {spell_duration(found.within)}; it must be between 1s and 24h", "storm.within")
    return found


def sources(table: Table, default: Sources) -> Sources:
    """[sources]."""
    return Sources(
        process_events=table.take("sources.process_events", word(Use), default.process_events),
        delays=table.take("sources.delays", word(Use), default.delays),
    )


def relief(table: Table, default: Remedies) -> Remedies:
    """[relief]."""
    found = Remedies(
        culprit=table.take("relief.culprit", word(Restraint), default.culprit),
        lasts=table.take("relief.for", parse_duration, default.lasts),
        reclaim=table.take_texts("relief.reclaim", partial(pattern, Field.CGROUP)),
        amount=table.take("relief.amount", parse_amount, default.amount),
        swapping=table.take("relief.after_kill", word(AfterKill), default.swapping),
    )
    if not _SHORTEST_RESTRAINT <= found.lasts <= _LONGEST_RESTRAINT:
        table.refuse(f"is {spell_duration(found.lasts)}; it must be between 1s and 60s", "relief.for")
    if len(found.reclaim) > _MOST_RECLAIMED_FROM:
        table.refuse(f"has {len(found.reclaim)} patterns; at most 16 may be", "relief.reclaim")
    return found
