"""What to do about a crossed limit: whom to end, or why nobody. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from oomguard import badness
from oomguard.badness import Machine
from oomguard.pressure import Assessment, Reason
from oomguard.process import Process
from oomguard.ranking import Candidate, Judged, Ranking, Spared, SparedProcess, spared_by_kernel
from oomguard.rules import Scope
from oomguard.scope import reach
from oomguard.units import MIB, Bytes, Pages

RUNNERS_UP = 5
LEAST_GAIN = Bytes(MIB)
"""A death that frees less is not worth it."""
PATIENCE = 3
"""Deaths in vain before the guard stops to kill on."""


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


def decide(ranking: Ranking, assessment: Assessment, scope: Scope, machine: Machine, in_vain: int) -> Plan:
    """The plan for a crossed limit: the first candidate whose death frees enough, and what dies with it.

    `in_vain`: how many deaths in a row did not bring back what they should have. After `PATIENCE` of them
    something else holds the memory, and only a victim that could end the shortage alone is worth a try.
    """
    least = LEAST_GAIN if in_vain < PATIENCE else max(LEAST_GAIN, _shortage(assessment))
    worthwhile = [one for one in ranking.candidates if gain(one.judged.process, assessment, machine) >= least]
    if not worthwhile:
        why = HoldReason.FUTILE if ranking.candidates and in_vain >= PATIENCE else _why_nobody(ranking)
        return Hold(why=why, spared=ranking.spared, assessment=assessment)
    victim = worthwhile[0]
    scope = victim.judged.verdict.scope or scope
    members, whole = reach(victim, scope, ranking)
    return Kill(
        victim=victim,
        scope=scope,
        members=members,
        whole_cgroup=whole,
        runners_up=tuple(worthwhile[1 : RUNNERS_UP + 1]),
        kernel_choice=_kernel_choice(ranking, machine),
        assessment=assessment,
    )


def was_in_vain(kill: Kill, freed: Bytes, machine: Machine) -> bool:
    """The death brought back less than half of what its members held; promises are not among it."""
    held = sum(_reclaimed_by_death(judged.process) for judged in kill.members) * machine.page_size
    return freed < held / 2


def _shortage(assessment: Assessment) -> Bytes:
    """How much is missing to the limit of `term`."""
    figures = assessment.figures
    missing = figures.available_limit - figures.available
    if figures.commit_limit and Reason.COMMIT_LIMIT in assessment.reasons:
        missing = max(missing, figures.committed - figures.commit_limit)
    return Bytes(max(missing, 0))


def _why_nobody(ranking: Ranking) -> HoldReason:
    if ranking.candidates:
        return HoldReason.NOTHING_TO_GAIN
    if any(one.why is Spared.UNRESOLVED for one in ranking.spared):
        return HoldReason.UNRESOLVED
    return HoldReason.ALL_PROTECTED


def gain(process: Process, assessment: Assessment, machine: Machine) -> Bytes:
    """The most that ending `process` can bring back: file pages could have been reclaimed without it."""
    pages = _reclaimed_by_death(process)
    if process.memory and Reason.COMMIT_LIMIT in assessment.reasons:
        pages = max(pages, process.memory.private_committed)
    return Bytes(pages * machine.page_size)


def _reclaimed_by_death(process: Process) -> Pages:
    memory = process.memory
    return Pages(memory.rss_anon + memory.rss_shmem + memory.swap) if memory else Pages(0)


def _kernel_choice(ranking: Ranking, machine: Machine) -> Judged | None:
    everybody = [one.judged for one in ranking.candidates]
    everybody += [one.judged for one in ranking.spared if spared_by_kernel(one.judged.process) is None]
    return max(
        everybody,
        key=lambda one: (badness.kernel(one.process, machine), one.process.key.pid),
        default=None,
    )
