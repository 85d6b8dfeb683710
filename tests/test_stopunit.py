"""With a stand-in for systemctl, a script in a temporary folder."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

from oomguard.event import Degraded, Event, Mode
from oomguard.stopunit import MOST_DUE, PATIENCE, Stopper, unit_to_stop
from oomguard.storm import Obstacle, Response
from oomguard.units import Seconds
from tests.telling import HOSTILE, storming

STOP = storming(action=Response.STOP_UNIT)
NOW = Seconds(100.0)


@pytest.mark.parametrize(
    ("event", "unit"),
    [
        (STOP, "cache.service"),
        (replace(STOP, mode=Mode.DRY_RUN), None),
        (storming(), None),
        (storming(obstacle=Obstacle.PROTECTED), None),
        (replace(STOP, unit=None), None),
        (replace(STOP, unit="oomguard.service"), None),
        (replace(STOP, unit="a-long-name-tha…"), None),
        (replace(STOP, unit="*.service"), None),
        (replace(STOP, unit=HOSTILE), None),
        (Degraded(text="cache.service"), None),
    ],
)
def test_which_event_stops_which_unit(event: Event, unit: str | None) -> None:
    assert unit_to_stop(event) == unit


@pytest.fixture
def told(tmp_path: Path) -> Path:
    """What the stand-in was told, a line for each argument and one with a dash at the end."""
    return tmp_path / "told"


def stand_in(told: Path, rest: str = "") -> str:
    program = told.with_name("systemctl")
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" - >>{told}\necho noise; echo noise >&2\n{rest}\n')
    program.chmod(0o755)
    return str(program)


def has_children() -> bool:
    """Somebody who was started has not been waited for."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def settle(stopper: Stopper, now: Seconds = NOW) -> None:
    """Tends until every systemctl has ended; the clock of the stopper stands still."""
    end = time.monotonic() + 8
    stopper.tend(now)
    while has_children():
        assert time.monotonic() < end
        time.sleep(0.005)
        stopper.tend(now)


def test_systemctl_is_told_to_stop_the_unit(told: Path, capfd: pytest.CaptureFixture[str]) -> None:
    stopper = Stopper(("/no/such/systemctl", stand_in(told)))
    stopper.ask("dev\\x2da@1.service")
    settle(stopper)
    assert told.read_text().splitlines() == ["stop", "--no-block", "--", "dev\\x2da@1.service", "-"]
    assert not stopper.failed
    assert capfd.readouterr() == ("", "")


def test_systemctl_inherits_nothing(told: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYSTEMCTL_FORCE_BUS", "1")
    found = told.with_name("found")
    stopper = Stopper((stand_in(told, f"(readlink /proc/$$/fd/0; env) >{found}"),))
    stopper.ask("a.service")
    settle(stopper)
    stdin, *environment = found.read_text().splitlines()
    assert stdin == "/dev/null"
    assert {line.split("=")[0] for line in environment} <= {"PWD", "_", "SHLVL", "OLDPWD"}


def test_one_at_a_time(told: Path) -> None:
    stopper = Stopper((stand_in(told, "sleep 0.1; echo done >>$(dirname $0)/told"),))
    for unit in ("a.service", "b.service"):
        stopper.ask(unit)
        assert stopper.is_busy
    settle(stopper)
    assert not stopper.is_busy
    lines = [line for line in told.read_text().splitlines() if line not in {"stop", "--no-block", "--", "-"}]
    assert lines == ["a.service", "done", "b.service", "done"]


def test_who_does_not_answer_is_ended(told: Path) -> None:
    stopper = Stopper((stand_in(told, "exec sleep 60"),))
    stopper.ask("a.service")
    stopper.tend(NOW)
    stopper.tend(Seconds(NOW + PATIENCE - 0.01))
    assert os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
    settle(stopper, Seconds(NOW + PATIENCE))
    ((unit, why),) = stopper.failed
    assert unit == "a.service"
    # It may have said something by then.
    assert why.removesuffix(": noise noise") == "systemctl took longer than 10s and was ended"


@pytest.mark.parametrize(
    ("rest", "why"),
    [
        ("exit 5", "systemctl ended with status 5: noise noise"),
        ("kill -TERM $$", "systemctl was ended by signal 15: noise noise"),
    ],
)
def test_a_failure_is_kept_to_be_told(told: Path, rest: str, why: str) -> None:
    stopper = Stopper((stand_in(told, rest),))
    stopper.ask("a.service")
    settle(stopper)
    assert list(stopper.failed) == [("a.service", why)]


def test_without_systemctl_nothing_is_stopped(told: Path) -> None:
    stopper = Stopper(("/no/such/systemctl",))
    stopper.ask("a.service")
    stopper.tend(NOW)
    assert list(stopper.failed) == [("a.service", "there is no systemctl")]


def test_a_systemctl_that_cannot_be_started(told: Path) -> None:
    program = told.with_name("systemctl")
    program.write_text("no program\n")
    program.chmod(0o755)
    stopper = Stopper((str(program),))
    stopper.ask("a.service")
    stopper.tend(NOW)
    assert list(stopper.failed) == [("a.service", "systemctl cannot be started: Exec format error")]


def test_not_any_number_waits() -> None:
    stopper = Stopper(())
    for number in range(2 * MOST_DUE):
        stopper.ask(f"{number}.service")
    tried = []
    for _ in range(2 * MOST_DUE):
        stopper.tend(NOW)
        tried += [unit for unit, _ in stopper.failed]
        stopper.failed.clear()
    assert tried == [f"{number}.service" for number in range(MOST_DUE, 2 * MOST_DUE)]
