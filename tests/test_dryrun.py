from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from oomguard.badness import Policy
from oomguard.census import Census
from oomguard.dryrun import DryRun
from oomguard.episode import Outcome, Sent
from oomguard.event import Ended, Holding, Killing, Mode
from oomguard.gauge import Gauge
from oomguard.hunt import Hunt
from oomguard.kill import Actor, Delivery
from oomguard.plan import Doubt, Kill, decide
from oomguard.pressure import Sample
from oomguard.process import Key
from oomguard.procfs import ProcFS
from oomguard.ranking import Judged, spared_by_kernel
from oomguard.rules import NO_RULE, Scope
from oomguard.scout import Scout
from oomguard.storm import Response, Tolerance
from oomguard.units import Pid, Seconds, Ticks
from tests.builders import (
    HEURISTIC,
    LIMITS,
    MACHINE,
    assessment,
    judged,
    memory,
    mib,
    psi,
    ranked,
    sample,
    vmstat,
)
from tests.processfolder import place

PAGE = os.sysconf("SC_PAGE_SIZE")
LARGE = 50
HOLDER = "import sys; held = bytearray(b'x') * ({} << 20); print(flush=True); sys.stdin.read()"


@contextmanager
def holding(mebibytes: int = LARGE) -> Iterator[subprocess.Popen[bytes]]:
    """A process of ours that holds memory; it ends with its input."""
    command = [sys.executable, "-c", HOLDER.format(mebibytes)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        yield child


def judge(pid: int) -> Judged:
    return judged(ProcFS().process(Pid(pid)), NO_RULE)


def kill(*pids: int) -> Kill:
    members = tuple(map(judge, pids))
    found = decide(ranked(*members), assessment(), Scope.PROCESS, MACHINE, Doubt.NONE)
    assert isinstance(found, Kill)
    return replace(found, members=members)


def haunt(pid: int) -> DryRun:
    actor = DryRun(ProcFS(), PAGE)
    actor.signal(kill(pid), Sent.TERM)
    return actor


def test_is_an_actor_that_kills_nobody() -> None:
    with holding() as child:
        actor: Actor = DryRun(ProcFS(), PAGE)
        assert (actor.mode, actor.fds, actor.pretended()) == (Mode.DRY_RUN, (), frozenset())
        plan = kill(child.pid)
        for sent in Sent:
            assert actor.signal(plan, sent) is Delivery.DELIVERED
            assert actor.left() == 0
        actor.stand_down()
        assert actor.pretended() == {plan.victim.judged.process.key}
        assert child.poll() is None


def test_without_ghosts_the_world_is_as_it_is() -> None:
    actor = DryRun(ProcFS(), PAGE)
    for at, full in enumerate((3.0, 7.0)):
        as_it_is = sample(at, memory(10), psi(full, full + 1), vmstat(allocstall=at, file=7))
        assert actor.world(as_it_is) == as_it_is


def test_the_memory_of_ghosts_counts_as_free() -> None:
    with holding() as one, holding(2 * LARGE) as other:
        actor = DryRun(ProcFS(), PAGE)
        actor.signal(kill(one.pid, other.pid), Sent.TERM)
        seen = actor.world(sample(host=memory(10, swap_total=100, swap_free=7, committed=500))).memory
        freed = (seen.available - mib(10)) / mib(1)
        assert 3 * LARGE < freed < 3 * LARGE + 40
        assert seen.committed == pytest.approx(mib(500) - (seen.available - mib(10)))
        assert seen.swap_free == mib(7)


def test_the_swap_of_ghosts_counts_as_free(tmp_path: Path) -> None:
    place(tmp_path, 10)
    status = tmp_path / "proc/10/status"
    lines = [line for line in status.read_text().splitlines() if not line.startswith("VmSwap:")]
    at = next(n for n, line in enumerate(lines) if line.startswith("VmPTE:")) + 1
    status.write_text("\n".join([*lines[:at], "VmSwap:\t   51200 kB", *lines[at:]]) + "\n")
    procfs = ProcFS(tmp_path)
    one = judged(procfs.process(Pid(10)))
    plan = decide(ranked(one), assessment(), Scope.PROCESS, MACHINE, Doubt.NONE)
    assert isinstance(plan, Kill)
    actor = DryRun(procfs, PAGE)
    actor.signal(plan, Sent.TERM)
    assert actor.world(sample(host=memory(10, swap_total=500, swap_free=7))).memory.swap_free == mib(57)
    assert actor.world(sample(host=memory(10, swap_total=40, swap_free=7))).memory.swap_free == mib(40)


def test_no_more_is_free_than_there_is() -> None:
    with holding() as child:
        seen = haunt(child.pid).world(sample(host=memory(999, committed=1))).memory
        assert (seen.available, seen.committed) == (seen.total, 0)


def test_a_ghost_that_really_exits_is_let_go() -> None:
    with holding() as child:
        actor = haunt(child.pid)
    host = memory(10)
    assert actor.world(sample(host=host)).memory == host
    assert actor.pretended() == frozenset()


def test_a_zombie_is_let_go() -> None:
    with holding() as child:
        actor = haunt(child.pid)
        child.send_signal(signal.SIGKILL)
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        host = memory(10)
        assert actor.world(sample(host=host)).memory == host
        assert actor.pretended() == frozenset()


def test_another_with_the_pid_of_a_ghost_is_none() -> None:
    with holding() as child:
        plan = kill(child.pid)
        (victim,) = plan.members
        earlier = replace(victim.process, key=Key(Pid(child.pid), Ticks(1)))
        actor = DryRun(ProcFS(), PAGE)
        actor.signal(replace(plan, members=(replace(victim, process=earlier),)), Sent.TERM)
        assert actor.pretended() == {earlier.key}
        host = memory(10)
        assert actor.world(sample(host=host)).memory == host
        assert actor.pretended() == frozenset()


def test_a_ghost_that_is_worded_oddly_is_let_go(tmp_path: Path) -> None:
    with holding() as child:
        plan = kill(child.pid)
    folder = tmp_path / f"proc/{child.pid}"
    folder.mkdir(parents=True)
    (folder / "stat").write_text("nonsense\n")
    actor = DryRun(ProcFS(tmp_path), PAGE)
    actor.signal(plan, Sent.TERM)
    host = memory(10)
    assert actor.world(sample(host=host)).memory == host


def polled(actor: DryRun, stalled: float, at: float = 0) -> Sample:
    """One more poll, with everything that tells a stall grown to `stalled`."""
    return actor.world(
        sample(at, memory(10), psi(stalled, 2 * stalled), vmstat(allocstall=int(stalled), file=9))
    )


def test_stall_stands_still_while_a_ghost_is_about() -> None:
    actor = DryRun(ProcFS(), PAGE)
    with holding() as child:
        assert polled(actor, 5).pressure == psi(5, 10)
        actor.signal(kill(child.pid), Sent.TERM)
        for stalled in (6, 9):
            seen = polled(actor, stalled)
            assert seen.pressure == psi(5, 10)
            assert seen.vmstat == vmstat(allocstall=5, file=9)
    # From the exit on it grows again, by what comes from then on.
    grown = [polled(actor, stalled) for stalled in (10, 12)]
    assert [one.pressure for one in grown] == [psi(6, 12), psi(8, 16)]
    assert [one.vmstat.allocstall for one in grown] == [6, 8]


def test_without_psi_there_is_none() -> None:
    with holding() as child:
        assert haunt(child.pid).world(sample(pressure=None)).pressure is None


class OnlyThese(ProcFS):
    """The host, as far as it is ours."""

    def __init__(self, *pids: int) -> None:
        super().__init__()
        self._pids = sorted(map(Pid, pids))

    def pids(self) -> list[Pid]:
        return self._pids


def test_each_would_be_kill_is_reported_once() -> None:
    """Memory is low for good; nobody really dies, and both are reported, the larger one first."""
    with holding() as small, holding(2 * LARGE) as large:
        procfs = OnlyThese(small.pid, large.pid)
        actor = DryRun(procfs, PAGE)
        scout = Scout(
            policy=Policy.KERNEL,
            scope=Scope.PROCESS,
            census=Census(procfs, (), None),
            machine=procfs.machine(),
            own=frozenset,
        )
        hunt = Hunt(
            scout=scout,
            actor=actor,
            grace=Seconds(10.0),
            storm=Tolerance(kills=3, within=Seconds(600.0), action=Response.ALERT),
            machine=procfs.machine(),
            holdings=procfs.holdings,
        )
        gauge = Gauge(LIMITS, HEURISTIC, PAGE)
        for poll in range(40):
            # What the ghosts hold is not enough to be out of the woods.
            seen = actor.world(sample(1000 + poll / 10, memory(0, committed=0)))
            seen = sample(seen.at, memory(min(seen.memory.available / mib(1) / 10, 60)))
            found = gauge.read(seen, hunt.kill_takes)
            if hunt.in_flight:
                hunt.follow(seen, found)
            elif found.reasons:
                hunt.act(seen, found, lambda now=(seen, found): now)  # type: ignore[misc]  # bound now
        killings = [one for one in hunt.events if isinstance(one, Killing)]
        ends = [one for one in hunt.events if isinstance(one, Ended)]
        assert [one.victim.pid for one in killings] == [large.pid, small.pid]
        assert [one.victim.pid for one in ends] == [large.pid, small.pid]
        assert {one.mode for one in killings} | {one.mode for one in ends} == {Mode.DRY_RUN}
        assert {one.outcome for one in ends} == {Outcome.NOT_ENOUGH}
        assert len([one for one in hunt.events if isinstance(one, Holding)]) == 1
        assert [child.poll() for child in (small, large)] == [None, None]
        assert not any(spared_by_kernel(judge(child.pid).process) for child in (small, large))


def test_the_memory_of_ghosts_in_a_control_group() -> None:
    with holding() as child:
        actor = DryRun(ProcFS(), PAGE)
        plan = kill(child.pid)
        actor.signal(replace(plan, members=(replace(plan.members[0], cgroup="/pens/a"),)), Sent.TERM)
        assert mib(LARGE) < actor.pretended_in("/pens") < mib(LARGE + 40)
        assert actor.pretended_in("/pens/a") == actor.pretended_in("/")
        assert actor.pretended_in("/pens/b") == 0
    assert actor.pretended_in("/pens") == 0
    assert actor.pretended() == frozenset()
