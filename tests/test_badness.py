from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oomguard.badness import (
    GROWTH_WEIGHT,
    Machine,
    Term,
    adjusted,
    childrens_share,
    classic,
    culprit,
    explain_classic,
    explain_culprit,
    explain_kernel,
    kernel,
    oom_adj,
    oom_score,
)
from oomguard.process import Key, MemoryUse, Process
from oomguard.units import Pages, Pid, Points, Seconds, Ticks, Uid

SYS_RAWIO = 1 << 17
SYS_ADMIN = 1 << 21
SYS_RESOURCE = 1 << 24
HELD = ("rss_anon", "rss_file", "rss_shmem", "swap", "page_tables")
ALL_BUT_THOSE = (1 << 41) - 1 - SYS_RAWIO - SYS_ADMIN - SYS_RESOURCE

MACHINE = Machine(
    total=Pages(262_144), page_size=4096, ticks_per_second=100, uptime=Seconds(100_000.0), release=(6, 1)
)
MEMORY = MemoryUse(
    total_vm=Pages(10_000),
    rss_anon=Pages(1000),
    rss_file=Pages(200),
    rss_shmem=Pages(30),
    swap=Pages(4),
    page_tables=Pages(5),
    private_committed=Pages(2000),
)
PROCESS = Process(
    key=Key(Pid(4242), Ticks(10_000_000)),
    comm="worker",
    state="S",
    ppid=Pid(1),
    pgid=4242,
    sid=4242,
    kernel_thread=False,
    cpu_time=Ticks(0),
    nice=0,
    image=7,
    uid=Uid(1000),
    cap_effective=0,
    memory=MEMORY,
    oom_score_adj=0,
)
"""As old as the machine's uptime, so that run time divides by nothing."""


def using(memory: MemoryUse = MEMORY, /, **pages: int) -> MemoryUse:
    return replace(memory, **{field: Pages(number) for field, number in pages.items()})


def on(*release: int, total: int = 262_144) -> Machine:
    major, minor = release
    return replace(MACHINE, release=(major, minor), total=Pages(total))


@pytest.mark.parametrize(
    ("process", "machine", "points"),
    [
        pytest.param(PROCESS, MACHINE, 1239, id="all that is held"),
        pytest.param(replace(PROCESS, memory=None), MACHINE, 0, id="without memory"),
        pytest.param(replace(PROCESS, memory=None, oom_score_adj=500), MACHINE, 0, id="no memory, adj"),
        # totalpages / 1000 = 262 comes first, in integers
        pytest.param(replace(PROCESS, oom_score_adj=1), MACHINE, 1501, id="adj 1"),
        pytest.param(replace(PROCESS, oom_score_adj=1000), MACHINE, 263_239, id="adj 1000"),
        pytest.param(replace(PROCESS, oom_score_adj=-5), MACHINE, -71, id="negative"),
        pytest.param(replace(PROCESS, oom_score_adj=1000), on(6, 1, total=999), 1239, id="tiny total"),
        pytest.param(replace(PROCESS, cap_effective=SYS_ADMIN), MACHINE, 1239, id="admin pays today"),
        pytest.param(replace(PROCESS, cap_effective=SYS_ADMIN), on(4, 17), 1239, id="admin pays on 4.17"),
        # 1239 * 3 / 100 = 37
        pytest.param(replace(PROCESS, cap_effective=SYS_ADMIN), on(4, 16), 1202, id="admin's 3 % on 4.16"),
        pytest.param(replace(PROCESS, cap_effective=~SYS_ADMIN), on(4, 16), 1239, id="other caps on 4.16"),
        # the bonus is on what is held, before the adjustment
        pytest.param(
            replace(PROCESS, cap_effective=SYS_ADMIN, oom_score_adj=10), on(4, 16), 3822, id="admin, adj"
        ),
    ],
)
def test_kernel_points(process: Process, machine: Machine, points: int) -> None:
    assert kernel(process, machine) == points


@pytest.mark.parametrize(
    ("process", "machine", "score"),
    [
        # (1000 + 1239 * 1000 / 262144) * 2 / 3 = 1004 * 2 / 3
        pytest.param(PROCESS, MACHINE, 669, id="small"),
        pytest.param(replace(PROCESS, memory=using(rss_anon=131_072)), MACHINE, 1000, id="half"),
        # adj 300: 78600 + 1239 = 79839; 304; 1304 * 2 / 3
        pytest.param(replace(PROCESS, oom_score_adj=300), MACHINE, 869, id="adj 300"),
        # adj -999: -261738 + 1239 = -260499; -993.7 truncates to -993, where rounding down gives -994
        pytest.param(replace(PROCESS, oom_score_adj=-999), MACHINE, 4, id="adj -999"),
        # adj -3: 1239 - 786 = 453; 1.7
        pytest.param(replace(PROCESS, oom_score_adj=-3), MACHINE, 667, id="adj -3"),
        # adj -5: -71, -0.27 truncates to 0, where rounding down gives -1
        pytest.param(replace(PROCESS, oom_score_adj=-5), MACHINE, 666, id="below zero"),
        pytest.param(replace(PROCESS, oom_score_adj=-1000), MACHINE, 0, id="adj -1000"),
        pytest.param(replace(PROCESS, kernel_thread=True), MACHINE, 0, id="kernel thread"),
        pytest.param(replace(PROCESS, memory=None), MACHINE, 0, id="without memory"),
        pytest.param(replace(PROCESS, key=Key(Pid(1), Ticks(0))), MACHINE, 0, id="init"),
        pytest.param(PROCESS, on(5, 9), 669, id="5.9"),
        # 1239 * 1000 / 262144 = 4.7
        pytest.param(PROCESS, on(5, 8), 4, id="5.8"),
        pytest.param(replace(PROCESS, oom_score_adj=300), on(5, 8), 304, id="5.8, adj 300"),
        # at least one point: 1 * 1000 / 262144, 1 * 1000 / 900
        pytest.param(replace(PROCESS, oom_score_adj=-5), on(5, 8), 0, id="5.8, below zero"),
        pytest.param(
            replace(PROCESS, memory=using(**dict.fromkeys(HELD, 0))),
            on(5, 8, total=900),
            1,
            id="5.8, a point for nothing",
        ),
        pytest.param(replace(PROCESS, oom_score_adj=-1000), on(5, 8), 0, id="5.8, adj -1000"),
        # 1202 * 1000 / 305000 = 3.9, 1239 * 1000 / 305000 = 4.1
        pytest.param(
            replace(PROCESS, cap_effective=SYS_ADMIN), on(4, 16, total=305_000), 3, id="4.16, admin"
        ),
        pytest.param(PROCESS, on(4, 16, total=305_000), 4, id="4.16, not admin"),
    ],
)
def test_oom_score(process: Process, machine: Machine, score: int) -> None:
    assert oom_score(process, machine) == score


@pytest.mark.parametrize(
    ("process", "children", "points"),
    [
        pytest.param(PROCESS, 0, 10_000, id="total_vm, not rss"),
        pytest.param(replace(PROCESS, memory=None), 50, 0, id="without memory"),
        pytest.param(PROCESS, 501, 10_501, id="children"),
        # 1024 ticks a unit at HZ = 100: 1023 ticks are none, 4096 are 4, isqrt 2; 9 * 1024 - 1 are 8, isqrt 2
        pytest.param(replace(PROCESS, cpu_time=Ticks(1023)), 0, 10_000, id="cpu below one unit"),
        pytest.param(replace(PROCESS, cpu_time=Ticks(4095)), 0, 10_000, id="cpu 3 units"),
        pytest.param(replace(PROCESS, cpu_time=Ticks(4096)), 0, 5_000, id="cpu 4 units"),
        pytest.param(replace(PROCESS, cpu_time=Ticks(9 * 1024 - 1)), 0, 5_000, id="cpu 8 units"),
        pytest.param(replace(PROCESS, cpu_time=Ticks(9 * 1024)), 0, 3_333, id="cpu 9 units"),
        pytest.param(replace(PROCESS, cpu_time=Ticks(4096)), 1, 5_000, id="cpu divides children too"),
        # run time: 16 * 1024 s are 16, isqrt(isqrt(16)) = 2; one second less is 15, isqrt(3) = 1
        pytest.param(replace(PROCESS, key=Key(Pid(2), Ticks(8_361_600))), 0, 5_000, id="run 16384 s"),
        pytest.param(replace(PROCESS, key=Key(Pid(2), Ticks(8_361_700))), 0, 10_000, id="run 16383 s"),
        # 97 units since boot: isqrt 9, isqrt 3
        pytest.param(replace(PROCESS, key=Key(Pid(2), Ticks(0))), 0, 3_333, id="run since boot"),
        pytest.param(replace(PROCESS, key=Key(Pid(2), Ticks(99_999_999))), 0, 10_000, id="clocks race"),
        pytest.param(
            replace(PROCESS, key=Key(Pid(2), Ticks(0)), cpu_time=Ticks(9216)), 0, 1_111, id="cpu, then run"
        ),
        pytest.param(replace(PROCESS, nice=1), 0, 20_000, id="nice"),
        pytest.param(replace(PROCESS, nice=19), 0, 20_000, id="very nice"),
        pytest.param(replace(PROCESS, nice=-20), 0, 10_000, id="not nice"),
        # 10001 / 3 * 2, not 10001 * 2 / 3 = 6667
        pytest.param(replace(PROCESS, nice=1, cpu_time=Ticks(9216)), 1, 6_666, id="cpu before nice"),
        pytest.param(replace(PROCESS, cap_effective=SYS_ADMIN), 0, 2_500, id="admin"),
        pytest.param(replace(PROCESS, cap_effective=SYS_RESOURCE), 0, 2_500, id="resource"),
        pytest.param(replace(PROCESS, cap_effective=SYS_ADMIN | SYS_RESOURCE), 0, 2_500, id="both, once"),
        pytest.param(replace(PROCESS, cap_effective=SYS_RAWIO), 0, 2_500, id="raw io"),
        pytest.param(replace(PROCESS, cap_effective=-1), 0, 625, id="root"),
        pytest.param(replace(PROCESS, cap_effective=ALL_BUT_THOSE), 0, 10_000, id="other capabilities"),
        # adj 300: 5.1; adj -300: -5.1 truncates to -5, where rounding down gives -6
        pytest.param(replace(PROCESS, oom_score_adj=300), 0, 320_000, id="oom_adj 5"),
        pytest.param(replace(PROCESS, oom_score_adj=-300), 0, 312, id="oom_adj -5"),
        pytest.param(replace(PROCESS, oom_score_adj=58), 0, 10_000, id="oom_adj 0"),
        pytest.param(replace(PROCESS, oom_score_adj=-58), 0, 10_000, id="oom_adj -0"),
        pytest.param(replace(PROCESS, oom_score_adj=1000), 0, 327_680_000, id="oom_adj 15"),
        pytest.param(replace(PROCESS, oom_score_adj=-999), 1 << 20, 16, id="oom_adj -16"),
        pytest.param(replace(PROCESS, oom_score_adj=-1000), 1 << 20, 0, id="oom_adj -17"),
        pytest.param(
            replace(PROCESS, oom_score_adj=120, memory=using(total_vm=0)), 0, 4, id="nothing, then oom_adj 2"
        ),
        pytest.param(replace(PROCESS, memory=using(total_vm=0)), 0, 0, id="nothing"),
    ],
)
def test_classic_points(process: Process, children: int, points: int) -> None:
    assert classic(process, Pages(children), MACHINE) == points


@pytest.mark.parametrize(
    ("hertz", "cpu_time"),
    [  # 4 units of 2^(SHIFT_HZ + 3) ticks
        pytest.param(100, 4 << 10, id="10.24 s at 100"),
        pytest.param(250, 4 << 11, id="8.192 s at 250"),
        pytest.param(300, 4 << 11, id="6.8 s at 300"),
        pytest.param(1000, 4 << 13, id="8.192 s at 1000"),
        pytest.param(1024, 4 << 13, id="8 s at 1024"),
    ],
)
def test_classic_cpu_units_follow_the_clock(hertz: int, cpu_time: int) -> None:
    machine = replace(MACHINE, ticks_per_second=hertz, uptime=Seconds(0.0))
    enough = replace(PROCESS, cpu_time=Ticks(cpu_time))
    assert classic(enough, Pages(0), machine) == 5_000
    assert classic(replace(enough, cpu_time=Ticks(cpu_time - 1)), Pages(0), machine) == 10_000


@pytest.mark.parametrize(
    ("oom_score_adj", "expected"),
    [(-1000, -17), (-999, -16), (-59, -1), (-58, 0), (0, 0), (59, 1), (941, 15), (999, 15), (1000, 15)],
)
def test_oom_adj(oom_score_adj: int, expected: int) -> None:
    assert oom_adj(oom_score_adj) == expected


def test_explain_kernel_shows_each_term() -> None:
    steps = explain_kernel(replace(PROCESS, oom_score_adj=-10), MACHINE)
    assert [(step.term, step.points) for step in steps] == [
        (Term.RSS_ANON, 1000),
        (Term.RSS_FILE, 1200),
        (Term.RSS_SHMEM, 1230),
        (Term.SWAP, 1234),
        (Term.PAGE_TABLES, 1239),
        (Term.OOM_SCORE_ADJ, -1381),
    ]


def test_explain_kernel_shows_the_old_bonus() -> None:
    steps = explain_kernel(replace(PROCESS, oom_score_adj=1, cap_effective=SYS_ADMIN), on(4, 16))
    assert [(step.term, step.points) for step in steps[-3:]] == [
        (Term.PAGE_TABLES, 1239),
        (Term.ADMIN, 1202),
        (Term.OOM_SCORE_ADJ, 1464),
    ]


@pytest.mark.parametrize(
    ("process", "growth", "points"),
    [
        pytest.param(PROCESS, 0, 1239, id="steady"),
        pytest.param(PROCESS, 100, 1839, id="grown"),
        pytest.param(replace(PROCESS, oom_score_adj=-5), 100, 529, id="adj is the kernel's"),
        pytest.param(replace(PROCESS, memory=None), 100, 0, id="without memory"),
    ],
)
def test_culprit_points(process: Process, growth: int, points: int) -> None:
    assert culprit(process, Pages(growth), MACHINE) == points


def test_explain_culprit_adds_a_term_to_the_kernels() -> None:
    *steps, last = explain_culprit(PROCESS, Pages(100), MACHINE)
    assert tuple(steps) == explain_kernel(PROCESS, MACHINE)
    assert (last.term, last.points) == (Term.GROWTH, 1839)


def test_explain_classic_shows_each_term() -> None:
    process = replace(
        PROCESS,
        key=Key(Pid(2), Ticks(0)),
        cpu_time=Ticks(4096),
        nice=5,
        cap_effective=SYS_ADMIN | SYS_RAWIO,
        oom_score_adj=60,
    )
    steps = explain_classic(process, Pages(2000), MACHINE)
    assert [(step.term, step.points) for step in steps] == [
        (Term.TOTAL_VM, 10_000),
        (Term.CHILDREN, 12_000),
        (Term.CPU_TIME, 6_000),
        (Term.RUN_TIME, 2_000),
        (Term.NICE, 4_000),
        (Term.ADMIN, 1_000),
        (Term.RAW_IO, 250),
        (Term.OOM_ADJ, 500),
    ]


def test_nothing_to_explain_without_memory() -> None:
    ghost = replace(PROCESS, memory=None)
    assert explain_kernel(ghost, MACHINE) == explain_classic(ghost, Pages(9), MACHINE) == ()
    assert explain_culprit(ghost, Pages(9), MACHINE) == ()


def member(pid: int, ppid: int, memory: MemoryUse | None, image: int = 7) -> Process:
    return replace(PROCESS, key=Key(Pid(pid), Ticks(pid)), ppid=Pid(ppid), memory=memory, image=image)


@pytest.mark.parametrize(
    ("processes", "shares"),
    [
        pytest.param((), {}, id="nobody"),
        pytest.param((member(10, 1, MEMORY),), {}, id="parent unseen"),
        # 101 / 2 + 1 and 7 / 2 + 1, each rounded by itself
        pytest.param(
            (
                member(10, 1, MEMORY),
                member(11, 10, using(total_vm=101)),
                member(12, 10, using(total_vm=7)),
                member(13, 12, using(total_vm=1000)),
            ),
            {10: 55, 12: 501},
            id="direct children only",
        ),
        pytest.param((member(10, 1, MEMORY), member(11, 10, None)), {}, id="zombie or kernel thread"),
        pytest.param((member(10, 1, MEMORY), member(11, 10, MEMORY)), {}, id="in vfork"),
        pytest.param(
            (member(10, 1, MEMORY), member(11, 10, using(rss_file=199))), {10: 5_001}, id="forked just now"
        ),
        pytest.param(
            (member(10, 1, MEMORY), member(11, 10, MEMORY, image=8)), {10: 5_001}, id="another program"
        ),
        pytest.param((member(11, 10, MEMORY, 8), member(10, 1, None)), {10: 5_001}, id="in any order"),
    ],
)
def test_childrens_share(processes: tuple[Process, ...], shares: dict[int, int]) -> None:
    assert childrens_share(processes) == shares


@pytest.mark.parametrize(
    ("thousandths", "points"), [(0, 77), (1, 339), (-1, -185), (1000, 262_077), (-300, -78_523)]
)
def test_adjusted(thousandths: int, points: int) -> None:
    assert adjusted(Points(77), thousandths, MACHINE) == points


# The laws. Sizes reach beyond 16 TiB, times beyond a century.

pages = st.integers(0, 1 << 32).map(Pages)
ticks = st.integers(0, 1 << 40).map(Ticks)
adjustments = st.integers(-1000, 1000)
machines = st.builds(
    Machine,
    total=st.integers(1, 1 << 32).map(Pages),
    page_size=st.sampled_from((4096, 16384, 65536)),
    ticks_per_second=st.sampled_from((100, 250, 300, 1000, 1024)),
    uptime=st.floats(0, 1e10).map(Seconds),
    release=st.tuples(st.integers(2, 7), st.integers(0, 20)),
)
memories = st.builds(
    MemoryUse,
    total_vm=pages,
    rss_anon=pages,
    rss_file=pages,
    rss_shmem=pages,
    swap=pages,
    page_tables=pages,
    private_committed=pages,
)
processes = st.builds(
    Process,
    key=st.builds(Key, st.integers(2, 1 << 22).map(Pid), ticks),
    comm=st.just("worker"),
    state=st.just("S"),
    ppid=st.integers(0, 1 << 22).map(Pid),
    pgid=st.just(1),
    sid=st.just(1),
    kernel_thread=st.booleans(),
    cpu_time=ticks,
    nice=st.integers(-20, 19),
    image=st.just(7),
    uid=st.just(Uid(0)),
    cap_effective=st.integers(0, (1 << 41) - 1),
    memory=memories,
    oom_score_adj=adjustments,
)
held_figures = st.sampled_from(HELD)


@given(processes, machines, memories, held_figures, pages)
def test_growing_never_lowers_the_kernels_points(
    process: Process, machine: Machine, memory: MemoryUse, figure: str, more: Pages
) -> None:
    before = replace(process, memory=memory)
    after = replace(process, memory=using(memory, **{figure: getattr(memory, figure) + more}))
    assert kernel(before, machine) <= kernel(after, machine)
    assert oom_score(before, machine) <= oom_score(after, machine)


@given(processes, machines, held_figures, pages, pages, pages)
def test_growing_never_lowers_the_culprits_points(
    process: Process, machine: Machine, figure: str, growth: Pages, more: Pages, faster: Pages
) -> None:
    assert process.memory is not None
    grown = replace(process, memory=using(process.memory, **{figure: getattr(process.memory, figure) + more}))
    points = culprit(process, growth, machine)
    assert points <= culprit(grown, growth, machine)
    assert culprit(process, Pages(growth + faster), machine) == points + GROWTH_WEIGHT * faster
    assert culprit(process, Pages(0), machine) == kernel(process, machine) <= points


@given(processes, machines, memories, pages, pages)
def test_growing_never_lowers_the_classic_points(
    process: Process, machine: Machine, memory: MemoryUse, children: Pages, more: Pages
) -> None:
    before = replace(process, memory=memory)
    points = classic(before, children, machine)
    grown = replace(process, memory=using(memory, total_vm=memory.total_vm + more))
    assert points <= classic(grown, children, machine)
    assert points <= classic(before, Pages(children + more), machine)


@given(processes, machines, adjustments, adjustments)
def test_a_higher_oom_score_adj_never_lowers_any_points(
    process: Process, machine: Machine, first: int, second: int
) -> None:
    low, high = (replace(process, oom_score_adj=adj) for adj in sorted((first, second)))
    assert kernel(low, machine) <= kernel(high, machine)
    assert oom_score(low, machine) <= oom_score(high, machine)
    assert classic(low, Pages(0), machine) <= classic(high, Pages(0), machine)


@given(processes, machines, pages, ticks, st.floats(0, 1e9))
def test_work_and_age_never_raise_the_classic_points(
    process: Process, machine: Machine, children: Pages, work: Ticks, age: float
) -> None:
    points = classic(process, children, machine)
    worked = replace(process, cpu_time=Ticks(process.cpu_time + work))
    assert classic(worked, children, machine) <= points
    later = replace(machine, uptime=Seconds(machine.uptime + age))
    assert classic(process, children, later) <= points


@given(processes, machines, pages, st.integers(1, 19))
def test_nice_doubles_the_classic_points(
    process: Process, machine: Machine, children: Pages, nice: int
) -> None:
    plain = replace(process, nice=0, oom_score_adj=0, cap_effective=0)
    assert classic(replace(plain, nice=nice), children, machine) == 2 * classic(plain, children, machine)


@given(processes, machines, pages)
def test_an_explanation_ends_at_the_points(process: Process, machine: Machine, children: Pages) -> None:
    assert explain_kernel(process, machine)[-1].points == kernel(process, machine)
    assert explain_classic(process, children, machine)[-1].points == classic(process, children, machine)
    growth = children
    assert explain_culprit(process, growth, machine)[-1].points == culprit(process, growth, machine)


@given(processes, machines, st.lists(st.integers(0, 100), min_size=6, max_size=6))
def test_oom_score_stays_within_its_scale(process: Process, machine: Machine, shares: list[int]) -> None:
    """From 0 to 2000 for all that fits into the machine, as proc_oom_score() promises its readers."""
    *held, _ = (machine.total * share // (sum(shares) or 1) for share in shares)
    fitting = using(MEMORY, **dict(zip(HELD, held, strict=True)))
    assert 0 <= oom_score(replace(process, memory=fitting), machine) <= 2000


@given(st.integers(-(1 << 40), 1 << 40).map(Points), st.integers(-1000, 1000), machines)
def test_rules_move_points_as_oom_score_adj_does(points: Points, thousandths: int, machine: Machine) -> None:
    assert adjusted(points, 0, machine) == points
    moved = adjusted(points, thousandths, machine) - points
    as_adj = kernel(replace(PROCESS, oom_score_adj=thousandths), machine) - kernel(PROCESS, machine)
    assert moved == as_adj
