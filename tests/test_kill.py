"""Signals to processes of the tests' own, through the actor that kills."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import pytest

from oomguard.census import Census
from oomguard.episode import Sent
from oomguard.kill import Delivery, Killer, Releaser
from oomguard.plan import Kill
from oomguard.process import Key, Process
from oomguard.procfs import ProcFS
from oomguard.ranking import Candidate
from oomguard.rules import Effect, Field, Rule, Scope, pattern
from oomguard.units import Pid, Points, Ticks
from tests import builders

Children = Callable[..., subprocess.Popen[str]]

PROCFS = ProcFS()
DEAF = ("sh", "-c", "trap '' TERM; echo ready; while :; do sleep 10 & wait; done")
"""Ignores SIGTERM, once it has said so."""


class Released:
    """In place of a releaser: remembers what it was asked to release."""

    def __init__(self) -> None:
        self.count = 0

    def release(self, pidfd: int) -> None:
        self.count += 1


@pytest.fixture
def child() -> Iterator[Children]:
    """Starts processes that wait."""
    with ExitStack() as processes:

        def start(*command: str) -> subprocess.Popen[str]:
            one = subprocess.Popen(command or ("sleep", "60"), stdout=subprocess.PIPE, text=True)
            processes.enter_context(one)
            processes.callback(one.kill)
            return one

        yield start


def aim(*processes: Process, whole_cgroup: str | None = None) -> Kill:
    members = tuple(map(builders.judged, processes))
    return Kill(
        victim=Candidate(judged=members[0], points=Points(1)),
        scope=Scope.TREE,
        members=members,
        whole_cgroup=whole_cgroup,
        runners_up=(),
        kernel_choice=None,
        assessment=builders.assessment(),
    )


def seen(child: subprocess.Popen[str]) -> Process:
    return PROCFS.process(Pid(child.pid))


def killer(
    confirms: Callable[[Process], bool] = lambda _: True, kill_cgroup: Callable[[str], bool] = lambda _: False
) -> tuple[Killer, Released]:
    released = Released()
    return Killer(kill_cgroup, confirms, released), released  # type: ignore[arg-type]  # stands in


def ended_by(child: subprocess.Popen[str]) -> signal.Signals:
    return signal.Signals(-child.wait(10))


@pytest.mark.parametrize(
    ("sent", "number", "releases"), [(Sent.TERM, signal.SIGTERM, 2), (Sent.KILL, signal.SIGKILL, 2)]
)
def test_all_members_get_the_signal(
    child: Children, sent: Sent, number: signal.Signals, releases: int
) -> None:
    victim, other, unrelated = child(), child(), child()
    actor, released = killer()
    assert actor.signal(aim(seen(victim), seen(other)), sent) is Delivery.DELIVERED
    assert (ended_by(victim), ended_by(other), unrelated.poll()) == (number, number, None)
    assert (actor.left(), len(actor.fds), released.count) == (0, 2, releases)
    actor.stand_down()
    assert actor.fds == ()


def test_an_escalation_hits_those_that_were_aimed_at(child: Children) -> None:
    one = child(*DEAF)
    assert one.stdout is not None
    one.stdout.readline()
    actor, _ = killer()
    kill = aim(seen(one))
    assert actor.signal(kill, Sent.TERM) is Delivery.DELIVERED
    assert actor.left() == 1
    assert one.poll() is None
    assert actor.signal(kill, Sent.KILL) is Delivery.DELIVERED
    assert ended_by(one) is signal.SIGKILL


def test_a_stopped_process_is_let_go_on_to_end(child: Children) -> None:
    one = child()
    os.kill(one.pid, signal.SIGSTOP)
    os.waitid(os.P_PID, one.pid, os.WSTOPPED | os.WNOWAIT)
    actor, _ = killer()
    actor.signal(aim(seen(one)), Sent.TERM)
    assert ended_by(one) is signal.SIGTERM


@pytest.mark.parametrize(
    ("victim_confirmed", "other_confirmed", "delivery"),
    [
        (True, False, Delivery.DELIVERED),
        (False, True, Delivery.VANISHED),
        (False, False, Delivery.VANISHED),
    ],
)
def test_only_the_confirmed_are_signalled(
    child: Children, victim_confirmed: bool, other_confirmed: bool, delivery: Delivery
) -> None:
    first, second = child(), child()
    victim, other = seen(first), seen(second)
    confirmed = {victim: victim_confirmed, other: other_confirmed}
    actor, _ = killer(confirmed.__getitem__)
    assert actor.signal(aim(victim, other), Sent.TERM) is delivery
    signalled = delivery is Delivery.DELIVERED
    assert len(actor.fds) == signalled
    if signalled:
        assert ended_by(first) is signal.SIGTERM
    assert (first.poll() is not None, second.poll() is not None) == (signalled, False)


def test_whoever_got_the_pid_is_not_signalled(child: Children) -> None:
    one = child()
    now = seen(one)
    former = replace(now, key=Key(now.key.pid, Ticks(now.key.starttime - 1)))
    actor, _ = killer(Census(PROCFS, (), None).confirms)
    assert actor.signal(aim(former), Sent.KILL) is Delivery.VANISHED
    assert one.poll() is None
    assert actor.signal(aim(now), Sent.KILL) is Delivery.DELIVERED


@pytest.mark.parametrize(("effect", "survives"), [(Effect.NEVER, True), (Effect.PREFER, False)])
def test_whoever_became_another_program_is_who_it_is_now(
    child: Children, effect: Effect, survives: bool
) -> None:
    one = child()
    now = seen(one)
    former = replace(now, image=now.image + 1)
    sleeps = Rule(name="sleeps", patterns=(pattern(Field.EXE, "*/sleep"),), effect=effect)
    actor, _ = killer(Census(PROCFS, (sleeps,), None).confirms)
    delivery = actor.signal(aim(former), Sent.TERM)
    assert delivery is (Delivery.VANISHED if survives else Delivery.DELIVERED)
    assert survives or ended_by(one) is signal.SIGTERM
    assert (one.poll() is None) is survives


def test_who_has_gone_has_vanished(child: Children) -> None:
    one = child()
    former = seen(one)
    one.kill()
    one.wait()
    actor, _ = killer()
    assert actor.signal(aim(former), Sent.TERM) is Delivery.VANISHED
    assert actor.fds == ()


def test_who_ends_before_the_escalation_has_vanished(child: Children) -> None:
    one = child()
    actor, _ = killer()
    kill = aim(seen(one))
    actor.signal(kill, Sent.TERM)
    one.wait(10)
    assert actor.signal(kill, Sent.KILL) is Delivery.VANISHED


@pytest.mark.parametrize(("sent", "killed"), [(Sent.TERM, []), (Sent.KILL, ["/batch"])])
def test_a_whole_cgroup_is_killed_at_once(child: Children, sent: Sent, killed: list[str]) -> None:
    groups: list[str] = []

    def kill_cgroup(group: str) -> bool:
        groups.append(group)
        return True

    actor, _ = killer(kill_cgroup=kill_cgroup)
    actor.signal(aim(seen(child()), whole_cgroup="/batch"), sent)
    assert groups == killed


@pytest.mark.parametrize(("has_ended", "delivery"), [(True, Delivery.DELIVERED), (False, Delivery.VANISHED)])
def test_who_dies_with_its_cgroup_before_it_gets_the_signal(
    child: Children, has_ended: bool, delivery: Delivery
) -> None:
    victim = child()

    def kill_cgroup(_: str) -> bool:
        victim.kill()
        victim.wait(10)
        return has_ended

    actor, _ = killer(kill_cgroup=kill_cgroup)
    assert actor.signal(aim(seen(victim), whole_cgroup="/batch"), Sent.KILL) is delivery
    assert actor.left() == 0


def test_a_whole_cgroup_is_killed_before_its_members_are_looked_at_one_by_one(child: Children) -> None:
    victim, other = seen(child()), seen(child())
    steps: list[str] = []

    def confirms(process: Process) -> bool:
        steps.append("victim" if process is victim else "other")
        return True

    def kill_cgroup(group: str) -> bool:
        steps.append(group)
        return True

    actor, _ = killer(confirms, kill_cgroup)
    actor.signal(aim(victim, other, whole_cgroup="/batch"), Sent.KILL)
    assert steps == ["victim", "/batch", "other"]


def test_no_cgroup_is_killed_for_a_victim_that_is_not_who_it_was(child: Children) -> None:
    groups: list[str] = []

    def kill_cgroup(group: str) -> bool:
        groups.append(group)
        return True

    actor, _ = killer(lambda _: False, kill_cgroup)
    kill = aim(seen(child()), whole_cgroup="/batch")
    assert actor.signal(kill, Sent.KILL) is Delivery.VANISHED
    assert groups == []


@pytest.mark.parametrize(
    ("error", "delivery"), [(PermissionError, Delivery.REFUSED), (ProcessLookupError, Delivery.VANISHED)]
)
def test_what_the_kernel_refuses(
    child: Children, monkeypatch: pytest.MonkeyPatch, error: type[OSError], delivery: Delivery
) -> None:
    def refuse(_fd: int, _number: int) -> None:
        raise error

    monkeypatch.setattr(signal, "pidfd_send_signal", refuse)
    actor, _ = killer()
    assert actor.signal(aim(seen(child())), Sent.TERM) is delivery


@contextmanager
def no_descriptors() -> Iterator[None]:
    """As if all of them were taken."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_without_descriptors_the_victim_is_refused(child: Children) -> None:
    kill = aim(seen(child()))
    actor, _ = killer()
    with no_descriptors():
        delivery = actor.signal(kill, Sent.TERM)
    assert delivery is Delivery.REFUSED
    assert actor.fds == ()


def test_without_descriptors_nothing_is_released_and_nothing_fails() -> None:
    with no_descriptors():
        Releaser().release(0)


def test_the_dying_are_released_and_the_descriptor_is_let_go(child: Children) -> None:
    one = child()
    pidfd = os.pidfd_open(one.pid)
    releaser = Releaser()
    before = len(os.listdir("/proc/self/fd"))
    os.kill(one.pid, signal.SIGKILL)
    releaser.release(pidfd)
    one.wait()
    deadline = time.monotonic() + 10
    while len(os.listdir("/proc/self/fd")) != before:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.close(pidfd)
