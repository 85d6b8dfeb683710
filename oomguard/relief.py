"""Softer than a kill: what is tried on the way to the limit, before anybody is to end. Pure.

Who is named by a rule gets a signal, so that a cache can shrink itself; cold control groups give memory
back; the group that takes the memory is slowed down or stopped for a while. Each is tried once in a
shortage, and nothing waits for it: the limits are where they are.

A group is left alone where anybody in it or below is spared, may be protected, or dies last; so nobody
else suffers in the place of a culprit that is protected.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from heapq import nlargest
from typing import assert_never

from oomguard.cgroup import contains
from oomguard.phase import CALM_AFTER
from oomguard.pressure import Assessment, Figures, Level
from oomguard.ranking import ORDER, Judged, Ranking, is_gone
from oomguard.remedy import Act, Action, Reclaim, Remedies, Restrain, Restraint, Send
from oomguard.rules import Rule, Signal, Standing, is_match
from oomguard.units import MIB, Bytes, Pages, Pid, Seconds, resolve

NEAR = 2
"""Memory is getting short below so many times the limit of available memory."""
STALLED = 0.5
"""Of the stall budget: with swap left, memory is short only once so much of it is spent."""
HEED = Seconds(2.0)
"""Who got a signal has so long to heed it before anybody is restrained."""
LEAST_GROWTH = Bytes(8 * MIB)
"""A group that has gained less of late is not the one that takes the memory."""
COLD = 1 / 64
"""A group that has gained no more than this share of what it holds does not use what it has."""
MOST_SIGNALS = 64
"""Processes that get a signal in one shortage; the largest."""
MOST_GROUPS = 8
"""Groups that are reclaimed from in one shortage; the largest."""
MOST_MEMBERS = 256
"""A group of more processes is left alone: all of them are named in the order (pipe(7), PIPE_BUF)."""
LONGEST_NAME = 256
"""Of a group's path, in characters, for the same reason."""

Measure = Callable[[Judged], Pages]
"""Of one process."""


class Relief:
    """One shortage at a time, and what has been tried in it."""

    def __init__(self, remedies: Remedies, rules: tuple[Rule, ...], page_size: int) -> None:
        self._remedies = remedies
        self._signals = {rule.name: rule.signal for rule in rules if rule.signal is not None}
        self._page_size = page_size
        self._began: Seconds | None = None
        self._short_at = Seconds(0.0)
        self._signalled_at: Seconds | None = None
        self._reclaimed: set[str] = set()
        self._is_restrained = False

    @property
    def is_wanted(self) -> bool:
        """Whether the configuration asks for anything."""
        return bool(self._signals or self._remedies.reclaim) or self._remedies.culprit is not Restraint.NONE

    @property
    def is_on(self) -> bool:
        """The shortage is not over yet."""
        return self._began is not None

    def note(self, at: Seconds, assessment: Assessment) -> None:
        """How it is now."""
        if is_getting_short(assessment):
            self._short_at = at
        elif self._began is not None and at - self._short_at >= CALM_AFTER:
            self._began = self._signalled_at = None
            self._reclaimed.clear()
            self._is_restrained = False

    def advise(self, at: Seconds, total: Bytes, ranking: Ranking) -> tuple[Act, ...]:
        """What is to be tried, by a ranking that is as of now; `total`: the memory of the host."""
        if self._short_at != at or not self.is_wanted:
            return ()
        acts: list[Act] = []
        if self._began is None:
            self._began = at
            acts += _signals(ranking, self._signals)
            self._signalled_at = at if acts else None
        acts += self._reclaims(total, ranking)
        if not self._is_restrained and (self._signalled_at is None or at - self._signalled_at >= HEED):
            restraint = self._restraint(ranking)
            self._is_restrained = restraint is not None
            acts += () if restraint is None else (restraint,)
        return tuple(acts)

    def _reclaims(self, total: Bytes, ranking: Ranking) -> Iterator[Reclaim]:
        """From groups that are named and cold, the largest first; once from each.

        Who was looked at seldom before memory got short shows only now that it is cold.
        """
        amount = Bytes(resolve(self._remedies.amount, total) // self._page_size * self._page_size)
        growth, held = _by_group(ranking, _growth), _by_group(ranking, _resident)
        cold = {
            group: members
            for group in held
            if group not in self._reclaimed
            and growth[group] <= COLD * held[group]
            and any(is_match(each, group) for each in self._remedies.reclaim)
            and (members := _members(group, ranking))
        }
        left = MOST_GROUPS - len(self._reclaimed)
        for group in nlargest(left, cold, key=lambda group: (held[group], group)):
            self._reclaimed.add(group)
            yield Reclaim(cgroup=group, members=cold[group], amount=amount)

    def _restraint(self, ranking: Ranking) -> Restrain | None:
        """Of the group that has gained most, if it may be restrained at all."""
        match self._remedies.culprit:
            case Restraint.NONE:
                return None
            case Restraint.THROTTLE:
                action = Action.THROTTLE
            case Restraint.FREEZE:
                action = Action.FREEZE
            case _:
                assert_never(self._remedies.culprit)
        growth = _by_group(ranking, _growth)
        most = max(growth, key=lambda group: (growth[group], group), default=None)
        if most is None or growth[most] * self._page_size < LEAST_GROWTH:
            return None
        members = _members(most, ranking)
        lasts = self._remedies.lasts
        return Restrain(action=action, cgroup=most, members=members, lasts=lasts) if members else None


def is_getting_short(assessment: Assessment) -> bool:
    """A limit is crossed; or memory is near its own, and swap is too or the host stalls for it."""
    match assessment.level:
        case Level.TERM | Level.KILL:
            return True
        case Level.CALM | Level.ARMED:
            figures = assessment.figures
            near = figures.available <= NEAR * figures.available_limit
            return near and (_swap_is_near(figures) or figures.stall >= STALLED * figures.stall_budget)
    assert_never(assessment.level)


def _swap_is_near(figures: Figures) -> bool:
    """So it is where there is none."""
    return figures.swap_free <= NEAR * figures.swap_limit


def may_be_touched(group: str, ranking: Ranking) -> bool:
    """Whether nobody in the group or below may be protected, as for a kill; never the whole machine."""
    if group == "/" or ".." in group.split("/"):
        return False
    spared = (one.judged for one in ranking.spared if not is_gone(one))
    last = (one.judged for one in ranking.candidates if _dies_last(one.judged))
    return not any(contains(group, one.cgroup) for kept in (spared, last) for one in kept)


def _dies_last(one: Judged) -> bool:
    return ORDER[one.verdict.standing] >= ORDER[Standing.LAST]


def _members(group: str, ranking: Ranking) -> tuple[Pid, ...]:
    """Everybody in a group that may be touched; nobody where it may not."""
    if len(group) > LONGEST_NAME or not may_be_touched(group, ranking):
        return ()
    pids = sorted(one.process.key.pid for one in ranking.everybody if contains(group, one.cgroup))
    return tuple(pids) if len(pids) <= MOST_MEMBERS else ()


def _signals(ranking: Ranking, signals: Mapping[str, Signal]) -> list[Send]:
    """To whom a rule names, the first rule's; who is protected may be asked as well."""
    named = [
        Send(to=one, signal=next(signals[name] for name in one.verdict.rules if name in signals))
        for one in ranking.everybody
        if one.process.memory is not None and not signals.keys().isdisjoint(one.verdict.rules)
    ]
    return nlargest(MOST_SIGNALS, named, key=lambda send: (_resident(send.to), send.to.process.key.pid))


def _by_group(ranking: Ranking, measure: Measure) -> Counter[str]:
    """The sum of it over the processes of each group."""
    sums: Counter[str] = Counter()
    for one in ranking.everybody:
        sums[one.cgroup] += measure(one)
    return sums


def _growth(one: Judged) -> Pages:
    return one.growth


def _resident(one: Judged) -> Pages:
    return Pages(one.process.memory.rss) if one.process.memory else Pages(0)
