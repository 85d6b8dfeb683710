"""The fallback on a host that is a folder; its processes are children of the test, and really die."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from oomguard.badness import OOM_SCORE_ADJ_MIN
from oomguard.config import DEFAULTS, Config
from oomguard.episode import Sent
from oomguard.event import Killing
from oomguard.fallback import HANGS_AFTER, SETTLING, Fallback
from oomguard.pressure import Level
from oomguard.procfs import ProcFS
from oomguard.ranking import INIT
from oomguard.rules import Effect, Field, Rule, pattern
from oomguard.units import Pid, Seconds
from tests.processfolder import eventually
from tests.smallhost import TOTAL, SmallHost
from tests.test_dependable import Sleeper

TERM, KILL = TOTAL * 7 // 100, TOTAL * 3 // 100
"""MiB that are available: below the one limit, and below both."""
PLENTY = TOTAL // 2


class Clock:
    now = 1000.0


class Scene:
    """Processes with the memory that they hold, and a fallback that decides among them."""

    def __init__(self, root: Path, stack: ExitStack) -> None:
        self.host = SmallHost(root)
        self.clock = Clock()
        self._stack = stack
        self._root = root
        self.own: frozenset[Pid] = frozenset()
        self.host.has_available(TERM)

    def runs(self, mib: int, *, exe: str = "/bin/hog", adj: int = 0, oom_score: int | None = None) -> Sleeper:
        one = self._stack.enter_context(Sleeper())
        self.host.runs(one.pid, mib, exe=exe, adj=adj, oom_score=oom_score)
        return one

    def fallback(self, *rules: Rule, config: Config = DEFAULTS) -> Fallback:
        procfs = ProcFS(self._root)
        self._stack.callback(procfs.close)
        return Fallback(replace(config, rules=rules), procfs, procfs.machine(), lambda: self.own)

    def bury(self, one: Sleeper) -> None:
        """It has exited."""
        one.wait()
        shutil.rmtree(self._root / f"proc/{one.pid}")


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    with ExitStack() as stack:
        scene = Scene(tmp_path, stack)
        monkeypatch.setattr(time, "monotonic", lambda: scene.clock.now)
        yield scene


def rule(effect: Effect, exe: str) -> Rule:
    return Rule(name=exe, patterns=(pattern(Field.EXE, exe),), effect=effect)


def victim(killing: Killing | None) -> tuple[int, Sent] | None:
    return None if killing is None else (killing.victim.pid, killing.sent)


@pytest.mark.parametrize(
    ("available", "level", "sent"),
    [(PLENTY, None, None), (TERM, Level.TERM, Sent.TERM), (KILL, Level.KILL, Sent.KILL)],
)
def test_the_limits_are_those_of_the_configuration(
    scene: Scene, available: int, level: Level | None, sent: Sent | None
) -> None:
    scene.runs(300)
    hog = scene.runs(2000)
    scene.host.has_available(available)
    one = scene.fallback()
    told = one.poll()
    assert one.is_calm is (level is None)
    if told is None:
        assert (level, hog.poll()) == (None, None)
    else:
        assert (told.level, told.sent, told.victim.pid) == (level, sent, hog.pid)
        hog.wait()
        assert told.figures.available == available << 20


def test_free_swap_is_room_too(scene: Scene) -> None:
    hog = scene.runs(2000)
    scene.host.has_swap(total=1000, free=500)
    assert scene.fallback().poll() is None
    scene.host.has_swap(total=1000, free=50)
    assert victim(scene.fallback().poll()) == (hog.pid, Sent.TERM)


def test_the_kernels_score_counts_and_not_the_size(scene: Scene) -> None:
    scene.runs(2000, oom_score=700)
    worst = scene.runs(300, oom_score=900)
    assert victim(scene.fallback().poll()) == (worst.pid, Sent.TERM)


@pytest.mark.parametrize("spared", ["never", "adj", "zero", "own", "init", "small", "unreadable", "kernel"])
def test_who_is_spared_is_spared_however_bad(scene: Scene, spared: str) -> None:
    exe = "/bin/database"
    size = 20 if spared == "small" else 2000
    worst = scene.runs(
        size,
        exe=exe,
        oom_score=0 if spared == "zero" else 999,
        adj=OOM_SCORE_ADJ_MIN if spared == "adj" else 0,
    )
    folder = scene.host.root / f"proc/{worst.pid}"
    match spared:
        case "own":
            scene.own = frozenset((Pid(worst.pid),))
        case "init":
            folder.rename(folder.with_name(str(INIT)))
            stat = folder.with_name(str(INIT)) / "stat"
            stat.write_text(stat.read_text().replace(f"{worst.pid} (", f"{INIT} (", 1))
        case "unreadable":
            (folder / "stat").write_text("what no kernel writes")
        case "kernel":
            stat = folder / "stat"
            words = stat.read_text().split()
            stat.write_text(" ".join((*words[:8], str(0x00200000), *words[9:])))
    other = scene.runs(500)
    rules = (rule(Effect.NEVER, exe),) if spared == "never" else ()
    assert victim(scene.fallback(*rules).poll()) == (other.pid, Sent.TERM)
    assert worst.poll() is None


def test_who_is_to_be_the_last_dies_when_there_is_nobody_else(scene: Scene) -> None:
    last, other = scene.runs(2000, exe="/bin/last"), scene.runs(500)
    rules = (rule(Effect.LAST, "/bin/last"),)
    one = scene.fallback(*rules)
    assert victim(one.poll()) == (other.pid, Sent.TERM)
    scene.bury(other)
    assert one.poll() is None
    scene.clock.now += SETTLING
    assert victim(one.poll()) == (last.pid, Sent.TERM)


def test_a_name_that_is_slow_to_read_protects_until_it_is_known(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    hog = scene.runs(2000)
    (scene.host.root / f"proc/{hog.pid}/cmdline").write_bytes(b"hog\0--precious\0")
    precious = Rule(name="p", patterns=(pattern(Field.CMDLINE, "*--precious*"),), effect=Effect.NEVER)
    other = scene.runs(500)
    one = scene.fallback(precious)
    assert one.poll() is None
    seen = list[Killing]()

    def somebody() -> bool:
        seen.extend(filter(None, (one.poll(),)))
        return bool(seen)

    monkeypatch.undo()
    assert eventually(somebody)
    assert victim(seen[0]) == (other.pid, Sent.TERM)
    one.close()


def test_one_victim_at_a_time_and_its_memory_gets_time(scene: Scene) -> None:
    first, second = scene.runs(2000), scene.runs(1000)
    one = scene.fallback()
    assert victim(one.poll()) == (first.pid, Sent.TERM)
    assert one.is_busy
    scene.bury(first)
    assert one.poll() is None
    scene.clock.now += SETTLING / 2
    assert one.is_busy
    assert one.poll() is None
    scene.clock.now += SETTLING
    assert not one.is_busy
    assert victim(one.poll()) == (second.pid, Sent.TERM)


def test_somebody_elses_victim_gets_the_same_time(scene: Scene) -> None:
    hog = scene.runs(2000)
    one = scene.fallback()
    one.settle(Seconds(scene.clock.now))
    assert (one.is_busy, one.poll()) == (True, None)
    scene.clock.now += SETTLING
    assert victim(one.poll()) == (hog.pid, Sent.TERM)


@pytest.mark.parametrize("why", ["its time is over", "no headroom is left"])
def test_who_does_not_end_when_asked_is_ended(
    scene: Scene, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hog = scene.runs(2000)
    sent = list[int]()
    monkeypatch.setattr(signal, "pidfd_send_signal", lambda _fd, number: sent.append(number))
    one = scene.fallback()
    assert victim(one.poll()) == (hog.pid, Sent.TERM)
    assert one.poll() is None
    if why == "its time is over":
        scene.clock.now += DEFAULTS.grace + 0.1
    else:
        scene.host.has_available(KILL)
    assert victim(one.poll()) == (hog.pid, Sent.KILL)
    assert one.poll() is None
    scene.clock.now += HANGS_AFTER + 0.1
    other = scene.runs(500)
    assert one.poll() is None
    scene.clock.now += SETTLING
    told = one.poll()
    assert told is not None
    assert told.victim.pid == other.pid, "who hangs is passed over"


def test_who_cannot_be_signalled_is_passed_over(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    scene.runs(2000)
    other = scene.runs(500)
    real = signal.pidfd_send_signal
    refusals = [PermissionError(1, "no")]

    def send(fd: int, number: int) -> None:
        if refusals:
            raise refusals.pop()
        real(fd, number)

    monkeypatch.setattr(signal, "pidfd_send_signal", send)
    one = scene.fallback()
    assert one.poll() is None
    scene.clock.now += SETTLING
    assert victim(one.poll()) == (other.pid, Sent.TERM)


@pytest.mark.parametrize("how", ["another", "gone", "exec"])
def test_who_is_not_who_was_judged_is_not_hit(
    scene: Scene, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hog = scene.runs(2000)
    one = scene.fallback()
    opened = os.pidfd_open

    def open_late(pid: int) -> int:
        stat = scene.host.root / f"proc/{pid}/stat"
        match how:
            case "another":
                stat.write_text(stat.read_text().replace(" 247106 ", " 247107 "))
            case "exec":
                stat.write_text(stat.read_text().replace(" 4321280 ", " 4321281 "))
            case _:
                stat.unlink()
        return opened(pid)

    monkeypatch.setattr(os, "pidfd_open", open_late)
    assert one.poll() is None
    assert hog.poll() is None


def test_it_lets_go_of_its_victim_when_the_guard_decides_again(scene: Scene) -> None:
    hog = scene.runs(2000)
    one = scene.fallback()
    before = len(os.listdir("/proc/self/fd"))
    assert one.poll() is not None
    assert len(os.listdir("/proc/self/fd")) == before + 1
    one.end()
    assert len(os.listdir("/proc/self/fd")) <= before
    hog.wait()


def test_without_figures_it_says_so(scene: Scene) -> None:
    one = scene.fallback()
    (scene.host.root / "proc/meminfo").write_text("MemTotal: 1 kB\n")
    with pytest.raises(KeyError):
        one.poll()
