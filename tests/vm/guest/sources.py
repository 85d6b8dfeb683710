"""The sources besides /proc, as the packaged units have them: no network but what systemd passes on."""

from __future__ import annotations

import os
from pathlib import Path

from tests.vm.guest import guard
from tests.vm.guest.check import check
from tests.vm.guest.guard import GUARD, counter, events, status
from tests.vm.guest.hog import hog
from tests.vm.guest.host import Unit, run, until

SOCKET = Unit("oomguard.socket")
ON = 'sources.process_events = "on"\nsources.delays = "on"\n'
OFF = 'sources.process_events = "off"\nsources.delays = "off"\n'


@check(limit=120)
def they_come_through_systemd() -> None:
    guard.install(ON)
    assert counter("degraded") == 0, events("degraded")
    assert len(_inodes(GUARD.pid) & _netlink()) == 2, _inodes(GUARD.pid)
    own, first = (os.readlink(f"/proc/{pid}/ns/net") for pid in (GUARD.pid, 1))
    assert own != first, "it has the host's network"


@check(limit=120)
def the_stall_of_bystanders_is_known_without_their_groups() -> None:
    assert not Path("/sys/fs/cgroup/cgroup.controllers").exists()
    with hog("leaker", "leak", "4000", "60") as leaker:
        until(lambda: status()["state"]["figures"]["stall_of"] == "bystanders", "delays", limit=60)
        until(lambda: not leaker.alive, "its death", limit=60)
        assert leaker.ending == "killed TERM", leaker.ending


@check(limit=90)
def they_come_again_after_a_crash() -> None:
    pid, degraded = GUARD.pid, counter("degraded")
    run("systemctl", "kill", "--signal=KILL", "--kill-whom=main", GUARD.name)
    guard.comes_back(pid)
    until(lambda: status()["state"]["pid"] == GUARD.pid, "the next guard")
    assert counter("degraded") == degraded, events("degraded")
    assert len(_inodes(GUARD.pid) & _netlink()) == 2, _inodes(GUARD.pid)


@check(limit=60)
def nobody_else_starts_the_guard_by_them() -> None:
    run("systemctl", "stop", GUARD.name)
    assert SOCKET["ActiveState"] == "inactive", SOCKET["ActiveState"]


@check(limit=60)
def what_is_not_wanted_is_closed() -> None:
    guard.CONFIG.write_text(OFF)
    run("systemctl", "start", GUARD.name)
    assert not _inodes(GUARD.pid) & _netlink(), _inodes(GUARD.pid)


@check()
def nothing_failed() -> None:
    assert counter("failures") == 0, events("failed")


def _inodes(pid: int) -> set[str]:
    """Of the sockets that it has open."""
    links = (os.readlink(path) for path in Path(f"/proc/{pid}/fd").iterdir())
    return {link[len("socket:[") : -1] for link in links if link.startswith("socket:[")}


def _netlink() -> set[str]:
    """The inodes of the netlink sockets of the first network namespace."""
    return {line.split()[-1] for line in Path("/proc/net/netlink").read_text().splitlines()[1:]}
