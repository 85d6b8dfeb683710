from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Thread

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from oomguard import exporter
from oomguard.config import Address
from oomguard.counters import COUNTERS, POLLS
from oomguard.errors import OomguardError
from oomguard.record import Reader, Writer
from tests.specimens import EVENTS, SAMPLE, STATE

NOW = STATE.polled_at + 1

ANYWHERE = Address(host="127.0.0.1", port=0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "record"


@pytest.fixture
def writer(path: Path) -> Iterator[Writer]:
    writer = Writer.open(path)
    writer.state(STATE)
    writer.sample(SAMPLE)
    yield writer
    writer.close()


def scrape(path: Path, now: float = NOW) -> dict[str, float]:
    registry = CollectorRegistry()
    registry.register(exporter.RecordCollector(partial(Reader.open, path), lambda: now))
    return values(generate_latest(registry).decode())


def values(text: str) -> dict[str, float]:
    return {
        sample.name
        + "".join(f",{label}={value}" for label, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_the_record_becomes_metrics(path: Path, writer: Writer) -> None:
    for event in EVENTS:
        writer.tell(event)
    writer.count(POLLS, 9)
    found = scrape(path)
    expected = {
        "oomguard_up": 1,
        "oomguard_record_age_seconds": 1,
        "oomguard_start_time_seconds": 1_700_000_000.5,
        "oomguard_mode,mode=dry-run": 1,
        "oomguard_mode,mode=enforce": 0,
        "oomguard_phase,phase=armed": 1,
        "oomguard_phase,phase=calm": 0,
        "oomguard_level,level=term": 1,
        "oomguard_limit_crossed,reason=low_memory": 1,
        "oomguard_limit_crossed,reason=stall": 0,
        "oomguard_memory_available_bytes": 300 << 20,
        "oomguard_memory_total_bytes": 1,
        "oomguard_limit_bytes,action=kill,limit=available": 200 << 20,
        "oomguard_limit_bytes,action=term,limit=swap_free": 50 << 20,
        "oomguard_limit_bytes,action=kill,limit=swap_free": 25 << 20,
        "oomguard_limit_bytes,action=term,limit=available": 400 << 20,
        "oomguard_limit_bytes,action=term,limit=committed": 3800 << 20,
        "oomguard_pressure_memory_waiting_seconds_total": 20.5,
        "oomguard_pressure_memory_stalled_seconds_total": 10.25,
        "oomguard_stall_seconds": 0.25,
        "oomguard_config_last_reload_successful": 0,
        "oomguard_processes,standing=spared": 7,
        "oomguard_cgroups_watched,entry=pens": 3,
        "oomguard_cgroups_crossed,entry=pens": 1,
        "oomguard_polls_total": 9,
        "oomguard_kills_total,reason=stall,signal=term": 1,
        "oomguard_kills_total,reason=stall,signal=kill": 0,
        "oomguard_holds_total,reason=all_protected": 1,
        "oomguard_config_reloads_total,result=refused": 1,
        "oomguard_kernel_kills_total": 2,
        "oomguard_reaction_seconds_bucket,le=0.0025": 0,
        "oomguard_reaction_seconds_bucket,le=0.005": 1,
        "oomguard_reaction_seconds_bucket,le=+Inf": 1,
        "oomguard_reaction_seconds_count": 1,
        "oomguard_exit_seconds_sum": 0.2,
    }
    assert {name: found.get(name) for name in expected} == pytest.approx(expected)


def test_all_is_there_before_anything_has_happened(path: Path, writer: Writer) -> None:
    before = scrape(path)
    for event in EVENTS:
        writer.tell(event)
    assert scrape(path).keys() == before.keys()
    assert len([name for name in before if re.match(r"(?!.*pressure)\w+_total\b", name)]) == len(COUNTERS)


def test_without_psi_there_is_no_pressure(path: Path, writer: Writer) -> None:
    writer.sample(replace(SAMPLE, pressure=None))
    assert not any("pressure_memory" in name for name in scrape(path))


def test_no_process_can_choose_a_label(path: Path, writer: Writer) -> None:
    for event in EVENTS:
        writer.tell(event)
    writer.state(STATE)
    labels = {label.split("=")[0] for name in scrape(path) for label in name.split(",")[1:]}
    assert labels == {
        *("action", "entry", "le", "level", "limit", "mode", "outcome", "phase"),
        *("reason", "result", "signal", "standing", "version"),
    }


def test_a_stale_record_has_an_age_but_no_values(path: Path, writer: Writer) -> None:
    found = scrape(path, now=NOW + 60)
    assert set(found) == {"oomguard_up", "oomguard_build_info,version=0.1.0", "oomguard_record_age_seconds"}
    assert found["oomguard_up"] == 0
    assert found["oomguard_record_age_seconds"] == 61


@pytest.mark.parametrize("content", [None, b"", b"not a record", b"\0" * 1_000_000])
def test_no_record_no_values(path: Path, content: bytes | None) -> None:
    if content is not None:
        path.write_bytes(content)
    assert scrape(path) == {"oomguard_up": 0, "oomguard_build_info,version=0.1.0": 1}


def test_a_guard_that_has_not_looked_yet_is_not_up(path: Path) -> None:
    writer = Writer.open(path)
    assert scrape(path)["oomguard_up"] == 0
    writer.close()


def test_a_record_that_is_replaced_is_followed(path: Path, writer: Writer) -> None:
    collector = exporter.RecordCollector(partial(Reader.open, path), lambda: NOW)
    registry = CollectorRegistry()
    registry.register(collector)
    assert values(generate_latest(registry).decode())["oomguard_up"] == 1
    path.unlink()
    assert values(generate_latest(registry).decode())["oomguard_up"] == 0
    other = Writer.anonymous()
    other.state(replace(STATE, candidates=1234))
    path.write_bytes(Path(f"/proc/self/fd/{other.fd}").read_bytes())
    assert values(generate_latest(registry).decode())["oomguard_processes,standing=candidate"] == 1234
    other.close()


def test_what_is_wrong_is_said_once(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    registry = CollectorRegistry()
    collector = exporter.RecordCollector(partial(Reader.open, path), lambda: NOW)
    registry.register(collector)
    for _ in range(3):
        generate_latest(registry)
    assert capsys.readouterr().err == (
        f"oomguard exporter: {path}: cannot read the record: No such file or directory\n"
    )


def test_promtool_finds_nothing_to_mend(path: Path, writer: Writer) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is missing: apt-get install prometheus")
    registry = CollectorRegistry()
    registry.register(exporter.RecordCollector(partial(Reader.open, path), lambda: NOW))
    checked = subprocess.run(
        [promtool, "check", "metrics"], input=generate_latest(registry), capture_output=True, check=False
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


def test_every_metric_is_documented(path: Path, writer: Writer) -> None:
    documented = re.findall(
        r"^\| `(\w+)", (Path(__file__).parents[1] / "docs/metrics.md").read_text(), flags=re.MULTILINE
    )
    registry = CollectorRegistry()
    registry.register(exporter.RecordCollector(partial(Reader.open, path), lambda: NOW))
    text = generate_latest(registry).decode()
    served = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")]
    assert sorted(documented) == sorted(served)


# Serving


def test_metrics_are_served_over_http(path: Path, writer: Writer) -> None:
    server = exporter.listen(partial(Reader.open, path), ANYWHERE)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/metrics", timeout=5) as answer:
            assert "oomguard_up" in values(answer.read().decode())
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_client_that_goes_away_leaves_no_traceback(
    path: Path, writer: Writer, capsys: pytest.CaptureFixture[str]
) -> None:
    server = exporter.listen(partial(Reader.open, path), ANYWHERE)
    with socket.create_connection(("127.0.0.1", server.server_port)) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.sendall(b"GET /metrics HTTP/1.1\r\n")
    server.daemon_threads = False
    server.handle_request()
    server.server_close()
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("host", "words"),
    [("127.0.0.1", "Address already in use"), ("192.0.2.1", "Cannot assign"), ("no.such.host.invalid", "")],
)
def test_an_address_that_cannot_be_had_is_named_in_one_line(path: Path, host: str, words: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OomguardError, match=f"cannot listen on {host} port {port}: .*{words}") as caught:
            exporter.listen(partial(Reader.open, path), Address(host=host, port=port))
    assert "\n" not in str(caught.value)


CHILD = """
import sys
from functools import partial
from pathlib import Path
from oomguard import exporter
from oomguard.config import Address
from oomguard.record import Reader
source = partial(Reader.open, Path(sys.argv[1]))
exporter.serve_for_parent(source, Address(host="127.0.0.1", port=int(sys.argv[2])), 0)
"""


def _answer(port: int) -> str:
    for _ in range(500):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
                return str(answer.read().decode())
        except OSError:
            time.sleep(0.02)
    raise AssertionError("nobody answers")


def test_a_child_is_nobody_and_ends_with_its_parent(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path / "record"), str(port)],
        stdin=subprocess.PIPE,
        extra_groups=[4, 5] if os.geteuid() == 0 else None,
    )
    try:
        assert values(_answer(port))["oomguard_up"] == 0
        status = Path(f"/proc/{child.pid}/status").read_text()
        if os.geteuid() == 0:
            assert re.search(r"^Uid:\t65534\t65534\t65534\t65534$", status, re.MULTILINE)
            assert re.search(r"^Gid:\t65534\t65534\t65534\t65534$", status, re.MULTILINE)
            assert re.search(r"^Groups:\t *$", status, re.MULTILINE)
            assert re.search(r"^CapEff:\t0+$", status, re.MULTILINE)
        assert child.stdin is not None
        child.stdin.close()
        assert child.wait(timeout=10) == 0
    finally:
        child.kill()
        child.wait()


# The text file


def test_a_text_file_is_written_whole(path: Path, writer: Writer, tmp_path: Path) -> None:
    folder = tmp_path / "collector"
    folder.mkdir()
    exporter.write_textfile(partial(Reader.open, path), folder / "oomguard.prom")
    assert "oomguard_up" in values((folder / "oomguard.prom").read_text())
    assert [file.name for file in folder.iterdir()] == ["oomguard.prom"]


@pytest.mark.parametrize(
    ("file", "words"), [("missing/o.prom", "No such file"), ("o.txt", "end in .prom"), (".", "end in .prom")]
)
def test_a_text_file_that_cannot_be_written_is_named(
    path: Path, tmp_path: Path, file: str, words: str
) -> None:
    with pytest.raises(OomguardError, match=words) as caught:
        exporter.write_textfile(partial(Reader.open, path), tmp_path / file)
    assert str(tmp_path / file) in str(caught.value)
