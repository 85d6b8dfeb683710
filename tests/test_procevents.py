from __future__ import annotations

import ctypes
import os
import socket
import struct
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroute2.netlink.connector.cn_proc import ProcEventMarshal  # type: ignore[import-untyped]

from oomguard import netlink
from oomguard.procevents import MOST, NO_NEWS, News, NoEvents, ProcEvents, Subscription, changed

NONE, FORK, EXEC, UID, GID, SID, PTRACE, COMM = 0x0, 0x1, 0x2, 0x4, 0x40, 0x80, 0x100, 0x200
COREDUMP, EXIT = 0x40000000, 0x80000000
LISTEN, IGNORE = b"listen", b"ignore"


def datagram(what: int, *ids: int, comm: bytes = b"") -> bytes:
    """As the kernel sends it: struct nlmsghdr, struct cn_msg, struct proc_event."""
    event = struct.pack("=IIQ", what, 0, 1) + struct.pack(f"={len(ids)}i", *ids) + comm
    header = struct.pack("=IHHII", 76, 3, 0, 0, 0) + struct.pack("=IIIIHH", 1, 1, 0, 0, 40, 0)
    return (header + event).ljust(76, b"\0")


def started(pid: int) -> bytes:
    return datagram(FORK, 1, 1, pid, pid)


class Kernel:
    """The other end of the socket."""

    def __init__(self) -> None:
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._ours.setblocking(False)
        self._ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 22)
        self.subscription = Subscription(fd=theirs.detach(), listen=LISTEN, ignore=IGNORE)

    def tell(self, *datagrams: bytes) -> None:
        for one in datagrams:
            self._ours.send(one)

    def orders(self) -> list[bytes]:
        given = []
        while True:
            try:
                given.append(self._ours.recv(64))
            except BlockingIOError:
                return given

    def close(self) -> None:
        self._ours.close()
        os.close(self.subscription.fd)


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    one = Kernel()
    yield one
    one.close()


@pytest.fixture
def events(kernel: Kernel) -> ProcEvents:
    """That are listened to, and complete."""
    one = ProcEvents(kernel.subscription)
    one.listen()
    one.drain()
    return one


@pytest.mark.parametrize(
    ("told", "who"),
    [
        (datagram(FORK, 5, 4, 7, 7), 7),
        (datagram(FORK, 4, 4, 7, 4), None),
        (datagram(EXEC, 7, 7), 7),
        (datagram(EXIT, 7, 7, 0, 17, 4, 4), 7),
        (datagram(EXIT, 8, 7, 0, 17, 4, 4), None),
        (datagram(NONE, 0), None),
        (datagram(UID, 7, 7, 0, 0), None),
        (datagram(GID, 7, 7, 0, 0), None),
        (datagram(SID, 7, 7), None),
        (datagram(PTRACE, 7, 7, 8, 8), None),
        (datagram(COMM, 7, 7, comm=b'\n"\xff\x1b[31m{}\0'), None),
        (datagram(COREDUMP, 7, 7, 4, 4), None),
        (datagram(0x400, 7, 7), None),
        (started(7)[:60], None),
        (b"", None),
    ],
)
def test_who_has_changed(told: bytes, who: int | None) -> None:
    assert changed(told) == who


@given(st.binary(max_size=128))
def test_no_datagram_is_a_surprise(told: bytes) -> None:
    pid = changed(told)
    assert pid is None or isinstance(pid, int)


@pytest.mark.parametrize(("what", "name"), [(FORK, "child"), (EXEC, "process"), (EXIT, "process")])
@given(ids=st.lists(st.integers(0, 1 << 22), min_size=4, max_size=4))
def test_pyroute2_says_the_same(what: int, name: str, ids: list[int]) -> None:
    told = datagram(what, *ids)
    (message,) = ProcEventMarshal().parse(told)
    thread, process = message[f"{name}_pid"], message[f"{name}_tgid"]
    assert changed(told) == (process if thread == process else None)


def test_nothing_is_heard_unasked(kernel: Kernel) -> None:
    kernel.tell(started(7))
    assert ProcEvents(kernel.subscription).drain() == NO_NEWS == NoEvents().drain()
    assert kernel.orders() == []


def test_the_first_news_cannot_be_complete(kernel: Kernel) -> None:
    events = ProcEvents(kernel.subscription)
    events.listen()
    kernel.tell(started(7))
    assert events.drain() == News(pids=(7,), complete=False)  # type: ignore[arg-type]
    assert events.drain() == News(pids=(), complete=True)


def test_what_waited_since_before_is_no_news(kernel: Kernel) -> None:
    kernel.tell(started(7))
    events = ProcEvents(kernel.subscription)
    events.listen()
    assert events.drain() == NO_NEWS


def test_orders_are_given_once(kernel: Kernel) -> None:
    events = ProcEvents(kernel.subscription)
    events.ignore()
    for _ in range(2):
        events.listen()
    for _ in range(2):
        events.ignore()
    assert kernel.orders() == [LISTEN, IGNORE]
    assert events.drain() == NO_NEWS


def test_each_is_told_once_and_in_order(kernel: Kernel, events: ProcEvents) -> None:
    kernel.tell(started(9), started(7), datagram(EXEC, 9, 9), datagram(EXIT, 7, 7))
    assert events.drain() == News(pids=(9, 7), complete=True)  # type: ignore[arg-type]


def test_too_many_at_a_time_are_heard_in_turn(events: ProcEvents) -> None:
    storm = iter(range(1, 2 * MOST))

    def next_one(_fd: int, _most: int) -> bytes:
        return started(next(storm))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "read", next_one)
        news = events.drain()
    assert (len(news.pids), news.complete) == (MOST, False)


def test_a_closed_socket_is_no_failure(kernel: Kernel, events: ProcEvents) -> None:
    closed = Subscription(fd=os.open(os.devnull, os.O_RDONLY), listen=LISTEN, ignore=IGNORE)
    deaf = ProcEvents(closed)
    os.close(closed.fd)
    deaf.listen()
    assert deaf.drain() == NO_NEWS
    deaf.ignore()


@pytest.fixture
def live() -> Iterator[ProcEvents]:
    """The events of this very host."""
    try:
        subscription = netlink.subscribe(frozenset())
    except OSError as error:
        pytest.skip(f"NOT TESTED: this host has no process events to give: {error}")
    events = ProcEvents(subscription)
    events.listen()
    assert not events.drain().complete
    yield events
    events.ignore()
    os.close(subscription.fd)


def hostile() -> None:
    ctypes.CDLL(None).prctl(15, b'\n"\xff\x1b[31m', 0, 0, 0)


def test_this_kernel_tells_who_starts_runs_another_program_and_ends(live: ProcEvents) -> None:
    ours, theirs = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(theirs)
        os.read(ours, 1)
        hostile()
        os.execv("/bin/cat", ["cat", f"/dev/fd/{os.dup(ours)}"])
    os.close(ours)
    assert pid in live.drain().pids
    os.write(theirs, b"\n")
    os.close(theirs)
    os.waitpid(pid, 0)
    news = live.drain()
    assert pid in news.pids
    assert news.complete


def test_this_kernel_says_when_it_could_not_tell_all(live: ProcEvents) -> None:
    fd = live._subscription.fd
    with socket.socket(fileno=os.dup(fd)) as shrunk:
        shrunk.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    for _ in range(20):
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
    assert not live.drain().complete
    while not live.drain().complete:
        pass
    live.ignore()
    live.listen()
    assert not live.drain().complete
