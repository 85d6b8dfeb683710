"""Softer than a kill: signals, reclaim, throttle, freeze; and that all of it is undone.

The machine has 1 GiB and swap, which does not count here: what is available decides alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.vm.guest import guard
from tests.vm.guest.check import check, measured
from tests.vm.guest.guard import GUARD, counter, events
from tests.vm.guest.hog import hog
from tests.vm.guest.host import Unit, eat, meminfo, run, until

LIMITS = """
[limits.available]
term = "20%"
kill = "2%"

[limits.swap_free]
term = "100%"
"""
SHORT = 390
"""MiB of available memory below which it is getting short: a little less than twice the limit."""
STEADY = "25"
"""Seconds after which who grew once counts as steady."""
CACHES = """
[[rule]]
name = "caches"
unit = "cache*.service"
effect = "signal"
signal = "SIGUSR1"
"""


def relief(culprit: str, lasts: str = "30s") -> str:
    return f'{LIMITS}\n[relief]\nculprit = "{culprit}"\nfor = "{lasts}"\n'


@check(limit=120)
def starts() -> None:
    guard.install(LIMITS + CACHES)


@check(limit=90)
def a_cache_that_shrinks_when_asked_avoids_a_kill() -> None:
    kills, heard = counter("kills"), counter("reliefs", action="signal", result="done")
    with hog("cache1", "cache", "4000", "40") as unit:
        until(lambda: counter("reliefs", action="signal", result="done") > heard, "the signal")
        until(lambda: unit.rss < 50, "its shrinking")
        until(lambda: events("relieved") != [], "its effect")
        assert unit.alive, unit.ending
    assert counter("kills") == kills
    measured("MiB gained by a signal", events("relieved")[-1]["gained"] >> 20)
    assert events("relieved")[-1]["gained"] > 100 << 20


@check(limit=90)
def who_does_not_catch_the_signal_does_not_get_it() -> None:
    unheard = counter("reliefs", action="signal", result="unheard")
    with hog("cache2", "leak", _down_to(SHORT - 60), "60") as unit:
        until(lambda: counter("reliefs", action="signal", result="unheard") > unheard, "that it was seen")
        assert unit.alive, unit.ending


@check(limit=150)
def a_frozen_leaker_dies_all_the_same() -> None:
    guard.reload(relief("freeze", "60s") + '[victim]\npolicy = "kernel"\n')
    with hog("leaker", "leak", "4000", "30") as leaker:
        until(lambda: _is_frozen(leaker), "the frost")
        held = leaker.rss
        assert meminfo("MemAvailable") > 200, "too late"
        with hog("flat", "flat", _down_to(100)):
            until(lambda: not leaker.alive, "its death")
            assert leaker.ending.startswith("killed"), leaker.ending
    measured("MiB that it held when it was frozen", held)


@check(limit=180)
def who_was_frozen_is_thawed_once_memory_is_well() -> None:
    guard.reload(relief("freeze", "60s"))
    kills = counter("kills")
    with hog("others", "flat", _down_to(SHORT + 80)) as others:
        run("sleep", STEADY)
        with hog("leaker2", "leak", "150", "10") as leaker:
            until(lambda: _is_frozen(leaker), "the frost")
            others.stop()
            until(lambda: not _is_frozen(leaker), "the thaw")
            until(lambda: leaker.rss >= 150, "that it goes on")
    assert counter("kills") == kills
    assert events("relieved")[-1]["ending"] == "well", events("relieved")[-1]


@check(limit=150)
def who_was_frozen_is_thawed_when_its_time_is_over() -> None:
    guard.reload(relief("freeze", "5s"))
    with hog("leaker3", "leak", _down_to(SHORT - 60), "20") as leaker:
        until(lambda: _is_frozen(leaker), "the frost")
        until(lambda: not _is_frozen(leaker), "the thaw")
    assert events("relieved")[-1]["ending"] == "time", events("relieved")[-1]


@check(limit=120)
def who_shares_a_group_with_somebody_protected_is_not_frozen() -> None:
    protected = '\n[[rule]]\nname = "p"\ncomm = "sleep"\ncgroup = "*/leaker4.service"\neffect = "never"\n'
    guard.reload(relief("freeze") + protected)
    tried = counter("reliefs", action="freeze")
    program = Path("/var/tmp/both")
    program.write_text('#!/bin/sh\nsleep 1000 &\nexec /opt/vm/eat "$@"\n')
    program.chmod(0o755)
    with hog("leaker4", "leak", "4000", "30", program=str(program)) as leaker:
        until(lambda: not leaker.alive, "its death")
    assert counter("reliefs", action="freeze") == tried


@check(limit=150)
def a_throttled_leaker_grows_more_slowly_and_dies_when_it_is_let_go() -> None:
    guard.reload(relief("throttle", "20s"))
    with hog("leaker5", "leak", "4000", "30") as leaker:
        high = _group(leaker) / "memory.high"
        until(lambda: high.read_text() != "max\n", "the throttle")
        held = int(high.read_text()) >> 20
        first = leaker.rss
        run("sleep", "8")
        measured("MiB that it is held to", held)
        measured("MiB grown in 8 s, of 240 without a throttle", leaker.rss - first)
        assert high.read_text() != "max\n", "too late"
        assert leaker.rss < held + 50, f"{leaker.rss} MiB, held to {held}"
        until(lambda: not leaker.alive, "its death, once it is let go")
        assert leaker.ending.startswith("killed"), leaker.ending


@check(limit=150)
def a_cold_group_gives_memory_back() -> None:
    cold = f'{LIMITS}\n[relief]\nreclaim = ["/system.slice/cold*"]\namount = "64MiB"\n'
    guard.reload(cold)
    with hog("cold", "flat", "150") as unit:
        until(lambda: unit.rss >= 150, "its size")
        run("sleep", STEADY)
        with hog("leaker6", "leak", _down_to(SHORT - 100), "20"):
            until(lambda: _done("reclaim") > 0, "the reclaim")
            until(lambda: events("relieved")[-1]["action"] == "reclaim", "its effect", limit=30)
        assert unit.alive, unit.ending
        measured("MiB reclaimed", events("relieving")[-1]["amount"] >> 20)
        measured("MiB gained by it", events("relieved")[-1]["gained"] >> 20)
        assert unit.rss < 110, unit.rss


@check(limit=120)
def in_dry_run_nothing_is_done() -> None:
    guard.reload(f'mode = "dry-run"\n{relief("freeze")}')
    would, tried = counter("would_reliefs", action="freeze"), counter("reliefs")
    with hog("leaker7", "leak", _down_to(SHORT - 60), "20") as leaker:
        until(lambda: counter("would_reliefs", action="freeze") > would, "what would have been")
        assert not _is_frozen(leaker)
    assert counter("reliefs") == tried


@check(limit=150)
def when_the_guard_stops_nobody_stays_frozen() -> None:
    guard.reload(relief("freeze", "60s"))
    with _leaker("leaker8", "leak", _down_to(SHORT - 60), "20") as leaker:
        until(lambda: _is_frozen(leaker), "the frost")
        run("systemctl", "stop", GUARD.name)
        assert not _is_frozen(leaker)
    run("systemctl", "start", GUARD.name)
    until(lambda: GUARD["ActiveState"] == "active", "another guard")


@check(limit=180)
def what_a_dead_guard_left_frozen_is_thawed_by_the_next() -> None:
    guard.reload(relief("freeze", "60s"))
    with _leaker("leaker9", "leak", _down_to(SHORT - 60), "20") as leaker:
        until(lambda: _is_frozen(leaker), "the frost")
        guard.CONFIG.write_text(LIMITS)
        pid = GUARD.pid
        run("systemctl", "kill", "--kill-whom=all", "--signal=KILL", GUARD.name)
        guard.comes_back(pid)
        until(lambda: not _is_frozen(leaker), "the thaw")
        assert leaker.alive, leaker.ending
    until(lambda: Path("/run/oomguard/record.relief").stat().st_size == 0, "that nothing is left")


@check(limit=150)
def swapping_is_held_back_after_a_kill_and_let_go() -> None:
    guard.reload(LIMITS)
    before, held = _swap_limits(), counter("reliefs", action="hold_swap", result="done")
    with hog("flat2", "flat", _down_to(100)) as flat:
        until(lambda: not flat.alive, "its death")
    until(lambda: counter("reliefs", action="hold_swap", result="done") > held, "the hold")
    until(lambda: _swap_limits() == before, "that it is let go", limit=15)


@check(limit=180)
def what_a_guard_that_dies_held_back_is_let_go_by_its_unit() -> None:
    before, pid = _swap_limits(), GUARD.pid
    with _leaker("flat3", "flat", _down_to(100)) as flat:
        until(lambda: set(_swap_limits().values()) == {"0"}, "the hold")
        run("systemctl", "kill", "--kill-whom=all", "--signal=KILL", GUARD.name)
        until(lambda: not flat.alive, "its death, which systemd has to notice")
    guard.comes_back(pid)
    assert _swap_limits() == before
    assert Path("/run/oomguard/record.brake").stat().st_size == 0
    left = [each for each in events("relieved") if each["action"] == "hold_swap"]
    assert left == [], "the next guard did it"


@check()
def nothing_failed() -> None:
    assert counter("failures") == 0, events("failed")


@contextmanager
def _leaker(name: str, *words: str) -> Iterator[Unit]:
    """A `hog` during which the guard itself may go."""
    unit = eat(name, *words)
    try:
        yield unit
    finally:
        unit.stop()


def _down_to(mib: int) -> str:
    """How much is to be taken, in MiB, so that so much is left."""
    return str(meminfo("MemAvailable") - mib)


def _done(action: str) -> int:
    return counter("reliefs", action=action, result="done") + counter(
        "reliefs", action=action, result="partly"
    )


def _group(unit: Unit) -> Path:
    return Path(f"/sys/fs/cgroup{unit['ControlGroup']}")


def _swap_limits() -> dict[str, str]:
    """memory.swap.max of each group right below the root."""
    files = Path("/sys/fs/cgroup").glob("*/memory.swap.max")
    return {file.parent.name: file.read_text().strip() for file in files}


def _is_frozen(unit: Unit) -> bool:
    return "frozen 1" in (_group(unit) / "cgroup.events").read_text().splitlines()
