"""Faults in a guard that really runs, while a hog really eats: none costs a kill, or hurts a bystander."""

from __future__ import annotations

import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from oomguard.episode import Sent
from oomguard.event import Ended, Event, Failed, Killing, Lifecycle, LifecycleChanged
from oomguard.pressure import Phase
from tests.system.conftest import Start
from tests.system.hog import Hog
from tests.system.patience import eventually
from tests.system.subject import Settings, Subject, oomguard
from tests.system.test_kill_path import crowd
from tests.system.web import fetch, free_port

__all__ = ["crowd"]

pytestmark = pytest.mark.kill

MakeHog = Callable[..., Hog]
PRECIOUS = """
[[rule]]
name = "precious"
exe = "{programs}/precious"
effect = "never"
"""


def broken(*pieces: str) -> tuple[str, ...]:
    """What begins a command with these broken."""
    return (sys.executable, "-m", "tests.system.broken", ",".join(pieces))


def lifecycle(guard: Subject) -> list[Lifecycle]:
    return [event.what for event in guard.told(LifecycleChanged)]


@pytest.mark.parametrize(
    "piece",
    ["oomguard.gauge:Gauge.read", "oomguard.hunt:Hunt.act", "oomguard.scout:Scout.look"],
)
def test_a_guard_that_cannot_decide_still_ends_the_hog(
    start: Start, hog: MakeHog, programs: Path, piece: str
) -> None:
    one, precious = hog(1000), hog(300, program="precious")
    precious.eat()
    rules = PRECIOUS.format(programs=programs)
    guard = start(Settings(room=400, rules=rules), before=broken(piece))
    one.eat()
    assert eventually(one.died_by) is signal.SIGTERM
    assert precious.died_by() is None
    (killing,) = eventually(lambda: guard.told(Killing))
    assert (killing.victim.pid, killing.policy) == (one.pid, "kernel")
    assert guard.counted("kills") == guard.counted("fallbacks") == 1
    assert guard.counted("failures") > 3
    assert len([event for event in guard.told(Failed) if "broken by a test" in event.text]) <= 3
    assert any("whom the kernel would pick" in line for line in guard.log())
    # Where only the look is broken it decides again once there is nothing to look for.
    eventually(lambda: guard.state().phase is Phase.FALLBACK or Lifecycle.RESUMED in lifecycle(guard))
    guard.polls()


def test_a_guard_that_has_nothing_left_to_decide_by_ends_with_one_line(tmp_path: Path) -> None:
    both = broken("oomguard.gauge:Gauge.read", "oomguard.fallback:Fallback.poll")
    config = tmp_path / "oomguard.toml"
    Settings().write(config)
    guard = oomguard("run", "--config", config, before=both)
    assert guard.returncode == 1
    last = [line for line in guard.stderr.splitlines() if "neither" in line]
    assert last == ["oomguard: neither its own decisions work nor the fallback's; the journal has the errors"]
    assert "Traceback" not in guard.stderr


@pytest.mark.parametrize("how", [signal.SIGSTOP, signal.SIGKILL])
def test_a_telling_process_that_hangs_or_dies_delays_no_kill(
    start: Start, hog: MakeHog, how: signal.Signals
) -> None:
    one = hog(1000)
    guard = start(Settings())
    (teller,) = guard.helpers("oomguard.journal")
    os.kill(teller, how)
    one.eat()
    assert eventually(one.died_by) is signal.SIGTERM
    eventually(lambda: guard.told(Ended))
    assert guard.counted("failures") == guard.counted("fallbacks") == 0
    if how is signal.SIGSTOP:
        os.kill(teller, signal.SIGCONT)
    eventually(lambda: [line for line in guard.log() if f"pid {one.pid}" in line and "Asked to end" in line])


def test_an_exporter_that_is_killed_comes_back_and_costs_no_kill(start: Start, hog: MakeHog) -> None:
    port = free_port()
    one = hog(1000)
    guard = start(Settings(), "--metrics", f"127.0.0.1:{port}")
    url = f"http://127.0.0.1:{port}/metrics"
    eventually(lambda: fetch(url))
    (exporter,) = guard.helpers("exporter")
    os.kill(exporter, signal.SIGKILL)
    one.eat()
    assert eventually(one.died_by) is signal.SIGTERM
    eventually(lambda: guard.told(Ended))
    assert guard.counted("failures") == 0
    eventually(lambda: guard.helpers("exporter") not in {(), (exporter,)})


def test_told_to_stop_in_an_episode_it_stops_and_does_not_insist(start: Start, hog: MakeHog) -> None:
    """Whoever was asked to end is left to it: who stops a guard wants no more of its kills."""
    one = hog(1000, "ignore")
    guard = start(Settings(grace="2s"))
    one.eat()
    (killing,) = eventually(lambda: guard.told(Killing))
    assert killing.sent is Sent.TERM
    guard.send(signal.SIGTERM)
    eventually(lambda: guard.ended() is not None)
    assert guard.ended() == 0
    assert lifecycle(guard)[-1] is Lifecycle.STOPPING
    time.sleep(3)
    assert one.died_by() is None


def _is_reload(event: Event) -> bool:
    return isinstance(event, LifecycleChanged) and event.what is Lifecycle.RELOADED


def test_a_reload_in_an_episode_waits_for_its_end(start: Start, hog: MakeHog) -> None:
    one = hog(1000, "ignore")
    guard = start(Settings(grace="2s"))
    one.eat()
    eventually(lambda: guard.told(Killing))
    guard.config.write_text(guard.config.read_text().replace('"enforce"', '"dry-run"'))
    guard.send(signal.SIGHUP)
    assert eventually(one.died_by) is signal.SIGKILL, "by the configuration that began it"
    eventually(lambda: Lifecycle.RELOADED in lifecycle(guard))
    told = [event for event in guard.events() if isinstance(event, Ended) or _is_reload(event)]
    assert isinstance(told[0], Ended)


def test_a_guard_that_gets_no_more_memory_still_ends_the_hog(
    start: Start, hog: MakeHog, crowd: Callable[[int], None]
) -> None:
    """What it maps is all that it may have from now on, and there are hundreds of newcomers to look at."""
    one = hog(1000)
    guard = start(Settings())
    guard.polls()
    size = next(
        int(line.split()[1]) << 10
        for line in Path(f"/proc/{guard.pid}/status").read_text().splitlines()
        if line.startswith("VmSize:")
    )
    resource.prlimit(guard.pid, resource.RLIMIT_AS, (size, size))
    crowd(400)
    one.eat()
    assert eventually(one.died_by) is signal.SIGTERM
    guard.polls()
    assert guard.ended() is None
    assert guard.counted("fallbacks") == 0
