from __future__ import annotations

import _thread
import errno
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pytest

from oomguard import census as module
from oomguard import registry
from oomguard.arrivals import ASKING, MOST_HEARD, UNDER_WAY
from oomguard.census import (
    AT_ONCE,
    FRESH,
    LISTING,
    MOST_AT_ONCE,
    ROUND,
    SLICE,
    WATCH_SHARE,
    Census,
    resolver_for,
)
from oomguard.errors import Gone
from oomguard.frozen import replace
from oomguard.ladder import WORST
from oomguard.newcomers import MOST_AT_LIMIT
from oomguard.process import Outline, Process
from oomguard.procevents import NO_NEWS, News, NoEvents
from oomguard.procfs import ProcFS
from oomguard.ranking import Judged
from oomguard.resolver import Names, Resolver
from oomguard.rules import NO_RULE, Effect, Field, Rule, Standing, pattern
from oomguard.units import KIB, MIB, Pages, Pid, Seconds
from tests.builders import PAGE
from tests.processfolder import FOREIGN, RECORDED, WatchedProcFS, eventually, host, loosen, place, stick

NEVER, ORDINARY, PREFERRED = Standing.NEVER, Standing.ORDINARY, Standing.PREFERRED
PYTHON = "/usr/bin/python3.11"
SLEEP = shutil.which("sleep") or "/bin/sleep"
HZ = os.sysconf("SC_CLK_TCK")
PR_SET_NAME = 15


def rule(effect: Effect = Effect.NEVER, **fields: str) -> Rule:
    patterns = tuple(pattern(Field(field), text) for field, text in fields.items())
    return Rule(name="-".join(fields), patterns=patterns, effect=effect)


def census_of(procfs: ProcFS, *rules: Rule) -> Census:
    return Census(procfs, rules, resolver_for(rules, procfs))


def of(census: Census, pid: int) -> Judged:
    return next(one for one in census.take() if one.process.key.pid == pid)


def standing(census: Census, pid: int) -> Standing:
    return of(census, pid).verdict.standing


def hold(root: Path, pid: int, held: float, swap: float = 0) -> None:
    """Have it hold so many MiB."""
    folder = root / f"proc/{pid}"
    for file, line, value in (
        ("stat", r"(\) (?:\S+ ){21})(\d+)", int(held * MIB) // PAGE),
        ("status", r"(RssAnon:\s+)(\d+)", int(held * KIB)),
        ("status", r"(RssFile:\s+)(\d+)", 0),
        ("status", r"(VmSwap:\s+)(\d+)", int(swap * KIB)),
    ):
        text, found = re.subn(line, rf"\g<1>{value}", (folder / file).read_text())
        assert found == 1
        (folder / file).write_text(text)


def held_by(everybody: Iterable[Judged]) -> dict[int, float]:
    """In MiB."""
    return {one.process.key.pid: one.process.held * PAGE / MIB for one in everybody}


def grown(everybody: Iterable[Judged]) -> dict[int, float]:
    """Those that have gained something, in MiB."""
    return {one.process.key.pid: one.growth * PAGE / MIB for one in everybody if one.growth}


def likely(census: Census, *pids: int) -> list[Judged]:
    return list(census.take_likely(map(Pid, pids)).values())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A host with two processes."""
    place(host(tmp_path), 10)
    place(tmp_path, 11, comm="java", exe="/usr/bin/java", cmdline="java -jar a.jar", uid=7)
    return tmp_path


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, to be set at will."""
    now = [10_000.0]
    monkeypatch.setattr(time, "clock_gettime", lambda _: now[0])
    return now


def test_everybody_with_a_verdict(root: Path) -> None:
    census = census_of(ProcFS(root), rule(exe=PYTHON))
    one, other = census.take()
    assert (one.process.key.pid, one.verdict.standing, one.verdict.rules) == (10, NEVER, ("exe",))
    assert (other.process.key.pid, other.verdict) == (11, NO_RULE)
    assert one.process.memory is not None


def test_a_kernel_thread_needs_no_rule(tmp_path: Path) -> None:
    shutil.copytree(RECORDED / "2", host(tmp_path) / "proc/2", symlinks=True)
    procfs = WatchedProcFS(tmp_path)
    census = census_of(procfs, rule(comm="kthreadd"), rule(cmdline="*"))
    census.refresh()
    (only,) = census.take()
    assert (only.verdict, only.cgroup, only.unit) == (NO_RULE, "/", None)
    assert not procfs.reads


@pytest.mark.parametrize(
    ("cgroup", "unit"),
    [("/system.slice/a.service", "a.service"), ("/user.slice", None)],
)
def test_places(root: Path, cgroup: str, unit: str | None) -> None:
    place(root, 10, cgroup=cgroup)
    one = of(census_of(ProcFS(root)), 10)
    assert (one.cgroup, one.unit) == (cgroup, unit)


def test_a_program_that_was_replaced_keeps_its_protection(root: Path) -> None:
    place(root, 10, exe=f"{PYTHON} (deleted)")
    assert standing(census_of(ProcFS(root), rule(exe=PYTHON)), 10) is NEVER


def test_calm_notices_a_move_to_another_cgroup(root: Path, clock: list[float]) -> None:
    place(root, 10, cgroup="/shell.scope")
    census = census_of(ProcFS(root), rule(cgroup="/shell.scope"), rule(Effect.PREFER, unit="app.scope"))
    census.refresh()
    assert standing(census, 10) is NEVER
    place(root, 10, cgroup="/app.scope")
    clock[0] += 1e6
    census.refresh()
    moved = of(census, 10)
    assert (moved.cgroup, moved.unit, moved.verdict.rules) == ("/app.scope", "app.scope", ("unit",))


def test_names_are_learnt_once(root: Path) -> None:
    procfs = WatchedProcFS(root)
    census = census_of(procfs, rule(exe=PYTHON))
    first = census.take()
    learnt = procfs.reads.copy()
    assert (learnt["exe"], learnt["membership"]) == (2, 2)
    assert census.take() == first
    assert procfs.reads == learnt
    census.refresh()
    assert census.take() == first
    assert procfs.reads["exe"] == 2


@pytest.mark.parametrize("before", [PYTHON, "/bin/x"])
@pytest.mark.parametrize("after", [PYTHON, "/bin/x"])
@pytest.mark.parametrize("what", ["exec", "another user", "another process"])
def test_whoever_changes_is_judged_anew(root: Path, before: str, after: str, what: str) -> None:
    place(root, 10, exe=before)
    census = census_of(ProcFS(root), rule(exe=PYTHON))
    assert (standing(census, 10) is NEVER) == (before == PYTHON)
    match what:
        case "exec":
            place(root, 10, exe=after, code=4096)
        case "another user":
            place(root, 10, exe=after, uid=5)
        case _:
            place(root, 10, exe=after, started=999_999)
    assert (standing(census, 10) is NEVER) == (after == PYTHON)


@pytest.mark.parametrize("what", ["exec", "another process"])
def test_calm_notices_changes(root: Path, clock: list[float], what: str) -> None:
    """Those that the kill path can only glance at: a `re:` expression is left to calm."""
    census = census_of(ProcFS(root), rule(exe=f"re:{PYTHON}"))
    assert of(census, 10).verdict.unresolved
    census.refresh()
    assert standing(census, 10) is NEVER
    if what == "exec":
        place(root, 10, exe="/bin/x", code=4096)
    else:
        place(root, 10, exe="/bin/x", started=999_999)
    clock[0] += 1e6
    census.refresh()
    assert of(census, 10).verdict == NO_RULE


@pytest.mark.parametrize(
    ("change", "may_die"),
    [
        pytest.param({}, True, id="the same"),
        pytest.param({"started": 999_999}, False, id="another process"),
        pytest.param({"code": 4096}, True, id="exec of another program"),
        pytest.param({"code": 4096, "exe": "/bin/protected"}, False, id="exec of a protected one"),
        pytest.param({"code": 4096, "cgroup": "/perhaps"}, False, id="exec of one that may be protected"),
        pytest.param({"uid": 5, "exe": "/bin/protected"}, False, id="another user"),
        pytest.param(None, False, id="gone"),
    ],
)
def test_confirms(root: Path, change: dict[str, object] | None, may_die: bool) -> None:
    rules = rule(exe="/bin/protected"), rule(exe="re:.*", cgroup="/perhaps")
    census = census_of(ProcFS(root), *rules)
    census.refresh()
    one = of(census, 10).process
    if change is None:
        shutil.rmtree(root / "proc/10")
    else:
        place(root, 10, **change)  # type: ignore[arg-type]  # each as its parametrization says
    assert census.confirms(one) is may_die


def test_confirms_nobody_who_has_been_exempted_since(root: Path) -> None:
    census = census_of(ProcFS(root))
    one = of(census, 10).process
    (root / "proc/10/oom_score_adj").write_text("-1000\n")
    assert not census.confirms(one)


def test_who_goes_while_it_is_confirmed(root: Path) -> None:
    census = census_of(ProcFS(root))
    one = of(census, 10).process
    place(root, 10, code=4096)
    (root / "proc/10/status").unlink()
    assert not census.confirms(one)


def test_feigned_execs_are_not_waited_for_any_more(root: Path) -> None:
    census = Census(ProcFS(root), (rule(cmdline="*"),), Scripted())
    unresolved = []
    for code in range(registry.MANY_IMAGES + 2):
        place(root, 10, code=4096 * (code + 1))
        unresolved.append(of(census, 10).verdict.unresolved)
    assert unresolved == [True] * registry.MANY_IMAGES + [False] * 2


def test_calm_judges_once(root: Path, clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    procfs = WatchedProcFS(root)
    census = census_of(procfs, rule(exe="re:.*"))
    census.refresh()
    clock[0] += 1e6
    monkeypatch.setattr(procfs, "process", lambda pid: pytest.fail(f"{pid} is looked at again"))
    census.refresh()


class Fingerprinted(WatchedProcFS):
    """Remembers who was asked for whether he has changed."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.looked: list[Pid] = []

    def fingerprint(self, pid: Pid) -> int:
        self.looked.append(pid)
        return super().fingerprint(pid)

    def process(self, pid: Pid) -> Process:
        self.looked.append(pid)
        return super().process(pid)


def test_calm_does_not_look_again_at_who_cannot_die(tmp_path: Path, clock: list[float]) -> None:
    place(host(tmp_path), 10)
    shutil.copytree(RECORDED / "2", tmp_path / "proc/2", symlinks=True)
    procfs = Fingerprinted(tmp_path)
    census = census_of(procfs)
    for _ in range(2):
        clock[0] += 1e6
        census.refresh()
    assert sorted(procfs.looked) == [2, 10, 10]
    # At the limit it is looked at as everybody is: its pid may be somebody else's.
    procfs.looked.clear()
    clock[0] += 1e6
    census.take_likely(())
    assert sorted(procfs.looked) == [2, 10]


def test_expressions_wait_for_calm(root: Path) -> None:
    census = census_of(ProcFS(root), rule(exe="re:.*java"), rule(Effect.PREFER, exe="re:.*python.*"))
    hasty = of(census, 11).verdict
    assert (hasty.standing, hasty.unresolved) == (ORDINARY, True)
    census.refresh()
    assert [one.verdict.standing for one in census.take()] == [PREFERRED, NEVER]
    assert not any(one.verdict.unresolved for one in census.take())


def test_newcomers_do_not_wait_for_the_next_round(root: Path, clock: list[float]) -> None:
    """Memory may be short for one of them: spared for too long, somebody else dies in its place."""
    census = census_of(ProcFS(root), rule(exe="re:/opt/.*"))
    census.refresh()
    place(root, 12, exe="/tmp/hog")
    assert of(census, 12).verdict.unresolved
    clock[0] += 0.05
    census.refresh()
    assert of(census, 12).verdict == NO_RULE


def test_who_is_met_is_judged_at_once(root: Path, clock: list[float]) -> None:
    """While armed it is said who would die: one that has come since the last poll, perhaps."""
    census = census_of(ProcFS(root), rule(exe="re:/opt/.*"))
    census.refresh()
    place(root, 12, exe="/tmp/hog")
    census.meet()
    assert census.known()[Pid(12)].verdict == NO_RULE


def test_a_census_that_is_closed_leaves_no_thread(root: Path) -> None:
    before = _thread._count()
    census = census_of(ProcFS(root), rule(user="root"))
    census.close()
    assert eventually(lambda: _thread._count() == before)
    census_of(ProcFS(root)).close()


def test_globs_do_not_wait(root: Path) -> None:
    census = census_of(ProcFS(root), rule(exe="*/java"))
    assert standing(census, 11) is NEVER


@pytest.mark.parametrize("fields", [{"cmdline": "*a.jar"}, {"user": "root"}])
def test_slow_names_are_read_by_the_resolver_alone(root: Path, fields: dict[str, str]) -> None:
    procfs = WatchedProcFS(root)
    census = census_of(procfs, rule(Effect.NEVER, **fields))
    assert [one.verdict.unresolved for one in census.take()] == [True, True]

    def settled() -> bool:
        census.refresh()
        return not any(one.verdict.unresolved for one in census.take())

    assert eventually(settled)
    protected = {10: "user", 11: "cmdline"}
    for one in census.take():
        matches = protected[one.process.key.pid] in fields
        assert one.verdict.standing is (NEVER if matches else ORDINARY)
    assert bool(procfs.readers) == ("cmdline" in fields)
    assert threading.get_ident() not in procfs.readers
    assert procfs.reads["cmdline"] == (2 if "cmdline" in fields else 0)


def test_without_a_rule_on_them_no_command_line_is_read(root: Path) -> None:
    procfs = WatchedProcFS(root)
    census = census_of(procfs, rule(exe="re:.*"), rule(comm="*"), rule(unit="a*"), rule(cgroup="/*"))
    census.settle(Seconds(0.0))
    census.refresh()
    census.take()
    assert procfs.reads["cmdline"] == 0


@pytest.mark.parametrize("field", Field)
def test_a_resolver_where_a_rule_needs_one(field: Field) -> None:
    found = resolver_for((rule(Effect.NEVER, **{field: "x"}),), ProcFS())
    assert (found is not None) == (field in {Field.USER, Field.CMDLINE})


def test_no_rules_no_resolver() -> None:
    assert resolver_for((), ProcFS()) is None


def test_a_command_line_that_never_comes(root: Path) -> None:
    """Its process is spared where a rule might protect it; neither `take` nor `refresh` waits."""
    place(root, 12, exe="/bin/x")
    census = census_of(ProcFS(root), rule(cmdline="*a.jar", exe="/usr/*"), rule(Effect.PREFER, cmdline="*"))
    stuck = stick(root, 11)
    census.refresh()
    assert [one.verdict.unresolved for one in census.take()] == [True, True, False]
    census.settle(Seconds(0.05))
    assert of(census, 11).verdict.unresolved
    loosen(stuck)


def test_settle_waits_for_slow_names(root: Path) -> None:
    census = census_of(ProcFS(root), rule(cmdline="*a.jar"))
    census.settle(Seconds(10.0))
    verdicts = [one.verdict for one in census.take()]
    assert [one.standing for one in verdicts] == [ORDINARY, NEVER]
    assert not any(one.unresolved for one in verdicts)


def test_settle_does_not_wait_for_who_has_gone(root: Path) -> None:
    procfs = ProcFS(root)
    census = census_of(procfs, rule(cmdline="*a.jar"))
    (root / "proc/11/cmdline").unlink()
    census.take()
    shutil.rmtree(root / "proc/11")
    census.settle(Seconds(60.0))
    assert standing(census, 10) is ORDINARY


class Scripted(Resolver):
    """A resolver that finds what it is told to."""

    def __init__(self) -> None:
        self.answers: list[Names] = []

    def ask(self, *_: object) -> None:
        """Nothing is found by itself."""

    def found(self) -> tuple[Names, ...]:
        answers, self.answers = tuple(self.answers), []
        return answers


@pytest.mark.parametrize(
    ("change", "unresolved"),
    [({}, False), ({"uid": 5}, True), ({"code": 4096}, True), ({"started": 999_999}, True)],
    ids=["the same", "another user", "exec", "another process"],
)
def test_names_that_come_too_late(root: Path, change: dict[str, int], unresolved: bool) -> None:
    procfs, resolver = ProcFS(root), Scripted()
    census = Census(procfs, (rule(user="root"),), resolver)
    before = of(census, 10).process
    place(root, 10, **change)  # type: ignore[arg-type]  # none of them is a name
    census.take()
    resolver.answers.append(
        Names(key=before.key, image=before.image, uid=before.uid, user="root", cmdline="x")
    )
    census.refresh()
    assert of(census, 10).verdict.unresolved is unresolved
    assert standing(census, 10) is (ORDINARY if unresolved else NEVER)


def test_names_of_who_was_forgotten(root: Path) -> None:
    procfs, resolver = ProcFS(root), Scripted()
    census = Census(procfs, (rule(user="root"),), resolver)
    one = of(census, 11).process
    shutil.rmtree(root / "proc/11")
    census.refresh()
    resolver.answers.append(Names(key=one.key, image=one.image, uid=one.uid, user="root", cmdline="x"))
    census.refresh()
    assert [one.process.key.pid for one in census.take()] == [10]


class Vanishing(ProcFS):
    """Lists one who has gone since."""

    def pids(self) -> list[Pid]:
        return [*super().pids(), Pid(4_000_000)]


def test_who_has_gone_is_skipped(root: Path) -> None:
    census = census_of(Vanishing(root), rule(exe="re:.*"))
    for _ in range(2):
        census.refresh()
        census.settle(Seconds(0.0))
        assert [one.process.key.pid for one in census.take()] == [10, 11]


def test_who_goes_between_two_looks(root: Path, clock: list[float]) -> None:
    census = census_of(ProcFS(root), rule(exe="re:.*"))
    census.refresh()
    (root / "proc/11/stat").unlink()
    clock[0] += 1e6
    census.refresh()
    assert [one.process.key.pid for one in census.take()] == [10]


def test_who_is_worded_oddly_is_skipped(root: Path) -> None:
    (root / "proc/11/stat").write_text("11 nonsense\n")
    (root / "proc/10/cgroup").write_text("nonsense\n")
    (only,) = census_of(ProcFS(root), rule(exe=PYTHON)).take()
    assert (only.process.key.pid, only.cgroup, only.verdict) == (10, "/", NO_RULE)


def test_calm_looks_at_so_many_at_once(tmp_path: Path, clock: list[float]) -> None:
    host(tmp_path)
    for pid in range(100, 100 + AT_ONCE + 10):
        place(tmp_path, pid)
    procfs = WatchedProcFS(tmp_path)
    census = census_of(procfs)
    census.refresh()
    assert procfs.reads["exe"] == AT_ONCE
    clock[0] += 1
    census.refresh()
    assert procfs.reads["exe"] == AT_ONCE + 10
    place(tmp_path, 99)
    clock[0] += module.MEETING - 0.001
    census.refresh()
    assert procfs.reads["exe"] == AT_ONCE + 10
    clock[0] += 0.001
    for _ in range(2):
        census.refresh()
    assert procfs.reads["exe"] == AT_ONCE + 11


def test_calm_costs_no_more_than_its_share(
    root: Path, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    procfs = WatchedProcFS(root)
    census = census_of(procfs)
    stat = procfs.process
    monkeypatch.setattr(procfs, "process", lambda pid: (clock.__setitem__(0, clock[0] + 0.1), stat(pid))[1])
    began = clock[0]
    census.refresh()
    assert clock[0] == pytest.approx(began + 0.2)
    place(root, 12)
    place(root, 11, code=4096)
    for due, read in ((module.MEETING, 3), (0.2 / module.CALM_SHARE, 4)):
        clock[0] = began + due - 1
        census.refresh()
        assert procfs.reads["exe"] == read - 1
        clock[0] += 2
        census.refresh()
        assert procfs.reads["exe"] == read


def test_calm_meets_newcomers_before_everybody_is_looked_at_again(root: Path, clock: list[float]) -> None:
    """Or a crowd that came in calm would have to be read at the limit."""
    procfs = Slow(root, clock, 0, 1.0)
    census = census_of(procfs)
    census.refresh()
    procfs.looks.clear()
    swarm = range(5000, 5000 + AT_ONCE + 1)
    for pid in swarm:
        place(root, pid)
    clock[0] += module.MEETING
    census.refresh()
    assert census.is_under_way
    census.refresh()
    assert sorted(procfs.looks) == list(swarm)
    assert not census.is_under_way


def test_meeting_newcomers_costs_no_more_than_its_share(root: Path, clock: list[float]) -> None:
    procfs = Slow(root, clock, 0, 0.1)
    census = census_of(procfs)
    census.refresh()
    for pid in range(5000, 5010):
        place(root, pid)
    clock[0] += module.MEETING
    began = clock[0]
    census.refresh()
    place(root, 6000)
    for after, is_met in ((-1, False), (1, True)):
        clock[0] = began + 1 / module.MEETING_SHARE + after
        census.refresh()
        assert (6000 in procfs.looks) is is_met


def test_who_has_gone_is_forgotten(root: Path, clock: list[float]) -> None:
    """Or a guard that runs for years would remember everybody."""
    procfs = WatchedProcFS(root)
    census = census_of(procfs)
    census.refresh()
    kept = (root / "proc/11").rename(root / "kept")
    clock[0] += 1e6
    census.refresh()
    kept.rename(root / "proc/11")
    census.take()
    assert procfs.reads["exe"] == 3


@pytest.mark.parametrize(
    ("comm", "exe", "namespace", "expected"),
    [
        pytest.param("sshd", "/usr/sbin/sshd", None, {"exe", "comm"}, id="who it says"),
        pytest.param("sshd", "/bin/x", None, set(), id="renamed"),
        pytest.param("sshd", None, None, set(), id="no executable"),
        pytest.param("x", "/usr/sbin/sshd", None, {"exe"}, id="renamed away"),
        pytest.param("sshd", "/usr/sbin/sshd", FOREIGN, set(), id="in a user namespace"),
    ],
)
def test_made_up_names_earn_nothing(
    root: Path, comm: str, exe: str | None, namespace: str | None, expected: set[str]
) -> None:
    if namespace is None:
        place(root, 10, comm=comm, exe=exe)
    else:
        place(root, 10, comm=comm, exe=exe, namespace=namespace)
    census = census_of(ProcFS(root), rule(comm="sshd"), rule(exe="/usr/sbin/sshd"))
    assert set(of(census, 10).verdict.rules) == expected


def test_a_name_longer_than_the_kernel_keeps(root: Path) -> None:
    place(root, 10, comm="systemd-resolve", exe="/lib/systemd/systemd-resolved")
    assert standing(census_of(ProcFS(root), rule(comm="systemd-resolve")), 10) is NEVER


def test_capabilities_count_at_home_only(root: Path) -> None:
    place(root, 10, cap_effective=0xFF)
    place(root, 11, cap_effective=0xFF, namespace=FOREIGN)
    census = census_of(ProcFS(root))
    for _ in range(2):
        assert [one.process.cap_effective for one in census.take()] == [0xFF, 0]


CROWD = range(100, 100 + 3 * WORST)
FEW = len(CROWD) // ASKING - UNDER_WAY


@pytest.fixture
def crowd(tmp_path: Path, clock: list[float]) -> Path:
    """A host with many processes, that are older than the guard; the higher the pid, the more it holds."""
    host(tmp_path)
    for pid in CROWD:
        place(tmp_path, pid)
        hold(tmp_path, pid, pid)
    return tmp_path


def follow(census: Census, clock: list[float], seconds: float) -> None:
    for _ in range(int(seconds * 10)):
        clock[0] += 0.1
        census.follow()


def test_at_the_limit_the_likely_are_read_anew(crowd: Path, clock: list[float]) -> None:
    census = census_of(WatchedProcFS(crowd))
    census.take()
    follow(census, clock, 1)
    for pid in CROWD:
        hold(crowd, pid, pid + 0.5)
    some = set(CROWD[:2])
    everybody = census.take_likely(map(Pid, some))
    assert {pid for pid, held in held_by(everybody.values()).items() if held != pid} == some
    assert sorted(everybody) == list(CROWD)
    assert all(everybody[pid].process.key.pid == pid for pid in everybody)
    assert census.known() == everybody


def test_who_grows_is_followed(crowd: Path, clock: list[float]) -> None:
    """Though it is small as yet."""
    small = CROWD[0]
    census = census_of(WatchedProcFS(crowd))
    census.take()
    follow(census, clock, 20)
    hold(crowd, small, small + 20)
    follow(census, clock, 1)
    hold(crowd, small, small + 90)
    everybody = likely(census, small)
    assert held_by(everybody)[small] == small + 90
    assert grown(everybody) == {small: 90}


def test_newcomers_at_the_limit(crowd: Path, clock: list[float]) -> None:
    census = census_of(WatchedProcFS(crowd), rule(exe="/bin/x"))
    census.take()
    follow(census, clock, 1)
    place(crowd, 99, exe="/bin/x", started=int(clock[0] * 100) - 50)
    hold(crowd, 99, 5)
    first = census.take_likely(())[Pid(99)]
    assert (first.process.key.pid, first.verdict.standing) == (99, NEVER)
    assert grown([first]) == {99: 5}


def test_a_swarm_that_was_listed_and_not_read_yet_is_read_at_the_limit(
    crowd: Path, clock: list[float]
) -> None:
    """While armed there is no time for all of it; and nobody has come since the listing."""

    class Unmoved(Slow):
        def last_pid(self) -> Pid | None:
            return Pid(7777)

    census = census_of(Unmoved(crowd, clock, 0, 0.005))
    census.take()
    swarm = range(5000, 5000 + 2 * SLICE)
    for pid in swarm:
        place(crowd, pid)
    follow(census, clock, 0.5)
    assert not census.known().keys() >= set(swarm)
    assert census.take_likely(()).keys() >= set(swarm)


def test_at_the_limit_newcomers_are_read_for_a_while_at_the_most_the_largest_first(
    crowd: Path, clock: list[float]
) -> None:
    """On a host that stalls, each reading may take long; and the kernel does not wait."""

    class Sized(Slow):
        def outline(self, pid: Pid) -> Outline:
            if pid == 5001:
                raise Gone("just now")
            return replace(super().outline(pid), resident=Pages(pid * 7 % 1000))

    procfs = Sized(crowd, clock, 0, 0)
    census = census_of(procfs)
    census.take()
    procfs.reading = 0.1
    swarm = range(5000, 5000 + 2 * SLICE)
    for pid in swarm:
        place(crowd, pid)
    sizes = {pid: pid * 7 % 1000 for pid in swarm if pid != 5001}
    began = clock[0]
    first = census.take_likely(()).keys() & set(swarm)
    assert MOST_AT_LIMIT < clock[0] - began < MOST_AT_LIMIT + 0.2
    assert first == set(sorted(sizes, key=sizes.__getitem__)[-len(first) :])
    for _ in range(len(swarm)):
        census.take_likely(())
    assert census.known().keys() >= set(sizes)
    assert census.left_out == 0


def test_who_has_gone_is_not_there(crowd: Path, clock: list[float]) -> None:
    census = census_of(WatchedProcFS(crowd))
    census.take()
    follow(census, clock, 1)
    for pid in (CROWD[0], CROWD[-1]):
        shutil.rmtree(crowd / f"proc/{pid}")
    assert sorted(census.take_likely([Pid(CROWD[-1])])) == list(CROWD[1:-1])


def test_who_goes_while_the_likely_are_read(crowd: Path, clock: list[float]) -> None:
    census = census_of(Vanishing(crowd))
    census.take()
    follow(census, clock, 1)
    (crowd / f"proc/{CROWD[-1]}/stat").unlink()
    assert sorted(census.take_likely([Pid(CROWD[-1])])) == list(CROWD[:-1])


@pytest.mark.parametrize("is_likely", [False, True])
def test_a_pid_that_is_reused(crowd: Path, clock: list[float], is_likely: bool) -> None:
    pid = Pid(CROWD[0])
    census = census_of(WatchedProcFS(crowd), rule(exe="/bin/x"))
    before = of(census, pid)
    assert before.verdict == NO_RULE
    follow(census, clock, 1)
    place(crowd, pid, exe="/bin/x", started=999_999)
    hold(crowd, pid, 1)
    seen = census.take_likely([pid] if is_likely else [])[pid]
    if seen.process.key == before.process.key:
        assert not is_likely
        assert not census.confirms(seen.process)
        clock[0] += FRESH + 1
        seen = census.take_likely(())[pid]
    assert (seen.process.key.starttime, seen.verdict.standing) == (999_999, NEVER)
    assert grown([seen]) == {pid: 1}


def test_whoever_was_not_looked_at_for_long_is_at_the_limit(crowd: Path, clock: list[float]) -> None:
    census = census_of(WatchedProcFS(crowd))
    census.take()
    small = CROWD[0]
    hold(crowd, small, small + 9)
    clock[0] += FRESH
    assert held_by(likely(census))[small] == small
    clock[0] += 0.1
    assert held_by(likely(census))[small] == small + 9


def test_who_is_followed_in_turn_need_not_be_looked_at_at_the_limit(
    crowd: Path, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long the turns take: else the larger the crowd, the more would be looked at all at once."""
    monkeypatch.setattr(module, "FRESH", 0.15)
    procfs = Slow(crowd, clock, 0, 0.001)
    census = census_of(procfs)
    census.take()
    turns = len(CROWD) * 0.001 / WATCH_SHARE
    follow(census, clock, 3 * turns)
    procfs.looks.clear()
    census.take_likely(())
    assert procfs.looks == []
    clock[0] += 0.2
    census.take_likely(())
    assert sorted(procfs.looks) == list(CROWD)


def test_turns_that_were_broken_off_do_not_count(
    crowd: Path, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Armed again after a calm, everybody's turns begin anew."""
    procfs = Slow(crowd, clock, 0, 0.001)
    census = census_of(procfs)
    census.take()
    turns = len(CROWD) * 0.001 / WATCH_SHARE
    follow(census, clock, 3 * turns)
    clock[0] += 1e6
    follow(census, clock, 0.1)
    procfs.looks.clear()
    census.take_likely(())
    assert len(procfs.looks) >= len(CROWD) - MOST_AT_ONCE / 0.001 - 1


class Counted(WatchedProcFS):
    """Tells which pid was given away last, counts the listings, and whom was asked for by pid."""

    last: Pid | None = Pid(500)
    listings = 0
    asked = 0

    def last_pid(self) -> Pid | None:
        return self.last

    def pids(self) -> list[Pid]:
        self.listings += 1
        return super().pids()

    def living(self, pids: Iterable[int]) -> list[Pid]:
        asked = list(pids)
        self.asked += len(asked)
        return [Pid(pid) for pid in asked if pid in super(Counted, self).pids()]


@pytest.mark.parametrize(
    ("last", "later", "listings", "asked"),
    [
        pytest.param(500, 0.0, 0, 0, id="nobody came"),
        pytest.param(502, 0.0, 0, 2 + UNDER_WAY, id="somebody came, or a thread"),
        pytest.param(500 + FEW, 0.0, 0, FEW + UNDER_WAY, id="a few"),
        pytest.param(501 + FEW, 0.0, 1, 0, id="many"),
        pytest.param(7, 0.0, 1, 0, id="pids began again"),
        pytest.param(None, 0.0, 1, 0, id="not known"),
        pytest.param(500, FRESH + 0.1, 1, 0, id="long ago"),
    ],
)
def test_where_somebody_may_have_come_he_is_found(
    crowd: Path, clock: list[float], last: int | None, later: float, listings: int, asked: int
) -> None:
    procfs = Counted(crowd)
    census = census_of(procfs)
    census.take_likely(())
    procfs.last, procfs.listings = None if last is None else Pid(last), 0
    place(crowd, 501)
    clock[0] += later
    assert (Pid(501) in census.take_likely(())) is bool(listings or asked)
    assert (procfs.listings, procfs.asked) == (listings, asked)
    # Nobody is asked for again.
    census.take_likely(())
    assert procfs.asked == asked


@pytest.mark.parametrize(("last", "lists"), [(500, 0), (501, 1), (None, 1)])
def test_calm_looks_for_newcomers_where_a_pid_was_given_away(
    crowd: Path, clock: list[float], last: int | None, lists: int
) -> None:
    procfs = Counted(crowd)
    census = census_of(procfs)
    while not procfs.listings or census.is_under_way:
        census.refresh()
    procfs.last, procfs.listings = last if last is None else Pid(last), 0
    clock[0] += module.MEETING
    census.refresh()
    assert procfs.listings == lists


def test_who_was_given_a_pid_before_a_listing_and_came_after_it(crowd: Path, clock: list[float]) -> None:
    procfs = Counted(crowd)
    census = census_of(procfs)
    census.take_likely(())
    place(crowd, 500)
    procfs.last, procfs.listings = Pid(501), 0
    assert Pid(500) in census.take_likely(())
    assert procfs.listings == 0


def test_who_comes_during_a_listing_is_found_by_the_next(crowd: Path, clock: list[float]) -> None:
    procfs = Counted(crowd)
    census = census_of(procfs)
    listed = procfs.pids

    def coming() -> list[Pid]:
        found = listed()
        place(crowd, 501)
        procfs.last = Pid(501)
        return found

    procfs.pids = coming  # type: ignore[method-assign]  # for this once
    assert Pid(501) not in census.take_likely(())
    assert Pid(501) in census.take_likely(())


def test_whoever_has_not_changed_is_not_read_again(crowd: Path, clock: list[float]) -> None:
    procfs = WatchedProcFS(crowd)
    census = census_of(procfs)
    follow(census, clock, 1)
    (crowd / f"proc/{CROWD[-1]}/status").write_text("what nobody reads\n")
    follow(census, clock, 10)
    assert census._registry.dossiers[Pid(CROWD[-1])].seen_at == clock[0]


def test_a_verdict_that_comes_late_is_not_forgotten(crowd: Path, clock: list[float]) -> None:
    """Also for those that are not read again."""
    census = census_of(WatchedProcFS(crowd), rule(exe="re:.*"))
    assert all(one.verdict.unresolved for one in census.take())
    for _ in CROWD:
        census.refresh()
    assert all(one.verdict.standing is NEVER for one in likely(census))


def test_followers_see_who_comes_and_who_grows(crowd: Path, clock: list[float]) -> None:
    procfs = WatchedProcFS(crowd)
    census = census_of(procfs)
    follow(census, clock, 2)
    assert procfs.reads["exe"] == len(CROWD)
    place(crowd, 99)
    hold(crowd, CROWD[5], 3000)
    follow(census, clock, 1)
    assert procfs.reads["exe"] == len(CROWD) + 1
    shutil.rmtree(crowd / "proc/99")
    follow(census, clock, 1)
    place(crowd, 99)
    assert grown(likely(census)) == {CROWD[5]: 3000 - CROWD[5]}
    assert procfs.reads["exe"] == len(CROWD) + 2


class Slow(WatchedProcFS):
    """Each reading takes its time."""

    def __init__(self, root: Path, clock: list[float], listing: float, reading: float) -> None:
        super().__init__(root)
        self._clock, self._listing, self.reading = clock, listing, reading
        self.looks: list[Pid] = []

    def pids(self) -> list[Pid]:
        self._clock[0] += self._listing
        return super().pids()

    def fingerprint(self, pid: Pid) -> int:
        self._note(pid)
        return super().fingerprint(pid)

    def process(self, pid: Pid) -> Process:
        self._note(pid)
        return super().process(pid)

    def _note(self, pid: Pid) -> None:
        self._clock[0] += self.reading
        self.looks.append(pid)


@pytest.mark.parametrize("listing", [0.0, 0.007, 0.05])
@pytest.mark.parametrize("reading", [0.00001, 0.001, 0.02])
def test_following_costs_no_more_than_its_share(
    crowd: Path, clock: list[float], listing: float, reading: float
) -> None:
    procfs = Slow(crowd, clock, listing, reading)
    census = census_of(procfs)
    began, spent, longest, pause = clock[0], 0.0, 0.0, 0.05
    for _ in range(400):
        clock[0] += pause
        before = clock[0]
        census.follow()
        spent += clock[0] - before
        longest = max(longest, clock[0] - before)
    assert 0 < spent <= WATCH_SHARE * (clock[0] - began) + longest
    assert longest <= MOST_AT_ONCE + listing + reading
    assert procfs.looks


def test_after_a_long_calm_following_does_not_make_up_for_it(crowd: Path, clock: list[float]) -> None:
    census = census_of(Slow(crowd, clock, 0.001, 0.001))
    clock[0] += 1e6
    before = clock[0]
    census.follow()
    assert clock[0] - before <= MOST_AT_ONCE + 0.002


def test_everybody_has_a_turn_and_the_worst_have_more(
    crowd: Path, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "OTHERS", 16)
    procfs = Slow(crowd, clock, 0.0001, 0.001)
    census = census_of(procfs)
    census.take()
    follow(census, clock, 10)
    looks = Counter(procfs.looks)
    assert set(looks) == set(CROWD)
    assert looks[Pid(CROWD[-1])] > 2 * looks[Pid(CROWD[0])] > 2


def test_in_calm_too_growth_is_seen(root: Path, clock: list[float]) -> None:
    for pid in (10, 11):
        hold(root, pid, 10, swap=7)
    census = census_of(ProcFS(root))
    census.refresh()
    clock[0] += ROUND
    census.refresh()
    hold(root, 11, 30, swap=7)
    clock[0] += ROUND
    census.refresh()
    assert grown(census.take()) == {11: 20}
    for _ in range(2):
        clock[0] += ROUND
        census.refresh()
    assert grown(census.take()) == {}


@pytest.mark.parametrize("age", [0.5, 3, 6, 9.5])
def test_who_filled_up_at_its_start_and_is_steady_since_has_not_grown(
    root: Path, clock: list[float], age: float
) -> None:
    """Seen in its first seconds, minutes before memory is short: it is not the one who eats it."""
    census = census_of(ProcFS(root))
    census.refresh()
    clock[0] += module.MEETING
    place(root, 12, started=int((clock[0] - age) * HZ))
    hold(root, 12, 900)
    census.refresh()
    assert grown(census.known().values()) == {12: 900}
    for _ in range(2):
        clock[0] += module.MEETING
        census.refresh()
    assert grown(likely(census, 12)) == {}


def test_who_was_seen_after_its_first_seconds_waits_for_the_next_round(
    root: Path, clock: list[float]
) -> None:
    procfs = Fingerprinted(root)
    census = census_of(procfs)
    census.refresh()
    clock[0] += module.MEETING
    place(root, 12, started=int(clock[0] * HZ))
    for looks in (1, 2, 2):
        census.refresh()
        assert procfs.looked.count(Pid(12)) == looks
        clock[0] += module.MEETING


def test_memory_that_is_swapped_out_is_no_growth(root: Path, clock: list[float]) -> None:
    hold(root, 10, 50)
    census = census_of(ProcFS(root))
    follow(census, clock, 20)
    hold(root, 10, 20, swap=30)
    follow(census, clock, 1)
    assert grown(census.take()) == {}


def test_what_cannot_be_read_for_now_stays_as_it_was(
    crowd: Path, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the kernel itself has no memory left to tell."""
    procfs = WatchedProcFS(crowd)
    census = census_of(procfs)
    census.take()
    follow(census, clock, 1)

    def failing(pid: Pid) -> NoReturn:
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    monkeypatch.setattr(procfs, "process", failing)
    assert set(held_by(likely(census, *CROWD))) == set(CROWD)
    assert census.take() == ()


class OnlyThese(ProcFS):
    """The host, as far as it is ours."""

    def __init__(self, *pids: int) -> None:
        super().__init__()
        self._pids = sorted(map(Pid, pids))

    def pids(self) -> list[Pid]:
        return self._pids


@contextmanager
def running(*command: str) -> Iterator[subprocess.Popen[bytes]]:
    """A program of ours, ended afterwards."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as child:
        try:
            yield child
        finally:
            child.kill()


def go_on(child: subprocess.Popen[bytes]) -> None:
    assert child.stdin is not None
    child.stdin.write(b"\n")
    child.stdin.flush()


def runs(pid: int, exe: str) -> bool:
    return os.readlink(f"/proc/{pid}/exe") == exe  # as the kernel spells it


def test_a_real_process_by_its_own_name() -> None:
    with running(SLEEP, "60") as child:
        exe = os.path.realpath(SLEEP)
        assert eventually(lambda: runs(child.pid, exe))
        assert standing(census_of(OnlyThese(child.pid), rule(comm="sleep", exe=exe)), child.pid) is NEVER


RENAMED = f"""
import ctypes, sys
ctypes.CDLL(None).prctl({PR_SET_NAME}, b"sshd", 0, 0, 0)
sys.stdin.read()
"""


def test_a_real_process_that_renames_itself() -> None:
    with running(sys.executable, "-c", RENAMED) as child:
        procfs = OnlyThese(child.pid)
        assert eventually(lambda: procfs.stat(Pid(child.pid)).comm == "sshd")
        one = of(census_of(procfs, rule(comm="sshd"), rule(Effect.LAST, comm="ssh*")), child.pid)
        assert (one.process.comm, one.verdict) == ("sshd", NO_RULE)


def test_a_rename_takes_nothing_away() -> None:
    """Whoever is protected by the executable's path stays so by any name."""
    with running(sys.executable, "-c", f"input(){RENAMED}") as child:
        procfs, exe = OnlyThese(child.pid), os.path.realpath(sys.executable)
        assert eventually(lambda: runs(child.pid, exe))
        census = census_of(procfs, rule(exe=exe))
        assert standing(census, child.pid) is NEVER
        go_on(child)
        assert eventually(lambda: procfs.stat(Pid(child.pid)).comm == "sshd")
        assert standing(census, child.pid) is NEVER


def test_a_real_exec() -> None:
    with running("/bin/sh", "-c", f"read go; exec {SLEEP} 60") as child:
        shell, sleep = os.path.realpath("/bin/sh"), os.path.realpath(SLEEP)
        assert eventually(lambda: runs(child.pid, shell))
        census = census_of(OnlyThese(child.pid), rule(exe=shell), rule(Effect.PREFER, exe=sleep))
        before = of(census, child.pid)
        assert before.verdict.standing is NEVER
        go_on(child)
        assert eventually(lambda: runs(child.pid, sleep))
        assert standing(census, child.pid) is PREFERRED


def test_anyone_may_mount_anything_in_a_user_namespace(tmp_path: Path) -> None:
    database = tmp_path / "database"
    shutil.copy(SLEEP, database)
    protecting = rule(exe=str(database)), rule(Effect.LAST, comm="database")
    with running(str(database), "60") as child:
        assert eventually(lambda: runs(child.pid, str(database)))
        assert standing(census_of(OnlyThese(child.pid), *protecting), child.pid) is NEVER
    script = f"mount --bind {SLEEP} {database} && exec {database} 60"
    with running("unshare", "-Urm", "sh", "-c", script) as child:
        if not eventually(lambda: not Path(f"/proc/{child.pid}").exists() or runs(child.pid, str(database))):
            pytest.skip("no user namespaces here")
        if not Path(f"/proc/{child.pid}").exists():
            pytest.skip("no user namespaces here")
        one = of(census_of(OnlyThese(child.pid), *protecting), child.pid)
        assert one.verdict == NO_RULE
        assert one.process.cap_effective == 0
        assert ProcFS().process(Pid(child.pid)).cap_effective != 0


def test_this_very_process_is_at_home() -> None:
    """Also within a container, where init's namespace may not be read."""
    exe = os.path.realpath(sys.executable)
    assert standing(census_of(ProcFS(), rule(exe=exe)), os.getpid()) is NEVER


class Told(NoEvents):
    """Events that a test makes up; complete from the second news on, unless some are lost."""

    def __init__(self) -> None:
        self.listening = False
        self._heard: list[Pid] = []
        self._complete = False

    def tell(self, *pids: int) -> None:
        self._heard += map(Pid, pids)

    def lose(self) -> None:
        self._complete = False

    def listen(self) -> None:
        self.listening = True

    def ignore(self) -> None:
        self.listening = self._complete = False

    def drain(self) -> News:
        if not self.listening:
            return NO_NEWS
        news = News(pids=tuple(self._heard), complete=self._complete)
        self._heard, self._complete = [], True
        return news


class Heard:
    """A census that is armed, over the crowd, and hears of who changes."""

    def __init__(self, procfs: ProcFS, clock: list[float], *rules: Rule) -> None:
        self.events = Told()
        self.census = Census(procfs, rules, resolver_for(rules, procfs), self.events)
        self.census.take()
        follow(self.census, clock, 1)


def test_who_is_heard_of_is_known_without_a_listing(crowd: Path, clock: list[float]) -> None:
    procfs = Counted(crowd)
    heard = Heard(procfs, clock)
    procfs.last, procfs.listings = Pid(501), 0
    place(crowd, 99)
    shutil.rmtree(crowd / f"proc/{CROWD[0]}")
    heard.events.tell(99, CROWD[0])
    assert sorted(heard.census.take_likely(())) == [99, *CROWD[1:]]
    assert procfs.listings == 0
    place(crowd, 98)
    heard.events.tell(98, 97)
    follow(heard.census, clock, 0.1)
    assert sorted(heard.census.known()) == [98, 99, *CROWD[1:]]
    assert procfs.listings == 0


def test_who_runs_another_program_is_judged_anew_at_the_limit(crowd: Path, clock: list[float]) -> None:
    """Though it was looked at a moment ago, and is not likely to matter."""
    heard = Heard(WatchedProcFS(crowd), clock, rule(exe="/bin/x"))
    pid = Pid(CROWD[0])
    for exe, code, expected in (("/bin/x", 1, NEVER), ("/bin/y", 2, ORDINARY)):
        place(crowd, pid, exe=exe, code=code)
        heard.events.tell(pid)
        assert heard.census.take_likely(())[pid].verdict.standing is expected


def test_what_was_lost_is_found_by_a_listing(crowd: Path, clock: list[float]) -> None:
    procfs = Counted(crowd)
    heard = Heard(procfs, clock)
    procfs.last, procfs.listings = Pid(9_999), 0
    place(crowd, 501)
    heard.events.lose()
    assert Pid(501) in heard.census.take_likely(())
    assert procfs.listings == 1
    heard.census.take_likely(())
    assert procfs.listings == 1


def test_a_storm_of_events_is_found_by_a_listing(crowd: Path, clock: list[float]) -> None:
    procfs = Counted(crowd)
    heard = Heard(procfs, clock)
    procfs.last, procfs.listings = Pid(9_999), 0
    place(crowd, 99)
    heard.events.tell(99, *range(10_000, 10_000 + MOST_HEARD))
    assert Pid(99) in heard.census.take_likely(())
    assert procfs.listings == 1


def test_who_was_heard_of_and_not_looked_at_yet_is_looked_at_at_the_limit(
    crowd: Path, clock: list[float]
) -> None:
    procfs = Slow(crowd, clock, 0, 0.005)
    heard = Heard(procfs, clock)
    swarm = range(5000, 5000 + 2 * SLICE)
    for pid in swarm:
        place(crowd, pid)
    heard.events.tell(*swarm)
    follow(heard.census, clock, 0.5)
    assert not heard.census.known().keys() >= set(swarm)
    assert heard.census.take_likely(()).keys() >= set(swarm)
    procfs.looks.clear()
    heard.census.take_likely(())
    assert set(procfs.looks) <= set(CROWD)


def test_a_storm_of_events_does_not_keep_all_others_from_their_turns(crowd: Path, clock: list[float]) -> None:
    procfs = Slow(crowd, clock, 0, 0.00005)
    heard = Heard(procfs, clock)
    procfs.looks.clear()
    # More than there is time for, and not so many that they are given up.
    for first in range(10_000, 11_500, 150):
        heard.events.tell(*range(first, first + 150))
        follow(heard.census, clock, 0.1)
    assert set(procfs.looks) >= set(CROWD)


def test_while_all_is_heard_of_a_listing_is_rare(crowd: Path, clock: list[float]) -> None:
    """Not never: who is heard to have ended may be there still, and end up unheard of."""
    procfs = Counted(crowd)
    heard = Heard(procfs, clock)
    procfs.listings = 0
    follow(heard.census, clock, 2 * LISTING + 1)
    assert procfs.listings == 2


def test_nobody_is_listened_to_before_it_is_armed_nor_in_calm(crowd: Path, clock: list[float]) -> None:
    procfs, events = Counted(crowd), Told()
    census = Census(procfs, (), None, events)
    for look in (census.refresh, lambda: census.take_likely(()), census.relax):
        look()
        assert not events.listening
    census.follow()
    assert events.listening
    place(crowd, 99)
    census.relax()
    assert not events.listening
    procfs.last = Pid(9_999)
    assert Pid(99) in census.take_likely(())
    census.follow()
    census.close()
    assert not events.listening
