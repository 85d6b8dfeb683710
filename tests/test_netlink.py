"""Who may hear of processes, and who is told why not: each in a process of its own, on this host's kernel."""

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
from oomguard.procevents import NoSubscription, Subscription
from oomguard.start import _hand_over, _taken_over, passed_on_by_systemd

REPOSITORY = Path(__file__).parents[1]
SUBSCRIBE = "from oomguard import netlink; print(netlink.subscribe(%s))"
NETLINK_CONNECTOR = 11
ORDER = "280000000300000000000000000000000100000001000000000000000000000004000000{}000000"

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="NOT TESTED: other namespaces take root")


def told(*words: str, fds: tuple[int, ...] = ()) -> str:
    done = subprocess.run(
        words, capture_output=True, text=True, timeout=30, check=False, pass_fds=fds,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )  # fmt: skip
    assert not done.stderr, done.stderr
    return done.stdout


def within(*words: str, script: str = SUBSCRIBE % "()") -> str:
    if shutil.which(words[0]) is None:
        pytest.skip(f"NOT TESTED: {words[0]} is missing")
    return told(*words, sys.executable, "-c", script)


@needs_root
def test_the_orders_are_those_of_the_kernel() -> None:
    subscription = netlink.subscribe(())
    assert isinstance(subscription, Subscription), subscription
    assert (subscription.listen.hex(), subscription.ignore.hex()) == (ORDER.format("01"), ORDER.format("02"))
    assert os.get_inheritable(subscription.fd)
    os.close(subscription.fd)


@needs_root
@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("unshare", "--net"), "the host's own network namespace only"),
        (("unshare", "--pid", "--fork"), "the kernel does not answer, as in a container"),
    ],
)
def test_in_other_namespaces_it_says_why_not(words: tuple[str, ...], why: str) -> None:
    assert why in within(*words)


@pytest.mark.parametrize(
    ("code", "why"),
    [("EPERM", "CAP_NET_ADMIN"), ("EAFNOSUPPORT", "oomguard.socket"), ("EPROTONOSUPPORT", "no connector")],
)
def test_where_no_socket_is_to_be_had_it_says_why_not(
    monkeypatch: pytest.MonkeyPatch, code: str, why: str
) -> None:
    def refuse(*_: object) -> socket.socket:
        raise OSError(getattr(errno, code), "no")

    monkeypatch.setattr(socket, "socket", refuse)
    subscription = netlink.subscribe(())
    assert isinstance(subscription, NoSubscription)
    assert why in subscription.why


@needs_root
def test_a_socket_that_systemd_passed_on_is_taken() -> None:
    """Even where the guard could have none of its own: PrivateNetwork=yes."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_CONNECTOR) as theirs:
        theirs.bind((0, 1))
        script = (
            "import os, socket, sys; fd, another = int(sys.argv[1]), socket.socket(socket.AF_UNIX);"
            f"fd = os.dup2(fd, 50); os.dup2(another.fileno(), 3); os.dup2(fd, 4); {SUBSCRIBE % '(3, 4)'}"
        )
        words = (sys.executable, "-c", script, str(theirs.fileno()))
        unshare = shutil.which("unshare")
        assert unshare is not None
        answer = told(unshare, "--net", *words, fds=(theirs.fileno(),))
    assert "Subscription(fd=4," in answer, answer


def test_what_another_process_was_passed_on_is_not_ours() -> None:
    ours = str(os.getpid())
    assert not passed_on_by_systemd({})
    assert not passed_on_by_systemd({"LISTEN_PID": f"{ours}1", "LISTEN_FDS": "1"})
    assert list(passed_on_by_systemd({"LISTEN_PID": ours, "LISTEN_FDS": "2"})) == [3, 4]


@pytest.mark.parametrize(
    "subscription", [None, NoSubscription(why='"\n'), Subscription(fd=0, listen=b"\0\xff", ignore=b"")]
)
def test_what_is_handed_over_outlives_exec(subscription: Subscription | NoSubscription | None) -> None:
    documents: list[tuple[str, dict[str, object]]] = [("a\udcff.toml", {"mode": "dry-run"})]
    assert _taken_over(_hand_over(documents, subscription)) == (documents, subscription)
