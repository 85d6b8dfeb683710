from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oomguard.config import DEFAULTS, Config
from oomguard.entry import entry
from oomguard.episode import Outcome
from oomguard.errors import ConfigError
from oomguard.event import Degraded, Event, Lifecycle, Mode
from oomguard.hook import Hook, Occasion
from oomguard.hooks import MOST_DUE, Queue, Relay, Say, as_user, ascii_only, environment
from oomguard.pressure import Phase, Reason
from oomguard.record import Writer
from oomguard.units import Seconds
from tests.telling import HOSTILE, ended, killing, lifecycle, one_of_each, person, phase_changed

NOW = Seconds(100.0)


def hook(script: str, *on: Occasion, user: str | None = None, name: str = "h") -> Hook:
    command = ("/bin/sh", "-c", script)
    return Hook(name=name, command=command, on=on or (Occasion.KILL,), timeout=Seconds(5.0), user=user)


def env(number: int = 0) -> dict[str, str]:
    return {"PATH": "/usr/bin:/bin", "NUMBER": str(number)}


def settle(queue: Queue, now: Seconds = NOW) -> None:
    end = time.monotonic() + 8
    queue.tend(now)
    while queue.is_busy:
        assert time.monotonic() < end
        time.sleep(0.005)
        queue.tend(now)


# One hook.


def test_one_at_a_time_and_in_order(tmp_path: Path) -> None:
    said: list[str] = []
    queue = Queue(
        hook(f"echo $NUMBER >>{tmp_path}/told; sleep 0.02; echo $NUMBER >>{tmp_path}/told"), said.append
    )
    for number in range(3):
        queue.add(env(number))
    settle(queue)
    assert (tmp_path / "told").read_text().split() == ["0", "0", "1", "1", "2", "2"]
    assert said == []


def test_of_too_many_the_oldest_are_left_out_and_the_next_is_told_so(tmp_path: Path) -> None:
    queue = Queue(hook(f"echo $NUMBER ${{OOMGUARD_MISSED-no}} >>{tmp_path}/told"), pytest.fail)
    for number in range(MOST_DUE + 3):
        queue.add(env(number))
    settle(queue)
    lines = (tmp_path / "told").read_text().splitlines()
    assert lines == ["3 3", *(f"{number} no" for number in range(4, MOST_DUE + 3))]


@pytest.mark.parametrize(
    ("broken", "complaint"),
    [
        (hook("echo why; echo; exit 4"), 'hook "h" ended with status 4: why'),
        (hook("exit 4"), 'hook "h" ended with status 4'),
        (hook(r"printf 'a\033[2Jb'; exit 1"), r'hook "h" ended with status 1: a\x1b[2Jb'),
        (replace(hook(""), command=("/no/such",)), 'hook "h" cannot be started: No such file or directory'),
        (hook("", user="no-such-user"), 'hook "h" there is no user no-such-user'),
    ],
)
def test_what_goes_wrong_is_told(broken: Hook, complaint: str) -> None:
    said: list[str] = []
    queue = Queue(broken, said.append)
    queue.add(env())
    settle(queue)
    assert said == [complaint]


def test_who_takes_too_long_is_ended_and_the_next_has_its_turn(tmp_path: Path) -> None:
    said: list[str] = []
    queue = Queue(hook(f"[ $NUMBER = 1 ] || sleep 60; echo $NUMBER >{tmp_path}/told"), said.append)
    queue.add(env(0))
    queue.add(env(1))
    queue.tend(NOW)
    settle(queue, Seconds(NOW + 5))
    assert said == ['hook "h" took longer than 5s and was ended']
    assert (tmp_path / "told").read_text() == "1\n"


def test_what_is_stopped_does_not_go_on() -> None:
    queue = Queue(hook("sleep 60"), pytest.fail)
    queue.add(env())
    queue.add(env())
    queue.tend(NOW)
    queue.stop()
    assert not queue.is_busy


def test_a_hook_can_be_another_user(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root: nobody else can become another user")
    found = tmp_path / "found"
    found.touch()
    found.chmod(0o666)
    for folder in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        folder.chmod(0o755)
    queue = Queue(hook(f'(id -un; id -gn; id -Gn; echo "$HOME $USER") >{found}', user="nobody"), pytest.fail)
    queue.add(env())
    settle(queue)
    home = pwd.getpwnam("nobody").pw_dir
    assert found.read_text().splitlines() == ["nobody", "nogroup", "nogroup", f"{home} nobody"]


def test_without_a_user_the_command_is_as_it_is_written() -> None:
    assert as_user(hook("x")) == (("/bin/sh", "-c", "x"), {})


# What a hook is told.


def test_the_environment_has_the_figures_of_the_journals_entry() -> None:
    event = killing(person(rules=("a", "b")), reasons=(Reason.LOW_MEMORY, Reason.STALL))
    item = entry(event, 1700000000.25)
    found = environment(Occasion.KILL, item)
    assert found["OOMGUARD_EVENT"] == "kill"
    assert found["OOMGUARD_MESSAGE"] == item.message
    assert (found["OOMGUARD_MESSAGE_ID"], found["OOMGUARD_PRIORITY"]) == (item.message_id, "3")
    assert found["OOMGUARD_TIME"] == "1700000000.250000"
    assert found["OOMGUARD_REASON"] == "low_memory\nstall"
    assert found["OOMGUARD_VICTIM_PID"] == "1234"
    assert found["OOMGUARD_VICTIM_RULE"] == "a\nb"
    assert found["OOMGUARD_RANKING"].splitlines() == list(item.table)
    names = {name for name, _ in item.fields if name.startswith("OOMGUARD_")}
    assert found.keys() - names - {"PATH", "LANG"} == {
        "OOMGUARD_EVENT",
        "OOMGUARD_MESSAGE",
        "OOMGUARD_MESSAGE_ID",
        "OOMGUARD_PRIORITY",
        "OOMGUARD_RANKING",
    }


def test_before_a_kill_it_is_told_who_is_likely_to_die() -> None:
    found = environment(Occasion.NEAR, entry(phase_changed(Phase.ARMED, likely=person()), 0))
    assert (found["OOMGUARD_LIKELY_PID"], found["OOMGUARD_LIKELY_UNIT"]) == ("1234", "tomcat.service")
    assert not any(name.startswith("OOMGUARD_VICTIM") for name in found)


@given(st.text(st.characters(codec=None), max_size=40) | st.just(HOSTILE))
def test_whatever_names_are_the_environment_is_printable_ascii(name: str) -> None:
    for event in one_of_each(name):
        item = entry(event, 0)
        for value in environment(Occasion.KILL, item).values():
            assert value.isascii()
            assert all(line.isprintable() for line in value.split("\n"))


@pytest.mark.parametrize(
    ("text", "shown"),
    [("a b\\n", "a b\\n"), ("é…\U0001f600", r"\xe9\u2026\U0001f600"), ("\x1b\n\udcff", r"\x1b\n\xff")],
)
def test_ascii_only(text: str, shown: str) -> None:
    assert ascii_only(text) == shown


# From the record to the hooks.


class Configured:
    """A configuration that can change."""

    def __init__(self, record: Path, *hooks: Hook) -> None:
        self.config = replace(DEFAULTS, record=str(record), hooks=hooks)
        self.problem: ConfigError | None = None

    def load(self) -> Config:
        if self.problem is not None:
            raise self.problem
        return self.config


@pytest.fixture
def record(tmp_path: Path) -> Path:
    return tmp_path / "record"


@pytest.fixture
def writer(record: Path) -> Iterator[Writer]:
    writer = Writer.open(record)
    yield writer
    writer.close()


@pytest.fixture
def told(tmp_path: Path) -> Path:
    return tmp_path / "told"


Start = Callable[[Configured, Say], Relay]


@pytest.fixture
def start() -> Iterator[Start]:
    """Makes relays that leave no children behind."""
    relays: list[Relay] = []

    def start(configured: Configured, say: Say) -> Relay:
        relays.append(Relay(configured.config, configured.load, say))
        return relays[-1]

    yield start
    for relay in relays:
        relay.stop()


def turn_until(relay: Relay, done: Callable[[], bool]) -> None:
    end = time.monotonic() + 8
    while not done():
        assert time.monotonic() < end
        relay.turn(NOW)
        time.sleep(0.005)


def lines(told: Path) -> list[str]:
    return told.read_text().splitlines() if told.exists() else []


def test_each_hook_is_run_on_what_it_is_for(record: Path, writer: Writer, told: Path, start: Start) -> None:
    script = f'echo "$OOMGUARD_HOOK $OOMGUARD_EVENT" >>{told}'
    configured = Configured(
        record,
        hook(script, Occasion.KILL, Occasion.NEAR, name="a"),
        hook(script, Occasion.OUTCOME, Occasion.WOULD_KILL, name="b"),
    )
    relay = start(configured, pytest.fail)
    events: tuple[Event, ...] = (
        phase_changed(Phase.ARMED),
        killing(person()),
        killing(person(), mode=Mode.DRY_RUN),
        ended(person(), Outcome.RECOVERED),
        Degraded(text="x"),
    )
    for event in events:
        writer.tell(event)
    turn_until(relay, lambda: len(lines(told)) == 4)
    for _ in range(20):
        relay.turn(NOW)
    assert sorted(lines(told)) == ["a kill", "a near", "b outcome", "b would-kill"]


@pytest.mark.parametrize("what", [Lifecycle.STARTED, Lifecycle.RELOADED])
def test_when_the_guard_takes_a_configuration_so_do_the_hooks(
    what: Lifecycle, record: Path, writer: Writer, told: Path, start: Start
) -> None:
    slow = hook(f"sleep 0.2; echo slow >>{told}")
    configured = Configured(record, slow)
    relay = start(configured, pytest.fail)
    writer.tell(killing(person()))
    relay.turn(NOW)
    configured.config = replace(configured.config, hooks=(hook(f"echo new >>{told}"),))
    writer.tell(killing(person()))
    writer.tell(lifecycle(what))
    writer.tell(killing(person()))
    turn_until(relay, lambda: len(lines(told)) == 3)
    assert lines(told) == ["new", "slow", "slow"]


def test_a_refused_configuration_leaves_the_hooks_as_they_are(
    record: Path, writer: Writer, told: Path, start: Start
) -> None:
    said: list[str] = []
    configured = Configured(record, hook(f"echo old >>{told}"))
    relay = start(configured, said.append)
    configured.problem = ConfigError("/etc/o.toml", "mode", "no\nsuch")
    writer.tell(lifecycle(Lifecycle.RELOADED))
    writer.tell(killing(person()))
    turn_until(relay, lambda: bool(lines(told)))
    assert said == [r"the configuration is refused, the hooks stay as they are: /etc/o.toml: mode: no\nsuch"]


def test_what_came_too_fast_is_told(record: Path, writer: Writer, start: Start) -> None:
    said: list[str] = []
    configured = Configured(record)
    relay = start(configured, said.append)
    for text in range(1000):
        writer.tell(Degraded(text=str(text)))
    relay.turn(NOW)
    relay.turn(NOW)
    (line,) = said
    assert line.endswith(" events came faster than they could be read")


def test_without_a_record_it_waits(record: Path, start: Start) -> None:
    configured = Configured(record)
    relay = start(configured, pytest.fail)
    relay.turn(NOW)
    record.write_text("no record" * 9999)
    relay.turn(NOW)


def test_what_runs_is_ended_with_it(record: Path, writer: Writer, told: Path, start: Start) -> None:
    configured = Configured(record, hook(f"echo $$ >{told}; sleep 60"))
    relay = start(configured, pytest.fail)
    writer.tell(killing(person()))
    turn_until(relay, lambda: bool(lines(told)))
    relay.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(int(told.read_text()), 0)


# The command.


@contextmanager
def serving(config: Path) -> Iterator[subprocess.Popen[str]]:
    command = (sys.executable, "-m", "oomguard", "hooks", "--config", str(config))
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        try:
            yield server
        finally:
            server.terminate()


def test_the_command(record: Path, writer: Writer, told: Path, tmp_path: Path) -> None:
    config = tmp_path / "oomguard.toml"
    script = json.dumps(f'printf "%s" "$OOMGUARD_VICTIM_COMM" >>{told}; exit 7')
    command = f'command = ["/bin/sh", "-c", {script}]'
    config.write_text(f'record.path = "{record}"\n[[hook]]\nname = "h"\n{command}\non = ["kill"]\n')
    with serving(config) as server:
        assert server.stderr is not None
        assert server.stderr.readline() == f"oomguard hooks: hooks: h; record: {record}\n"
        writer.tell(killing(person("evil\n")))
        assert server.stderr.readline() == 'oomguard hooks: hook "h" ended with status 7\n'
        server.terminate()
        assert server.wait(8) == 0
    assert told.read_text() == "evil\\n"


def test_the_command_finds_its_configuration_again(
    record: Path, writer: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = Path("oomguard.toml")
    config.write_text(f'record.path = "{record}"\n')
    with serving(config) as server:
        assert server.stderr is not None
        assert "hooks: none" in server.stderr.readline()
        config.write_text("banana = 1\n")
        writer.tell(lifecycle(Lifecycle.RELOADED))
        assert f"{tmp_path}/oomguard.toml: banana" in server.stderr.readline()


def test_the_command_refuses_a_bad_configuration(tmp_path: Path) -> None:
    config = tmp_path / "oomguard.toml"
    config.write_text("banana = 1\n")
    with serving(config) as server:
        _, said = server.communicate(timeout=8)
    assert server.returncode == 1
    assert said.startswith(f"oomguard: {config}: banana: is not a known key")
