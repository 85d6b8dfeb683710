from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from oomguard import entry, journal, tmpfs
from oomguard.entry import Entry, MessageId, Priority
from oomguard.event import Degraded, Event, Lifecycle, Mode
from oomguard.plan import HoldReason
from oomguard.reader import Reader
from oomguard.record import Writer
from oomguard.state import State
from oomguard.stopunit import Stopper
from oomguard.storm import Response
from oomguard.teller import Ledger
from oomguard.units import MIB, Bytes, Seconds
from tests.telling import HOSTILE, holding, killing, lifecycle, one_of_each, person, state, storming

ROOT = Path(__file__).parents[1]
STAGED = 'mount -t tmpfs tmpfs /run/systemd && exec "$0" -m tests.journald_stage "$1"'


def staged(scene: str) -> dict[str, Any]:
    """What came of a scene of tests/journald_stage.py."""
    unshare = shutil.which("unshare")
    if os.geteuid() != 0 or unshare is None:
        pytest.skip("needs root and unshare: nobody plays journald")
    command = [unshare, "--mount", "sh", "-c", STAGED, sys.executable, scene]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_entries_arrive_whole_and_nothing_is_forged() -> None:
    found = [[tuple(field) for field in item] for item in staged("entries")["entries"]]
    for fields, event in zip(found, one_of_each(HOSTILE), strict=True):
        expected = entry.entry(event, 0)
        assert fields[:4] == [
            ("MESSAGE", expected.text),
            ("MESSAGE_ID", expected.message_id),
            ("PRIORITY", f"{expected.priority:d}"),
            ("SYSLOG_IDENTIFIER", "oomguard"),
        ]
        assert fields[4][0] == "OOMGUARD_TIME"
        assert fields[5:] == list(expected.fields[1:])


def test_systemd_hears_of_the_guards_life_in_order() -> None:
    assert staged("order")["lines"] == [
        "READY",
        "RELOADING",
        "MONOTONIC_USEC",
        "READY",
        "RELOADING",
        "MONOTONIC_USEC",
        "READY",
        "STOPPING",
    ]


def test_a_stalled_journald_delays_and_loses_nothing_and_life_signs_go_on() -> None:
    found = staged("stalled_journald")
    assert found["told"] == [str(text) for text in range(60)]
    assert found["dropped"] == 0
    assert found["pings"] >= 2


def test_what_is_overwritten_untold_is_counted_and_the_count_is_told() -> None:
    found = staged("overrun")
    told = [text for text in found["told"] if text.isdecimal()]
    lost = [int(text.split()[0]) for text in found["told"] if not text.isdecimal()]
    assert sum(lost) == found["dropped"] > 0
    assert len(told) + sum(lost) == 1000
    assert told == sorted(told, key=int)


def test_a_stalled_systemd_does_not_keep_the_journal_waiting() -> None:
    found = staged("stalled_systemd")
    assert found["told"] == ["0", "1", "2", "3", "4"]
    assert found["notified"] == ["READY"] * 30


def test_a_successor_goes_on_where_its_predecessor_was() -> None:
    assert staged("successor") == {
        "told": [str(text) for text in range(8)],
        "too_early": None,
        "anew": True,
    }


def test_events_wait_for_a_journald_that_is_not_there() -> None:
    assert staged("absent_journald")["told"] == ["0", "1", "2"]


# In one process, with what the telling process is made of.


@pytest.fixture
def writer() -> Iterator[Writer]:
    writer = Writer.anonymous()
    yield writer
    writer.close()


@pytest.fixture
def reader(writer: Writer) -> Iterator[Reader]:
    with Reader.from_fd(os.dup(writer.fd)) as reader:
        yield reader


class Fussy:
    """A sink that takes `count` entries and then no more."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.taken: list[str] = []

    def __call__(self, item: Entry) -> None:
        if len(self.taken) == self.count:
            raise TimeoutError
        self.taken.append(item.message.removeprefix("Missing on this host: "))


def test_what_is_not_taken_is_told_again(writer: Writer, reader: Reader) -> None:
    ledger = Ledger.create(0)
    for text in range(5):
        writer.tell(Degraded(text=str(text)))
    first, second = Fussy(2), Fussy(9)
    with pytest.raises(TimeoutError):
        journal.tell_events(reader, ledger, first)
    assert (first.taken, ledger.told) == (["0", "1"], 2)
    journal.tell_events(reader, ledger, second)
    assert (second.taken, ledger.told) == (["2", "3", "4"], 5)


def test_a_loss_is_counted_at_once_and_told_once_though_nothing_else_is_taken(
    writer: Writer, reader: Reader
) -> None:
    ledger = Ledger.create(0)
    for text in range(200):
        writer.tell(Degraded(text=str(text)))
    lost = 200 - len(reader.events(0)[1])
    for _ in range(2):
        with pytest.raises(TimeoutError):
            journal.tell_events(reader, ledger, Fussy(0))
        assert (ledger.told, ledger.dropped, ledger.admitted) == (lost, lost, 0)
    first, second = Fussy(1), Fussy(999)
    with pytest.raises(TimeoutError):
        journal.tell_events(reader, ledger, first)
    journal.tell_events(reader, ledger, second)
    assert first.taken == [entry.lost(lost).message]
    assert second.taken == [str(text) for text in range(lost, 200)]
    assert (ledger.told, ledger.dropped, ledger.admitted) == (200, lost, lost)


@pytest.mark.parametrize(
    ("why", "asked"),
    [
        (HoldReason.FUTILE, True),
        (HoldReason.NOTHING_TO_GAIN, True),
        (HoldReason.ALL_PROTECTED, False),
        (HoldReason.UNRESOLVED, False),
    ],
)
def test_where_killing_does_not_help_the_biggest_tmpfs_are_told(
    why: HoldReason, asked: bool, writer: Writer, reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tmpfs, "biggest", lambda: (("/dev/shm", Bytes(600 * MIB)),))
    writer.tell(holding(person(), why))
    sink = Fussy(9)
    journal.tell_events(reader, Ledger.create(0), sink)
    (message,) = sink.taken
    assert message.endswith(' The biggest tmpfs: "/dev/shm" (600 MiB).') is asked


def test_the_unit_of_a_storm_is_stopped_once_and_none_in_dry_run(
    writer: Writer, reader: Reader, tmp_path: Path
) -> None:
    systemctl = tmp_path / "systemctl"
    systemctl.write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/told\n')
    systemctl.chmod(0o755)
    ledger, stopper = Ledger.create(0), Stopper((str(systemctl),))
    writer.tell(storming("dry.service", Mode.DRY_RUN, Response.STOP_UNIT))
    writer.tell(storming("alert.service"))
    writer.tell(storming(HOSTILE, action=Response.STOP_UNIT))
    writer.tell(storming("cache.service", action=Response.STOP_UNIT))
    sink = Fussy(9)
    for _ in range(2):
        # A guard that has ended: all is told once, and the process ends.
        woken, wake = os.pipe()
        os.close(wake)
        journal.tell(reader, ledger, woken, sink, stopper)
        os.close(woken)
    # Unless it has been collected already.
    with suppress(ChildProcessError):
        os.wait()
    assert (tmp_path / "told").read_text() == "stop --no-block -- cache.service\n"
    assert len(sink.taken) == 4


@pytest.mark.parametrize(("address", "rest"), [("/run/nobody", journal.REST), (None, None)])
def test_who_has_all_told_rests_and_who_has_not_looks_every_second(
    writer: Writer,
    reader: Reader,
    monkeypatch: pytest.MonkeyPatch,
    address: str | None,
    rest: Seconds | None,
) -> None:
    writer.tell(Degraded(text="one"))
    pauses: list[Seconds | None] = []
    monkeypatch.delenv(journal.NOTIFIED, raising=False)
    if address is not None:
        monkeypatch.setenv(journal.NOTIFIED, address)

    def wait(_: int, pause: Seconds | None) -> bool:
        pauses.append(pause)
        return len(pauses) < 4

    monkeypatch.setattr(journal, "wait", wait)
    refused = iter((TimeoutError(), None))

    def sink(item: Entry) -> None:
        if (error := next(refused)) is not None:
            raise error

    journal.tell(reader, Ledger.create(0), 0, sink, Stopper(()))
    assert pauses == [journal.TICK, journal.TICK, rest, rest]


def test_a_unit_that_could_not_be_stopped_is_told_until_it_is_taken() -> None:
    stopper = Stopper(())
    for unit in ("a.service", "b.service"):
        stopper.ask(unit)
        stopper.tend(Seconds(0))
    first, second = Fussy(1), Fussy(9)
    with pytest.raises(TimeoutError):
        journal.tell_failures(stopper, first)
    journal.tell_failures(stopper, second)
    assert first.taken == ["a.service could not be stopped: there is no systemctl."]
    assert second.taken == ["b.service could not be stopped: there is no systemctl."]


@pytest.mark.parametrize(
    ("event", "names"),
    [
        (lifecycle(Lifecycle.STARTED), ["READY"]),
        (lifecycle(Lifecycle.RELOADED), ["READY"]),
        (lifecycle(Lifecycle.RELOAD_REFUSED), ["READY"]),
        (lifecycle(Lifecycle.RELOADING), ["RELOADING", "MONOTONIC_USEC"]),
        (lifecycle(Lifecycle.STOPPING), ["STOPPING"]),
        (killing(person()), []),
    ],
)
def test_notice(event: Event, names: list[str]) -> None:
    news = journal.notice(event)
    assert [line.split("=")[0] for line in (news or "").split("\n") if line] == names


def looked(at: float) -> State:
    return replace(state(), polled_at=Seconds(at))


def test_no_life_sign_without_a_look_since_the_last() -> None:
    vitals = journal.Vitals(Seconds(30))
    assert "WATCHDOG=1" in vitals.news(looked(99), Seconds(100))
    assert "WATCHDOG=1" not in vitals.news(looked(99), Seconds(120))
    assert "WATCHDOG=1" in vitals.news(looked(121), Seconds(121))


def test_life_signs_keep_their_pace() -> None:
    vitals = journal.Vitals(Seconds(30))
    signs = [now for now in range(100) if "WATCHDOG=1" in vitals.news(looked(now + 1), Seconds(now))]
    assert signs == list(range(0, 100, 10))


@pytest.mark.parametrize(("watchdog", "rest"), [(None, journal.REST), (30, journal.REST), (6, 2)])
def test_no_rest_is_so_long_that_a_life_sign_is_missed(watchdog: Seconds | None, rest: float) -> None:
    assert journal.Vitals(watchdog).rest == rest
    assert journal.Vitals(watchdog, is_asked=False).rest is None


def test_without_a_watchdog_there_are_no_life_signs() -> None:
    assert "WATCHDOG" not in journal.Vitals(None).news(state(polls=5), Seconds(100))


def test_the_status_is_told_when_it_changes_and_not_too_often() -> None:
    vitals = journal.Vitals(None)
    told = [
        now for now in range(20) if vitals.news(state(available=(100 + now // 10) * MIB), Seconds(100 + now))
    ]
    restless = [
        now for now in range(20) if vitals.news(state(available=(200 + now) * MIB), Seconds(200 + now))
    ]
    assert told == [0, 10]
    assert restless == [0, 5, 10, 15]


@pytest.mark.parametrize(
    ("usec", "interval"), [("30000000", 30.0), ("", None), ("-1", None), ("1e6", None), (None, None)]
)
def test_watchdog_interval(usec: str | None, interval: float | None) -> None:
    assert journal.watchdog_interval({} if usec is None else {"WATCHDOG_USEC": usec}) == interval


def test_the_journal_is_told_only_where_standard_error_leads_there() -> None:
    stderr = os.fstat(sys.stderr.fileno())
    assert journal.has_journal({"JOURNAL_STREAM": f"{stderr.st_dev}:{stderr.st_ino}"})
    assert not journal.has_journal({"JOURNAL_STREAM": f"{stderr.st_dev}:{stderr.st_ino + 1}"})
    assert not journal.has_journal({})


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """The two ends of a pipe, that to read from first."""
    ends = os.pipe()
    for end in ends:
        os.set_blocking(end, False)
    yield ends
    for end in ends:
        os.close(end)


def an_entry(message: str) -> Entry:
    return Entry(message_id=MessageId.DEGRADED, priority=Priority.INFO, message=message, fields=())


def test_an_entry_is_one_line(pipe: tuple[int, int]) -> None:
    sink = journal.lines_to(pipe[1])
    sink(an_entry("one"))
    sink(an_entry("two"))
    assert os.read(pipe[0], 4096) == b"oomguard: one\noomguard: two\n"


def test_a_pipe_that_is_full_is_not_waited_for(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "PATIENCE", Seconds(0.01))
    sink = journal.lines_to(pipe[1])
    lines = 0
    with pytest.raises(TimeoutError):
        while lines < 1000:
            sink(an_entry("x" * 9000))
            lines += 1
    data = os.read(pipe[0], MIB)
    assert 0 < lines < 1000
    assert data.count(b"\n") == lines
    assert len(data) == lines * select.PIPE_BUF


def test_patience_ends_a_call_that_waits_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "PATIENCE", Seconds(0.05))
    before = signal.signal(signal.SIGALRM, lambda *_: None)
    try:
        with journal.patience():
            signal.pause()
        assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    finally:
        signal.signal(signal.SIGALRM, before)
