import ctypes
import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from oomguard.cgroup import NO_CGROUP
from oomguard.errors import Gone, Malformed
from oomguard.names import decode
from oomguard.pidfolder import (
    read_cmdline,
    read_exe,
    read_fingerprint,
    read_membership,
    read_oom_score,
    read_process,
    read_stat,
    read_statm,
    read_user_namespace,
)
from tests.processfolder import eventually

FIXTURES = Path(__file__).parent / "fixtures"
PLAIN = FIXTURES / "linux-6.18/proc/5984"
OTHER = FIXTURES / "hostile/proc/5985"
KTHREADD = FIXTURES / "linux-6.18/proc/2"
ZOMBIE_LEADER = FIXTURES / "zombie-leader/proc/5991"
ZOMBIE = FIXTURES / "zombie-leader/proc/5993"

PAGE_SIZE = 4096
READERS: list[Callable[[str], object]] = [
    lambda path: read_process(path, PAGE_SIZE),
    read_stat,
    read_fingerprint,
    read_statm,
    read_oom_score,
    read_membership,
    read_exe,
    read_cmdline,
    read_user_namespace,
]
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A recorded process to be changed at will."""
    return shutil.copytree(PLAIN, tmp_path / "5984", symlinks=True)


@contextmanager
def running(*command: str | bytes | Path) -> Iterator[str]:
    """The folder of a program of ours that has said its first line; it ends with its input."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield f"/proc/{process.pid}"


def test_process() -> None:
    process = read_process(str(PLAIN), PAGE_SIZE)
    assert (process.key.pid, process.comm, process.state, process.oom_score_adj) == (5984, "python", "S", 0)
    assert (process.uid, process.cap_effective) == (0, 0x1FFFEFFFFFF)
    assert process.memory is not None
    assert process.memory.rss == read_statm(str(PLAIN)).resident
    assert process.memory.total_vm == read_statm(str(PLAIN)).size
    assert read_oom_score(str(PLAIN)) == 666
    assert read_exe(str(PLAIN)) == "/usr/bin/python3.11"
    assert read_cmdline(str(PLAIN)) == "python3 -c import sys"


def test_kernel_thread() -> None:
    process = read_process(str(KTHREADD), PAGE_SIZE)
    assert process.kernel_thread
    assert (process.comm, process.memory, process.image) == ("kthreadd", None, 0)
    assert (process.uid, process.cap_effective, process.oom_score_adj) == (0, 0, 0)
    assert read_statm(str(KTHREADD)).size == 0
    assert read_cmdline(str(KTHREADD)) == ""


def test_of_a_kernel_thread_nothing_but_stat_is_read(tmp_path: Path) -> None:
    folder = shutil.copytree(KTHREADD, tmp_path / "2", symlinks=True)
    for name in ("status", "oom_score_adj"):
        (folder / name).unlink(missing_ok=True)
    assert read_process(str(folder), PAGE_SIZE) == read_process(str(KTHREADD), PAGE_SIZE)


def test_zombie_leader_is_judged_by_its_living_threads() -> None:
    path = str(ZOMBIE_LEADER)
    assert b"VmSize" not in (ZOMBIE_LEADER / "status").read_bytes()
    process = read_process(path, PAGE_SIZE)
    thread = read_process(str(PLAIN), PAGE_SIZE)
    assert process.memory is not None
    assert thread.memory is not None
    assert process.memory.total_vm == read_statm(f"{path}/task/5992").size == read_statm(path).size > 0
    assert (process.key.pid, process.state, process.comm) == (5991, "S", "python")
    assert process.image == read_stat(f"{path}/task/5992").image == read_stat(path).image != 0
    assert process.key == read_stat(path).key != read_stat(f"{path}/task/5992").key
    assert read_exe(path) == "/usr/bin/python3.11"
    assert read_cmdline(path) == "python3 -c import sys"
    assert read_membership(path).memory == "/jobs/build"
    assert (ZOMBIE_LEADER / "cgroup").read_text().count("/jobs") == 0


def test_nobody_hides_behind_threads_that_exited(tmp_path: Path) -> None:
    leader = shutil.copytree(ZOMBIE_LEADER, tmp_path / "5991", symlinks=True)
    for tid in range(1, 60):
        shutil.copytree(leader / "task/5991", leader / f"task/{tid}")
    (leader / "task/60").mkdir()
    assert read_process(str(leader), PAGE_SIZE) == read_process(str(ZOMBIE_LEADER), PAGE_SIZE)


def test_zombie_has_no_memory() -> None:
    process = read_process(str(ZOMBIE), PAGE_SIZE)
    assert (process.state, process.memory, process.image) == ("Z", None, 0)
    assert read_statm(str(ZOMBIE)).size == 0
    assert (read_exe(str(ZOMBIE)), read_cmdline(str(ZOMBIE))) == (None, "")


LEADER_EXITS = """
import ctypes, os, sys, threading
def live():
    memory = bytes(range(256)) * 32768
    print(flush=True)
    sys.stdin.read()
    os._exit(0)
threading.Thread(target=live).start()
ctypes.CDLL(None).pthread_exit(None)
"""


GROWS = """
import ctypes, os, sys, threading
def live():
    held = []
    for line in sys.stdin:
        held.append(bytearray(1 << 20))
        print(flush=True)
    os._exit(0)
threading.Thread(target=live).start()
"""
LEADER_LEAVES = "ctypes.CDLL(None).pthread_exit(None)"


@pytest.mark.parametrize("leader", ["", LEADER_LEAVES], ids=["lives", "has exited"])
def test_the_fingerprint_stays_until_it_runs(leader: str) -> None:
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", GROWS + leader], stdin=pipe, stdout=pipe) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        path, seen = f"/proc/{process.pid}", set()
        for _ in range(3):
            process.stdin.write(b"\n")
            process.stdin.flush()
            process.stdout.readline()
            assert eventually(lambda: read_fingerprint(path) == read_fingerprint(path))
            seen.add(read_fingerprint(path))
        assert len(seen) == 3
        process.stdin.close()


def test_real_zombie_leader() -> None:
    with running(sys.executable, "-c", LEADER_EXITS) as path:
        while not Path(f"{path}/stat").read_text().rpartition(")")[2].startswith(" Z"):
            pass
        process = read_process(path, PAGE_SIZE)
        assert process.memory is not None
        assert process.memory.rss_anon * PAGE_SIZE > 1 << 23
        assert process.image == read_stat(path).image != 0
        assert read_exe(path) == os.path.realpath(sys.executable)
        assert LEADER_EXITS in read_cmdline(path)
        assert read_statm(path).resident > 0


@pytest.mark.parametrize("read", READERS)
def test_vanished(tmp_path: Path, read: Callable[[str], object]) -> None:
    with pytest.raises(Gone):
        read(f"{tmp_path}/1")


@pytest.mark.parametrize("name", ["stat", "status", "oom_score_adj"])
def test_vanished_between_two_readings(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(Gone, match=name):
        read_process(str(folder), PAGE_SIZE)


@pytest.mark.parametrize("name", ["stat", "status", "oom_score_adj"])
def test_empty(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"")
    with pytest.raises(Gone, match=name):
        read_process(str(folder), PAGE_SIZE)


@pytest.mark.parametrize("name", ["stat", "status", "statm", "cgroup"])
def test_truncated(folder: Path, name: str) -> None:
    (folder / name).write_bytes((folder / name).read_bytes()[:-1])
    with pytest.raises(Malformed, match=f"5984/{name}: "):
        for read in READERS:
            read(str(folder))


@pytest.mark.parametrize("name", ["oom_score", "oom_score_adj"])
def test_not_a_number(folder: Path, name: str) -> None:
    (folder / name).write_text("one\n")
    with pytest.raises(Malformed, match=f"5984/{name}: "):
        for read in READERS:
            read(str(folder))


@root_only
@pytest.mark.parametrize("name", ["", "stat", "status", "oom_score_adj"])
def test_what_may_not_be_read_is_gone(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / name).chmod(0)
    for parent in folder.parents[:3]:
        parent.chmod(0o755)
    monkeypatch.chdir(folder.parent)
    os.seteuid(65534)
    try:
        with pytest.raises(Gone):
            read_process("5984", PAGE_SIZE)
    finally:
        os.seteuid(0)


def forked() -> tuple[int, Callable[[], None]]:
    """The pid of a child, and what ends it."""
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(theirs)
        os.read(ours, 1)
        os._exit(0)

    def end() -> None:
        os.close(theirs)
        os.close(ours)
        os.waitpid(pid, 0)

    return pid, end


@pytest.mark.parametrize("call", ["open", "read"])
@pytest.mark.parametrize("nth", [1, 2, 3])
def test_ends_while_it_is_read(call: str, nth: int, monkeypatch: pytest.MonkeyPatch) -> None:
    pid, end = forked()
    really, calls = getattr(os, call), 0

    def ending(*arguments: object, **more: object) -> object:
        nonlocal calls
        calls += 1
        if calls == nth:
            end()
        return really(*arguments, **more)

    monkeypatch.setattr(os, call, ending)
    with pytest.raises(Gone):
        read_process(f"/proc/{pid}", PAGE_SIZE)


@pytest.mark.parametrize("before", ["status", "oom_score_adj"])
def test_pid_that_is_reused_while_it_is_read(
    folder: Path, tmp_path: Path, before: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = read_process(str(folder), PAGE_SIZE)
    really = os.open

    def reusing(path: str, flags: int, *, dir_fd: int | None = None) -> int:
        if path == before:
            folder.rename(tmp_path / "old")
            other = shutil.copytree(OTHER, folder, symlinks=True)
            (other / "oom_score_adj").write_text("-999\n")
        return really(path, flags, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", reusing)
    assert read_process(str(folder), PAGE_SIZE) == expected
    monkeypatch.undo()
    assert read_process(str(folder), PAGE_SIZE) != expected


def test_many_that_come_and_go() -> None:
    script = "import os\nfor _ in range(30): os.waitpid(os.spawnlp(os.P_NOWAIT, 'true', 'true'), 0)"
    seen = 0
    with subprocess.Popen([sys.executable, "-c", script]) as process:
        while process.poll() is None:
            for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
                for read in READERS:
                    try:
                        read(f"/proc/{pid}")
                        seen += 1
                    except Gone:
                        pass
    assert seen > 0


@pytest.mark.parametrize("kind", [errno.EMFILE, errno.ENOMEM])
@pytest.mark.parametrize("read", READERS)
def test_other_failures_are_not_taken_for_an_end(
    kind: int, read: Callable[[str], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*arguments: object, **more: object) -> int:
        raise OSError(kind, os.strerror(kind))

    monkeypatch.setattr(os, "open", failing)
    monkeypatch.setattr(os, "readlink", failing)
    with pytest.raises(OSError, match=os.strerror(kind)):
        read(str(PLAIN))


def test_closes_what_it_opens(folder: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for read in READERS:
        read(str(folder))
    (folder / "status").unlink()
    with pytest.raises(Gone):
        read_process(str(folder), PAGE_SIZE)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_groups_beyond_a_buffer(folder: Path) -> None:
    status = folder / "status"
    groups = b" ".join(b"%d" % gid for gid in range(100_000, 165_536))
    before = read_process(str(folder), PAGE_SIZE)
    status.write_bytes(status.read_bytes().replace(b"Groups:\t", b"Groups:\t" + groups))
    assert read_process(str(folder), PAGE_SIZE) == before


@pytest.mark.parametrize("name", [b"not \xff UTF-8", b"new\nline", b"quo'\"te", b"gone (deleted)"])
def test_hostile_exe(tmp_path: Path, name: bytes) -> None:
    path = os.fsencode(tmp_path) + b"/" + name
    shutil.copy(sys.executable, decode(path))
    with running(path, "-c", "import sys; print(flush=True); sys.stdin.read()") as folder:
        assert read_exe(folder) == decode(os.path.realpath(path))
        assert read_process(folder, PAGE_SIZE).comm == decode(name[:15])
        assert read_cmdline(folder).startswith(decode(path) + " -c import sys;")
        Path(decode(path)).unlink()
        assert read_exe(folder) == decode(path) + " (deleted)"


def test_exe_too_deep_to_be_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(20):
        Path("d" * 250).mkdir()
        os.chdir("d" * 250)
    shutil.copy("/bin/cat", "cat")
    with subprocess.Popen(["./cat"], stdin=subprocess.PIPE) as process:
        path = f"/proc/{process.pid}"
        with pytest.raises(OSError, match="too long"):
            Path(f"{path}/exe").readlink()
        assert read_exe(path) is None
        assert read_process(path, PAGE_SIZE).comm == "cat"


def test_membership_too_deep_to_be_shown(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    really = os.read

    def failing(fd: int, length: int) -> bytes:
        if Path(f"/proc/self/fd/{fd}").resolve().name == "cgroup":
            raise OSError(errno.ENAMETOOLONG, "")
        return really(fd, length)

    monkeypatch.setattr(os, "read", failing)
    assert read_membership(str(folder)) == NO_CGROUP


def test_kernel_without_control_groups(folder: Path) -> None:
    (folder / "cgroup").unlink()
    assert read_membership(str(folder)) == NO_CGROUP


def test_hostile_cgroup(folder: Path) -> None:
    (folder / "cgroup").write_bytes(b"0::/\xff:\x1b[2J/a.service\n")
    assert read_membership(str(folder)).path == decode(b"/\xff:\x1b[2J/a.service")
    assert read_membership(str(folder)).unit is None


def test_cmdline_is_bounded(folder: Path) -> None:
    (folder / "cmdline").write_bytes(b"a\0" * 100_000)
    assert read_cmdline(str(folder)) == ("a " * 16384).rstrip()


def test_comm_as_prctl_sets_it() -> None:
    ours = Path("/proc/self/comm").read_bytes().rstrip(b"\n")
    libc = ctypes.CDLL(None)
    try:
        for comm in (b") Z 1 (", b"\nUid:\t7\t7\t7\n", b"\xff"):
            libc.prctl(15, comm, 0, 0, 0)
            process = read_process("/proc/self", PAGE_SIZE)
            assert (process.comm, process.key.pid, process.uid) == (decode(comm), os.getpid(), os.getuid())
    finally:
        libc.prctl(15, ours, 0, 0, 0)
