"""An error at any call of the loop costs no kill, hurts no bystander, and does not end the guard.

The host is a folder, its processes are children of the test: the hog dies of the real loop's real signal.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from oomguard import account, bystanders, hunt
from oomguard.arrivals import Arrivals
from oomguard.census import Census
from oomguard.config import DEFAULTS
from oomguard.counters import FAILURES
from oomguard.easing import Easing
from oomguard.event import Failed, Killing, Lifecycle, LifecycleChanged
from oomguard.failsafe import IN_A_ROW, Broken
from oomguard.fallback import Fallback
from oomguard.gauge import Gauge
from oomguard.guard import Guard
from oomguard.handover import NOTHING_OPENED
from oomguard.helpers import Helpers
from oomguard.hunt import Hunt
from oomguard.kill import Killer
from oomguard.phase import Headlines, Phases
from oomguard.pressure import Phase
from oomguard.procfs import ProcFS
from oomguard.reader import Reader
from oomguard.record import Writer
from oomguard.registry import Registry
from oomguard.reliever import Reliever
from oomguard.rules import Effect, Field, Rule, pattern
from oomguard.sampler import Sampler
from oomguard.scout import Scout
from oomguard.units import Seconds
from oomguard.warden import Warden
from tests.smallhost import TOTAL, SmallHost
from tests.test_guard import Silent, Turns, events, silently, state, stop

LOW = TOTAL * 7 // 100
"""MiB: below the limit of term, and above that of kill."""
HOG, DATABASE, BYSTANDER = 2600, 700, 200
"""What they hold, in MiB."""
ENFORCING = replace(
    DEFAULTS,
    rules=(Rule(name="database", patterns=(pattern(Field.EXE, "/bin/database"),), effect=Effect.NEVER),),
)
CALM = 30
"""Turns after the hog's death, in which nobody else is to die."""
MOST_TURNS = 400


class Fault(Exception):
    """What nobody thought of."""


@pytest.fixture(scope="module")
def others() -> Iterator[tuple[subprocess.Popen[bytes], ...]]:
    """The database, which a rule protects, and a small bystander."""
    with ExitStack() as stack:
        yield stack.enter_context(Sleeper()), stack.enter_context(Sleeper())


class Sleeper(subprocess.Popen[bytes]):
    """Somebody, until the end of the context."""

    def __init__(self) -> None:
        super().__init__(("sleep", "1000"))

    def __exit__(self, *_: object) -> None:
        self.kill()
        self.wait()


def nothing() -> None:
    """What happens mostly."""


class Life(Turns):
    """Time passes, and whoever was killed is gone, with its memory."""

    def __init__(self, host: SmallHost, hog: subprocess.Popen[bytes]) -> None:
        self.now = 1000.0
        self._host, self._hog = host, hog
        self._turns_left = MOST_TURNS
        self._jumps: dict[int, Callable[[], None]] = {}

    def jumps(self, turn: int, jump: Callable[[], None]) -> None:
        """Something happens before this turn."""
        self._jumps[MOST_TURNS - turn] = jump

    def passes(self, seconds: float) -> None:
        """More time than was asked for."""
        self.now += seconds

    def wait(self, pause: Seconds) -> frozenset[int]:
        assert pause > 0 or self.now == 1000.0, "it would take all of a CPU"
        self.now += pause
        time.sleep(0.0005)
        if self._hog.poll() is not None and self._turns_left > CALM:
            shutil.rmtree(self._host.root / f"proc/{self._hog.pid}")
            self._host.has_available(TOTAL - DATABASE - BYSTANDER)
            self._turns_left = CALM
        self._jumps.pop(self._turns_left, nothing)()
        self._turns_left -= 1
        return frozenset() if self._turns_left else stop()


class World:
    """A guard on its host."""

    def __init__(
        self,
        root: Path,
        hog: subprocess.Popen[bytes],
        others: tuple[subprocess.Popen[bytes], ...],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        self.hog, self.others = hog, others
        database, bystander = others
        self.host = host = SmallHost(root)
        host.runs(hog.pid, HOG)
        host.runs(database.pid, DATABASE, exe="/bin/database", oom_score=999)
        host.runs(bystander.pid, BYSTANDER, exe="/bin/bystander")
        host.has_available(LOW)
        self.life = Life(host, hog)
        monkeypatch.setattr(time, "monotonic", lambda: self.life.now)
        config = replace(ENFORCING, record=str(root / "record"))
        self.writer, self.procfs = Writer.anonymous(), ProcFS(root)
        self.guard = Guard(
            config, lambda: config, self.procfs, self.writer, silently(config), self.life, NOTHING_OPENED
        )

    def failures(self) -> int:
        with Reader.from_fd(os.dup(self.writer.fd)) as reader:
            return reader.counters()[FAILURES]

    def told(self) -> list[str]:
        """Of what went wrong, each once."""
        return [event.text for event in events(self.writer) if isinstance(event, Failed)]

    def lifecycle(self) -> list[Lifecycle]:
        return [event.what for event in events(self.writer) if isinstance(event, LifecycleChanged)]

    def is_well(self) -> bool:
        """The hog is dead, and nobody else."""
        return self.hog.poll() is not None and all(other.poll() is None for other in self.others)


@pytest.fixture
def world(
    tmp_path: Path, others: tuple[subprocess.Popen[bytes], ...], monkeypatch: pytest.MonkeyPatch
) -> Iterator[World]:
    with Sleeper() as hog:
        world = World(tmp_path, hog, others, monkeypatch)
        yield world
        world.writer.close()
        world.procfs.close()


CALLS: tuple[tuple[Any, str], ...] = (
    *((Sampler, name) for name in ("take", "follow", "watch", "watch_processes")),
    *((Gauge, name) for name in ("is_near", "read", "restart")),
    *((Warden, name) for name in ("read", "overall", "tend", "crossed", "pause", "watched")),
    *((Hunt, name) for name in ("rehearse", "watch", "relax", "act", "follow")),
    *((Scout, name) for name in ("look", "watch")),
    *((Census, name) for name in ("refresh", "follow", "known", "take_likely", "relax")),
    *((Registry, name) for name in ("collect", "reconsider", "begin_round")),
    *((Killer, name) for name in ("signal", "left", "stand_down", "world", "pretended")),
    *((Easing, name) for name in ("follow", "ease", "make_way")),
    (Phases, "advance"),
    (Headlines, "change"),
    *((Writer, name) for name in ("sample", "state", "tell")),
    *((Silent, name) for name in ("tend", "wake", "dropped", "stop")),
    *((Reliever, name) for name in ("left_behind", "retire", "stop")),
    (Helpers, "tend"),
    *((Arrivals, name) for name in ("hear", "everybody", "unread", "looked_at", "ignore")),
    (Life, "watch"),
    *((ProcFS, name) for name in ("memory", "pressure", "vmstat", "pids")),
    *((bystanders, name) for name in ("culprit", "groups", "neighbours")),
    *((account, name) for name in ("killing", "ended", "person")),
    (hunt, "decide"),
)
"""Whatever the loop calls, but for who says who is who."""
IDENTITY: tuple[tuple[Any, str], ...] = (
    *((ProcFS, name) for name in ("process", "membership", "exe", "user_namespace")),
    *((Registry, name) for name in ("enter", "judge_fully", "place")),
)
"""Where they fail nobody can be judged, and so nobody dies; once is no reason for that."""
TIMES = {"first": (1).__eq__, "always": (0).__lt__}


def break_(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, at: Callable[[int], bool]) -> list[int]:
    """Have those calls fail; gives the numbers of those that did."""
    original = getattr(owner, name)
    calls, failed = count(1), list[int]()

    def broken(*words: Any, **named: Any) -> Any:
        call = next(calls)
        if at(call):
            failed.append(call)
            raise Fault(name)
        return original(*words, **named)

    monkeypatch.setattr(owner, name, broken)
    return failed


def name_of(each: Any) -> str:
    return str(getattr(each, "__name__", each))


@pytest.mark.parametrize("times", TIMES)
@pytest.mark.parametrize(("owner", "name"), CALLS, ids=name_of)
def test_an_error_anywhere_costs_no_kill_and_no_bystander(
    world: World, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, times: str
) -> None:
    failed = break_(monkeypatch, owner, name, TIMES[times])
    world.guard.run(())
    assert world.is_well()
    assert failed, "it was never called"
    assert world.failures()
    told = world.told()
    assert len(told) == len(set(told))
    assert name == "tell" or any(f"Fault: {name} at " in text for text in told)


@pytest.mark.parametrize("times", TIMES)
@pytest.mark.parametrize(("owner", "name"), IDENTITY, ids=name_of)
def test_who_cannot_be_judged_is_spared(
    world: World, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, times: str
) -> None:
    failed = break_(monkeypatch, owner, name, TIMES[times])
    world.guard.run(())
    assert failed
    assert all(other.poll() is None for other in world.others)
    assert times == "always" or world.is_well()


DECIDING: tuple[tuple[Any, str], ...] = (
    (Sampler, "take"),
    (Gauge, "read"),
    (Warden, "read"),
    (Scout, "look"),
    (hunt, "decide"),
    (Killer, "signal"),
)


@pytest.mark.parametrize(("owner", "name"), DECIDING, ids=name_of)
def test_when_no_poll_decides_the_fallback_does_and_says_so(
    world: World, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str
) -> None:
    break_(monkeypatch, owner, name, TIMES["always"])
    world.guard.run(())
    assert world.is_well()
    assert world.lifecycle().count(Lifecycle.FELL_BACK) == 1
    (killing,) = (event for event in events(world.writer) if isinstance(event, Killing))
    assert (killing.policy, killing.scope, killing.victim.pid) == ("kernel", "process", world.hog.pid)


@pytest.mark.parametrize("call", [2, 3, 4, 5])
@pytest.mark.parametrize(("owner", "name"), DECIDING, ids=name_of)
def test_nor_does_one_at_another_moment(
    world: World, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, call: int
) -> None:
    break_(monkeypatch, owner, name, call.__eq__)
    world.guard.run(())
    assert world.is_well()
    assert Lifecycle.FELL_BACK not in world.lifecycle()


@pytest.mark.parametrize("polls", [IN_A_ROW - 1, IN_A_ROW, IN_A_ROW + 7])
def test_it_decides_itself_again_as_soon_as_it_can(
    world: World, monkeypatch: pytest.MonkeyPatch, polls: int
) -> None:
    """The rehearsal is the first call of `read`, and fails too."""
    world.host.has_available(TOTAL)
    break_(monkeypatch, Gauge, "read", lambda call: call <= 1 + polls)
    monkeypatch.setattr(Life, "wait", ending_after(polls + 5, Life.wait))
    world.guard.run(())
    fell_back = polls >= IN_A_ROW
    between = [Lifecycle.FELL_BACK, Lifecycle.RESUMED] if fell_back else []
    assert world.lifecycle() == [Lifecycle.STARTED, *between, Lifecycle.STOPPING]
    assert state(world.writer).phase is Phase.CALM
    assert world.hog.poll() is None


def test_while_the_fallback_decides_the_record_is_kept_up(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else systemd, which wants life signs, would end a guard that works."""
    world.host.has_available(TOTAL)
    break_(monkeypatch, Gauge, "read", lambda call: call > 3)
    monkeypatch.setattr(Life, "wait", ending_after(20, Life.wait))
    world.guard.run(())
    assert (state(world.writer).phase, state(world.writer).polls) == (Phase.FALLBACK, 22 - IN_A_ROW)
    assert state(world.writer).polled_at == world.life.now


def test_when_the_fallback_fails_as_well_it_is_given_up(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_(monkeypatch, Gauge, "read", TIMES["always"])
    break_(monkeypatch, Fallback, "poll", TIMES["always"])
    with pytest.raises(Broken, match="fallback"):
        world.guard.run(())
    assert world.failures() == 1 + 2 * IN_A_ROW + IN_A_ROW - 1
    assert world.hog.poll() is None


def ending_after(turns: int, wait: Callable[[Life, Seconds], frozenset[int]]) -> Any:
    left = count(turns, -1)
    return lambda life, pause: wait(life, pause) if next(left) else stop()


def test_how_late_a_poll_was_at_the_most_is_in_the_record(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.host.has_available(TOTAL)
    for turn, seconds in ((5, 0.7), (9, 0.2)):
        world.life.jumps(turn, partial(world.life.passes, seconds))
    monkeypatch.setattr(Life, "wait", ending_after(20, Life.wait))
    world.guard.run(())
    assert state(world.writer).worst_lateness == pytest.approx(0.7)


class Clocks:
    """All of them; each can be set."""

    def __init__(self, life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
        self._life = life
        self._wall, self._asleep = 0.0, 0.0
        wall, clock = time.time, time.clock_gettime
        monkeypatch.setattr(time, "time", lambda: wall() + self._wall)
        monkeypatch.setattr(
            time,
            "clock_gettime",
            lambda which: clock(which) + (self._asleep if which == time.CLOCK_BOOTTIME else 0),
        )

    def step_back(self) -> None:
        self._wall = -DAY

    def step_ahead(self) -> None:
        self._wall = 1000 * DAY

    def suspend(self) -> None:
        """And resume: CLOCK_MONOTONIC stands still meanwhile (clock_gettime(2))."""
        self._wall = self._asleep = DAY

    def freeze(self) -> None:
        """As a virtual machine may be for a while, which none of the host's clocks shows to it."""
        self._life.passes(DAY)
        self._wall = self._asleep = DAY


DAY = 86400.0
JUMPS = (Clocks.step_back, Clocks.step_ahead, Clocks.suspend, Clocks.freeze)


@pytest.mark.parametrize("turn", [0, 1, 2, 3, 6])
@pytest.mark.parametrize("jump", JUMPS, ids=name_of)
def test_a_clock_that_jumps_costs_no_kill_and_no_bystander(
    world: World, monkeypatch: pytest.MonkeyPatch, jump: Callable[[Clocks], None], turn: int
) -> None:
    clocks = Clocks(world.life, monkeypatch)
    world.life.jumps(turn, lambda: jump(clocks))
    world.guard.run(())
    assert world.is_well()
    assert not world.failures()


@pytest.mark.parametrize("share", [0.11, 0.5])
@pytest.mark.parametrize("jump", JUMPS, ids=name_of)
def test_while_memory_is_not_low_nobody_dies_of_a_jump(
    world: World, monkeypatch: pytest.MonkeyPatch, jump: Callable[[Clocks], None], share: float
) -> None:
    """Nor of a day of stall: somebody may have waited for memory just when the machine was frozen."""
    clocks = Clocks(world.life, monkeypatch)
    world.host.has_available(int(TOTAL * share))

    def happen() -> None:
        jump(clocks)
        world.host.has_stalled(DAY)

    world.life.jumps(10, happen)
    monkeypatch.setattr(Life, "wait", ending_after(60, Life.wait))
    world.guard.run(())
    assert not [event for event in events(world.writer) if isinstance(event, Killing)]
    assert world.hog.poll() is None
    assert not world.failures()
