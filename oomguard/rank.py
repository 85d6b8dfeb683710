"""`oomguard rank`: who would die, in which order, and how each score comes about."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import assert_never

from oomguard import badness
from oomguard.badness import Machine, Policy, Step, Term
from oomguard.census import Census, resolver_for
from oomguard.config import Config
from oomguard.errors import Gone, OomguardError, RecordError
from oomguard.family import worst_family_first
from oomguard.frozen import frozen, positional
from oomguard.names import printable
from oomguard.process import Key
from oomguard.procfs import ProcFS
from oomguard.ranking import Exempt, Judged, Score, Spared, rank, score, spared_for
from oomguard.reader import Reader
from oomguard.rules import Scope, Standing
from oomguard.state import current
from oomguard.units import Bytes, Pages, Pid, Points, Seconds, Ticks

PATIENCE = Seconds(2.0)
"""How long slow names are waited for: a rule that still lacks one then spares whoever it may protect."""
BETWEEN_LOOKS = Seconds(2.0)
"""What lies between two looks at everybody, where it matters who grows."""


@frozen
class Host:
    """Everybody on the host at one time, and what it takes to rank them."""

    everybody: tuple[Judged, ...]
    machine: Machine
    exempt: Exempt
    scope: Scope
    """Who dies with a victim, unless a rule says otherwise: with families, the worst of these comes first."""
    oom_scores: Mapping[Key, int | None]
    """/proc/PID/oom_score; None for those that were not there any more to tell it."""


@frozen
class Entry:
    """One process as people see it, its name made printable."""

    pid: Pid
    starttime: Ticks
    comm: str
    rss: Bytes
    swap: Bytes
    growth: Bytes | None
    """What it has gained of late (`Judged.growth`); None under a policy that asks for one look only."""
    points: Points
    """Its badness, the operator's adjustments included."""
    oom_score_computed: int
    oom_score_kernel: int | None
    effect: Standing
    rules: tuple[str, ...]


@positional
class SparedEntry:
    """One process that may not die, and why."""

    entry: Entry
    why: Spared


@frozen
class View:
    """Everybody: `candidates` in the order in which they would die, `spared` with the biggest first."""

    policy: Policy
    candidates: tuple[Entry, ...]
    spared: tuple[SparedEntry, ...]


@frozen
class Explanation:
    """How the badness of one process comes about, term by term."""

    policy: Policy
    entry: Entry
    why: Spared | None
    """Why it may not die, or None."""
    steps: tuple[Step, ...]
    """Empty without memory."""


def survey(config: Config, policy: Policy, procfs: ProcFS) -> Host:
    """The host now, judged by the rules of `config`; whoever ends meanwhile is left out or has no score.

    For the policy "culprit" it looks twice, `BETWEEN_LOOKS` apart, to know who grows.
    """
    census = Census(procfs, config.rules, resolver_for(config.rules, procfs))
    census.settle(PATIENCE)
    everybody = census.take()
    if policy is Policy.CULPRIT:
        time.sleep(BETWEEN_LOOKS)
        everybody = census.take()
    scores = {one.process.key: _oom_score(procfs, one.process.key.pid) for one in everybody}
    return Host(
        everybody=everybody,
        machine=procfs.machine(),
        exempt=Exempt(own=_own(config.record), passed_over=frozenset()),
        scope=config.scope,
        oom_scores=scores,
    )


def _oom_score(procfs: ProcFS, pid: Pid) -> int | None:
    try:
        return procfs.oom_score(pid)
    except Gone:
        return None


def _own(record: str) -> frozenset[Pid]:
    """This process, and the guard that keeps the record, if one runs."""
    this = Pid(os.getpid())
    try:
        with Reader.open(record) as reader:
            state = current(reader.state(), Seconds(time.monotonic()))
    except RecordError:
        return frozenset((this,))
    return frozenset((this, state.pid))


def view(host: Host, policy: Policy, limit: int | None) -> View:
    """Who would die under `policy`, the first `limit` of them or all, and who is spared."""
    measure = _measure(host, policy)
    ranking = rank(host.everybody, measure, host.machine, host.exempt)
    if host.scope is Scope.FAMILY:
        ranking = worst_family_first(ranking)
    spared = [SparedEntry(_entry(one.judged, host, policy, measure), one.why) for one in ranking.spared]
    return View(
        policy=policy,
        candidates=tuple(_entry(one.judged, host, policy, measure) for one in ranking.candidates[:limit]),
        spared=tuple(sorted(spared, key=lambda one: (-one.entry.rss - one.entry.swap, one.entry.pid))),
    )


def explanation(host: Host, policy: Policy, pid: Pid) -> Explanation:
    """The badness of `pid` taken apart; raises `OomguardError` where there is no such process."""
    judged = next((one for one in host.everybody if one.process.key.pid == pid), None)
    if judged is None:
        raise OomguardError(f"pid {pid}: no such process")
    return Explanation(
        policy=policy,
        entry=_entry(judged, host, policy, _measure(host, policy)),
        why=spared_for(judged, host.exempt),
        steps=tuple(_steps(judged, host, policy)),
    )


def _measure(host: Host, policy: Policy) -> Score:
    return score(policy, (), host.everybody, host.machine)


def _entry(judged: Judged, host: Host, policy: Policy, measure: Score) -> Entry:
    process, verdict = judged.process, judged.verdict
    rss, swap = (process.memory.rss, process.memory.swap) if process.memory else (0, 0)
    growth = Bytes(judged.growth * host.machine.page_size) if policy is Policy.CULPRIT else None
    return Entry(
        pid=process.key.pid,
        starttime=process.key.starttime,
        comm=printable(process.comm),
        rss=Bytes(rss * host.machine.page_size),
        swap=Bytes(swap * host.machine.page_size),
        growth=growth,
        points=badness.adjusted(measure(judged), verdict.points, host.machine),
        oom_score_computed=badness.oom_score(process, host.machine),
        oom_score_kernel=host.oom_scores[process.key],
        effect=verdict.standing,
        rules=verdict.rules,
    )


def _steps(judged: Judged, host: Host, policy: Policy) -> tuple[Step, ...]:
    """The terms of `policy`, and what the rules add; empty without memory."""
    process, moved = judged.process, judged.verdict.points
    match policy:
        case Policy.KERNEL:
            steps = badness.explain_kernel(process, host.machine)
        case Policy.CLASSIC:
            shares = badness.childrens_share(tuple(one.process for one in host.everybody))
            children = shares.get(process.key.pid, Pages(0))
            steps = badness.explain_classic(process, children, host.machine)
        case Policy.CULPRIT:
            steps = badness.explain_culprit(process, judged.growth, host.machine)
        case _:
            assert_never(policy)
    if not steps or not moved:
        return steps
    return (*steps, Step(Term.RULES, badness.adjusted(steps[-1].points, moved, host.machine)))
