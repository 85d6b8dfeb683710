from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from oomguard import decoder, status, tmpfs
from oomguard.counters import KERNEL_KILLS, POLLS
from oomguard.errors import RecordError
from oomguard.event import Degraded
from oomguard.holders import Holder
from oomguard.procfs import ProcFS
from oomguard.record import Writer
from oomguard.state import State
from oomguard.units import KIB, Bytes, Seconds
from tests.specimens import EVENTS, KILLING, STATE


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "record"


RECORDED = Path(__file__).parent / "fixtures/linux-6.18"


@pytest.fixture(autouse=True)
def mounts(monkeypatch: pytest.MonkeyPatch) -> None:
    found = (("/dev/shm", Bytes(600 << 20)), ("/a\nb", Bytes(12 << 20)))
    monkeypatch.setattr(tmpfs, "biggest", lambda: found)


@pytest.fixture
def writer(path: Path) -> Iterator[Writer]:
    writer = Writer.open(path)
    yield writer
    writer.close()


def now(state: State) -> State:
    return replace(state, polled_at=Seconds(time.monotonic()), pause=Seconds(3600))


def shown(path: Path) -> list[str]:
    return status.words(status.look(path)).splitlines()


def test_a_person_sees_what_the_guard_sees(path: Path, writer: Writer) -> None:
    writer.state(now(STATE))
    writer.count(POLLS, 12)
    lines = shown(path)
    assert lines[0].startswith("Guard      pid 4711, mode dry-run, up 0:01:40, last poll 0.")
    assert lines[1].startswith(
        "Phase      armed, level term, as memory is low (300 MiB available, limit 400 MiB"
    )
    assert lines[3].startswith("Held by    ")
    assert lines[4] == 'Tmpfs      "/dev/shm" (600 MiB), "/a\\nb" (12 MiB)'
    assert [lines[2], *lines[5:10]] == [
        "Memory     300 MiB available; term below 400 MiB, kill below 200 MiB",
        "Swap       10 MiB free; term below 50 MiB, kill below 25 MiB",
        "Stall      0.25 s of a budget of 2 s in 10 s",
        "Committed  3000 MiB; term above 3800 MiB",
        "Groups     pens 3 (1 crossed), fold 0 (0 crossed)",
        "Processes  31 candidates, 7 spared",
    ]
    assert lines[10].endswith("; a newer one was refused, see the journal")
    assert lines[11].startswith("Counted    polls 12, poll overruns 0, ")
    assert len(lines) == 12


def test_what_does_not_apply_is_left_out(path: Path, writer: Writer) -> None:
    limits = replace(STATE.thresholds, swap_term=Bytes(0), commit_term=Bytes(0))
    writer.state(now(replace(STATE, thresholds=limits, reasons=(), psi=False, config_ok=True)))
    lines = shown(path)
    assert lines[1] == "Phase      armed, level term"
    assert lines[5] == "Stall      0.25 s of a budget of 2 s in 10 s, estimated: this kernel has no PSI"
    assert not any(line.startswith(("Swap", "Committed")) or "refused" in line for line in lines[:-1])


def test_the_last_events_are_one_harmless_line_each(path: Path, writer: Writer) -> None:
    writer.state(now(STATE))
    for number in range(20):
        writer.tell(Degraded(text=str(number)))
    for event in EVENTS[-status.LAST + 1 :]:
        writer.tell(event)
    lines = shown(path)
    told = lines[lines.index("Last told") + 1 :]
    assert len(told) == status.LAST
    assert told[0].endswith("19")
    assert all(line.startswith("  20") and line.isprintable() for line in told)
    assert all("\udcff" not in line for line in lines)


def test_events_of_a_killing_count(path: Path, writer: Writer) -> None:
    writer.state(now(STATE))
    writer.tell(KILLING)
    assert ", kills 1, would kills 0, " in "".join(shown(path))


def test_the_document_holds_the_same(path: Path, writer: Writer) -> None:
    writer.state(now(STATE))
    for event in EVENTS:
        writer.tell(event)
    writer.count(KERNEL_KILLS, 2)
    document = json.loads(status.document(status.look(path)))
    assert document.keys() == {"age_seconds", "state", "counters", "held", "tmpfs", "events"}
    assert document["tmpfs"] == [
        {"path": "/dev/shm", "bytes": 600 << 20},
        {"path": "/a\\nb", "bytes": 12 << 20},
    ]
    assert "processes" in [each["holder"] for each in document["held"]]
    assert document["state"]["figures"]["available"] == 300 << 20
    assert document["state"]["mode"] == "dry-run"
    assert {"reason": "stall", "signal": "term", "value": 1} in document["counters"]["kills"]
    assert document["counters"]["kernel_kills"] == [{"value": 2}]
    events = [
        decoder.decode(
            json.dumps({key: each[key] for key in each if key not in ("sequence", "time")}).encode()
        )
        for each in document["events"]
    ]
    assert tuple(events) == EVENTS[-status.LAST :]


def test_swap_that_no_process_has_is_shared_memorys(tmp_path: Path) -> None:
    host = shutil.copytree(RECORDED, tmp_path / "host", symlinks=True)
    meminfo, process = host / "proc/meminfo", host / "proc/5984/status"
    before = dict(status.held_now(ProcFS(host)))
    meminfo.write_text(re.sub("SwapTotal: +0", "SwapTotal: 1000", meminfo.read_text()))
    process.write_text(re.sub(r"VmSwap:\s+0", "VmSwap:\t     400", process.read_text()))
    (host / "proc/77").mkdir()
    after = dict(status.held_now(ProcFS(host)))
    more = {holder: after[holder] - before[holder] for holder in after if after[holder] != before[holder]}
    assert more == {Holder.PROCESSES: 400 * KIB, Holder.SHARED_MEMORY: 600 * KIB}


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (None, "nothing is recorded yet"),
        (
            replace(STATE, polled_at=Seconds(0.0), pause=Seconds(0.0)),
            "pid 4711 last looked at memory .* s ago",
        ),
    ],
)
def test_without_a_guard_it_says_so(path: Path, writer: Writer, state: State | None, words: str) -> None:
    if state is not None:
        writer.state(state)
    with pytest.raises(RecordError, match=f"^no guard runs: {words}"):
        status.look(path)


def test_without_a_record_too(path: Path) -> None:
    with pytest.raises(RecordError, match=f"^no guard runs: {path}: cannot read the record: No such file"):
        status.look(path)
