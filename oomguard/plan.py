"""What to do about a crossed limit: whom to end, or why nobody. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import StrEnum
from itertools import accumulate, islice
from typing import assert_never

from oomguard.badness import Machine
from oomguard.episode import Finish, Outcome
from oomguard.frozen import frozen
from oomguard.pressure import Assessment, Reason
from oomguard.process import Process
from oomguard.ranking import Candidate, Judged, Ranking, Spared, SparedProcess
from oomguard.rules import Scope
from oomguard.scope import EVERYWHERE, reach
from oomguard.units import MIB, Bytes, Pages, Seconds

RUNNERS_UP, NEXT = 5, 64
"""Who else is told of: so many who are worth it, of the next so many in the order of death."""
LEAST_SHARE, LEAST_GAIN = 0.01, Bytes(32 * MIB)
"""A death is worth it that frees this share of memory and swap, or this many bytes if that is less."""
PATIENCE = 12
IN_VAIN, NOT_ENOUGH = 4, 1
"""What deaths take of the patience: three that brought nothing back, or a dozen that were not enough."""
HOPEFUL_SHARE, HOPEFUL_GAIN = 0.05, Bytes(1024 * MIB)
"""The same while it is in doubt whether a death helps; then it must also end the shortage alone."""
LEAST_OF_PLENTY = 0.25
"""Where memory is not low and yet thrashes, a death must add this share to what is available."""
HELPLESS = Seconds(0.5)
"""A backlog of swap that drains for longer than this is what a stall is about."""
TRIES = 8
"""Who is not worth it alone may be with those that die along: so many are looked at."""


class Doubt(StrEnum):
    """Why a death may not help."""

    NONE = "none"
    ELSEWHERE = "elsewhere"
    """Most of the memory is held by nobody's private pages: a tmpfs, the kernel, huge pages."""
    SPARED = "spared"
    """Who takes the memory is spared, and would soon have what a death brings."""
    DISAPPOINTED = "disappointed"
    """The deaths so far brought too little back: their `disappointed_by` adds up to `PATIENCE`."""


class HoldReason(StrEnum):
    """Why nobody was killed though a limit was crossed."""

    ALL_PROTECTED = "all_protected"
    """Everybody is spared, by the kernel's law or by the operator's rules."""
    UNRESOLVED = "unresolved"
    """Who is left might be protected: a name that a rule needs could not be read yet."""
    NOTHING_TO_GAIN = "nothing_to_gain"
    """Nobody left holds enough memory for a kill to help."""
    FUTILE = "futile"
    """Killing does not bring memory back: something else holds it."""
    CULPRIT_SPARED = "culprit_spared"
    """Who takes the memory is spared, and the others hold too little of it."""
    NOBODY_GROWS = "nobody_grows"
    """Memory is about to run out, but it is not those who may die that take it."""
    BACKLOG = "backlog"
    """The stall is that of a disk which writes what was swapped out: no death shortens that."""


@frozen
class Kill:
    """End `members`, the victim first."""

    victim: Candidate
    scope: Scope
    members: tuple[Judged, ...]
    whole_cgroup: str | None
    """The control group that holds the members and nobody else, where there is one."""
    runners_up: tuple[Candidate, ...]
    kernel_choice: Judged | None
    """Whom `oom_badness()` alone would have picked."""
    assessment: Assessment


@frozen
class Hold:
    """Kill nobody, though a limit is crossed."""

    why: HoldReason
    spared: tuple[SparedProcess, ...]
    assessment: Assessment


Plan = Kill | Hold


def decide(ranking: Ranking, assessment: Assessment, scope: Scope, machine: Machine, doubt: Doubt) -> Plan:
    """The plan for a crossed limit: the first candidate whose death frees enough, and what dies with it."""
    if assessment.reasons == (Reason.STALL,) and assessment.figures.backlog > HELPLESS:
        return Hold(why=HoldReason.BACKLOG, spared=ranking.spared, assessment=assessment)
    if assessment.reasons == (Reason.EXHAUSTION_FORECAST,) and not _anybody_grows(ranking, machine):
        return Hold(why=HoldReason.NOBODY_GROWS, spared=ranking.spared, assessment=assessment)
    enough = _least_in_doubt(assessment, machine) if doubt is not Doubt.NONE else least(machine)
    if is_thrash(assessment):
        enough = max(enough, Bytes(int(LEAST_OF_PLENTY * assessment.figures.available)))

    def are_worth_it(members: Iterable[Judged]) -> bool:
        gains = (gain(judged.process, assessment, machine) for judged in members)
        return any(gained >= enough for gained in accumulate(gains))

    def is_worth_it(judged: Judged) -> bool:
        return gain(judged.process, assessment, machine) >= enough

    group = assessment.figures.group
    within = EVERYWHERE if group is None else group.path
    tries = 0
    for victim in ranking.candidates:
        alone = is_worth_it(victim.judged)
        if not alone and tries == TRIES:
            continue
        tries += not alone
        found = reach(victim, scope, ranking, within)
        if alone or are_worth_it(found.members):
            break
    else:
        return Hold(
            why=_why_nobody(ranking, is_worth_it, doubt), spared=ranking.spared, assessment=assessment
        )
    dying = {judged.process.key.pid for judged in found.members}
    left = (one for one in ranking.candidates if one.judged.process.key.pid not in dying)
    others = (one for one in islice(left, NEXT) if is_worth_it(one.judged))
    return Kill(
        victim=victim,
        scope=found.scope,
        members=found.members,
        whole_cgroup=found.whole_cgroup,
        runners_up=tuple(islice(others, RUNNERS_UP)),
        kernel_choice=_kernel_choice(ranking),
        assessment=assessment,
    )


def is_thrash(assessment: Assessment) -> bool:
    """The host stalls though memory is not low: what is evicted is needed again."""
    return assessment.reasons == (Reason.STALL,) and not assessment.figures.is_low


def is_rash(kill: Kill, ranking: Ranking) -> bool:
    """Those who may not die yet, as a name of theirs is still to be read, hold more than all who would."""
    unknown = (spared.judged for spared in ranking.spared if spared.why is Spared.UNRESOLVED)
    return sum(one.process.held for one in unknown) > sum(one.process.held for one in kill.members)


def disappointed_by(kill: Kill, end: Finish, machine: Machine) -> int:
    """What a death takes of the patience, which comes back only once memory has been well for a while.

    Most, where less came back than half of what was certain to (memory that others share is not): even
    when no limit is crossed for the moment, as a stall is measured anew after each death.
    """
    certain = sum(_private(judged.process) for judged in kill.members) * machine.page_size
    if end.freed < certain / 2:
        return IN_VAIN
    return NOT_ENOUGH if end.outcome is Outcome.NOT_ENOUGH else 0


def least(machine: Machine) -> Bytes:
    """What a death must free to be worth it."""
    return Bytes(int(min(LEAST_SHARE * machine.total * machine.page_size, LEAST_GAIN)))


def _least_in_doubt(assessment: Assessment, machine: Machine) -> Bytes:
    """The same while it is in doubt whether one helps."""
    hopeful = int(min(HOPEFUL_SHARE * machine.total * machine.page_size, HOPEFUL_GAIN))
    return Bytes(max(hopeful, _shortage(assessment)))


def _anybody_grows(ranking: Ranking, machine: Machine) -> bool:
    """A balloon, or huge pages set aside, can take memory as fast as a process does."""
    return _grown(ranking) * machine.page_size >= least(machine)


def _grown(ranking: Ranking) -> Pages:
    """What those who may die have gained of late."""
    return Pages(sum(one.judged.growth for one in ranking.growing))


def _shortage(assessment: Assessment) -> Bytes:
    """How much is missing to the limit of `term`; nothing for a stall in plenty."""
    figures = assessment.figures
    if figures.group is not None:
        return Bytes(max(figures.group.used - figures.group.crossed_at, 0))
    missing = figures.available_limit - figures.available
    if figures.commit_limit and Reason.COMMIT_LIMIT in assessment.reasons:
        missing = max(missing, figures.committed - figures.commit_limit)
    return Bytes(max(missing, 0))


def _why_nobody(ranking: Ranking, is_worth_it: Callable[[Judged], bool], doubt: Doubt) -> HoldReason:
    """What stands between the guard and those whose death would help."""
    reasons = {one.why for one in ranking.spared if is_worth_it(one.judged)}
    if Spared.UNRESOLVED in reasons:
        return HoldReason.UNRESOLVED
    if not ranking.candidates or (reasons and doubt is Doubt.NONE):
        return HoldReason.ALL_PROTECTED
    match doubt:
        case Doubt.NONE:
            return HoldReason.NOTHING_TO_GAIN
        case Doubt.SPARED:
            return HoldReason.CULPRIT_SPARED
        case Doubt.ELSEWHERE | Doubt.DISAPPOINTED:
            return HoldReason.FUTILE
        case _:
            assert_never(doubt)


def spared_prevail(ranking: Ranking) -> bool:
    """Whether those who may not die hold more than those who may, or have gained more of late.

    Who was passed over is as good as dead, or hangs and gains no more; and oomguard is not what is wrong.
    """
    beside = (Spared.PASSED_OVER, Spared.SELF)
    spared = [one.judged for one in ranking.spared if one.why not in beside]
    held, growth = sum(one.process.held for one in spared), sum(one.growth for one in spared)
    return held > ranking.held or growth > _grown(ranking)


def gain(process: Process, assessment: Assessment, machine: Machine) -> Bytes:
    """The most that ending `process` can bring back.

    File pages could have been reclaimed without it; unless memory is not even low, so that what stalls
    the host is that they are, and are needed again.
    """
    memory = process.memory
    if memory is None:
        return Bytes(0)
    pages = memory.rss_anon + memory.rss_shmem + memory.swap
    if assessment.reasons == (Reason.CGROUP_STALL,) or is_thrash(assessment):
        pages += memory.rss_file
    if Reason.COMMIT_LIMIT in assessment.reasons:
        pages = max(pages, memory.private_committed)
    return Bytes(pages * machine.page_size)


def _private(process: Process) -> Pages:
    """What nobody else can hold."""
    return Pages(process.memory.rss_anon + process.memory.swap) if process.memory else Pages(0)


def _kernel_choice(ranking: Ranking) -> Judged | None:
    return ranking.killable[0] if ranking.killable else None
