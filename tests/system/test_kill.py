"""Who dies, by what, and who does not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from signal import SIGKILL, SIGTERM

import pytest

from oomguard.episode import Outcome, Sent
from oomguard.event import Ended, Event, Holding, Killing
from oomguard.plan import HoldReason
from oomguard.rules import Scope
from tests.system.conftest import Start
from tests.system.hog import Hog, Pen
from tests.system.patience import eventually
from tests.system.subject import Settings, Subject

pytestmark = pytest.mark.kill

MakeHog = Callable[..., Hog]

SIZE = 1000
"""MiB: more than the room to the limit, and less than the host has in any case."""

PRECIOUS = """
[[rule]]
name = "precious"
exe = "{programs}/precious"
effect = "never"
"""
OTHERS = """
[[rule]]
name = "by-a-name-of-its-own"
comm = "sshd"
effect = "never"
[[rule]]
name = "by-an-expression"
exe = "re:/usr/s?bin/(database|web)d"
effect = "never"
[[rule]]
name = "by-what-is-slow-to-read"
cmdline = "*--precious*"
effect = "never"
"""
"""Rules for others, by which a newcomer must not be spared for longer than it takes to read its names."""


def told_of(guard: Subject, hog: Hog) -> tuple[Event, ...]:
    """What was done to `hog`, and how it ended."""
    done = (event for event in guard.events() if isinstance(event, Killing | Ended))
    return tuple(event for event in done if event.victim.pid == hog.pid)


def sent_to(guard: Subject, hog: Hog) -> tuple[Sent, ...]:
    return tuple(event.sent for event in told_of(guard, hog) if isinstance(event, Killing))


def outcome_of(guard: Subject, hog: Hog) -> Outcome | None:
    return next((event.outcome for event in told_of(guard, hog) if isinstance(event, Ended)), None)


@pytest.mark.parametrize(
    "mode", [(), ("nobody",), ("rename",)], ids=["plain", "another user's", "under a protected name"]
)
def test_a_newcomer_is_asked_to_end(start: Start, hog: MakeHog, mode: tuple[str, ...]) -> None:
    guard = start(Settings(rules=OTHERS))
    one = hog(SIZE, *mode)
    one.eat()
    assert eventually(one.died_by) is SIGTERM
    assert eventually(lambda: outcome_of(guard, one)) is Outcome.RECOVERED
    assert sent_to(guard, one) == (Sent.TERM,)
    assert guard.counted("kills") == guard.counted("episodes") == 1


def test_below_the_last_limit_it_is_killed_at_once(start: Start, hog: MakeHog) -> None:
    one = hog(SIZE)
    guard = start(Settings(room=500, last_room=500))
    one.eat()
    assert eventually(one.died_by) is SIGKILL
    assert eventually(lambda: outcome_of(guard, one)) is Outcome.RECOVERED
    assert sent_to(guard, one) == (Sent.KILL,)


def test_who_ignores_the_question_is_killed_once_the_grace_is_over(start: Start, hog: MakeHog) -> None:
    one = hog(SIZE, "ignore")
    guard = start(Settings(grace="1s"))
    one.eat()
    assert eventually(one.died_by) is SIGKILL
    assert eventually(lambda: outcome_of(guard, one)) is Outcome.RECOVERED
    assert sent_to(guard, one) == (Sent.TERM, Sent.KILL)
    assert all(ended.took > 0.5 for ended in guard.told(Ended))


def test_a_stopped_hog_ends_too(start: Start, hog: MakeHog) -> None:
    one = hog(SIZE)
    # It is full and stopped before anybody looks.
    one.eat()
    one.stop()
    start(Settings(room=-500))
    assert eventually(one.died_by) is SIGTERM


def test_the_protected_survive_and_the_hold_is_told_once(start: Start, hog: MakeHog, programs: Path) -> None:
    precious = hog(SIZE, program="precious")
    guard = start(Settings(rules=PRECIOUS.format(programs=programs), last_room=SIZE + 100))
    precious.eat()
    (held,) = eventually(lambda: guard.told(Holding))
    assert held.why is HoldReason.ALL_PROTECTED
    assert precious.pid in {person.pid for person in held.biggest}
    guard.polls()
    assert len(guard.told(Holding)) == guard.counted("holds") == 1
    assert guard.counted("kills") == 0
    # Its death cannot make up for what the protected one took, so it is let live until there is no time left.
    small = hog(200)
    small.eat()
    assert eventually(small.died_by) is SIGKILL
    assert precious.died_by() is None


def test_a_dry_run_kills_nobody_and_tells_once(start: Start, hog: MakeHog) -> None:
    one = hog(SIZE)
    guard = start(Settings(mode="dry-run"))
    one.eat()
    assert eventually(lambda: sent_to(guard, one)) == (Sent.TERM,)
    guard.polls(20)
    assert one.died_by() is None
    assert sent_to(guard, one) == (Sent.TERM,)
    assert (guard.counted("would_kills"), guard.counted("kills")) == (1, 0)
    assert guard.count("would_kills", "low_memory", "term") == 1


@pytest.mark.parametrize(
    ("scope", "relation"),
    [
        (Scope.TREE, "child"),
        (Scope.GROUP, "grandchild"),
        (Scope.SESSION, "stray"),
        (Scope.CGROUP, "lost"),
    ],
)
def test_whoever_is_in_the_scope_dies_with_the_victim(
    start: Start, hog: MakeHog, pen: Pen, scope: Scope, relation: str
) -> None:
    one, unrelated = hog(SIZE // 2, relation), hog(SIZE)
    guard = start(Settings(scope=scope))
    others = one.eat()
    assert len(others) == 3
    assert eventually(one.died_by) is SIGTERM
    assert eventually(lambda: outcome_of(guard, one)) is Outcome.RECOVERED
    assert pen.pids().isdisjoint(others)
    (killing,) = guard.told(Killing)
    assert (killing.scope, killing.members) == (scope, 5 if scope is Scope.CGROUP else 4)
    assert (unrelated.died_by() is None) is (scope is not Scope.CGROUP)
