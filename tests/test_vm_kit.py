"""The kit that boots machines, as far as it can be seen without booting one."""

from __future__ import annotations

import json
import subprocess
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import AF_UNIX, socket
from threading import Thread
from types import ModuleType

import pytest

from tests.vm import cache, payload
from tests.vm.guest.check import Check, Clocks, ask_for_pause, checks_of
from tests.vm.image import Image
from tests.vm.machine import Machine, Outcome, Swap, boot, command, parse
from tests.vm.pauses import Pauses
from tests.vm.qmp import Monitor, Refused

IMAGE = Image(kernel=Path("/image/vmlinuz"), initrd=Path("/image/initrd"), disk=Path("/image/disk"))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "oomguard-vm"


def entries(home: Path) -> list[str]:
    return sorted(path.name for path in home.iterdir() if path.is_dir())


class Builder:
    """Fills a folder and counts how often it had to."""

    def __init__(self) -> None:
        self.builds = 0

    def __call__(self, into: Path) -> None:
        self.builds += 1
        (into / "file").write_text("made")


def test_the_same_is_built_once(home: Path) -> None:
    build = Builder()
    first = cache.cached("thing", (b"a", b"b"), build)
    assert cache.cached("thing", (b"a", b"b"), build) == first
    assert (first / "file").read_text() == "made"
    assert build.builds == 1


@pytest.mark.parametrize("other", [(b"ab",), (b"b", b"a"), (b"a", b"b", b""), ()])
def test_other_inputs_are_built_anew(home: Path, other: tuple[bytes, ...]) -> None:
    build = Builder()
    assert cache.cached("thing", (b"a", b"b"), build) != cache.cached("thing", other, build)
    assert build.builds == 2


def test_a_failed_build_leaves_nothing_and_is_tried_again(home: Path) -> None:
    def fail(into: Path) -> None:
        (into / "half").write_text("made")
        raise OSError("no space")

    with pytest.raises(OSError, match="no space"):
        cache.cached("thing", (), fail)
    assert entries(home) == []
    build = Builder()
    cache.cached("thing", (), build)
    assert build.builds == 1


def test_a_build_that_was_killed_is_cleared_away(home: Path) -> None:
    (home / "thing.building-1").mkdir(parents=True)
    made = cache.cached("thing", (), Builder())
    assert entries(home) == [made.name]


def test_the_latest_used_are_kept(home: Path) -> None:
    made = [cache.cached("thing", (bytes([number]),), Builder()) for number in range(cache.KEPT)]
    build = Builder()
    cache.cached("thing", (bytes([0]),), build)
    last = cache.cached("thing", (b"another",), Builder())
    assert build.builds == 0
    assert entries(home) == sorted(path.name for path in (made[0], *made[2:], last))


def test_other_kinds_are_left_alone(home: Path) -> None:
    swaps = [cache.cached(f"swap{size}", (), Builder()) for size in range(cache.KEPT + 2)]
    assert entries(home) == sorted(path.name for path in swaps)


def test_payload_is_a_tar_of_roots_files(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "link").symlink_to("/usr/bin/python3")
    program = folder / "program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    disk = tmp_path / "disk"
    payload.write({payload.RUN: "#!/bin/sh\n", "/etc/é": "text", "/opt/x": folder}, disk)
    with tarfile.open(disk) as tar:
        members = {member.name: member for member in tar.getmembers()}
    assert set(members) == {"opt/vm/run", "etc/é", "opt/x", "opt/x/link", "opt/x/program"}
    assert {(member.uid, member.gid, member.uname) for member in members.values()} == {(0, 0, "root")}
    modes = {name: member.mode for name, member in members.items()}
    assert (modes["opt/vm/run"], modes["etc/é"], modes["opt/x/program"]) == (0o755, 0o644, 0o755)
    assert members["opt/x/link"].linkname == "/usr/bin/python3"
    assert disk.stat().st_size % 512 == 0, "a disk has whole sectors"


def test_payload_without_a_program_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nothing to run"):
        payload.write({"/etc/a": "b"}, tmp_path / "disk")


def drives(words: tuple[str, ...]) -> dict[str, str]:
    found = [word for word in words if word.startswith("file=")]
    return {options.split("id=")[1].split(",")[0]: options for options in found}


def test_no_disk_is_ever_written_to(home: Path) -> None:
    swap = Swap(mib=1, bytes_per_second=30_000_000, operations_per_second=1500)
    found = drives(command(Machine(swap=swap), IMAGE, Path("/run")))
    assert set(found) == {"root", "payload", "swap"}
    for options in found.values():
        assert "snapshot=on" in options.split(",")


@pytest.mark.parametrize(
    ("swap", "limits"),
    [
        (Swap(mib=1), set()),
        (Swap(mib=1, bytes_per_second=5), {"throttling.bps-total=5"}),
        (
            Swap(mib=1, bytes_per_second=5, operations_per_second=6),
            {"throttling.bps-total=5", "throttling.iops-total=6"},
        ),
    ],
)
def test_swap_is_throttled(home: Path, swap: Swap, limits: set[str]) -> None:
    options = drives(command(Machine(swap=swap), IMAGE, Path("/run")))["swap"]
    assert {option for option in options.split(",") if option.startswith("throttling")} == limits


def test_machine_is_as_ordered() -> None:
    words = command(Machine(mib=512, cmdline=("psi=0",)), IMAGE, Path("/run"))
    assert words[words.index("-m") + 1] == "512"
    assert words[words.index("-append") + 1].split()[-1] == "psi=0"
    assert words[words.index("-accel") + 1] == "tcg,thread=multi"


@pytest.mark.parametrize(
    ("text", "results", "output", "ending"),
    [
        ("", (), "", None),
        ('{"a": 1}\r\nexit exited 0\r\n', ({"a": 1},), "", "exited 0"),
        ('one\n{"a": 1}\n[1]\n{"cut of', ({"a": 1},), 'one\n[1]\n{"cut of', None),
        ("exit killed KILL", (), "", "killed KILL"),
    ],
)
def test_results_are_told_from_other_output(
    text: str, results: tuple[dict[str, int], ...], output: str, ending: str | None
) -> None:
    assert parse(text) == (results, output, ending)


def test_a_machine_that_hangs_is_ended() -> None:
    start = time.monotonic()
    assert boot(("sleep", "60"), 0.1)
    assert time.monotonic() - start < 30


def test_a_machine_that_ends_is_not_out_of_time() -> None:
    assert not boot(("true",), 60)


def test_a_machine_that_cannot_start_is_an_error() -> None:
    with pytest.raises(subprocess.CalledProcessError):
        boot(("false",), 60)


def test_the_story_says_how_it_ended() -> None:
    outcome = Outcome(
        results=(), output="said", exit=None, console="Kernel panic", seconds=3.2, timed_out=True
    )
    for words in ("time limit", "said", "Kernel panic"):
        assert words in outcome.story


def test_checks_come_in_the_order_of_their_module() -> None:
    module = ModuleType("checks")
    for name in ("second", "first"):
        setattr(module, name, Check(name=name, function=lambda: None, limit=5))
    assert [each.name for each in checks_of(module)] == ["second", "first"]


def test_what_it_stands_still_is_not_of_its_time() -> None:
    assert not boot(("sleep", "0.5"), 0.2, lambda _: 1.0)


class FakeQemu:
    """Answers as qemu's monitor does, with an event before each answer."""

    def __init__(self, path: Path) -> None:
        self.told: list[str] = []
        self._server = socket(AF_UNIX)
        self._server.bind(str(path))
        self._server.listen()
        self.thread = Thread(target=self._serve)
        self.thread.start()

    def _serve(self) -> None:
        connection, _ = self._server.accept()
        with self._server, connection, connection.makefile("rw") as lines:
            print(json.dumps({"QMP": {"version": {}, "capabilities": []}}), file=lines, flush=True)
            for line in lines:
                command = json.loads(line)["execute"]
                self.told.append(command)
                if command == "quit":
                    return
                known = command in {"qmp_capabilities", "stop", "cont"}
                answer = {"return": {}} if known else {"error": {"class": "CommandNotFound"}}
                for message in ({"event": command.upper()}, answer):
                    print(json.dumps(message), file=lines, flush=True)


@contextmanager
def fake_qemu(path: Path) -> Iterator[FakeQemu]:
    qemu = FakeQemu(path)
    yield qemu
    qemu.thread.join()


def test_the_monitor_is_obeyed(tmp_path: Path) -> None:
    with fake_qemu(tmp_path / "monitor") as qemu, Monitor(tmp_path / "monitor") as monitor:
        assert monitor.execute("stop") == {}
        with pytest.raises(Refused, match=r"dance: .*CommandNotFound"):
            monitor.execute("dance")
        with pytest.raises(Refused, match="gone"):
            monitor.execute("quit")
    assert qemu.told == ["qmp_capabilities", "stop", "dance", "quit"]


def test_a_monitor_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Monitor(tmp_path / "monitor")


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(("sleep", "60")) as process:
        yield process
        process.kill()


@pytest.fixture
def request_of_a_pause(capsys: pytest.CaptureFixture[str], clocks: Clocks) -> str:
    ask_for_pause(0.2, clocks)
    return capsys.readouterr().out


def is_stopped(process: subprocess.Popen[bytes]) -> bool:
    return Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


@pytest.mark.parametrize("clocks", [Clocks.STAND])
def test_a_pause_is_granted_once_its_line_is_whole(
    tmp_path: Path, request_of_a_pause: str, sleeper: subprocess.Popen[bytes]
) -> None:
    results = tmp_path / "results"
    pauses = Pauses(results, tmp_path / "monitor")
    assert not pauses.grant(sleeper), "nothing was printed yet"
    results.write_text('{"check": "a"}\nsaid\n' + request_of_a_pause[:10])
    assert not pauses.grant(sleeper), "half a line"
    with results.open("a") as file:
        file.write(request_of_a_pause[10:])
    with fake_qemu(tmp_path / "monitor") as qemu:
        assert pauses.grant(sleeper) >= 0.2
    assert qemu.told == ["qmp_capabilities", "stop", "cont"]
    assert not pauses.grant(sleeper), "it was granted already"


@pytest.mark.parametrize("clocks", [Clocks.GO_ON])
def test_where_the_clocks_go_on_it_is_the_hypervisor_that_stops(
    tmp_path: Path, request_of_a_pause: str, sleeper: subprocess.Popen[bytes]
) -> None:
    results = tmp_path / "results"
    results.write_text(request_of_a_pause)
    granting = Thread(target=Pauses(results, tmp_path / "monitor").grant, args=(sleeper,))
    granting.start()
    end = time.monotonic() + 30
    while not is_stopped(sleeper):
        assert time.monotonic() < end
    granting.join()
    while is_stopped(sleeper):
        assert time.monotonic() < end
