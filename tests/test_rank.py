from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from oomguard import rank
from oomguard.badness import Machine, Policy, Term
from oomguard.config import DEFAULTS
from oomguard.errors import OomguardError
from oomguard.event import Mode
from oomguard.pressure import Figures, Level, Phase, StallOf
from oomguard.process import Key, MemoryUse, Process
from oomguard.procfs import ProcFS
from oomguard.rank import Host, explanation, survey, view
from oomguard.ranking import INIT, Exempt, Judged, Spared
from oomguard.record import Writer
from oomguard.rules import NO_RULE, Effect, Field, Rule, Scope, Standing, Verdict, pattern
from oomguard.state import State, Thresholds
from oomguard.units import Bytes, Pages, Pid, Seconds, Ticks, Uid

MACHINE = Machine(
    total=Pages(262_144), page_size=4096, ticks_per_second=100, uptime=Seconds(1000.0), release=(6, 1)
)
NOBODY = Exempt(own=frozenset(), passed_over=frozenset())


def process(
    pid: int, *, rss: int = 0, swap: int = 0, adj: int = 0, ppid: int = 1, comm: str = "worker"
) -> Process:
    memory = MemoryUse(
        total_vm=Pages(2 * rss),
        rss_anon=Pages(rss),
        rss_file=Pages(0),
        rss_shmem=Pages(0),
        swap=Pages(swap),
        page_tables=Pages(0),
        private_committed=Pages(rss),
    )
    return Process(
        key=Key(Pid(pid), Ticks(pid * 10)),
        comm=comm,
        state="S",
        ppid=Pid(ppid),
        pgid=pid,
        sid=pid,
        kernel_thread=False,
        cpu_time=Ticks(0),
        nice=0,
        image=pid,
        uid=Uid(0),
        cap_effective=0,
        memory=memory if rss or swap else None,
        oom_score_adj=adj,
    )


def judged(one: Process, verdict: Verdict = NO_RULE, *, growth: int = 0) -> Judged:
    return Judged(process=one, verdict=verdict, cgroup="/", unit=None, growth=Pages(growth))


def ruled(standing: Standing, points: int = 0) -> Verdict:
    return replace(NO_RULE, standing=standing, points=points, rules=("a-rule",))


def host(*everybody: Judged, scores: dict[int, int | None] | None = None) -> Host:
    told = scores or {}
    return Host(
        everybody=everybody,
        machine=MACHINE,
        exempt=NOBODY,
        scope=Scope.FAMILY,
        oom_scores={one.process.key: told.get(one.process.key.pid) for one in everybody},
    )


CROWD = host(
    judged(process(1, rss=900)),
    judged(process(2)),
    judged(process(10, rss=300, swap=5)),
    judged(process(11, rss=400, adj=-1000)),
    judged(process(12, rss=500), ruled(Standing.NEVER)),
    judged(process(13, rss=100), ruled(Standing.PREFERRED)),
    judged(process(14, rss=9000), ruled(Standing.LAST)),
    judged(process(15, rss=200, ppid=10), ruled(Standing.ORDINARY, points=1), growth=50),
    scores={10: 667},
)


def test_candidates_come_in_the_order_of_death() -> None:
    shown = view(CROWD, Policy.KERNEL, None)
    # 15 has 200 pages, and one thousandth of 262144 by its rule.
    assert [(one.pid, one.points) for one in shown.candidates] == [
        (13, 100),
        (15, 462),
        (10, 305),
        (14, 9000),
    ]


def test_the_spared_come_with_the_reason_the_biggest_first() -> None:
    shown = view(CROWD, Policy.KERNEL, None)
    assert [(one.entry.pid, one.why) for one in shown.spared] == [
        (1, Spared.INIT),
        (12, Spared.RULE),
        (11, Spared.OOM_SCORE_ADJ),
        (2, Spared.NO_MEMORY),
    ]


@pytest.mark.parametrize(("limit", "pids"), [(0, []), (1, [13]), (3, [13, 15, 10]), (99, [13, 15, 10, 14])])
def test_a_limit_cuts_the_candidates_only(limit: int, pids: list[int]) -> None:
    shown = view(CROWD, Policy.KERNEL, limit)
    assert [one.pid for one in shown.candidates] == pids
    assert len(shown.spared) == 4


def test_the_policy_decides_on_the_points() -> None:
    shown = view(CROWD, Policy.CLASSIC, None)
    # total_vm is twice rss here; 10 is charged for half of 15, and a page.
    assert {one.pid: one.points for one in shown.candidates} == {13: 200, 15: 662, 10: 801, 14: 18_000}


def test_the_culprit_is_who_grew() -> None:
    shown = view(CROWD, Policy.CULPRIT, None)
    assert [(one.pid, one.points, one.growth) for one in shown.candidates] == [
        (13, 100, 0),
        (15, 462 + 6 * 50, 50 * 4096),
        (10, 305, 0),
        (14, 9000, 0),
    ]
    explained = explanation(CROWD, Policy.CULPRIT, Pid(15))
    assert [(step.term, step.points) for step in explained.steps[-3:]] == [
        (Term.OOM_SCORE_ADJ, 200),
        (Term.GROWTH, 500),
        (Term.RULES, 762),
    ]


@pytest.mark.parametrize("policy", [Policy.KERNEL, Policy.CLASSIC])
def test_other_policies_do_not_know_who_grew(policy: Policy) -> None:
    assert {one.growth for one in view(CROWD, policy, None).candidates} == {None}


def test_an_entry_says_all_of_a_process() -> None:
    hostile = process(20, rss=256, swap=512, adj=100, comm='a"\n\x1b[31m\udcff')
    shown = view(host(judged(hostile, ruled(Standing.PREFERRED)), scores={20: 735}), Policy.KERNEL, None)
    (entry,) = shown.candidates
    assert (entry.pid, entry.starttime) == (20, 200)
    assert entry.comm == 'a\\"\\n\\x1b[31m\\xff'
    assert (entry.rss, entry.swap) == (1 << 20, 2 << 20)
    assert entry.points == 768 + 26_200
    # (1000 + 26968 * 1000 / 262144) * 2 / 3
    assert (entry.oom_score_computed, entry.oom_score_kernel) == (734, 735)
    assert (entry.effect, entry.rules) == (Standing.PREFERRED, ("a-rule",))


def test_the_score_of_one_that_ended_is_unknown() -> None:
    shown = view(CROWD, Policy.KERNEL, None)
    assert {one.pid: one.oom_score_kernel for one in shown.candidates} == {
        10: 667,
        13: None,
        14: None,
        15: None,
    }


def test_an_explanation_has_the_terms_of_the_policy_and_the_rules() -> None:
    explained = explanation(CROWD, Policy.KERNEL, Pid(15))
    assert [(step.term, step.points) for step in explained.steps[-3:]] == [
        (Term.PAGE_TABLES, 200),
        (Term.OOM_SCORE_ADJ, 200),
        (Term.RULES, 462),
    ]


def test_an_explanation_without_rules_says_nothing_of_them() -> None:
    explained = explanation(CROWD, Policy.KERNEL, Pid(10))
    assert [step.term for step in explained.steps[-2:]] == [Term.PAGE_TABLES, Term.OOM_SCORE_ADJ]


def test_a_classic_explanation_counts_the_children() -> None:
    explained = explanation(CROWD, Policy.CLASSIC, Pid(10))
    assert [(step.term, step.points) for step in explained.steps[:2]] == [
        (Term.TOTAL_VM, 600),
        (Term.CHILDREN, 801),
    ]


@pytest.mark.parametrize("policy", Policy)
@pytest.mark.parametrize("pid", [1, 10, 11, 12, 13, 14, 15])
def test_an_explanation_ends_at_the_points_of_the_entry(policy: Policy, pid: int) -> None:
    explained = explanation(CROWD, policy, Pid(pid))
    assert explained.steps[-1].points == explained.entry.points


@pytest.mark.parametrize(
    ("pid", "why"),
    [(10, None), (1, Spared.INIT), (2, Spared.NO_MEMORY), (11, Spared.OOM_SCORE_ADJ), (12, Spared.RULE)],
)
def test_an_explanation_says_why_one_is_spared(pid: int, why: Spared | None) -> None:
    assert explanation(CROWD, Policy.KERNEL, Pid(pid)).why is why


def test_without_memory_there_is_nothing_to_explain() -> None:
    moved = host(judged(process(3), ruled(Standing.ORDINARY, points=5)))
    assert explanation(moved, Policy.KERNEL, Pid(3)).steps == ()


def test_an_unknown_pid_is_one_clear_line() -> None:
    with pytest.raises(OomguardError, match=r"^pid 99: no such process$"):
        explanation(CROWD, Policy.KERNEL, Pid(99))


# On the live host


@contextmanager
def sleeper(*arguments: str) -> Iterator[Pid]:
    """A process of our own that waits, with `arguments` on its command line."""
    script = "import sys; print(flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", script, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as running:
        assert running.stdout is not None
        assert select.select([running.stdout], [], [], 60)[0]
        yield Pid(running.pid)


def test_a_survey_finds_everybody_judged_by_slow_names_too(tmp_path: Path) -> None:
    rules = (
        Rule(name="marked", patterns=(pattern(Field.CMDLINE, "*mark-of-rank*"),), effect=Effect.PREFER),
        Rule(name="exe", patterns=(pattern(Field.EXE, "re:.*python.*"),), effect=Effect.ADJUST, points=1),
    )
    config = replace(DEFAULTS, rules=rules, record=str(tmp_path / "none"))
    with sleeper("mark-of-rank") as pid:
        seen = survey(config, config.policy, ProcFS())
        shown = view(seen, config.policy, None)
    marked = next(one for one in shown.candidates if one.pid == pid)
    assert marked.effect is Standing.PREFERRED
    assert marked.rules == ("marked", "exe")
    assert marked.oom_score_kernel == marked.oom_score_computed
    own = next(one for one in shown.spared if one.entry.pid == os.getpid())
    assert own.why is Spared.SELF
    assert len(shown.candidates) + len(shown.spared) == len(seen.everybody)


class Vanishing(ProcFS):
    """A host where each process ends right after it has been read."""

    def oom_score(self, pid: Pid) -> int:
        return super().oom_score(Pid(1 << 30))


def test_who_ends_meanwhile_is_listed_without_a_score(tmp_path: Path) -> None:
    shown = view(
        survey(replace(DEFAULTS, record=str(tmp_path / "none")), Policy.KERNEL, Vanishing()),
        Policy.KERNEL,
        None,
    )
    assert {one.oom_score_kernel for one in shown.candidates} == {None}


class Filling(ProcFS):
    """A host where init holds a thousand pages more each time that it is read."""

    def __init__(self) -> None:
        super().__init__()
        self.readings = 0

    def process(self, pid: Pid) -> Process:
        one = super().process(pid)
        if pid != INIT or one.memory is None:
            return one
        self.readings += 1
        return replace(
            one, memory=replace(one.memory, rss_anon=Pages(one.memory.rss_anon + 1000 * self.readings))
        )


def test_for_the_culprit_everybody_is_looked_at_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert rank.BETWEEN_LOOKS > 0
    monkeypatch.setattr(rank, "BETWEEN_LOOKS", 0.0)
    config = replace(DEFAULTS, record=str(tmp_path / "none"))
    once, twice = Filling(), Filling()
    survey(config, Policy.KERNEL, once)
    shown = view(survey(config, Policy.CULPRIT, twice), Policy.CULPRIT, None)
    assert twice.readings == once.readings + 1
    (init,) = (one.entry for one in shown.spared if one.entry.pid == INIT)
    assert init.growth is not None
    assert init.growth > 900 * twice.machine().page_size


def published(pid: Pid, polled_at: float) -> State:
    figures = Figures(
        available=Bytes(1),
        available_limit=Bytes(1),
        swap_free=Bytes(0),
        swap_limit=Bytes(0),
        stall=Seconds(0.0),
        stall_of=StallOf.BYSTANDERS,
        stall_budget=Seconds(1.0),
        exhausted_in=Seconds(1.5),
        backlog=Seconds(0.5),
        committed=Bytes(0),
        commit_limit=Bytes(0),
    )
    thresholds = Thresholds(
        available_term=Bytes(1),
        available_kill=Bytes(1),
        swap_term=Bytes(0),
        swap_kill=Bytes(0),
        commit_term=Bytes(0),
        stall_window=Seconds(10.0),
    )
    return State(
        pid=pid,
        started=1.0,
        mode=Mode.ENFORCE,
        phase=Phase.CALM,
        level=Level.CALM,
        reasons=(),
        figures=figures,
        thresholds=thresholds,
        polls=1,
        polled=1.0,
        polled_at=Seconds(polled_at),
        poll_took=Seconds(0.0),
        pause=Seconds(1.0),
        worst_lateness=Seconds(0.25),
        configured=1.0,
        config_ok=True,
        psi=True,
        candidates=0,
        spared=0,
    )


@pytest.mark.parametrize(
    ("ago", "is_own"), [pytest.param(0.0, True, id="runs"), pytest.param(1e6, False, id="ended long ago")]
)
def test_the_guard_that_keeps_the_record_is_spared(tmp_path: Path, ago: float, is_own: bool) -> None:
    record = tmp_path / "record"
    writer = Writer.open(record)
    with sleeper() as pid:
        writer.state(published(pid, time.monotonic() - ago))
        seen = survey(replace(DEFAULTS, record=str(record)), Policy.KERNEL, ProcFS())
    writer.close()
    assert seen.exempt.own == ({os.getpid(), pid} if is_own else {os.getpid()})
