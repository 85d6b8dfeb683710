from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from oomguard.errors import Gone
from oomguard.procfs import ProcFS
from oomguard.registry import Dossier, Registry
from oomguard.rules import NO_RULE, Effect, Field, Rule, Standing, pattern
from oomguard.units import Pid, Seconds
from tests.processfolder import host, place

PYTHON = Rule(name="python", patterns=(pattern(Field.EXE, "/usr/bin/python3.11"),), effect=Effect.NEVER)
EXPRESSION = Rule(name="any", patterns=(pattern(Field.EXE, "re:.*"),), effect=Effect.NEVER)
LONG_AGO, TICKS = 1000, 100
"""When it started, in seconds since boot; clock ticks a second."""
NOW = Seconds(50_000.0)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    place(host(tmp_path), 10, started=LONG_AGO * TICKS)
    return tmp_path


def entered(registry: Registry, root: Path, at: Seconds = NOW) -> Dossier:
    return registry.enter(ProcFS(root).process(Pid(10)), at)


def test_the_same_process_keeps_its_dossier(root: Path) -> None:
    registry = Registry(ProcFS(root), (PYTHON,), None)
    first = entered(registry, root)
    assert entered(registry, root, Seconds(NOW + 1)) is first
    assert (first.seen_at, first.judged.verdict.standing) == (NOW + 1, Standing.NEVER)
    assert registry.dossiers == {10: first}


def test_after_an_exec_it_is_judged_anew_and_keeps_its_past(root: Path) -> None:
    registry = Registry(ProcFS(root), (PYTHON,), None)
    first = entered(registry, root)
    place(root, 10, exe="/bin/x", code=4096, started=LONG_AGO * TICKS)
    second = entered(registry, root, Seconds(NOW + 1))
    assert second.judged.verdict == NO_RULE
    assert second.past is first.past
    assert (first.images, second.images) == (1, 2)


def test_another_process_with_its_pid_has_no_past(root: Path) -> None:
    registry = Registry(ProcFS(root), (PYTHON,), None)
    first = entered(registry, root)
    place(root, 10, exe="/bin/x", started=int(NOW) * TICKS)
    second = entered(registry, root, Seconds(NOW + 1))
    assert second.past is not first.past
    assert (second.images, second.judged.growth) == (1, second.judged.process.held)


@pytest.mark.parametrize("how", ["seen", "read"])
def test_growth_fades_while_it_holds_the_same(root: Path, how: str) -> None:
    place(root, 10, started=int(NOW) * TICKS)
    registry = Registry(ProcFS(root), (), None)
    dossier = entered(registry, root, Seconds(NOW + 1))
    grown = []
    for seconds in range(2, 20):
        if how == "seen":
            dossier.still(Seconds(NOW + seconds))
        else:
            entered(registry, root, Seconds(NOW + seconds))
        grown.append(dossier.judged.growth > 0)
    assert grown == sorted(grown, reverse=True)
    assert (grown[0], grown[-1], dossier.seen_at) == (True, False, NOW + 19)


def test_who_was_judged_in_haste_is_judged_in_full_once(root: Path) -> None:
    registry = Registry(ProcFS(root), (EXPRESSION,), None)
    dossier = entered(registry, root)
    assert (dossier.hasty, dossier.judged.verdict.unresolved) == (True, True)
    registry.reconsider()
    judged = dossier.judged
    assert (dossier.hasty, judged.verdict.standing) == (False, Standing.NEVER)
    registry.judge_fully(dossier)
    assert dossier.judged is judged


def test_whose_place_cannot_be_read_stays_where_it_was(root: Path) -> None:
    registry = Registry(ProcFS(root), (), None)
    dossier = entered(registry, root)
    judged = dossier.judged
    (root / "proc/10/cgroup").write_text("nonsense\n")
    registry.place(dossier)
    assert dossier.judged is judged


def test_nothing_is_kept_of_who_has_gone(root: Path) -> None:
    registry = Registry(ProcFS(root), (), None)
    entered(registry, root)
    registry.forget({Pid(10), Pid(11)})
    assert registry.dossiers == {}


def test_who_ends_before_its_names_are_read_is_nobody(root: Path) -> None:
    """Without names no rule would protect it, and its pid may be another's."""
    process = ProcFS(root).process(Pid(10))
    registry = Registry(ProcFS(root), (PYTHON,), None)
    shutil.rmtree(root / "proc/10")
    with pytest.raises(Gone):
        registry.enter(process, NOW)
    assert registry.dossiers == {}


OMITTED = {"user.oomd_omit": b"1"}


def group(root: Path, path: str, attributes: dict[str, bytes], together: bool = False) -> None:
    """A control group of v2 alone, which says something."""
    top = root / "sys/fs/cgroup"
    folder = top / path.strip("/")
    folder.mkdir(parents=True, exist_ok=True)
    (top / "cgroup.controllers").touch()
    (folder / "memory.oom.group").write_text(f"{together:d}\n")
    try:
        for name, value in attributes.items():
            os.setxattr(folder, name, value)
    except OSError as error:
        pytest.skip(f"no attributes of users here: {error}")


def test_what_a_group_says_is_not_asked_in_the_kill_path(root: Path) -> None:
    group(root, "/user.slice", {}, together=True)
    registry = Registry(ProcFS(root), (), None)
    first = entered(registry, root)
    assert (first.judged.verdict.unresolved, first.judged.oom_groups) == (True, ())
    registry.reconsider()
    assert (first.judged.verdict.unresolved, first.judged.oom_groups) == (False, ("/user.slice",))
    assert entered(registry, root, Seconds(NOW + 1)).judged.oom_groups == ("/user.slice",)
    place(root, 11)
    second = registry.enter(ProcFS(root).process(Pid(11)), NOW)
    assert (second.judged.verdict.unresolved, second.judged.oom_groups) == (False, ("/user.slice",))


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_what_systemd_says_of_a_group_is_added_to_the_rules(root: Path) -> None:
    group(root, "/user.slice", OMITTED)
    registry = Registry(ProcFS(root), (PYTHON,), None)
    first = entered(registry, root)
    registry.reconsider()
    assert first.judged.verdict.rules == ("python", "ManagedOOMPreference=omit")
    place(root, 10, exe="/bin/x", code=4096, started=LONG_AGO * TICKS)
    second = entered(registry, root)
    assert (second.judged.verdict.standing, second.judged.verdict.rules) == (
        Standing.NEVER,
        ("ManagedOOMPreference=omit",),
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_group_that_changes_its_mind_is_heard_in_the_next_round(root: Path) -> None:
    group(root, "/user.slice", {})
    registry = Registry(ProcFS(root), (), None)
    first = entered(registry, root)
    registry.reconsider()
    group(root, "/user.slice", OMITTED)
    registry.place(first)
    assert first.judged.verdict == NO_RULE
    registry.begin_round()
    registry.place(first)
    assert first.judged.verdict.standing is Standing.NEVER
    group(root, "/other", {})
    (root / "proc/10/cgroup").write_text("0::/other\n")
    registry.place(first)
    assert (first.judged.cgroup, first.judged.verdict) == ("/other", NO_RULE)
