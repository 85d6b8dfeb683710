from __future__ import annotations

import fcntl
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from oomguard import counters, layout, recordfile
from oomguard.counters import EVENTS_DROPPED, POLLS, Counter
from oomguard.enclosures import MOST_ENTRIES
from oomguard.errors import RecordError
from oomguard.event import Degraded
from oomguard.layout import EVENTS, HEADER, SAMPLES, SIZE, SLOT, STATES, TABLE, Ring, checksum
from oomguard.packing import SAMPLE as SAMPLE_LAYOUT
from oomguard.packing import STATE as STATE_LAYOUT
from oomguard.packing import pack_sample, pack_state, unpack_sample, unpack_state
from oomguard.pressure import Reason, Sample
from oomguard.reader import Reader, Told
from oomguard.record import Writer
from oomguard.state import State, Watched, current
from oomguard.units import Bytes, Seconds
from tests import specimens
from tests.specimens import KILLING, SAMPLE, STATE


@contextmanager
def writing(path: Path) -> Iterator[Writer]:
    writer = Writer.open(path)
    try:
        yield writer
    finally:
        writer.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "record"


@pytest.fixture
def full(path: Path) -> bytes:
    """The bytes of a record that holds something of everything."""
    with writing(path) as writer:
        publish(writer)
    return path.read_bytes()


def publish(writer: Writer) -> None:
    writer.count(POLLS, 5)
    for turn in range(3):
        writer.state(replace(STATE, polls=turn))
        writer.sample(replace(SAMPLE, at=Seconds(turn)))
    for event in specimens.EVENTS:
        writer.tell(event)


def in_memory(data: bytes) -> int:
    record = os.memfd_create("test")
    os.write(record, data)
    return record


def read_all(record: int) -> tuple[State | None, tuple[Sample, ...], tuple[int, tuple[Told, ...]]]:
    with Reader.from_fd(record) as reader:
        assert reader.counters().keys() == counters.CELLS.keys()
        assert len(reader.histograms()) == len(counters.HISTOGRAMS)
        assert len(reader.boot_id) == layout.BOOT_ID
        assert reader.events(1 << 64) == (0, ())
        assert len(reader.events(-5)[1]) <= EVENTS.slots
        return reader.state(), reader.samples(), reader.events(0)


# What is written is read


def test_everything_published_is_read(path: Path) -> None:
    with writing(path) as writer:
        publish(writer)
        with Reader.open(path) as reader:
            assert reader.state() == replace(STATE, polls=2)
            assert [sample.at for sample in reader.samples()] == [0.0, 1.0, 2.0]
            assert reader.samples(1) == (replace(SAMPLE, at=Seconds(2)),)
            lost, told = reader.events(0)
            assert lost == 0
            assert tuple(each.event for each in told) == specimens.EVENTS
            assert [each.sequence for each in told] == list(range(1, len(told) + 1))
            assert writer.told == len(told)
            assert reader.counters()[POLLS] == 5
            assert reader.counters()[Counter("kills", ("stall", "term"))] == 1
            assert reader.histograms()[0].counts[2] == 1


def test_a_new_record_is_empty_but_has_every_counter(path: Path) -> None:
    with writing(path), Reader.open(path) as reader:
        assert reader.state() is None
        assert reader.samples() == ()
        assert reader.events(0) == (0, ())
        assert set(reader.counters().values()) == {0}


def test_events_come_from_where_the_reader_left_off(path: Path) -> None:
    with writing(path) as writer, Reader.open(path) as reader:
        writer.tell(Degraded(text="1"))
        assert [told.event for told in reader.events(0)[1]] == [Degraded(text="1")]
        assert reader.events(1) == (0, ())
        writer.tell(Degraded(text="2"))
        assert [told.event for told in reader.events(1)[1]] == [Degraded(text="2")]


def test_events_that_were_overwritten_are_counted_as_lost(path: Path) -> None:
    with writing(path) as writer, Reader.open(path) as reader:
        for number in range(EVENTS.slots + 10):
            writer.tell(Degraded(text=str(number)))
        lost, told = reader.events(3)
        assert lost == 7
        assert [told[0].sequence, told[-1].sequence] == [11, EVENTS.slots + 10]


def test_an_anonymous_record_is_read_through_its_descriptor() -> None:
    writer = Writer.anonymous()
    publish(writer)
    with Reader.from_fd(os.dup(writer.fd)) as reader:
        assert reader.state() == replace(STATE, polls=2)
    writer.close()


def test_who_is_handed_the_descriptor_cannot_write(path: Path) -> None:
    with writing(path) as writer, pytest.raises(OSError, match="Bad file descriptor"):
        os.pwrite(writer.fd, b"x", 0)


@given(
    available=st.integers(0, (1 << 63) - 1),
    committed=st.integers(0, 1 << 80),
    reasons=st.sets(st.sampled_from(Reason)),
    stall=st.floats(allow_nan=False),
)
@example(available=0, committed=1 << 70, reasons=set(), stall=0.0)
def test_states_survive_packing(available: int, committed: int, reasons: set[Reason], stall: float) -> None:
    figures = replace(
        STATE.figures,
        available=Bytes(available),
        committed=Bytes(committed),
        stall=Seconds(stall),
    )
    state = replace(STATE, figures=figures, reasons=tuple(reason for reason in Reason if reason in reasons))
    kept = replace(state, figures=replace(figures, committed=Bytes(min(committed, (1 << 63) - 1))))
    assert unpack_state(pack_state(state)) == kept


@pytest.mark.parametrize("sample", [SAMPLE, replace(SAMPLE, pressure=None)])
def test_samples_survive_packing(sample: Sample) -> None:
    assert unpack_sample(pack_sample(sample)) == sample


@pytest.mark.parametrize("ring", [STATES, SAMPLES, EVENTS])
def test_rings_lie_within_the_file_and_apart(ring: Ring) -> None:
    assert TABLE.stop <= ring.offset
    assert ring.end <= SIZE
    assert all(
        ring.end <= other.offset or other.end <= ring.offset for other in {STATES, SAMPLES, EVENTS} - {ring}
    )
    most = tuple(Watched(entry="x" * 64, groups=64, crossed=64) for _ in range(MOST_ENTRIES))
    assert len(pack_state(replace(STATE, watched=most))) <= STATES.room
    assert unpack_state(pack_state(replace(STATE, watched=most))).watched == most
    assert len(pack_sample(SAMPLE)) <= SAMPLES.room


# Restarts


def test_counters_and_events_go_on_with_the_next_guard(path: Path) -> None:
    with writing(path) as writer:
        publish(writer)
    before = path.stat().st_ino
    with writing(path) as writer, Reader.open(path) as reader:
        assert path.stat().st_ino == before
        writer.count(POLLS)
        writer.tell(KILLING)
        assert reader.counters()[POLLS] == 6
        assert reader.events(0)[1][-1].sequence == len(specimens.EVENTS) + 1


def _with_header(**changed: object) -> bytes:
    magic, version, fingerprint, size, boot = HEADER.unpack(layout.header(recordfile.boot_id()))
    fields = {"magic": magic, "version": version, "fingerprint": fingerprint, "size": size, "boot": boot}
    return HEADER.pack(*(fields | changed).values())


@pytest.mark.parametrize(
    "head",
    [
        _with_header(version=layout.VERSION + 1),
        _with_header(fingerprint=layout.FINGERPRINT ^ 1),
        _with_header(size=SIZE + 1),
        _with_header(boot=b"another boot".ljust(36)),
        _with_header(boot=b""),
    ],
)
def test_a_record_of_another_version_or_boot_is_replaced_and_its_readers_keep_theirs(
    path: Path, full: bytes, head: bytes
) -> None:
    other = head + full[len(head) :]
    path.write_bytes(other)
    held = os.open(path, os.O_RDONLY)
    with writing(path), Reader.open(path) as reader:
        assert reader.counters()[POLLS] == 0
        assert os.pread(held, len(other), 0) == other
    os.close(held)


@pytest.mark.parametrize("left", [b"", b"oomgu", b"oomguard"])
def test_what_a_crash_left_is_replaced(path: Path, left: bytes) -> None:
    path.parent.mkdir()
    path.with_name("record.new").write_bytes(b"half")
    if left != b"oomgu":
        path.write_bytes(left)
    with writing(path):
        assert path.stat().st_size == SIZE
    assert sorted(child.name for child in path.parent.iterdir()) == ["record", "record.lock"]


def test_a_table_of_nonsense_is_replaced(path: Path, full: bytes) -> None:
    path.write_bytes(full[: TABLE.start] + b"\xff" * 8 + full[TABLE.start + 8 :])
    with writing(path) as writer:
        writer.tell(KILLING)
        assert writer.told == 1


def test_a_guard_that_died_while_writing_leaves_the_state_before(path: Path) -> None:
    with writing(path) as writer:
        writer.state(STATE)
    with path.open("r+b") as file:
        file.seek(STATES.at(2))
        file.write(SLOT.pack(2, 100, 0xBAD))
    with writing(path) as writer, Reader.open(path) as reader:
        assert reader.state() == STATE
        writer.state(replace(STATE, polls=13))
        assert reader.state() == replace(STATE, polls=13)


# Trust


def test_only_one_guard_writes(path: Path) -> None:
    with writing(path), pytest.raises(RecordError, match=rf"another oomguard runs \(pid {os.getpid()}\)"):
        Writer.open(path)
    with writing(path):
        pass


def test_whoever_can_read_the_record_cannot_keep_the_guard_from_it(path: Path, full: bytes) -> None:
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with writing(path):
            pass
    assert stat.S_IMODE(path.with_name("record.lock").stat().st_mode) == 0o600


def test_modes_do_not_depend_on_the_umask(path: Path) -> None:
    before = os.umask(0o077)
    try:
        with writing(path):
            assert stat.S_IMODE(path.stat().st_mode) == 0o644
    finally:
        os.umask(before)


def _not_a_record(path: Path) -> None:
    path.write_text("root:x:0:0:")


def _a_link(path: Path) -> None:
    (path.parent / "elsewhere").write_bytes(b"")
    path.symlink_to(path.parent / "elsewhere")


def _a_foreign_file(path: Path) -> None:
    path.write_bytes(b"")
    os.chown(path, 65534, 65534)


@pytest.mark.parametrize("name", ["record", "record.lock"])
@pytest.mark.parametrize(
    ("obstacle", "words"),
    [
        (Path.mkdir, "Is a directory"),
        (_a_link, "symbolic links"),
        (os.mkfifo, "not a regular file|not a record"),
        (_a_foreign_file, "belongs to uid 65534"),
    ],
)
def test_what_stands_in_the_way_is_named(path: Path, name: str, obstacle: object, words: str) -> None:
    assert callable(obstacle)
    path.parent.mkdir()
    obstacle(path.with_name(name))
    with pytest.raises(RecordError, match=words) as caught:
        Writer.open(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def _a_second_name(path: Path) -> None:
    path.write_bytes(b"")
    os.link(path, path.with_name("elsewhere"))


@pytest.mark.parametrize("name", ["record", "record.lock"])
def test_a_hard_link_is_written_by_nobody(path: Path, name: str) -> None:
    path.parent.mkdir()
    _a_second_name(path.with_name(name))
    with pytest.raises(RecordError, match=f"/{name}: .*hard link"):
        Writer.open(path)
    assert (path.parent / "elsewhere").read_bytes() == b""


def test_a_folder_of_somebody_elses_is_no_place_for_a_record(path: Path) -> None:
    path.parent.mkdir()
    os.chown(path.parent, 65534, 65534)
    with pytest.raises(RecordError, match="belongs to uid 65534, who could put another file there"):
        Writer.open(path)
    assert list(path.parent.iterdir()) == []


CUT_SHORT = """
import os, sys
from oomguard.record import Writer
from oomguard.event import Degraded
from tests.specimens import SAMPLE, STATE
writer = Writer.open(sys.argv[1])
writer.tell(Degraded(text="before"))
print(writer.mend())
os.truncate(sys.argv[1], int(sys.argv[2]))
if sys.argv[3] == "mend":
    print(writer.mend())
writer.sample(SAMPLE)
writer.state(STATE)
writer.tell(Degraded(text="after"))
print(writer.mend())
"""


def _cut_short(path: Path, size: int, how: str) -> subprocess.CompletedProcess[str]:
    command = (sys.executable, "-c", CUT_SHORT, str(path), str(size), how)
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("size", [0, 100, SIZE - 1])
def test_a_record_cut_short_under_the_writers_feet_is_made_whole(path: Path, size: int) -> None:
    writer = _cut_short(path, size, "mend")
    assert (writer.returncode, writer.stdout.split(), writer.stderr) == (0, ["False", "True", "False"], "")
    with Reader.open(path) as reader:
        assert reader.state() == STATE
        # Whoever has read as far as the first goes on with the second.
        assert [told.event for told in reader.events(1)[1]] == [Degraded(text="after")]
        assert reader.told == 2


def test_and_not_mended_it_is_the_end_of_the_writer(path: Path) -> None:
    assert _cut_short(path, 0, "as it is").returncode == -signal.SIGBUS


def test_a_file_that_is_no_record_is_left_alone(path: Path) -> None:
    path.parent.mkdir()
    _not_a_record(path)
    with pytest.raises(RecordError, match="not a record"):
        Writer.open(path)
    assert path.read_text() == "root:x:0:0:"


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="No such file or directory"):
        Writer.open(tmp_path / "a" / "b" / "record")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda data: b"", "cut short"),
        (lambda data: data[:40], "cut short"),
        (lambda data: data[:-1], "cut short"),
        (lambda data: b"x" + data[1:], "not a record"),
        (lambda data: data[:8] + b"\7" + data[9:], "another version"),
        (lambda data: data[:12] + b"\7\7" + data[14:], "another version"),
        (lambda data: data[:24] + b"another-boot" + data[36:], "before this boot"),
    ],
)
def test_a_record_that_cannot_be_understood_says_so(
    path: Path, full: bytes, damage: object, words: str
) -> None:
    assert callable(damage)
    path.write_bytes(damage(full))
    with pytest.raises(RecordError, match=words) as caught:
        Reader.open(path)
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize("obstacle", [Path.mkdir, os.mkfifo, _a_link, lambda path: None])
def test_what_is_no_file_is_no_record(path: Path, obstacle: object) -> None:
    assert callable(obstacle)
    path.parent.mkdir()
    obstacle(path)
    with pytest.raises(RecordError, match=str(path)):
        Reader.open(path)


def test_a_record_cut_short_while_it_is_read_ends_nobody(path: Path, full: bytes) -> None:
    with Reader.open(path) as reader:
        os.truncate(path, 100)
        with pytest.raises(RecordError, match="cut short"):
            reader.counters()


def test_a_slot_whose_content_makes_no_sense_is_passed_over(path: Path) -> None:
    with writing(path) as writer:
        writer.state(STATE)
        writer.tell(KILLING)
        for ring, content in (STATES, b"short"), (EVENTS, b"\0" * 8 + b"{}"), (EVENTS, b""):
            writer._append(ring, content)
        with Reader.open(path) as reader:
            assert reader.state() is None
            assert (reader.events(0)[0], len(reader.events(0)[1])) == (2, 1)


def _patched(path: Path, at: int, patch: bytes) -> tuple[int, tuple[Told, ...]]:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(patch)
    with Reader.open(path) as reader:
        return reader.events(0)


def _flipped(path: Path, at: int) -> tuple[int, tuple[Told, ...]]:
    """One byte is another: the CRC covers the time of day, so any byte may happen to be there already."""
    return _patched(path, at, bytes((path.read_bytes()[at] ^ 0xFF,)))


@pytest.mark.parametrize("at", [0, 7, SLOT.size - 1, SLOT.size, SLOT.size + 40])
def test_a_damaged_event_is_lost_and_the_others_are_not(path: Path, at: int) -> None:
    with writing(path) as writer:
        writer.tell(KILLING)
        writer.tell(Degraded(text="whole"))
    lost, told = _flipped(path, EVENTS.at(1) + at)
    assert (lost, [each.event for each in told]) == (1, [Degraded(text="whole")])


def test_a_writer_seen_half_way_through_a_slot_is_not_believed(path: Path) -> None:
    with writing(path) as writer:
        for number in range(EVENTS.slots + 1):
            writer.tell(Degraded(text=str(number)))
    with path.open("rb") as file:
        file.seek(EVENTS.at(2))
        old = file.read(EVENTS.size)
    _, length, crc = SLOT.unpack_from(old)
    new_number_over_old_content = SLOT.pack(2 + EVENTS.slots, length, crc)
    assert _patched(path, TABLE.start + 8 * EVENTS.head, bytes([2 + EVENTS.slots]))[0] == 3
    assert _patched(path, EVENTS.at(2), new_number_over_old_content)[0] == 3


@settings(max_examples=150)
@given(st.data())
def test_whatever_bytes_it_meets_a_reader_gives_values_or_a_record_error(data: st.DataObject) -> None:
    writer = Writer.anonymous()
    publish(writer)
    damaged = bytearray(os.pread(writer.fd, SIZE, 0))
    writer.close()
    hot = st.sampled_from([0, TABLE.start, STATES.offset, SAMPLES.offset, EVENTS.offset]).flatmap(
        lambda start: st.integers(start, min(start + 600, SIZE - 8))
    )
    for at in data.draw(st.lists(hot | st.integers(0, SIZE - 8), max_size=20)):
        junk = data.draw(st.binary(min_size=1, max_size=8))
        damaged[at : at + len(junk)] = junk
    length = data.draw(st.just(SIZE) | st.integers(0, SIZE))
    try:
        read_all(in_memory(bytes(damaged[:length])))
    except RecordError as error:
        assert "\n" not in str(error)


@given(st.binary(max_size=400), st.sampled_from([STATES, SAMPLES, EVENTS]))
def test_not_even_a_valid_crc_over_nonsense_is_believed(content: bytes, ring: Ring) -> None:
    content = content[: ring.room]
    damaged = bytearray(layout.header(recordfile.boot_id()).ljust(SIZE, b"\0"))
    at = ring.at(1)
    damaged[at : at + SLOT.size + len(content)] = SLOT.pack(1, len(content), checksum(1, content)) + content
    damaged[TABLE.start + 8 * ring.head] = 1
    state, samples, (lost, told) = read_all(in_memory(bytes(damaged)))
    assert state is None or len(content) == STATE_LAYOUT.size
    assert samples == () or len(content) == SAMPLE_LAYOUT.size
    assert lost == (ring is EVENTS)
    assert told == ()


def test_a_reader_beside_a_busy_writer_sees_whole_values_in_order() -> None:
    writer = Writer.anonymous()
    stop = threading.Event()

    def busy() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            figures = replace(STATE.figures, available=Bytes(number), swap_free=Bytes(number))
            writer.state(replace(STATE, polls=number, figures=figures))
            writer.tell(Degraded(text=f"{number} " * 300))

    thread = threading.Thread(target=busy)
    thread.start()
    try:
        with Reader.from_fd(os.dup(writer.fd)) as reader:
            rounds = after = seen = 0
            until = time.monotonic() + 30
            while (rounds < 300 or not (seen and after)) and time.monotonic() < until:
                rounds += 1
                if (state := reader.state()) is not None:
                    assert state.polls == state.figures.available == state.figures.swap_free
                    assert state.polls >= seen
                    seen = state.polls
                lost, told = reader.events(after)
                assert lost >= 0
                for each in told:
                    assert isinstance(each.event, Degraded)
                    assert set(each.event.text.rstrip("…").split()) == {each.event.text.split()[0]}
                after = told[-1].sequence if told else after
            assert seen
            assert after
    finally:
        stop.set()
        thread.join()
        writer.close()


# Age


@pytest.mark.parametrize("now", [999.0, 1000.0, 1006.5])
def test_a_state_is_current_until_its_next_poll_is_overdue(now: float) -> None:
    assert current(STATE, Seconds(now)) is STATE


@pytest.mark.parametrize(
    ("state", "now", "words"),
    [(None, 0.0, "nothing is recorded yet"), (STATE, 1006.6, "pid 4711 last looked at memory 7 s ago")],
)
def test_and_then_no_longer(state: State | None, now: float, words: str) -> None:
    with pytest.raises(RecordError, match=words):
        current(state, Seconds(now))


def test_dropped_events_are_counted(path: Path) -> None:
    with writing(path) as writer, Reader.open(path) as reader:
        writer.count(EVENTS_DROPPED, 3)
        assert reader.counters()[EVENTS_DROPPED] == 3


@pytest.mark.parametrize("later", [-1.0, 0.0, 2.5])
def test_a_state_is_as_of_the_latest_look(path: Path, later: float) -> None:
    at = Seconds(STATE.polled_at + later)
    with writing(path) as writer, Reader.open(path) as reader:
        writer.looked(at)
        assert reader.state() is None
        writer.state(STATE)
        counted = reader.counters()
        writer.looked(at)
        found = reader.state()
        assert reader.counters() == counted
        assert found is not None
        shift = max(0.0, later)
        assert found.polled_at == pytest.approx(STATE.polled_at + shift, abs=1e-6)
        assert found.polled == pytest.approx(STATE.polled + shift, abs=1e-6)
        assert replace(found, polled=STATE.polled, polled_at=STATE.polled_at) == STATE


def test_a_record_cut_short_still_tells_of_the_latest_look(path: Path) -> None:
    with writing(path) as writer:
        writer.looked(Seconds(STATE.polled_at + 1))
        os.truncate(path, 0)
        assert writer.mend()
        writer.state(STATE)
        with Reader.open(path) as reader:
            assert reader.state() != STATE
