"""Everybody on the host, in the order in which they would die, or spared with the reason. Pure.

The order of death is standing (preferred, ordinary, last), then badness, then pid, highest first, as
`select_bad_process()` settles ties. It is total, so the order in which processes come in never matters.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from enum import StrEnum
from typing import assert_never

from oomguard import badness
from oomguard.badness import OOM_SCORE_ADJ_MIN, Machine, Policy
from oomguard.frozen import frozen
from oomguard.holders import swapped
from oomguard.pressure import Reason
from oomguard.process import Key, Process
from oomguard.rules import Standing, Verdict
from oomguard.units import Pages, Pid, Points

INIT = Pid(1)
EXPORTER_UNIT = "oomguard-exporter.service"

ORDER = {Standing.PREFERRED: 0, Standing.ORDINARY: 1, Standing.LAST: 2, Standing.NEVER: 3}
"""The order in which standings die; the last one never does."""
NO_GROWTH = Pages(0)


class Spared(StrEnum):
    """Why a process is not a candidate."""

    INIT = "init"
    KERNEL_THREAD = "kernel_thread"
    SELF = "self"
    NO_MEMORY = "no_memory"
    OOM_SCORE_ADJ = "oom_score_adj"
    RULE = "rule"
    UNRESOLVED = "unresolved"
    PASSED_OVER = "passed_over"
    """It was signalled and hangs, or could not be signalled."""


@frozen
class Judged:
    """A process with all that the rules and the control groups say of it."""

    process: Process
    verdict: Verdict
    cgroup: str
    unit: str | None
    growth: Pages = NO_GROWTH
    """What it has gained of late, swap included; 0 where that is not known."""
    oom_groups: tuple[str, ...] = ()
    """The control groups above it that die as one, the outermost first (memory.oom.group)."""


Score = Callable[[Judged], Points]
"""The badness of somebody under some policy."""


@frozen
class Candidate:
    """Somebody who may die, and how bad it is, the operator's adjustments included."""

    judged: Judged
    points: Points


@frozen
class SparedProcess:
    """Somebody who may not, and why."""

    judged: Judged
    why: Spared


@frozen
class Ranking:
    """Everybody: `candidates` in the order in which they would die, `spared` by pid."""

    candidates: tuple[Candidate, ...]
    spared: tuple[SparedProcess, ...]
    growing: tuple[Candidate, ...]
    """The candidates that have gained something of late, in the order of death."""
    held: Pages
    """What the candidates hold."""
    killable: tuple[Judged, ...]
    """Whom the kernel's own killer could take, in its order, whatever the rules say (`badness.kernel`)."""
    swapped: Pages
    """How much of everybody's private memory is in swap."""
    pids: Mapping[Pid, Judged]

    @property
    def everybody(self) -> Collection[Judged]:
        """All of them, whoever may die or not, in no particular order."""
        return self.pids.values()


@frozen
class Exempt:
    """Whom the guard itself leaves out: its own processes, and victims that it gave up on."""

    own: frozenset[Pid]
    passed_over: frozenset[Key]


def score(
    policy: Policy, reasons: tuple[Reason, ...], everybody: Iterable[Judged], machine: Machine
) -> Score:
    """How to rank under `policy`.

    Where only the commit limit is crossed, what a process was promised counts, not what it uses:
    ending the biggest resident set may free no commitment at all.
    """
    if is_about_promises(reasons):
        return committed
    match policy:
        case Policy.KERNEL:
            return lambda one: badness.kernel(one.process, machine)
        case Policy.CLASSIC:
            children = badness.childrens_share(tuple(one.process for one in everybody))
            none = Pages(0)
            return lambda one: badness.classic(one.process, children.get(one.process.key.pid, none), machine)
        case Policy.CULPRIT:
            return lambda one: badness.culprit(one.process, one.growth, machine)
        case _:
            assert_never(policy)


def is_about_promises(reasons: tuple[Reason, ...]) -> bool:
    """Only the commit limit is crossed."""
    return reasons == (Reason.COMMIT_LIMIT,)


def committed(judged: Judged) -> Points:
    """What somebody holds of the commit limit (mm/util.c `__vm_enough_memory()`)."""
    memory = judged.process.memory
    return Points(memory.private_committed if memory else 0)


def rank(everybody: Iterable[Judged], measure: Score, machine: Machine, exempt: Exempt) -> Ranking:
    """Everybody in the order of death, or spared with the reason."""
    pids = {one.process.key.pid: one for one in everybody}
    candidates, spared = told_apart(pids.values(), measure, machine, exempt)
    candidates.sort(key=order)
    return Ranking(
        candidates=tuple(candidates),
        spared=tuple(sorted(spared, key=by_pid)),
        growing=tuple(growing(candidates)),
        held=held(candidates),
        killable=tuple(sorted(killable(pids.values()), key=kernels_order(machine))),
        swapped=swapped(one.process for one in pids.values()),
        pids=pids,
    )


def told_apart(
    everybody: Iterable[Judged], measure: Score, machine: Machine, exempt: Exempt
) -> tuple[list[Candidate], list[SparedProcess]]:
    """Who may die, and who may not, in no particular order."""
    candidates: list[Candidate] = []
    spared: list[SparedProcess] = []
    for judged in everybody:
        why = spared_for(judged, exempt)
        if why is None:
            points = badness.adjusted(measure(judged), judged.verdict.points, machine)
            candidates.append(Candidate(judged=judged, points=points))
        else:
            spared.append(SparedProcess(judged=judged, why=why))
    return candidates, spared


def growing(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Those who have gained something of late, in the same order."""
    return [one for one in candidates if one.judged.growth]


def held(candidates: Iterable[Candidate]) -> Pages:
    """What they hold."""
    return Pages(sum(one.judged.process.held for one in candidates))


def killable(everybody: Iterable[Judged]) -> list[Judged]:
    """Whom the kernel's own killer could take."""
    return [one for one in everybody if spared_by_kernel(one.process) is None]


def order(candidate: Candidate) -> tuple[int, int, int]:
    """Of death."""
    judged = candidate.judged
    return ORDER[judged.verdict.standing], -candidate.points, -judged.process.key.pid


def by_pid(spared: SparedProcess) -> tuple[int, int]:
    """In the order of pids."""
    key = spared.judged.process.key
    return key.pid, key.starttime


def kernels_order(machine: Machine) -> Callable[[Judged], tuple[int, int]]:
    """In which the kernel's own killer would take them: of equals, the last one in the order of pids."""
    return lambda one: (-badness.kernel(one.process, machine), -one.process.key.pid)


def spared_for(judged: Judged, exempt: Exempt) -> Spared | None:
    """Why this process may not die, or None (mm/oom_kill.c `oom_unkillable_task()`, and the rules)."""
    process, verdict = judged.process, judged.verdict
    if process.key.pid in exempt.own or judged.unit == EXPORTER_UNIT:
        return Spared.SELF
    if unkillable := spared_by_kernel(process):
        return unkillable
    if verdict.standing is Standing.NEVER:
        return Spared.RULE
    if verdict.unresolved:
        return Spared.UNRESOLVED
    if process.key in exempt.passed_over:
        return Spared.PASSED_OVER
    return None


def is_gone(one: SparedProcess) -> bool:
    """Whether nothing is left to spare: it has no memory any more, or hangs, and nothing protects it.

    Protection matters even so: whose first thread has exited shows no memory either, while it goes on.
    """
    process, verdict = one.judged.process, one.judged.verdict
    return (
        one.why in {Spared.NO_MEMORY, Spared.PASSED_OVER}
        and ORDER[verdict.standing] <= ORDER[Standing.ORDINARY]
        and not verdict.unresolved
        and process.oom_score_adj != OOM_SCORE_ADJ_MIN
    )


def spared_by_kernel(process: Process) -> Spared | None:
    """Why the kernel's own killer would leave this process alone, or None."""
    if process.key.pid == INIT:
        return Spared.INIT
    if process.kernel_thread:
        return Spared.KERNEL_THREAD
    if process.memory is None:
        return Spared.NO_MEMORY
    if process.oom_score_adj == OOM_SCORE_ADJ_MIN:
        return Spared.OOM_SCORE_ADJ
    return None
