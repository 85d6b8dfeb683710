from __future__ import annotations

import errno
import os
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from oomguard import netlink
from oomguard.delays import UNKNOWN, Accounting, NoDelays, TaskDelays
from oomguard.errors import Malformed
from oomguard.process import Key
from oomguard.units import Pid, Ticks
from tests.test_taskstats import SECOND, refusal, reply

COUNTED = reply(freepages_delay_total=SECOND, wpcopy_count=1)
UNCOUNTED = reply(cpu_run_real_total=SECOND)
GONE, REFUSED = refusal(errno.ESRCH), refusal(errno.EPERM)


def key(pid: int) -> Key:
    return Key(pid=Pid(pid), starttime=Ticks(5))


class Kernel(threading.Thread):
    """Answers each order, as it was told to for the process that the order is about."""

    def __init__(self, answers: dict[int, bytes]) -> None:
        super().__init__(daemon=True)
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.asked: list[int] = []
        self._answers = answers
        self.accounting = Accounting(fd=theirs.detach(), order=b"order\0\0\0\0")

    def run(self) -> None:
        while order := self._ours.recv(64):
            assert order[:5] == b"order"
            (pid,) = struct.unpack("=I", order[5:])
            self.asked.append(pid)
            self._ours.send(self._answers[pid])


class Waiting(TaskDelays):
    """Waits for the answer, as this kernel is another thread."""

    def _ask(self, pid: Pid) -> bytes:
        os.set_blocking(self._accounting.fd, True)
        return super()._ask(pid)


@pytest.fixture
def sysctl(tmp_path: Path) -> Path:
    path = tmp_path / "task_delayacct"
    path.write_text("1\n")
    return path


@pytest.mark.parametrize(
    ("answers", "known"),
    [
        ({7: COUNTED, 8: COUNTED}, {7, 8}),
        ({7: COUNTED, 8: GONE}, {7}),
        ({7: COUNTED, 8: UNCOUNTED}, set()),
        ({7: COUNTED, 8: REFUSED}, set()),
        ({7: COUNTED, 8: reply(version=99)}, set()),
        ({7: COUNTED, 8: b""}, set()),
        ({}, set()),
    ],
)
def test_all_are_known_or_none(sysctl: Path, answers: dict[int, bytes], known: set[int]) -> None:
    kernel = Kernel(answers)
    kernel.start()
    delays = Waiting(kernel.accounting, str(sysctl))
    delays.watch(map(key, answers))
    read = delays.read()
    assert {each.pid for each in read} == known
    assert all(one.waited == pytest.approx(1) for one in read.values())
    assert kernel.asked == list(answers)


@pytest.mark.parametrize("text", ["0\n", "", None])
def test_once_nobody_counts_any_more_nothing_is_known(sysctl: Path, text: str | None) -> None:
    """Delays that stand still would look like processes that never wait."""
    kernel = Kernel({7: COUNTED})
    kernel.start()
    delays = Waiting(kernel.accounting, str(sysctl))
    delays.watch([key(7)])
    assert delays.read()
    if text is None:
        delays._counts.close()
        sysctl.unlink()
    else:
        sysctl.write_text(text)
    assert delays.read() == UNKNOWN
    assert kernel.asked == [7]


def test_nobody_is_waited_for(sysctl: Path) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    delays = TaskDelays(Accounting(fd=theirs.fileno(), order=b"order\0\0\0\0"), str(sysctl))
    delays.watch([key(7)])
    assert delays.read() == UNKNOWN
    ours.close()
    theirs.close()


def test_without_a_source_nothing_is_known() -> None:
    delays = NoDelays()
    delays.watch([key(7)])
    assert delays.read() == UNKNOWN


@pytest.fixture
def accounting() -> Iterator[Accounting]:
    """This very kernel's."""
    try:
        one = netlink.account(frozenset())
    except (OSError, Malformed) as error:
        pytest.skip(f"NOT TESTED: this host tells no delays: {error}")
    yield one
    os.close(one.fd)


def test_this_kernel_answers(accounting: Accounting, sysctl: Path) -> None:
    """Whether it counts is this host's own affair; who has gone is left out all the same."""
    child = subprocess.Popen(["sleep", "0"])
    child.wait()
    delays = TaskDelays(accounting, str(sysctl))
    delays.watch([key(child.pid)])
    assert delays.read() == {}
    counts = Path("/proc/sys/kernel/task_delayacct").read_text() == "1\n"
    with subprocess.Popen(["sh", "-c", "echo; read x"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as one:
        assert one.stdout is not None
        one.stdout.readline()
        delays.watch([key(one.pid)])
        assert set(delays.read()) == ({key(one.pid)} if counts else set())
