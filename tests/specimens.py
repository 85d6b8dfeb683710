"""One of each value that is published, for the tests of what publishes and shows them."""

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
from oomguard.meminfo import Memory
from oomguard.plan import HoldReason
from oomguard.pressure import Figures, Level, Phase, Reason, Sample, StallOf
from oomguard.psi import Pressure
from oomguard.ranking import Spared
from oomguard.remedy import Action, Ending, Result
from oomguard.rules import Scope, Standing
from oomguard.state import State, Thresholds, Watched
from oomguard.storm import Obstacle, Response
from oomguard.units import MIB, Bytes, Pid, Points, Seconds, Ticks
from oomguard.vmstat import VmStat

HOSTILE = 'x"\n\x1b[2J\udcff# HELP evil'

FIGURES = Figures(
    available=Bytes(300 * MIB),
    available_limit=Bytes(400 * MIB),
    swap_free=Bytes(10 * MIB),
    swap_limit=Bytes(50 * MIB),
    stall=Seconds(0.25),
    stall_of=StallOf.BYSTANDERS,
    stall_budget=Seconds(2.0),
    exhausted_in=Seconds(1.5),
    backlog=Seconds(0.5),
    committed=Bytes(3000 * MIB),
    commit_limit=Bytes(4000 * MIB),
)
STATE = State(
    pid=Pid(4711),
    started=1_700_000_000.5,
    mode=Mode.DRY_RUN,
    phase=Phase.ARMED,
    level=Level.TERM,
    reasons=(Reason.LOW_MEMORY, Reason.COMMIT_LIMIT),
    figures=FIGURES,
    thresholds=Thresholds(
        available_term=Bytes(400 * MIB),
        available_kill=Bytes(200 * MIB),
        swap_term=Bytes(50 * MIB),
        swap_kill=Bytes(25 * MIB),
        commit_term=Bytes(3800 * MIB),
        stall_window=Seconds(10.0),
    ),
    polls=12,
    polled=1_700_000_100.25,
    polled_at=Seconds(1000.0),
    poll_took=Seconds(0.000125),
    pause=Seconds(1.5),
    worst_lateness=Seconds(0.25),
    configured=1_700_000_001.0,
    config_ok=False,
    psi=True,
    candidates=31,
    spared=7,
    watched=(Watched(entry="pens", groups=3, crossed=1), Watched(entry="fold", groups=0, crossed=0)),
)
SAMPLE = Sample(
    at=Seconds(1000.0),
    memory=Memory(
        total=Bytes(1),
        free=Bytes(2),
        available=Bytes(3),
        swap_total=Bytes(4),
        swap_free=Bytes(5),
        active_file=Bytes(6),
        inactive_file=Bytes(7),
        shmem=Bytes(8),
        slab_unreclaimable=Bytes(9),
        commit_limit=Bytes(10),
        committed=Bytes(11),
        hugetlb=Bytes(12),
    ),
    pressure=Pressure(some=Seconds(20.5), full=Seconds(10.25)),
    vmstat=VmStat(
        allocstall=21,
        pgscan_kswapd=22,
        pgscan_direct=23,
        pgsteal_direct=24,
        refault_file=25,
        refault_anon=26,
        pgmajfault=27,
        pswpin=28,
        pswpout=29,
        oom_kill=30,
        writeback=31,
        zspages=32,
    ),
)
VICTIM = Person(
    pid=Pid(99),
    starttime=Ticks(12345),
    comm=HOSTILE,
    unit="evil\n.service",
    uid=1000,
    rss=Bytes(900 * MIB),
    swap=Bytes(MIB),
    points=Points(-5),
    oom_score_adj=-300,
    standing=Standing.PREFERRED,
    rules=("hog", "batch"),
)
KILLING = Killing(
    mode=Mode.ENFORCE,
    reasons=(Reason.STALL, Reason.LOW_MEMORY),
    level=Level.TERM,
    policy=Policy.KERNEL,
    scope=Scope.TREE,
    sent=Sent.TERM,
    victim=VICTIM,
    members=3,
    runners_up=(VICTIM, VICTIM),
    kernel_choice=None,
    figures=FIGURES,
    reaction=Seconds(0.003),
)
ENDED = Ended(
    mode=Mode.ENFORCE,
    outcome=Outcome.RECOVERED,
    victim=VICTIM,
    freed=Bytes(800 * MIB),
    took=Seconds(0.2),
)
HOLDING = Holding(
    reasons=(Reason.LOW_MEMORY,),
    level=Level.KILL,
    why=HoldReason.ALL_PROTECTED,
    spared=((Spared.RULE, 4), (Spared.INIT, 1)),
    biggest=(VICTIM,),
    held=((Holder.SHARED_MEMORY, Bytes(640 * MIB)), (Holder.SLAB, Bytes(25 * MIB))),
    figures=FIGURES,
)
ACTING = PhaseChanged(
    before=Phase.ARMED, after=Phase.ACTING, reasons=(Reason.STALL,), likely=VICTIM, figures=FIGURES
)
STORMING = Storming(
    mode=Mode.ENFORCE,
    action=Response.ALERT,
    obstacle=Obstacle.PROTECTED,
    unit="cache.service",
    cgroup=None,
    parent=Pid(812),
    comm=HOSTILE,
    uid=1000,
    kills=3,
    within=Seconds(600.0),
)
RELIEVING = Relieving(
    mode=Mode.ENFORCE,
    action=Action.RECLAIM,
    result=Result.PARTLY,
    cgroup=f"/user.slice/{HOSTILE}",
    process=None,
    signal=None,
    amount=Bytes(40 * MIB),
    lasts=Seconds(0.0),
    figures=FIGURES,
)
RELIEVED = Relieved(
    action=Action.SIGNAL,
    ending=Ending.MEASURED,
    cgroup=None,
    process=VICTIM,
    gained=Bytes(30 * MIB),
    stalled_before=0.25,
    stalled_after=0.125,
    took=Seconds(3.0),
)
EVENTS: tuple[Event, ...] = (
    KILLING,
    ENDED,
    HOLDING,
    STORMING,
    RELIEVING,
    RELIEVED,
    ACTING,
    KernelKilled(kills=2),
    LifecycleChanged(what=Lifecycle.RELOAD_REFUSED, text="no"),
    Degraded(text="no PSI"),
    Failed(text="ValueError: no"),
)
