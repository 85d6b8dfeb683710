"""From the look that finds a limit crossed to the signal, the guard does nothing but look."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from oomguard.episode import Sent
from oomguard.event import Ended, Killing
from oomguard.start import DESCRIPTORS_HELD
from tests.system.conftest import Start
from tests.system.hog import Hog
from tests.system.patience import eventually
from tests.system.subject import Settings, Subject

pytestmark = [
    pytest.mark.kill,
    pytest.mark.skipif(shutil.which("strace") is None, reason="NOT TESTED: takes strace"),
]

LOOKS = {
    "openat",
    "read",
    "pread64",
    "readlink",
    "close",
    "getdents64",
    "fstat",
    "newfstatat",
    "lseek",
    "fcntl",
}
"""Reading /proc; where, is checked by the path."""
AIMS = {"pidfd_open", "pidfd_send_signal", "poll", "getpid"}
"""Aiming. The poll asks, without waiting, whether the victim has exited."""
TAKES_TURNS = {"futex"}
"""The interpreter's lock, which the thread that reads slow names has for microseconds between two reads."""
SEEN = re.compile(r"(\d+) +\d+\.\d+ (?:<\.\.\. )?(\w+)(.*)")
OPENED = re.compile(r'\(AT_FDCWD, "([^"]*)"')


SLOW_NAMES = """
[[rule]]
name = "slow"
user = "nobody"
cmdline = "*--precious*"
effect = "never"
"""
UNMEASURED = ("env", "-u", "COVERAGE_PROCESS_START", "-u", "COVERAGE_PROCESS_CONFIG")
TRACED = ("strace", "-DD", "-f", "-ttt", "-e", "trace=all", "-o")


def calls_before_the_signal(trace: Path, pid: int, number: str) -> list[tuple[str, str]]:
    """The system calls of the guard's main thread from its last wait to its first signal `number`."""
    calls: list[tuple[str, str]] = []
    for line in trace.read_text(errors="replace").splitlines():
        seen = SEEN.match(line)
        if seen is None or int(seen[1]) != pid:
            continue
        if seen[2].startswith("epoll_"):
            calls.clear()
        elif not seen[3].startswith(" resumed"):
            calls.append((seen[2], seen[3]))
        if seen[2] == "pidfd_send_signal" and number in seen[3]:
            return calls
    raise AssertionError(f"no {number} in the trace")


def room_for_descriptors(pid: int) -> int:
    """In the kernel's table of them, which it grows while all CPUs are waited for."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("FDSize:"))


@pytest.fixture
def crowd() -> Iterator[Callable[[int], None]]:
    """Starts many processes at once."""
    with ExitStack() as processes:

        def gather(number: int) -> None:
            for _ in range(number):
                one = subprocess.Popen(("sleep", "60"))
                processes.callback(one.wait)
                processes.callback(one.kill)

        yield gather


@pytest.mark.parametrize(
    ("scope", "rules", "newcomers", "allowed"),
    [
        ("process", "", 0, LOOKS | AIMS),
        ("family", "", 0, LOOKS | AIMS),
        ("family", "", 60, LOOKS | AIMS),
        ("process", "", 60, LOOKS | AIMS),
        ("process", SLOW_NAMES, 0, LOOKS | AIMS | TAKES_TURNS),
    ],
    ids=["at ease", "families", "newcomers in families", "newcomers", "rules on slow names"],
)
def test_nothing_but_looks_between_the_wait_and_the_signal(
    start: Start,
    hog: Callable[..., Hog],
    crowd: Callable[[int], None],
    tmp_path: Path,
    scope: str,
    rules: str,
    newcomers: int,
    allowed: set[str],
) -> None:
    trace = tmp_path / "trace"
    one = hog(1000, "ignore")
    guard = start(Settings(grace="1s", scope=scope, rules=rules), before=(*UNMEASURED, *TRACED, str(trace)))
    crowd(newcomers)
    guard.polls()
    faults = guard.major_faults()
    assert room_for_descriptors(guard.pid) >= DESCRIPTORS_HELD
    one.eat()
    eventually(one.died_by)
    eventually(lambda: guard.told(Ended))
    assert guard.major_faults() == faults
    guard.close()
    eventually(lambda: f"{guard.pid} " in trace.read_text() and "+++ exited" in trace.read_text()[-200:])
    for number in ("SIGTERM", "SIGKILL"):
        calls = calls_before_the_signal(trace, guard.pid, number)
        counts = Counter(name for name, _ in calls).most_common()
        sys.stdout.write(f"before {number}: {', '.join(f'{count} {name}' for name, count in counts)}\n")
        assert len(calls) > 3
        assert {name for name, _ in calls} <= allowed
        paths = [found[1] for name, rest in calls if name == "openat" and (found := OPENED.match(rest))]
        assert all(path.startswith(("/proc", "/sys")) for path in paths)


def have_ended(guard: Subject, episodes: int) -> bool:
    return len(guard.told(Ended)) == episodes


def test_each_signal_is_told_with_the_time_since_its_sample(start: Start, hog: Callable[..., Hog]) -> None:
    """Without strace, which takes ten times as long."""
    guard = start(Settings(grace="1s"))
    for times in range(1, 6):
        one = hog(1000, "ignore")
        one.eat()
        eventually(one.died_by)
        eventually(partial(have_ended, guard, times))
    for sent in (Sent.TERM, Sent.KILL):
        reactions = [killing.reaction for killing in guard.told(Killing) if killing.sent is sent]
        told = ", ".join(f"{reaction * 1000:.2f}" for reaction in reactions)
        sys.stdout.write(f"from the sample to SIG{sent.upper()}, ms: {told}\n")
        assert len(reactions) == 5
        assert min(reactions) > 0
