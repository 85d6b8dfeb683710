"""Who may use which source, and who is told why not: in processes of their own, on this host's kernel."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from oomguard import netlink
from oomguard.handover import NOTHING_OPENED
from oomguard.launch import passed_on_by_systemd
from oomguard.sources import Source

REPOSITORY = Path(__file__).parents[1]
CONNECTOR, GENERIC = 11, 16
LISTEN = "2800000003000000000000000000000001000000010000000000000000000000040000000100000" + "0"
IGNORE = LISTEN[:-8] + "02000000"
OPEN = """
import sys
from oomguard import netlink
from oomguard.sources import Source
print(netlink.open_sources(set(Source), frozenset({fds})))
"""

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="NOT TESTED: netlink and namespaces take root")


def told(*words: str, fds: tuple[int, ...] = ()) -> str:
    if shutil.which(words[0]) is None:
        pytest.skip(f"NOT TESTED: {words[0]} is missing")
    done = subprocess.run(
        words, capture_output=True, text=True, timeout=30, check=False, pass_fds=fds,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )  # fmt: skip
    assert not done.stderr, done.stderr
    return done.stdout


@pytest.fixture
def process_events() -> None:
    """A kernel that tells them here: it does not in a container."""
    opened = netlink.open_sources({Source.PROCESS_EVENTS}, frozenset())
    for fd in opened.fds:
        os.close(fd)
    if opened.events is None:
        pytest.skip(f"NOT TESTED: {opened.missing}")


@needs_root
@pytest.mark.usefixtures("process_events")
def test_the_orders_are_as_the_kernel_wants_them() -> None:
    opened = netlink.open_sources(set(Source), frozenset())
    assert opened.events is not None, opened.missing
    assert opened.delays is not None, opened.missing
    assert not opened.missing
    assert (opened.events.listen.hex(), opened.events.ignore.hex()) == (LISTEN, IGNORE)
    assert opened.delays.order.endswith(os.getpid().to_bytes(4, sys.byteorder))
    assert len(opened.delays.order) == 28
    for fd in opened.fds:
        assert not os.get_blocking(fd)
        os.close(fd)


def test_what_is_not_wanted_is_not_opened() -> None:
    assert netlink.open_sources(set(), frozenset({0})) == NOTHING_OPENED


@needs_root
@pytest.mark.parametrize(
    ("words", "whys"),
    [
        (("unshare", "--net"), ("no process events", "the host's own network namespace only")),
        (("unshare", "--pid", "--fork"), ("no process events", "the kernel does not answer")),
        (("setpriv", "--bounding-set=-net_admin"), ("no delays", "give it CAP_NET_ADMIN")),
    ],
)
def test_where_the_kernel_refuses_it_says_why(words: tuple[str, ...], whys: tuple[str, str]) -> None:
    answer = told(*words, sys.executable, "-c", OPEN.format(fds="()"))
    assert all(why in answer for why in whys), answer


@pytest.mark.parametrize(
    ("code", "why"),
    [
        (errno.EPERM, "give it CAP_NET_ADMIN"),
        (errno.EAFNOSUPPORT, "oomguard.socket"),
        (errno.EPROTONOSUPPORT, "as it says"),
    ],
)
def test_where_no_socket_is_to_be_had_it_says_why(
    monkeypatch: pytest.MonkeyPatch, code: int, why: str
) -> None:
    def refuse(*_: object) -> socket.socket:
        raise OSError(code, "as it says")

    monkeypatch.setattr(socket, "socket", refuse)
    opened = netlink.open_sources(set(Source), frozenset())
    assert (opened.events, opened.delays, len(opened.missing)) == (None, None, 2)
    assert all(why in line for line in opened.missing)


@needs_root
@pytest.mark.usefixtures("process_events")
def test_sockets_that_systemd_passed_on_are_taken() -> None:
    """Even where the guard could have none of its own: PrivateNetwork=yes."""
    script = f"""
import os, socket, subprocess, sys
for fd, protocol, groups in ((50, {CONNECTOR}, 1), (51, {GENERIC}, 0)):
    theirs = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol)
    theirs.bind((0, groups))
    os.dup2(theirs.fileno(), fd)
another = socket.socket(socket.AF_UNIX)
os.dup2(another.fileno(), 49)
os.execvp("unshare", ["unshare", "--net", sys.executable, "-c", sys.argv[1]])
"""
    answer = told(sys.executable, "-c", script, OPEN.format(fds="(49, 50, 51)"))
    assert "Subscription(fd=50," in answer, answer
    assert "Accounting(fd=51," in answer, answer


def test_what_another_process_was_passed_on_is_not_ours() -> None:
    ours = str(os.getpid())
    assert not passed_on_by_systemd({})
    assert not passed_on_by_systemd({"LISTEN_PID": f"{ours}1", "LISTEN_FDS": "1"})
    assert list(passed_on_by_systemd({"LISTEN_PID": ours, "LISTEN_FDS": "2"})) == [3, 4]
