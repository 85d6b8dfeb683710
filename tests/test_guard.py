"""The loop, turn by turn: on this host's /proc, with nothing told to anybody and nobody in danger."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest

from oomguard.brake import Brake
from oomguard.census import Census
from oomguard.cgroup import Membership
from oomguard.cgroupfs import CgroupFS, GroupStalls
from oomguard.config import DEFAULTS, Config
from oomguard.counters import EPISODES, KERNEL_KILLS, POLLS
from oomguard.delays import Accounting, NoDelays
from oomguard.dryrun import DryRun
from oomguard.easing import Easing
from oomguard.enclosure import Entry
from oomguard.errors import ConfigError
from oomguard.event import (
    Degraded,
    Event,
    Failed,
    Holding,
    KernelKilled,
    Killing,
    Lifecycle,
    LifecycleChanged,
    Mode,
    PhaseChanged,
    Relieved,
    Relieving,
)
from oomguard.gauge import LONGEST_PAUSE, LONGEST_REST
from oomguard.guard import ACTING_PAUSE, CUT_SHORT, Guard
from oomguard.handover import NOTHING_OPENED, Opened
from oomguard.helpers import Helpers
from oomguard.meminfo import Holdings, Memory, Room
from oomguard.plan import HoldReason
from oomguard.pressure import Level, Limit, Phase, Reason, Sample, StallOf
from oomguard.process import Key
from oomguard.procevents import Subscription
from oomguard.procfs import ProcFS
from oomguard.psi import Pressure
from oomguard.reader import Reader
from oomguard.record import Writer
from oomguard.reliever import Reliever
from oomguard.remedy import Action, AfterKill, Ending, Restraint
from oomguard.rules import Effect, Field, Rule, Signal, pattern
from oomguard.scout import WATCH_EVERY
from oomguard.sources import Sources, Use
from oomguard.state import State, Watched
from oomguard.taskstats import Delays
from oomguard.teller import Teller
from oomguard.units import Bytes, Percent, Pid, Seconds, Ticks
from oomguard.wakeup import Wakeup
from tests.builders import holdings
from tests.groupfolder import hold, unified

QUIET = replace(
    DEFAULTS,
    mode=Mode.DRY_RUN,
    limits=replace(
        DEFAULTS.limits,
        available=Limit(term=Percent(0), kill=Percent(0)),
        swap_free=Limit(term=Percent(100), kill=Percent(0)),
        stall_budget=Seconds(60),
        stall_window=Seconds(60),
    ),
)
"""A configuration by which nobody ever dies."""
SHORT = replace(QUIET, limits=replace(QUIET.limits, available=Limit(term=Percent(99), kill=Percent(0))))
"""One by which memory is low, unless all of it is available; a dry run too."""
OWN = Entry(name="own", path="/", term=Percent(90), kill=Percent(99), budget=None)
EVERYBODY = Rule(name="everybody", patterns=(pattern(Field.CGROUP, "*"),), effect=Effect.NEVER)

Turn = Callable[[], frozenset[int]]


class Turns(Wakeup):
    """In place of waiting: what happens at each turn, and then the end."""

    def __init__(self, *turns: Turn) -> None:
        self._turns = iter(turns)
        self.pauses: list[Seconds] = []

    def add_trigger(self, fd: int) -> None:
        raise NotImplementedError

    def watch(self, pidfds: tuple[int, ...]) -> None:
        pass

    def wait(self, pause: Seconds) -> frozenset[int]:
        self.pauses.append(pause)
        return next(self._turns, stop)()


class Silent(Teller):
    """Tells nobody; counts how often it was woken."""

    pid = None

    def __init__(self) -> None:
        self.woken = 0
        self.stopped = False

    def tend(self, now: Seconds) -> None:
        pass

    def wake(self) -> None:
        self.woken += 1

    def dropped(self) -> int:
        return 0

    def stop(self, timeout: Seconds) -> None:
        self.stopped = True


def silently(config: Config) -> Helpers:
    """Helpers of a guard that has nobody to tell for it, and no exporter."""
    return Helpers(Silent(), Reliever(f"{config.record}.relief"), None)


def poll() -> frozenset[int]:
    return frozenset()


def reload() -> frozenset[int]:
    return frozenset((signal.SIGHUP,))


def stop() -> frozenset[int]:
    return frozenset((signal.SIGTERM,))


class Host(ProcFS):
    """This host, with as much memory available as a test wants; or it cannot tell."""

    problem: OSError | None = None
    share_available = 1.0
    share_per_cpu = 0.0

    def memory(self) -> Memory:
        if self.problem is not None:
            raise self.problem
        memory = super().memory()
        return replace(memory, available=Percent(100 * self.share_available).of(memory.total))

    def room(self) -> Room:
        memory = self.memory()
        return Room(available=memory.available, swap_free=memory.swap_free)

    def holdings(self) -> Holdings:
        return holdings()

    def per_cpu_free(self) -> Bytes:
        return Percent(100 * self.share_per_cpu).of(super().memory().total)


class StallingGroups(GroupStalls):
    """Nobody in them has waited yet; remembers who is watched."""

    def __init__(self) -> None:
        self.watched: frozenset[str] = frozenset()

    def watch(self, groups: frozenset[str]) -> None:
        self.watched = groups

    def read(self) -> dict[str, Seconds]:
        return dict.fromkeys(self.watched, Seconds(0.0))

    def close(self) -> None:
        pass


class Grouped(Host):
    """Each process is in a group of its own, and somebody waits for memory all the time."""

    def __init__(self) -> None:
        super().__init__()
        self.groups = StallingGroups()

    def membership(self, pid: Pid) -> Membership:
        return Membership(unified=f"/{pid}.service", systemd=None, memory=None)

    def pressure(self) -> Pressure:
        waited = Seconds(time.monotonic())
        return Pressure(some=waited, full=waited)

    def group_stalls(self) -> GroupStalls:
        return self.groups


@pytest.fixture
def host() -> Iterator[Host]:
    host = Host()
    yield host
    host.close()


@pytest.fixture
def somebody() -> Iterator[None]:
    """Somebody to end, in dry run: on a host that runs nothing but the tests there is nobody else."""
    holds = (sys.executable, "-c", "held = bytearray(256 << 20); print(flush=True); input()")
    with subprocess.Popen(holds, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield
        process.kill()


@pytest.fixture
def writer() -> Iterator[Writer]:
    writer = Writer.anonymous()
    yield writer
    writer.close()


def refuse() -> Config:
    raise ConfigError("/etc/oomguard.toml", "mode", "no such word")


def run(
    writer: Writer,
    host: ProcFS,
    *turns: Turn,
    config: Config = QUIET,
    load: Callable[[], Config] = lambda: QUIET,
    missing: tuple[str, ...] = (),
    opened: Opened = NOTHING_OPENED,
) -> Turns:
    wakeup = Turns(*turns)
    Guard(config, load, host, writer, silently(config), wakeup, opened).run(missing)
    return wakeup


def events(writer: Writer) -> tuple[Event, ...]:
    with Reader.from_fd(os.dup(writer.fd)) as reader:
        return tuple(told.event for told in reader.events(0)[1])


def kinds(writer: Writer) -> list[str]:
    """The events in short."""
    return [
        event.what if isinstance(event, LifecycleChanged) else type(event).__name__
        for event in events(writer)
    ]


def state(writer: Writer) -> State:
    with Reader.from_fd(os.dup(writer.fd)) as reader:
        state = reader.state()
        assert state is not None
        assert reader.counters()[POLLS] == state.polls
        return state


def test_a_kernel_that_kills_again_and_again_is_counted_at_once_and_told_now_and_then(
    writer: Writer, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    vmstat, kills = host.vmstat(), 0
    monkeypatch.setattr(host, "vmstat", lambda: replace(vmstat, oom_kill=vmstat.oom_kill + kills))
    monkeypatch.setattr(host, "pressure", lambda: None)

    def kill() -> frozenset[int]:
        nonlocal kills
        kills += 3
        return poll()

    run(writer, host, poll, kill, kill, kill, kill)
    assert [event for event in events(writer) if isinstance(event, KernelKilled)] == [KernelKilled(kills=3)]
    with Reader.from_fd(os.dup(writer.fd)) as reader:
        assert reader.counters()[KERNEL_KILLS] == 4 * 3


def test_a_quiet_life(writer: Writer, host: Host) -> None:
    turns = run(writer, host, poll, poll, missing=("nothing to lock with",))
    assert kinds(writer) == ["Degraded", Lifecycle.STARTED, Lifecycle.STOPPING]
    assert events(writer)[0] == Degraded(text="nothing to lock with")
    # The rehearsal counts as the first of them.
    assert (state(writer).polls, state(writer).phase, state(writer).config_ok) == (3, Phase.CALM, True)
    assert turns.pauses[1:] == [LONGEST_PAUSE] * 2


class Alarmed(Turns):
    """Stalls wake it."""

    longest = LONGEST_REST


@pytest.mark.parametrize(("is_under_way", "longest"), [(False, LONGEST_REST), (True, LONGEST_PAUSE)])
def test_where_stalls_wake_it_it_rests_but_not_within_a_round(
    writer: Writer, host: Host, monkeypatch: pytest.MonkeyPatch, is_under_way: bool, longest: Seconds
) -> None:
    memory = replace(host.memory(), total=Bytes(64 << 30), available=Bytes(64 << 30))
    monkeypatch.setattr(host, "memory", lambda: memory)
    monkeypatch.setattr(Census, "is_under_way", is_under_way)
    turns = Alarmed(poll, poll)
    Guard(QUIET, lambda: QUIET, host, writer, silently(QUIET), turns, NOTHING_OPENED).run(())
    assert turns.pauses[1:] == [longest] * 2


class Resting(Turns):
    """Nothing but time wakes it; the clock goes on by each pause, and no further."""

    rested = True

    def __init__(self, clock: list[float], *turns: Turn) -> None:
        super().__init__(*turns)
        self._clock = clock

    def wait(self, pause: Seconds) -> frozenset[int]:
        self._clock[0] += pause
        return super().wait(pause)


class Plenty(Host):
    """Of 64 GiB all is available, unless a test says otherwise; counts how it was looked at."""

    waited = Seconds(1.0)

    def __init__(self) -> None:
        super().__init__()
        self.asked: Counter[str] = Counter()

    def memory(self) -> Memory:
        self.asked["memory"] += 1
        return replace(super().memory(), total=Bytes(64 << 30), available=self.available())

    def room(self) -> Room:
        self.asked["room"] += 1
        return Room(available=self.available(), swap_free=Bytes(0))

    def pids(self) -> list[Pid]:
        return [Pid(os.getpid())]

    def available(self) -> Bytes:
        return Percent(100 * self.share_available).of(Bytes(64 << 30))

    def pressure(self) -> Pressure:
        return Pressure(some=self.waited, full=self.waited)


@pytest.fixture
def plenty(monkeypatch: pytest.MonkeyPatch) -> Iterator[Plenty]:
    plenty = Plenty()
    memory = replace(ProcFS.memory(plenty), swap_total=Bytes(0), swap_free=Bytes(0))
    monkeypatch.setattr(Host, "memory", lambda _: memory)
    yield plenty
    plenty.close()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    clock = [time.monotonic()]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    return clock


def rest(
    writer: Writer,
    host: Plenty,
    clock: list[float],
    *turns: Turn,
    config: Config = QUIET,
    woken: bool = False,
) -> list[str]:
    """Which looks the turns are: m for a poll, r for a glimpse, R for one that was followed by a poll."""
    looks: list[str] = []

    def watched(turn: Turn) -> Turn:
        def take() -> frozenset[int]:
            note()
            return turn()

        return take

    def note() -> None:
        looks.append(
            {(0, 1): "r", (1, 0): "m", (1, 1): "R"}.get((host.asked["memory"], host.asked["room"]), "-")
        )
        host.asked.clear()

    wakeup = Resting(clock, *(watched(turn) for turn in (*turns, stop)))
    wakeup.longest = LONGEST_REST
    wakeup.rested = not woken
    Guard(config, lambda: config, host, writer, silently(config), wakeup, NOTHING_OPENED).run(())
    # Of what came before the first turn nothing is told.
    return looks[1:]


def test_in_calm_most_looks_are_glimpses(writer: Writer, plenty: Plenty, clock: list[float]) -> None:
    began = clock[0]
    assert "".join(rest(writer, plenty, clock, *[poll] * 10)) == "mrrRrrRrrR"
    with Reader.from_fd(os.dup(writer.fd)) as reader:
        found = reader.state()
        assert found is not None
        assert (reader.counters()[POLLS], found.polls, len(reader.samples())) == (11, 11, 5)
        assert found.pause == LONGEST_REST
        assert found.worst_lateness == pytest.approx(0)
    assert clock[0] > began + 36


def test_a_glimpse_is_a_sign_of_life(writer: Writer, plenty: Plenty, clock: list[float]) -> None:
    assert rest(writer, plenty, clock, poll, poll, poll) == ["m", "r", "r"]
    with Reader.from_fd(os.dup(writer.fd)) as reader:
        found = reader.state()
        assert found is not None
        # It is told to stop one pause after the last look.
        assert found.polled_at == pytest.approx(clock[0] - LONGEST_REST, abs=1e-5)
        assert (reader.counters()[POLLS], found.polls) == (4, 2)


def stall(host: Plenty) -> Turn:
    def turn() -> frozenset[int]:
        host.waited = Seconds(host.waited + 0.01)
        return frozenset()

    return turn


def take(host: Plenty) -> Turn:
    def turn() -> frozenset[int]:
        host.share_available *= 0.9
        return frozenset()

    return turn


@pytest.mark.parametrize("change", [stall, take])
def test_what_changes_has_it_look_in_full(
    writer: Writer, plenty: Plenty, clock: list[float], change: Callable[[Plenty], Turn]
) -> None:
    turns = (poll, poll, change(plenty), poll, change(plenty), change(plenty))
    assert "".join(rest(writer, plenty, clock, *turns)) == "mrRrRR"


@pytest.mark.parametrize(
    ("config", "owner", "name", "value"),
    [
        (replace(QUIET, enclosures=(OWN,)), None, "", None),
        (QUIET, Census, "is_under_way", True),
        (QUIET, Easing, "is_on", True),
        (QUIET, Brake, "is_on", True),
        (QUIET, DryRun, "pretended", lambda _: {Key(Pid(1), Ticks(1))}),
    ],
    ids=["groups of their own", "a round", "an act", "a hold", "a ghost"],
)
def test_where_there_is_more_to_look_after_it_looks_in_full(
    writer: Writer,
    plenty: Plenty,
    clock: list[float],
    monkeypatch: pytest.MonkeyPatch,
    config: Config,
    owner: type | None,
    name: str,
    value: object,
) -> None:
    if owner is not None:
        monkeypatch.setattr(owner, name, value)
    assert set(rest(writer, plenty, clock, *[poll] * 4, config=config)) == {"m"}


def test_whatever_wakes_it_has_it_look_in_full(writer: Writer, plenty: Plenty, clock: list[float]) -> None:
    assert set(rest(writer, plenty, clock, *[poll] * 4, woken=True)) == {"m"}


def test_a_glimpse_that_fails_costs_nothing(
    writer: Writer, plenty: Plenty, clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: Plenty) -> Room:
        raise ValueError

    monkeypatch.setattr(Plenty, "room", broken)
    assert set(rest(writer, plenty, clock, *[poll] * 4)) == {"m"}
    assert [type(event) for event in events(writer)].count(Failed) == 1


def test_a_record_that_is_cut_short_is_told_of_at_once(
    plenty: Plenty, clock: list[float], tmp_path: Path
) -> None:
    path = tmp_path / "record"
    writer = Writer.open(path)

    def cut_short() -> frozenset[int]:
        os.truncate(path, 0)
        return poll()

    assert "".join(rest(writer, plenty, clock, poll, poll, cut_short, poll)) == "mrRr"
    assert Degraded(text=CUT_SHORT) in events(writer)
    writer.close()


@pytest.mark.parametrize(
    ("available", "per_cpu", "crossed"), [(0.5, 0.0, True), (0.5, 0.3, False), (0.5, 0.1, True)]
)
def test_what_the_cpus_keep_for_themselves_is_free(
    writer: Writer, host: Host, available: float, per_cpu: float, crossed: bool
) -> None:
    host.share_available, host.share_per_cpu = available, per_cpu
    limits = replace(QUIET.limits, available=Limit(term=Percent(70), kill=Percent(0)))
    run(writer, host, poll, config=replace(QUIET, limits=limits, rules=(EVERYBODY,)))
    assert ("Holding" in kinds(writer)) is crossed


def test_a_record_cut_short_is_mended_and_told(host: Host, tmp_path: Path) -> None:
    path = tmp_path / "record"
    writer = Writer.open(path)

    def cut_short() -> frozenset[int]:
        os.truncate(path, 0)
        return poll()

    run(writer, host, poll, cut_short, poll)
    assert Degraded(text=CUT_SHORT) in events(writer)
    assert state(writer).polls == 4
    writer.close()


@pytest.mark.usefixtures("somebody")
def test_the_stall_that_counts_is_that_of_everybody_but_who_would_die_next(writer: Writer) -> None:
    host = Grouped()
    run(writer, host, poll, poll)
    assert len(host.groups.watched) > 1
    assert state(writer).figures.stall_of is StallOf.BYSTANDERS
    assert not state(writer).figures.stall
    host.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_when_told_to(writer: Writer, host: Host, number: int) -> None:
    run(writer, host, lambda: frozenset((number,)), poll)
    assert state(writer).polls == 1


def test_an_error_of_its_own_is_told_once_and_the_loop_goes_on(writer: Writer, host: Host) -> None:
    def fail() -> frozenset[int]:
        host.problem = OSError(5, "Input/output error")
        return poll()

    def fail_otherwise() -> frozenset[int]:
        host.problem = OSError(12, "Cannot allocate memory")
        return poll()

    def mend() -> frozenset[int]:
        host.problem = None
        return poll()

    run(writer, host, poll, fail, poll, poll, fail_otherwise, poll, mend, poll)
    failed = [event.text for event in events(writer) if isinstance(event, Failed)]
    assert [text.partition(" at ")[0] for text in failed] == [
        "OSError: [Errno 5] Input/output error",
        "OSError: [Errno 12] Cannot allocate memory",
    ]
    assert all(__file__ in text for text in failed)
    assert state(writer).polls == 4


def test_an_accepted_reload(writer: Writer, host: Host) -> None:
    enforcing = replace(QUIET, mode=Mode.ENFORCE, rules=(EVERYBODY,))
    run(writer, host, reload, poll, load=lambda: enforcing)
    assert kinds(writer) == [
        Lifecycle.STARTED,
        Lifecycle.RELOADING,
        Lifecycle.RELOADED,
        Lifecycle.STOPPING,
    ]
    assert (state(writer).mode, state(writer).config_ok) == (Mode.ENFORCE, True)


def test_a_refused_reload_changes_nothing(writer: Writer, host: Host) -> None:
    run(writer, host, reload, poll, load=refuse)
    refused = next(
        event for event in events(writer) if isinstance(event, LifecycleChanged) and "mode:" in event.text
    )
    assert refused.what is Lifecycle.RELOAD_REFUSED
    assert refused.text == "/etc/oomguard.toml: mode: no such word"
    assert (state(writer).mode, state(writer).config_ok) == (Mode.DRY_RUN, False)


def test_a_hold_is_told_once(writer: Writer, host: Host) -> None:
    host.share_available = 0.1
    run(writer, host, *(poll,) * 5, config=replace(SHORT, rules=(EVERYBODY,)))
    assert kinds(writer) == [Lifecycle.STARTED, "PhaseChanged", "Holding", Lifecycle.STOPPING]
    assert state(writer).phase is Phase.ARMED


@pytest.mark.usefixtures("somebody")
def test_a_dry_run_goes_through_an_episode(writer: Writer, host: Host) -> None:
    host.share_available = 0.1
    turns = run(writer, host, poll, poll, config=SHORT)
    told = [event for event in events(writer) if not isinstance(event, LifecycleChanged)]
    assert [type(event) for event in told] == [Killing]
    with Reader.from_fd(os.dup(writer.fd)) as reader:
        assert reader.counters()[EPISODES] == 1
    assert (state(writer).phase, turns.pauses[-1]) == (Phase.ACTING, ACTING_PAUSE)


@pytest.mark.usefixtures("somebody")
def test_a_reload_during_an_episode_waits_for_its_end_and_loses_nothing(writer: Writer, host: Host) -> None:
    def come_back() -> frozenset[int]:
        host.share_available = 1.0
        return poll()

    host.share_available = 0.1
    run(writer, host, poll, reload, come_back, poll, config=SHORT)
    told = kinds(writer)
    assert told[told.index("Killing") :] == [
        "Killing",
        Lifecycle.RELOADING,
        "Ended",
        Lifecycle.RELOADED,
        Lifecycle.STOPPING,
    ]


NONE = Sources(process_events=Use.OFF, delays=Use.OFF)
ARMED = replace(
    QUIET,
    limits=replace(QUIET.limits, available=Limit(term=Percent(60), kill=Percent(0))),
    sources=Sources(process_events=Use.ON, delays=Use.ON),
)
"""One by which the guard is armed where all of memory is available, and nobody dies."""


class Waits(NoDelays):
    """Notes what is asked of it."""

    watched: ClassVar[list[Key]] = []
    read_times = 0

    def __init__(self, _accounting: Accounting) -> None:
        pass

    def watch(self, processes: Iterable[Key]) -> None:
        self.watched[:] = processes

    def read(self) -> Mapping[Key, Delays]:
        Waits.read_times += 1
        return {}


@pytest.mark.usefixtures("somebody")
@pytest.mark.parametrize(
    ("config", "orders", "follows"),
    [(ARMED, [b"listen", b"ignore"], True), (replace(ARMED, sources=NONE), [], False)],
)
def test_sources_are_used_while_armed_and_let_go_of_at_the_end(
    writer: Writer,
    monkeypatch: pytest.MonkeyPatch,
    config: Config,
    orders: list[bytes],
    follows: bool,
) -> None:
    monkeypatch.setattr("oomguard.crew.TaskDelays", Waits)
    monkeypatch.setattr(Waits, "read_times", 0)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    ours.setblocking(False)
    opened = Opened(
        events=Subscription(fd=theirs.fileno(), listen=b"listen", ignore=b"ignore"),
        delays=Accounting(fd=theirs.fileno(), order=b""),
        missing=(),
    )
    run(writer, Host(), poll, poll, config=config, opened=opened)
    given = []
    with suppress(BlockingIOError):
        while True:
            given.append(ours.recv(64))
    assert given == orders
    assert bool(Waits.read_times) is follows
    assert bool(Waits.watched) is follows
    Waits.watched.clear()
    ours.close()
    theirs.close()


@pytest.mark.usefixtures("somebody")
def test_what_a_dry_run_would_try_before_anybody_dies_is_told(writer: Writer, host: Host) -> None:
    host.share_available = 0.15
    asking = Rule(
        name="caches", patterns=(pattern(Field.CGROUP, "*"),), effect=Effect.SIGNAL, signal=Signal.USR1
    )
    limits = replace(QUIET.limits, available=Limit(term=Percent(10), kill=Percent(0)))

    def wait_for_a_look() -> frozenset[int]:
        time.sleep(WATCH_EVERY)
        return poll()

    run(writer, host, poll, wait_for_a_look, config=replace(QUIET, limits=limits, rules=(asking,)))
    told = [event for event in events(writer) if isinstance(event, Relieving)]
    assert told
    assert {(event.mode, event.action, event.result) for event in told} == {
        (Mode.DRY_RUN, Action.SIGNAL, None)
    }
    assert "Killing" not in kinds(writer)
    assert len({event.process.pid for event in told if event.process}) == len(told)


def test_what_a_dead_guard_left_frozen_is_undone_whatever_is_configured(
    writer: Writer, host: Host, tmp_path: Path
) -> None:
    record = tmp_path / "record"
    notes = tmp_path / "record.relief"
    notes.write_text(
        '{"action": "freeze", "cgroup": "/no/such", "inode": 1, "before": "0", "written": "1"}\n'
    )

    def wait() -> frozenset[int]:
        until = time.monotonic() + 30
        while notes.stat().st_size and time.monotonic() < until:
            time.sleep(0.01)
        return poll()

    run(writer, host, wait, poll, config=replace(QUIET, record=str(record)))
    assert notes.stat().st_size == 0
    (found,) = (event for event in events(writer) if isinstance(event, Relieved))
    assert (found.cgroup, found.ending) == ("/no/such", Ending.LEFT_BEHIND)
    # The relieving process, which a guard that ends leaves to init.
    _, status = os.waitpid(-1, 0)
    assert status == 0


@pytest.mark.usefixtures("somebody")
@pytest.mark.parametrize("swapping", AfterKill)
def test_a_dry_run_holds_no_swapping_back(
    writer: Writer, host: Host, monkeypatch: pytest.MonkeyPatch, swapping: AfterKill
) -> None:
    held: list[Sample] = []
    monkeypatch.setattr(Brake, "hold", lambda _, sample, __: held.append(sample))
    host.share_available = 0.1
    config = replace(SHORT, relief=replace(SHORT.relief, swapping=swapping))
    run(writer, host, poll, poll, config=config)
    assert ("Killing" in kinds(writer), held) == (True, [])


def test_what_a_dead_guard_held_back_is_told(writer: Writer, host: Host, tmp_path: Path) -> None:
    notes = tmp_path / "record.brake"
    notes.write_text(
        '{"action": "hold_swap", "cgroup": "/no/such", "inode": 1, "before": "max", "written": "0"}\n'
    )
    run(writer, host, poll, config=replace(QUIET, record=str(tmp_path / "record")))
    assert notes.stat().st_size == 0
    (found,) = (event for event in events(writer) if isinstance(event, Relieved))
    assert (found.action, found.cgroup, found.ending) == (Action.HOLD_SWAP, "/no/such", Ending.LEFT_BEHIND)


@pytest.mark.usefixtures("somebody")
def test_whoever_is_to_end_is_let_go(writer: Writer, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    let_go: list[frozenset[str]] = []
    monkeypatch.setattr(Easing, "make_way", lambda _, cgroups: let_go.append(cgroups))
    host.share_available = 0.1
    run(writer, host, poll, config=SHORT)
    assert "Killing" in kinds(writer)
    assert let_go
    assert all(cgroups for cgroups in let_go)


def test_a_relieving_process_comes_and_goes_with_the_configuration(
    writer: Writer, host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is there while it is wanted, and after the end there is none."""
    there: list[bool] = []
    relievers: list[Reliever] = []
    tend, retire = Reliever.tend, Reliever.retire

    def tended(self: Reliever, now: Seconds) -> str | None:
        relievers.append(self)
        told = tend(self, now)
        there.append(self.is_there)
        return told

    def retired(self: Reliever) -> None:
        retire(self)
        there.append(self.is_there)

    monkeypatch.setattr(Reliever, "tend", tended)
    monkeypatch.setattr(Reliever, "retire", retired)
    quiet = replace(QUIET, mode=Mode.ENFORCE, rules=(EVERYBODY,), record=str(tmp_path / "record"))
    wanted = replace(quiet, relief=replace(quiet.relief, culprit=Restraint.FREEZE))
    run(writer, host, reload, poll, config=quiet, load=lambda: wanted)
    assert there == [False, True, True, False]
    pid = relievers[0].pid
    assert pid is not None
    assert os.waitpid(pid, 0) == (pid, 0)


IN_CONTAINER = replace(QUIET, enclosures=(OWN,))
"""As for a guard in a container, whose own group is the root that it sees."""


@pytest.fixture
def container(host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Its control group, which has used 95 MiB of 100."""
    hold(tmp_path, "/", 95, limit=100)
    groups = unified(tmp_path)
    monkeypatch.setattr(host, "cgroups", lambda: groups)
    return tmp_path


@pytest.mark.usefixtures("somebody")
def test_a_container_at_its_limit_is_short_while_the_host_has_plenty(
    writer: Writer, host: Host, container: Path
) -> None:
    turns = run(writer, host, poll, config=IN_CONTAINER)
    killing = next(event for event in events(writer) if isinstance(event, Killing))
    assert (killing.reasons, killing.mode) == ((Reason.CGROUP_LIMIT,), Mode.DRY_RUN)
    assert killing.figures.group is not None
    assert (killing.figures.group.entry, killing.figures.group.path) == ("own", "/")
    assert state(writer).reasons == (Reason.CGROUP_LIMIT,)
    assert state(writer).watched == (Watched(entry="own", groups=1, crossed=1),)
    assert turns.pauses[-1] == ACTING_PAUSE


@pytest.mark.usefixtures("somebody")
def test_the_would_be_death_in_a_container_is_enough(writer: Writer, host: Host, container: Path) -> None:
    """The memory of who would have died counts as free: nobody else would have."""
    run(writer, host, *(poll,) * 8, config=IN_CONTAINER)
    told = [kind for kind in kinds(writer) if kind in {"Killing", "Ended"}]
    assert told == ["Killing", "Ended"]
    assert state(writer).watched[0].crossed == 0


@pytest.mark.usefixtures("somebody")
def test_the_hosts_own_shortage_comes_first(writer: Writer, host: Host, container: Path) -> None:
    host.share_available = 0.1
    run(writer, host, poll, config=replace(SHORT, enclosures=(OWN,)))
    killing = next(event for event in events(writer) if isinstance(event, Killing))
    assert (killing.reasons, killing.figures.group) == ((Reason.LOW_MEMORY,), None)


def test_a_container_whose_own_are_protected_is_held_and_the_rest_goes_on(
    writer: Writer, host: Host, container: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tended: list[Seconds] = []
    monkeypatch.setattr(Silent, "tend", lambda _, now: tended.append(now))

    def recover() -> frozenset[int]:
        hold(container, "/", 10, limit=100)
        time.sleep(0.06)
        return poll()

    config = replace(IN_CONTAINER, rules=(EVERYBODY,))
    run(writer, host, poll, poll, recover, config=config)
    (holding,) = (event for event in events(writer) if isinstance(event, Holding))
    assert (holding.why, holding.reasons) == (HoldReason.ALL_PROTECTED, (Reason.CGROUP_LIMIT,))
    # Once at the start, and then in each turn: it may be held for as long as the container is full.
    assert len(tended) == 4
    assert state(writer).reasons == ()


def test_a_reload_watches_other_groups(writer: Writer, host: Host, container: Path) -> None:
    run(writer, host, reload, poll, load=lambda: replace(IN_CONTAINER, rules=(EVERYBODY,)))
    assert state(writer).watched == (Watched(entry="own", groups=1, crossed=1),)


def test_without_v2_it_is_told_that_no_group_is_watched(
    writer: Writer, host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "memory").mkdir()
    monkeypatch.setattr(host, "cgroups", lambda: CgroupFS(str(tmp_path)))
    run(writer, host, poll, config=replace(IN_CONTAINER, rules=(EVERYBODY,)))
    assert kinds(writer) == ["Degraded", Lifecycle.STARTED, Lifecycle.STOPPING]
    assert "[[cgroup]]" in str(events(writer)[0])


def test_a_reload_may_end_the_watch(writer: Writer, host: Host, container: Path) -> None:
    run(writer, host, reload, poll, config=replace(IN_CONTAINER, rules=(EVERYBODY,)))
    assert state(writer).watched == ()


def test_a_shortage_in_a_group_is_none_that_the_host_is_to_be_relieved_of(
    writer: Writer, host: Host, container: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    levels: list[Level] = []
    monkeypatch.setattr(Easing, "follow", lambda _, _sample, assessment: levels.append(assessment.level))
    run(writer, host, poll, config=IN_CONTAINER)
    assert state(writer).level is not Level.CALM
    assert levels == [Level.CALM]


@pytest.mark.usefixtures("somebody")
def test_while_only_a_group_is_near_its_limit_nobody_is_said_to_die_next(
    writer: Writer, host: Host, container: Path
) -> None:
    hold(container, "/", 85, limit=100)
    run(writer, host, poll, poll, config=IN_CONTAINER)
    (near,) = (event for event in events(writer) if isinstance(event, PhaseChanged))
    assert (near.after, near.reasons, near.likely) == (Phase.ARMED, (), None)
    host.share_available = 0.15
    limits = replace(QUIET.limits, available=Limit(term=Percent(10), kill=Percent(0)))
    run(writer, host, poll, poll, config=replace(QUIET, limits=limits))
    *_, near = (event for event in events(writer) if isinstance(event, PhaseChanged))
    assert near.likely is not None
