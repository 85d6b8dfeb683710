from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from math import inf
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families

from bench import metrics_doc
from oomguard import collector
from oomguard.counters import COUNTERS, KERNEL_KILLS, POLLS
from oomguard.episode import Sent
from oomguard.errors import OomguardError
from oomguard.event import Mode
from oomguard.pressure import Reason
from oomguard.reader import Reader
from oomguard.record import Writer
from oomguard.units import Seconds
from tests.specimens import EVENTS, FIGURES, KILLING, SAMPLE, STATE

NOW = STATE.polled_at + 1


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
    registry.register(collector.RecordCollector(partial(Reader.open, path), lambda: now))
    return values(generate_latest(registry).decode())


def collected(followed: collector.RecordCollector) -> dict[str, float]:
    registry = CollectorRegistry()
    registry.register(followed)
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
    writer.count(KERNEL_KILLS, 2)
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
        "oomguard_stall_budget_left_seconds": 1.75,
        "oomguard_stall_of,of=bystanders": 1,
        "oomguard_stall_of,of=anyone": 0,
        "oomguard_memory_exhausted_in_seconds": 1.5,
        "oomguard_swap_backlog_seconds": 0.5,
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
    added = scrape(path).keys() - before.keys()
    assert {name.partition(",")[0] for name in added} == {"oomguard_last_victim_info"}
    assert len([name for name in before if re.match(r"(?!.*pressure)\w+_total\b", name)]) == len(COUNTERS)


def test_without_psi_there_is_no_pressure(path: Path, writer: Writer) -> None:
    writer.sample(replace(SAMPLE, pressure=None))
    assert not any("pressure_memory" in name for name in scrape(path))


def test_the_budget_is_never_overdrawn_and_no_end_is_infinitely_far(path: Path, writer: Writer) -> None:
    writer.state(replace(STATE, figures=replace(FIGURES, stall=Seconds(9.0), exhausted_in=None)))
    found = scrape(path)
    assert found["oomguard_stall_budget_left_seconds"] == 0
    assert found["oomguard_memory_exhausted_in_seconds"] == inf


def test_no_process_can_choose_a_label(path: Path, writer: Writer) -> None:
    for event in EVENTS:
        writer.tell(event)
    writer.state(STATE)
    labels = {label.split("=")[0] for name in scrape(path) for label in name.split(",")[1:] if "=" in label}
    assert labels == {
        *("action", "entry", "le", "level", "limit", "mode", "of", "outcome", "phase", "policy"),
        *("reason", "result", "rules", "scope", "signal", "standing", "version"),
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
    followed = collector.RecordCollector(partial(Reader.open, path), lambda: NOW)
    registry = CollectorRegistry()
    registry.register(followed)
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
    followed = collector.RecordCollector(partial(Reader.open, path), lambda: NOW)
    registry.register(followed)
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
    registry.register(collector.RecordCollector(partial(Reader.open, path), lambda: NOW))
    checked = subprocess.run(
        [promtool, "check", "metrics"], input=generate_latest(registry), capture_output=True, check=False
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


def test_the_documentation_is_that_of_the_code() -> None:
    documented = (Path(__file__).parents[1] / "docs/metrics.md").read_text()
    assert documented == metrics_doc.page(), "docs/metrics.md is out of date: make docs"


# The last kill


def test_the_last_kill_of_each_mode_is_told(path: Path, writer: Writer) -> None:
    followed = collector.RecordCollector(partial(Reader.open, path), lambda: NOW)
    assert collected(followed)["oomguard_last_kill_timestamp_seconds,mode=enforce"] == 0
    writer.tell(KILLING)
    writer.tell(replace(KILLING, mode=Mode.DRY_RUN, reasons=(Reason.LOW_MEMORY,)))
    found = collected(followed)
    for mode in Mode:
        assert found[f"oomguard_last_kill_timestamp_seconds,mode={mode}"] > 1_700_000_000
    (info,) = [name for name in found if "victim_info" in name and "mode=enforce" in name]
    assert info == (
        "oomguard_last_victim_info,level=term,mode=enforce,policy=kernel,reason=stall"
        ",rules=hog,batch,scope=tree,signal=term"
    )
    writer.tell(replace(KILLING, reasons=(Reason.LOW_MEMORY,), sent=Sent.KILL))
    (info,) = [name for name in collected(followed) if "victim_info" in name and "mode=enforce" in name]
    assert "reason=low_memory" in info
    assert "signal=kill" in info


def test_the_last_kill_is_that_of_the_record_in_place(path: Path, writer: Writer) -> None:
    followed = collector.RecordCollector(partial(Reader.open, path), lambda: NOW)
    writer.tell(KILLING)
    writer.tell(KILLING)
    assert any("victim_info" in name for name in collected(followed))
    with_none = Writer.anonymous()
    with_none.state(STATE)
    path.write_bytes(Path(f"/proc/self/fd/{with_none.fd}").read_bytes())
    with_none.close()
    assert not any("victim_info" in name for name in collected(followed))


def test_a_hostile_name_is_nowhere(path: Path, writer: Writer) -> None:
    for event in EVENTS:
        writer.tell(event)
    for accept in ("", "application/openmetrics-text"):
        body = collector.Exporting(partial(Reader.open, path)).exposition(accept).body
        assert b"evil" not in body


# Formats


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", "text/plain; version=0.0.4; charset=utf-8"),
        ("text/plain;version=0.0.4;q=0.5,*/*;q=0.1", "text/plain; version=0.0.4; charset=utf-8"),
        ("application/openmetrics-text", "application/openmetrics-text; version=1.0.0; charset=utf-8"),
        (
            "text/plain;q=0.5, Application/OpenMetrics-Text;version=99.evil;escaping=x",
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
        ),
    ],
)
def test_the_format_is_the_one_that_is_asked_for(path: Path, writer: Writer, accept: str, kind: str) -> None:
    exposition = collector.Exporting(partial(Reader.open, path)).exposition(accept)
    assert exposition.content_type == kind
    assert exposition.body.endswith(b"# EOF\n") == ("openmetrics" in kind)


def test_both_formats_say_the_same(path: Path, writer: Writer) -> None:
    exporting = collector.Exporting(partial(Reader.open, path))
    writer.state(replace(STATE, polled_at=Seconds(time.monotonic())))
    for event in EVENTS:
        writer.tell(event)
    body = exporting.exposition("application/openmetrics-text").body.decode()
    parsed = openmetrics_families(body)  # type: ignore[no-untyped-call]
    openmetrics = {sample.name for family in parsed for sample in family.samples}
    classic = {name.partition(",")[0] for name in values(exporting.exposition("").body.decode())}
    assert openmetrics == classic
    assert len(classic) > 50


def test_the_problem_is_that_of_the_moment(path: Path) -> None:
    exporting = collector.Exporting(partial(Reader.open, path))
    assert "No such file" in str(exporting.problem())
    writer = Writer.open(path)
    assert "nothing is recorded yet" in str(exporting.problem())
    writer.state(replace(STATE, polled_at=Seconds(time.monotonic())))
    assert exporting.problem() is None
    writer.state(replace(STATE, polled_at=Seconds(time.monotonic() - 60)))
    assert "pid 4711 last looked at memory 60 s ago" in str(exporting.problem())
    writer.close()


# The text file


def test_a_text_file_is_written_whole(path: Path, writer: Writer, tmp_path: Path) -> None:
    folder = tmp_path / "collector"
    folder.mkdir()
    collector.write_textfile(partial(Reader.open, path), folder / "oomguard.prom")
    assert "oomguard_up" in values((folder / "oomguard.prom").read_text())
    assert [file.name for file in folder.iterdir()] == ["oomguard.prom"]


@pytest.mark.parametrize(
    ("file", "words"), [("missing/o.prom", "No such file"), ("o.txt", "end in .prom"), (".", "end in .prom")]
)
def test_a_text_file_that_cannot_be_written_is_named(
    path: Path, tmp_path: Path, file: str, words: str
) -> None:
    with pytest.raises(OomguardError, match=words) as caught:
        collector.write_textfile(partial(Reader.open, path), tmp_path / file)
    assert str(tmp_path / file) in str(caught.value)
