"""Real processes that are hard to read or hard to end, through the guard's own look, plan and signal.

Whatever a plan says, nobody but the tests' own processes is ever signalled: the actor is on a leash.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from shutil import which

import pytest

from oomguard.badness import Policy
from oomguard.census import Census
from oomguard.config import DEFAULTS
from oomguard.episode import Sent
from oomguard.hunt import Hunt
from oomguard.kill import Delivery, Killer, Releaser
from oomguard.plan import Kill
from oomguard.pressure import Level
from oomguard.procfs import ProcFS
from oomguard.rules import Effect, Field, Rule, Scope, pattern
from oomguard.scout import Scout
from tests import builders
from tests.system.patience import eventually

ATTEMPTS, LOOPS = 200, 2
SIZE = 20
"""MiB of each victim: enough to be worth a signal on the host of `builders`, which has 1000."""

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="NOT TESTED: reads and ends processes as root"),
    pytest.mark.skipif(which("gcc") is None, reason="NOT TESTED: gcc is missing"),
]


class Leashed(Killer):
    """Kills, but nobody who is not on its list."""

    def __init__(self, census: Census, procfs: ProcFS) -> None:
        super().__init__(procfs.kill_cgroup, census.confirms, Releaser())
        self.ours: set[int] = set()
        self.deliveries: list[Delivery] = []

    def signal(self, kill: Kill, sent: Sent) -> Delivery:
        pids = {member.process.key.pid for member in kill.members}
        is_ours = pids <= self.ours and kill.whole_cgroup is None
        self.deliveries.append(super().signal(kill, sent) if is_ours else Delivery.REFUSED)
        return self.deliveries[-1]


class Scene:
    """The guard's own parts on this host; whoever runs `program` is preferred."""

    def __init__(self, program: Path, scope: Scope = Scope.PROCESS) -> None:
        ours = Rule(name="ours", patterns=(pattern(Field.EXE, str(program)),), effect=Effect.PREFER)
        procfs = ProcFS()
        self._census = Census(procfs, (ours,), None)
        self.actor = Leashed(self._census, procfs)
        self._scout = Scout(
            policy=Policy.KERNEL, scope=scope, census=self._census, machine=procfs.machine(), own=frozenset
        )

    def attempt(self, level: Level) -> bool:
        """Go from a crossed limit to the signal; gives whether it was sent."""
        self.actor.stand_down()
        self.actor.deliveries.clear()
        at = builders.sample(time.monotonic(), builders.memory(50))
        low = builders.assessment(level=level, available=50)
        hunt = Hunt(
            scout=self._scout,
            actor=self.actor,
            grace=DEFAULTS.grace,
            storm=DEFAULTS.storm,
            machine=builders.MACHINE,
            holdings=builders.holdings,
        )
        hunt.watch(at)
        hunt.act(at, low, lambda: (at, low))
        return self.actor.deliveries == [Delivery.DELIVERED]

    def close(self) -> None:
        self.actor.stand_down()
        self._census.close()


Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With the program of the victims, and another name of it for everybody else."""
    folder = tmp_path_factory.mktemp("programs")
    source = Path(__file__).with_name("victims.c")
    for name in ("victims", "others"):
        subprocess.run(("gcc", "-O1", "-pthread", "-static", "-o", folder / name, source), check=True)
    for parent in (folder, folder.parent):
        parent.chmod(0o755)
    return folder


@pytest.fixture
def start(folder: Path) -> Iterator[Start]:
    with ExitStack() as processes:

        def run(*arguments: object, program: str = "victims") -> subprocess.Popen[str]:
            command = (str(folder / program), *map(str, arguments))
            one = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            processes.enter_context(one)
            processes.callback(one.kill)
            return one

        yield run


@pytest.fixture
def scene(folder: Path) -> Iterator[Scene]:
    scene = Scene(folder / "victims")
    yield scene
    scene.close()


def said(process: subprocess.Popen[str]) -> int:
    """The pid that it says."""
    assert process.stdout is not None
    return int(process.stdout.readline())


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]


def holds_nothing(pid: int) -> bool:
    """It has gone, or waits for its parent to take notice."""
    try:
        return state_of(pid) in "ZX" and "VmRSS" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return True


def test_processes_that_come_and_go_abort_no_attempt(scene: Scene, start: Start) -> None:
    """0 of 200 under two fork loops: whoever vanishes within the look is nobody's problem."""
    loops = [start("forks", 0, program="others") for _ in range(LOOPS)]
    sent = 0
    for _ in range(ATTEMPTS):
        victim = start("plain", SIZE)
        scene.actor.ours = {said(victim)}
        sent += scene.attempt(Level.KILL)
        victim.kill()
        assert victim.wait(10) == -signal.SIGKILL
    assert all(loop.poll() is None for loop in loops)
    assert sent == ATTEMPTS


@pytest.mark.parametrize("mode", ["plain", "leader", "nobody"])
@pytest.mark.parametrize(("level", "number"), [(Level.TERM, signal.SIGTERM), (Level.KILL, signal.SIGKILL)])
def test_who_looks_like_somebody_else_is_signalled(
    scene: Scene, start: Start, mode: str, level: Level, number: signal.Signals
) -> None:
    victim = start(mode, SIZE)
    scene.actor.ours = {said(victim)}
    if mode == "leader":
        assert state_of(victim.pid) == "Z"
    assert scene.attempt(level)
    assert victim.wait(10) == -number
    assert scene.actor.gone()


def test_who_is_stopped_by_a_debugger_is_ended(scene: Scene, start: Start) -> None:
    """SIGTERM waits until the debugger lets it go on, which is never; SIGKILL waits for nobody."""
    debugger = start("traced", SIZE)
    victim = said(debugger)
    assert state_of(victim) == "t"
    scene.actor.ours = {victim}
    assert scene.attempt(Level.TERM)
    assert state_of(victim) == "t"
    assert scene.attempt(Level.KILL)
    assert eventually(lambda: holds_nothing(victim))
    assert eventually(scene.actor.gone)
    assert debugger.poll() is None


def test_who_waits_for_its_child_in_vfork_is_ended_and_so_is_the_child(scene: Scene, start: Start) -> None:
    """They share the memory, which comes back only once both have ended. Such a parent waits in state D."""
    parent = start("vfork", SIZE)
    assert said(parent) == parent.pid
    assert state_of(parent.pid) == "D"
    child = int(Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text())
    scene.actor.ours = {parent.pid, child}
    for _ in range(2):
        assert scene.attempt(Level.KILL)
        assert eventually(scene.actor.gone)
    assert parent.wait(10) == -signal.SIGKILL
    assert eventually(lambda: holds_nothing(child))


def test_who_runs_itself_anew_all_the_time_is_ended(scene: Scene, start: Start) -> None:
    """Between look and signal it may have become another program: it is judged anew, as what it is."""
    victim = start("execs", SIZE, 5)
    scene.actor.ours = {said(victim)}
    assert eventually(lambda: scene.attempt(Level.KILL))
    assert victim.wait(10) == -signal.SIGKILL


FREEZER = Path("/sys/fs/cgroup/freezer")


@pytest.mark.skipif(not (FREEZER / "cgroup.procs").exists(), reason="NOT TESTED: no freezer of cgroups v1")
def test_what_the_freezer_holds_gives_its_memory_back(scene: Scene, start: Start) -> None:
    """Not even SIGKILL ends it before it is thawed, and nobody waits: process_mrelease(2) empties it."""
    victim = start("plain", SIZE)
    scene.actor.ours = {said(victim)}
    group = FREEZER / f"oomguard-{os.getpid()}"
    group.mkdir()
    try:
        (group / "cgroup.procs").write_text(str(victim.pid))
        (group / "freezer.state").write_text("FROZEN")
        assert eventually(lambda: (group / "freezer.state").read_text() == "FROZEN\n")
        assert scene.attempt(Level.KILL)
        assert eventually(lambda: _resident(victim.pid) < SIZE / 2)
        assert not scene.actor.gone()
    finally:
        (group / "freezer.state").write_text("THAWED")
        victim.wait(10)
        group.rmdir()
    assert victim.returncode == -signal.SIGKILL


def _resident(pid: int) -> float:
    """MiB."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def test_the_leash_holds(scene: Scene, start: Start) -> None:
    victim = start("plain", SIZE)
    said(victim)
    assert not scene.attempt(Level.KILL)
    assert scene.actor.deliveries == [Delivery.REFUSED]
    assert victim.poll() is None
