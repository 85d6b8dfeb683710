"""Small values for the tests of what decides: each builder says only what a test is about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from hypothesis import strategies as st

from oomguard.badness import Machine, kernel
from oomguard.meminfo import Holdings, Memory, Overcommit
from oomguard.pressure import Assessment, Figures, GroupFigures, Level, Limit, Limits, Reason, Sample, StallOf
from oomguard.privilege import Privileges
from oomguard.process import Key, MemoryUse, Process
from oomguard.psi import Pressure
from oomguard.ranking import Exempt, Judged, Ranking, rank
from oomguard.rules import NO_RULE, Scope, Standing, Verdict
from oomguard.units import MIB, Bytes, Pages, Percent, Pid, Seconds, Ticks, Uid
from oomguard.vmstat import VmStat

PAGE = 4096
TOTAL = Bytes(1000 * MIB)
"""Of memory; of swap there is none unless a test gives some."""
MACHINE = Machine(
    total=Pages(TOTAL // PAGE), page_size=PAGE, ticks_per_second=100, uptime=Seconds(1000.0), release=(6, 1)
)
NOBODY = Exempt(own=frozenset(), passed_over=frozenset())
LIMITS = Limits(
    available=Limit(term=Percent(10.0), kill=Percent(5.0)),
    swap_free=Limit(term=Percent(10.0), kill=Percent(5.0)),
    stall_budget=Seconds(2.0),
    stall_window=Seconds(10.0),
    stall_of=StallOf.ANYONE,
    commit=Percent(90.0),
)
HEURISTIC = Overcommit(mode=0, admin_reserve=Bytes(8 * MIB), user_reserve=Bytes(92 * MIB))
NEVER = replace(HEURISTIC, mode=2)


NO_PRIVILEGES = Privileges(
    uid=1000,
    effective=0,
    no_new_privileges=False,
    filtered=False,
    locked=Bytes(0),
    oom_score_adj=0,
    real_time=False,
    nice=0,
    lockable=Bytes(4096),
)


def mib(number: float) -> Bytes:
    return Bytes(int(number * MIB))


def pages(number: float) -> Pages:
    """So many MiB in pages."""
    return Pages(int(number * MIB) // PAGE)


def using(
    anon: float = 0, *, file: float = 0, shmem: float = 0, swap: float = 0, committed: float | None = None
) -> MemoryUse:
    """What a process holds, in MiB; it has committed to no more than it uses unless said."""
    return MemoryUse(
        total_vm=pages(anon + file + shmem + swap),
        rss_anon=pages(anon),
        rss_file=pages(file),
        rss_shmem=pages(shmem),
        swap=pages(swap),
        page_tables=Pages(0),
        private_committed=pages(anon if committed is None else committed),
    )


def process(
    pid: int,
    anon: float = 10,
    *,
    memory: MemoryUse | None = None,
    ppid: int = 1,
    pgid: int | None = None,
    sid: int | None = None,
    kernel_thread: bool = False,
    adj: int = 0,
) -> Process:
    return Process(
        key=Key(Pid(pid), Ticks(pid * 10)),
        comm="worker",
        state="S",
        ppid=Pid(ppid),
        pgid=pid if pgid is None else pgid,
        sid=pid if sid is None else sid,
        kernel_thread=kernel_thread,
        cpu_time=Ticks(0),
        nice=0,
        image=7,
        uid=Uid(1000),
        cap_effective=0,
        memory=memory or using(anon),
        oom_score_adj=adj,
    )


def verdict(
    standing: Standing = Standing.ORDINARY,
    *,
    points: int = 0,
    scope: Scope | None = None,
    unresolved: bool = False,
) -> Verdict:
    return replace(NO_RULE, standing=standing, points=points, scope=scope, unresolved=unresolved)


def judged(
    one: Process,
    said: Verdict = NO_RULE,
    *,
    cgroup: str = "/user.slice",
    unit: str | None = None,
    growth: float = 0,
) -> Judged:
    """It has gained `growth` MiB."""
    return Judged(process=one, verdict=said, cgroup=cgroup, unit=unit, growth=pages(growth))


def ranked(*everybody: Judged, exempt: Exempt = NOBODY, machine: Machine = MACHINE) -> Ranking:
    """By the kernel's badness."""
    return rank(everybody, lambda one: kernel(one.process, machine), machine, exempt)


def memory(
    available: float = 900,
    *,
    swap_total: float = 0,
    swap_free: float = 0,
    committed: float = 0,
    commit_limit: float = 500,
) -> Memory:
    """In MiB, of a total of 1000."""
    nothing = Bytes(0)
    return Memory(
        total=TOTAL,
        free=mib(available),
        available=mib(available),
        swap_total=mib(swap_total),
        swap_free=mib(swap_free),
        active_file=nothing,
        inactive_file=nothing,
        shmem=nothing,
        slab_unreclaimable=nothing,
        commit_limit=mib(commit_limit),
        committed=mib(committed),
        hugetlb=nothing,
    )


def holdings(*, anon: float = 600, shmem: float = 0) -> Holdings:
    """In MiB, of a total of 1000, without swap."""
    nothing = Bytes(0)
    return Holdings(
        total=TOTAL,
        free=Bytes(TOTAL - mib(anon) - mib(shmem)),
        reclaimable=nothing,
        swap_used=nothing,
        anon=mib(anon),
        zswap=nothing,
        shmem=mib(shmem),
        locked_files=nothing,
        slab_unreclaimable=nothing,
        hugetlb=nothing,
        kernel_stacks=nothing,
        page_tables=nothing,
        percpu=nothing,
        sockets=nothing,
    )


def vmstat(
    *,
    allocstall: int = 0,
    kswapd: int = 0,
    direct: int = 0,
    file: int = 0,
    anon: int = 0,
    swapped_out: int = 0,
    writeback: int = 0,
    zspages: int = 0,
) -> VmStat:
    return VmStat(
        allocstall=allocstall,
        pgscan_kswapd=kswapd,
        pgscan_direct=direct,
        pgsteal_direct=0,
        refault_file=file,
        refault_anon=anon,
        pgmajfault=0,
        pswpin=0,
        pswpout=swapped_out,
        oom_kill=0,
        writeback=writeback,
        zspages=zspages,
    )


def psi(full: float, some: float | None = None) -> Pressure:
    return Pressure(some=Seconds(full if some is None else some), full=Seconds(full))


def sample(
    at: float = 100,
    host: Memory | None = None,
    pressure: Pressure | None = None,
    stats: VmStat | None = None,
    stalls: Mapping[str, float] | None = None,
    swap_cost: float = 0.0,
) -> Sample:
    return Sample(
        at=Seconds(at),
        memory=host or memory(),
        pressure=pressure,
        vmstat=stats or vmstat(),
        stalls={group: Seconds(total) for group, total in (stalls or {}).items()},
        swap_cost=swap_cost,
    )


def assessment(
    *reasons: Reason,
    level: Level = Level.TERM,
    available: float = 90,
    limit: float = 100,
    committed: float = 0,
    commit_limit: float = 0,
) -> Assessment:
    """Of a host where memory is low, unless said; figures in MiB."""
    return Assessment(
        level=level,
        reasons=reasons or (Reason.LOW_MEMORY,),
        headroom=0.5,
        figures=Figures(
            available=mib(available),
            available_limit=mib(limit),
            swap_free=Bytes(0),
            swap_limit=Bytes(0),
            stall=Seconds(0.0),
            stall_of=StallOf.ANYONE,
            stall_budget=Seconds(2.0),
            exhausted_in=None,
            backlog=Seconds(0.0),
            committed=mib(committed),
            commit_limit=mib(commit_limit),
        ),
    )


def enclosed(
    path: str, *reasons: Reason, used: float = 95, limit: float = 100, level: Level = Level.TERM
) -> Assessment:
    """Of a control group that may hold `limit` MiB, of a host that has plenty; 90 % is crossed."""
    host = assessment(*reasons or (Reason.CGROUP_LIMIT,), level=level, available=900)
    group = GroupFigures(
        entry="pens",
        path=path,
        used=mib(used),
        limit=mib(limit),
        crossed_at=mib(0.9 * limit),
        swap_used=Bytes(0),
        swap_limit=Bytes(0),
        stall=Seconds(1.5),
        stall_budget=Seconds(1.0),
    )
    return replace(host, figures=replace(host.figures, group=group))


STANDINGS = st.sampled_from(Standing)
GROUPS = st.sampled_from([0, 1, 10, 20])
PATHS = st.sampled_from(
    ["/", "/a.service", "/a.service/x", "/b", "/b/c.scope", "/u.slice/u.service/d.service", "/.."]
)


@st.composite
def crowds(draw: st.DrawFn) -> tuple[Judged, ...]:
    """Everybody on some host, in no particular order; pid 1 among them now and then."""
    pids = draw(st.lists(st.integers(1, 30), min_size=1, max_size=12, unique=True))
    return tuple(draw(_somebody(pid)) for pid in pids)


@st.composite
def _somebody(draw: st.DrawFn, pid: int) -> Judged:
    held = using(
        draw(st.integers(0, 3)),
        file=draw(st.integers(0, 1)),
        shmem=draw(st.integers(0, 1)),
        committed=draw(st.integers(0, 9)),
    )
    one = process(
        pid,
        memory=held,
        ppid=draw(st.integers(0, 12)),
        pgid=draw(GROUPS),
        sid=draw(GROUPS),
        kernel_thread=draw(st.sampled_from([False, False, False, True])),
        adj=draw(st.sampled_from([0, 0, 0, 5, -5, -1000])),
    )
    said = verdict(
        draw(STANDINGS),
        points=draw(st.sampled_from([0, 0, 3, -3])),
        scope=draw(st.sampled_from([None, *Scope])),
        unresolved=draw(st.sampled_from([False, False, True])),
    )
    return judged(
        one if draw(st.integers(0, 9)) else replace(one, memory=None),
        said,
        cgroup=draw(PATHS),
        unit=draw(st.sampled_from([None, "a.service"])),
        growth=draw(st.integers(0, 3)),
    )
