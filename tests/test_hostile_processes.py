"""Real processes that are hard to read or hard to end, through the guard's own look, plan and signal."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from oomguard.kill import Delivery
from oomguard.pressure import Level
from tests.system.patience import eventually
from tests.system.subject import oomguard
from tests.victims import SIZE, Scene, build, said

ATTEMPTS, LOOPS = 200, 2

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="NOT TESTED: reads and ends processes as root"),
    pytest.mark.skipif(shutil.which("gcc") is None, reason="NOT TESTED: gcc is missing"),
]


Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With the program of the victims, and another name of it for everybody else."""
    folder = tmp_path_factory.mktemp("programs")
    for name in ("victims", "others"):
        build(folder / name)
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
    assert scene.actor.left() == 0


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
    assert eventually(lambda: not scene.actor.left())
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
        assert eventually(lambda: not scene.actor.left())
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
        assert scene.actor.left()
    finally:
        (group / "freezer.state").write_text("THAWED")
        victim.wait(10)
        group.rmdir()
    assert victim.returncode == -signal.SIGKILL


def _resident(pid: int) -> float:
    """MiB."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


NAMES = (b") Z 1 0 0", b'"\n# HELP x\x1b[2J\xff', b"\\\r\tUid:\t0\t", "\u202e\u2028".encode())
"""Programs', and so comms."""
EVIL = b"\n\x1b[2J\xff evil " * 400


def test_names_forge_nothing_in_what_people_read(folder: Path, tmp_path: Path) -> None:
    """As processes really have them, seen by commands that people run; a rule reads 4 KiB and more of it."""
    config = tmp_path / "oomguard.toml"
    config.write_text('[[rule]]\nname = "evil"\ncmdline = "*evil*"\neffect = "prefer"\n')
    with ExitStack() as processes:
        pids = set()
        for name in NAMES:
            program = os.fsencode(tmp_path) + b"/" + name
            shutil.copy(os.fsencode(folder / "others"), program)
            one = subprocess.Popen(
                (EVIL, b"plain", b"20"), executable=program, stdout=subprocess.PIPE, text=True
            )
            processes.enter_context(one)
            processes.callback(one.kill)
            pids.add(said(one))
        document, table = (
            oomguard("rank", "--policy", "kernel", *more, "--config", config) for more in (["--json"], [])
        )
        explained = [oomguard("rank", "--explain", str(pid), "--config", config) for pid in pids]
    found = {one["pid"]: one for one in json.loads(document.stdout)["candidates"]}
    assert pids <= found.keys()
    for pid in pids:
        assert found[pid]["rules"] == ["evil"]
        assert found[pid]["comm"].isprintable()
    for shown in (document, table, *explained):
        assert (shown.returncode, shown.stderr) == (0, "")
        assert all(line.isprintable() for line in shown.stdout.split("\n"))
        assert not any(line.startswith("# HELP") for line in shown.stdout.split("\n"))


def test_the_leash_holds(scene: Scene, start: Start) -> None:
    victim = start("plain", SIZE)
    said(victim)
    assert not scene.attempt(Level.KILL)
    assert scene.actor.deliveries == [Delivery.REFUSED]
    assert victim.poll() is None
