"""What to do about a crossed limit: whom to end, or why nobody. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice

from oomguard import badness
from oomguard.badness import Machine
from oomguard.episode import Finish, Outcome
from oomguard.pressure import Assessment, Reason
from oomguard.process import Process
from oomguard.ranking import Candidate, Judged, Ranking, Spared, SparedProcess, spared_by_kernel
from oomguard.rules import Scope
from oomguard.scope import reach
from oomguard.units import MIB, Bytes, Pages

RUNNERS_UP = 5
LEAST_GAIN = Bytes(MIB)
"""A death that frees less is not worth it."""
PATIENCE = 12
IN_VAIN, NOT_ENOUGH = 4, 1
"""What deaths take of the patience: three that brought nothing back, or a dozen that were not enough."""
HOPEFUL = 0.05
"""The share of memory and swap that a death must free to be worth it once the patience is gone."""


class HoldReason(StrEnum):
    """Why nobody was killed though a limit was crossed."""

    ALL_PROTECTED = "all_protected"
    """Everybody is spared, by the kernel's law or by the operator's rules."""
    UNRESOLVED = "unresolved"
    """Who is left might be protected: a name that a rule needs could not be read yet."""
    NOTHING_TO_GAIN = "nothing_to_gain"
    """Nobody left holds enough memory for a kill to help."""
    FUTILE = "futile"
    """Kills did not bring memory back: something else holds it."""


@dataclass(frozen=True, slots=True, kw_only=True)
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Kill nobody, though a limit is crossed."""

    why: HoldReason
    spared: tuple[SparedProcess, ...]
    assessment: Assessment


Plan = Kill | Hold


def decide(
    ranking: Ranking, assessment: Assessment, scope: Scope, machine: Machine, disappointment: int
) -> Plan:
    """The plan for a crossed limit: the first candidate whose death frees enough, and what dies with it.

    `disappointment`: what the deaths so far add up to (`disappointed_by`). Once that is `PATIENCE`, something
    else holds the memory, and only a victim that could end the shortage alone is worth a try.
    """
    least = LEAST_GAIN if disappointment < PATIENCE else max(LEAST_GAIN, _shortage(assessment, machine))

    def is_worth_it(judged: Judged) -> bool:
        return gain(judged.process, assessment, machine) >= least

    worthwhile = [one for one in ranking.candidates if is_worth_it(one.judged)]
    if not worthwhile:
        is_futile = disappointment >= PATIENCE and ranking.candidates
        why = HoldReason.FUTILE if is_futile else _why_nobody(ranking, is_worth_it)
        return Hold(why=why, spared=ranking.spared, assessment=assessment)
    victim = worthwhile[0]
    scope = victim.judged.verdict.scope or scope
    members, whole = reach(victim, scope, ranking)
    dying = {judged.process.key for judged in members}
    others = (one for one in worthwhile if one.judged.process.key not in dying)
    return Kill(
        victim=victim,
        scope=scope,
        members=members,
        whole_cgroup=whole,
        runners_up=tuple(islice(others, RUNNERS_UP)),
        kernel_choice=_kernel_choice(ranking, machine),
        assessment=assessment,
    )


def disappointed_by(kill: Kill, end: Finish, machine: Machine) -> int:
    """What a death takes of the patience, which comes back only once memory has been well for a while.

    Most, where less came back than half of what was certain to (memory that others share is not): even
    when no limit is crossed for the moment, as a stall is measured anew after each death.
    """
    certain = sum(_private(judged.process) for judged in kill.members) * machine.page_size
    if end.freed < certain / 2:
        return IN_VAIN
    return NOT_ENOUGH if end.outcome is Outcome.NOT_ENOUGH else 0


def _shortage(assessment: Assessment, machine: Machine) -> Bytes:
    """How much is missing to the limit of `term`; for a stall, what is sure to make a difference."""
    figures = assessment.figures
    missing = figures.available_limit - figures.available
    if figures.commit_limit and Reason.COMMIT_LIMIT in assessment.reasons:
        missing = max(missing, figures.committed - figures.commit_limit)
    return Bytes(missing) if missing > 0 else Bytes(int(HOPEFUL * machine.total * machine.page_size))


def _why_nobody(ranking: Ranking, is_worth_it: Callable[[Judged], bool]) -> HoldReason:
    """What stands between the guard and those whose death would help."""
    reasons = {one.why for one in ranking.spared if is_worth_it(one.judged)}
    if Spared.UNRESOLVED in reasons:
        return HoldReason.UNRESOLVED
    return HoldReason.ALL_PROTECTED if reasons or not ranking.candidates else HoldReason.NOTHING_TO_GAIN


def gain(process: Process, assessment: Assessment, machine: Machine) -> Bytes:
    """The most that ending `process` can bring back: file pages could have been reclaimed without it."""
    memory = process.memory
    if memory is None:
        return Bytes(0)
    pages = memory.rss_anon + memory.rss_shmem + memory.swap
    if Reason.COMMIT_LIMIT in assessment.reasons:
        pages = max(pages, memory.private_committed)
    return Bytes(pages * machine.page_size)


def _private(process: Process) -> Pages:
    """What nobody else can hold."""
    return Pages(process.memory.rss_anon + process.memory.swap) if process.memory else Pages(0)


def _kernel_choice(ranking: Ranking, machine: Machine) -> Judged | None:
    everybody = [one.judged for one in ranking.candidates]
    everybody += [one.judged for one in ranking.spared if spared_by_kernel(one.judged.process) is None]
    return max(
        everybody,
        key=lambda one: (badness.kernel(one.process, machine), one.process.key.pid),
        default=None,
    )
