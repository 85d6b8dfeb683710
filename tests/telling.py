"""Values for the tests of telling: one of each event, with names as hostile as they come."""

from __future__ import annotations

from oomguard.badness import Policy
from oomguard.episode import Outcome, Sent
from oomguard.event import (
    Degraded,
    Ended,
    Event,
    Failed,
    Holding,
    KernelKilled,
    Killing,
    Lifecycle,
    LifecycleChanged,
    Mode,
    Person,
    PhaseChanged,
    Relieved,
    Relieving,
    Storming,
)
from oomguard.holders import Holder
from oomguard.plan import HoldReason
from oomguard.pressure import Figures, Level, Phase, Reason, StallOf
from oomguard.ranking import Spared
from oomguard.remedy import Action, Ending, Result
from oomguard.rules import Scope, Signal, Standing
from oomguard.state import State, Thresholds
from oomguard.storm import Obstacle, Response
from oomguard.units import MIB, Bytes, Pid, Points, Seconds, Ticks

HOSTILE = 'a"\nPRIORITY=0\x1b[2J\r\0\\\u2028\u202e\udcff'
"""A quote, a forged field, an escape sequence, line separators, a turned direction, invalid UTF-8."""


def figures() -> Figures:
    return Figures(
        available=Bytes(90 * MIB),
        available_limit=Bytes(100 * MIB),
        swap_free=Bytes(5 * MIB),
        swap_limit=Bytes(50 * MIB),
        stall=Seconds(2.5),
        stall_of=StallOf.BYSTANDERS,
        stall_budget=Seconds(2),
        exhausted_in=Seconds(1.5),
        backlog=Seconds(0.5),
        committed=Bytes(700 * MIB),
        commit_limit=Bytes(800 * MIB),
    )


def person(comm: str = "java", unit: str | None = "tomcat.service", rules: tuple[str, ...] = ()) -> Person:
    return Person(
        pid=Pid(1234),
        starttime=Ticks(99),
        comm=comm,
        unit=unit,
        uid=998,
        rss=Bytes(812 * MIB),
        swap=Bytes(512 * 1024),
        points=Points(4321),
        oom_score_adj=-17,
        standing=Standing.PREFERRED,
        rules=rules,
    )


def killing(
    victim: Person,
    mode: Mode = Mode.ENFORCE,
    sent: Sent = Sent.TERM,
    reasons: tuple[Reason, ...] = (Reason.LOW_MEMORY,),
    members: int = 1,
) -> Killing:
    return Killing(
        mode=mode,
        reasons=reasons,
        level=Level.TERM,
        policy=Policy.KERNEL,
        scope=Scope.CGROUP,
        sent=sent,
        victim=victim,
        members=members,
        runners_up=(victim,),
        kernel_choice=victim,
        figures=figures(),
        reaction=Seconds(0.0025),
    )


def ended(victim: Person, outcome: Outcome, freed: int = 300 * MIB) -> Ended:
    return Ended(mode=Mode.ENFORCE, outcome=outcome, victim=victim, freed=Bytes(freed), took=Seconds(0.75))


def holding(biggest: Person, why: HoldReason = HoldReason.ALL_PROTECTED) -> Holding:
    return Holding(
        reasons=(Reason.STALL,),
        level=Level.KILL,
        why=why,
        spared=((Spared.RULE, 3), (Spared.OOM_SCORE_ADJ, 2)),
        biggest=(biggest,),
        held=((Holder.SHARED_MEMORY, Bytes(640 * MIB)), (Holder.SLAB, Bytes(25 * MIB))),
        figures=figures(),
    )


def storming(
    unit: str | None = "cache.service",
    mode: Mode = Mode.ENFORCE,
    action: Response = Response.ALERT,
    obstacle: Obstacle | None = None,
    cgroup: str | None = None,
    parent: Pid | None = None,
    comm: str = "java",
) -> Storming:
    return Storming(
        mode=mode,
        action=action,
        obstacle=obstacle,
        unit=unit,
        cgroup=cgroup,
        parent=parent,
        comm=comm,
        uid=998,
        kills=3,
        within=Seconds(600),
    )


def phase_changed(after: Phase, *reasons: Reason, likely: Person | None = None) -> PhaseChanged:
    return PhaseChanged(before=Phase.CALM, after=after, reasons=reasons, likely=likely, figures=figures())


def lifecycle(what: Lifecycle, text: str = "") -> LifecycleChanged:
    return LifecycleChanged(what=what, text=text)


def relieving(
    action: Action,
    result: Result | None = Result.DONE,
    *,
    cgroup: str | None = None,
    process: Person | None = None,
    amount: int = 0,
) -> Relieving:
    return Relieving(
        mode=Mode.ENFORCE if result else Mode.DRY_RUN,
        action=action,
        result=result,
        cgroup=cgroup,
        process=process,
        signal=Signal.USR1 if action is Action.SIGNAL else None,
        amount=Bytes(amount),
        lasts=Seconds(10.0 if action in {Action.THROTTLE, Action.FREEZE} else 0.0),
        figures=figures(),
    )


def relieved(
    action: Action,
    ending: Ending,
    *,
    cgroup: str | None = None,
    process: Person | None = None,
    gained: int = 40 * MIB,
) -> Relieved:
    return Relieved(
        action=action,
        ending=ending,
        cgroup=cgroup,
        process=process,
        gained=Bytes(gained),
        stalled_before=0.42,
        stalled_after=0.1,
        took=Seconds(3.04),
    )


def one_of_each(name: str) -> tuple[Event, ...]:
    """Every kind of event, with `name` wherever somebody else has put it."""
    someone = person(comm=name, unit=name, rules=(name,))
    return (
        killing(someone),
        ended(someone, Outcome.RECOVERED),
        holding(someone),
        storming(name, obstacle=Obstacle.NO_UNIT, cgroup=name, parent=Pid(812), comm=name),
        phase_changed(Phase.ARMED, Reason.EXHAUSTION_FORECAST, likely=someone),
        relieving(Action.SIGNAL, process=someone, cgroup=name),
        relieved(Action.FREEZE, Ending.TIME, cgroup=name),
        KernelKilled(kills=2),
        lifecycle(Lifecycle.RELOAD_REFUSED, name),
        Degraded(text=name),
        Failed(text=name),
    )


def state(
    polls: int = 1, phase: Phase = Phase.CALM, mode: Mode = Mode.ENFORCE, available: int = 90 * MIB
) -> State:
    none = Bytes(0)
    return State(
        pid=Pid(1),
        started=0.0,
        mode=mode,
        phase=phase,
        level=Level.CALM,
        reasons=(),
        figures=Figures(
            available=Bytes(available),
            available_limit=Bytes(100 * MIB),
            swap_free=none,
            swap_limit=none,
            stall=Seconds(0),
            stall_of=StallOf.BYSTANDERS,
            stall_budget=Seconds(2),
            exhausted_in=Seconds(1.5),
            backlog=Seconds(0.5),
            committed=none,
            commit_limit=none,
        ),
        thresholds=Thresholds(
            available_term=none,
            available_kill=none,
            swap_term=none,
            swap_kill=none,
            commit_term=none,
            stall_window=Seconds(10),
        ),
        polls=polls,
        polled=0.0,
        polled_at=Seconds(0),
        poll_took=Seconds(0),
        pause=Seconds(1),
        worst_lateness=Seconds(0.25),
        configured=0.0,
        config_ok=True,
        psi=True,
        candidates=17,
        spared=4,
    )
