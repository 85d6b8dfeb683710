"""The gauntlet's pure parts: what is made of the recorder's lines, and of the rows."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.gauntlet import chart, report, rows
from bench.gauntlet.__main__ import cells
from bench.gauntlet.chart import Group
from bench.gauntlet.guards import GUARDS
from bench.gauntlet.measure import Figures, Probe, Sample, measure, right, told_stall, unwell
from bench.gauntlet.rows import Key, Row
from bench.gauntlet.scenario import Expect, Scenario, Speed, load, scenarios
from bench.gauntlet.spread import Spread, spell, spread
from tests.vm.build import REPOSITORY

KIB = 1024
SCENARIO = Scenario(name="one", title="One, at a time", about="Something.", expect=Expect.ENDS, hogs=("eat",))
FIGURES = Figures(
    seconds=20.0,
    full=2.5,
    some=4.0,
    probes={"interactive": Probe(longest=0.5, late=1.5), "locked": Probe(longest=0.04, late=0.0)},
    unwell=3.0,
    least_available=10,
    first_death=6.0,
    hogs_ended=1,
    innocents_dead=(),
    kernel_kills=0,
    guard_rss=16 * KIB,
    guard_cpu=0.5,
    guard_faults=0,
    recorder_gap=0.06,
)
KEY = Key(scenario="one", guard="oomguard", version="v1", setup="s1")
ROW = Row(key=KEY, run=1, day="2026-01-01", waited=0.01, figures=FIGURES)


def death(at: float, **changes: object) -> dict[str, Any]:
    plain = {"at": at, "pid": 7, "comm": "x", "cgroup": "/a/x.service", "signal": 9, "kernel": False}
    return {"death": {**plain, "hog": True, **changes}}


def recorded(*others: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"probe": {"name": "interactive", "longest": 0.5, "late": 1.5, "beats": 9}},
        {"sample": [0.0, 600 * KIB, 512 * KIB, 1_000_000, 500_000]},
        {"sample": [0.05, 90 * KIB, 512 * KIB, 1_200_000, 550_000]},
        {"sample": [0.10, 300 * KIB, 512 * KIB, 1_200_000, 550_000]},
        {"guard": {"processes": 2, "rss_kib": 100, "cpu_us": 250_000, "faults": 3}},
        {"recorder": {"seconds": 0.1, "gap": 0.05, "missed": 0, "innocents": 9, "kernel_kills": 1}},
        *others,
    ]


def test_stall_is_what_was_added_and_memory_is_the_least() -> None:
    figures = measure(recorded(), SCENARIO)
    assert (figures.some, figures.full, figures.least_available) == (0.2, 0.05, 90)
    assert (figures.guard_rss, figures.guard_cpu, figures.guard_faults) == (100, 0.25, 3)
    assert figures.probes == {"interactive": Probe(longest=0.5, late=1.5)}
    assert figures.kernel_kills == 1


def test_deaths_are_told_apart() -> None:
    figures = measure(
        recorded(
            death(3.0),
            death(2.0),
            death(1.0, hog=False),
            death(4.0, hog=False, cgroup="/init.scope", comm="logind"),
        ),
        SCENARIO,
    )
    assert (figures.first_death, figures.hogs_ended, figures.full_before) == (2.0, 2, 0.05)
    assert figures.innocents_dead == ("x", "logind")


def test_nobody_died() -> None:
    figures = measure(recorded(), SCENARIO)
    assert (figures.first_death, figures.hogs_ended, figures.innocents_dead) == (None, 0, ())
    assert figures.full_before is None


@pytest.mark.parametrize(("at", "stall"), [(-0.1, 0.0), (0.0, 0.0), (0.049, 0.0), (0.05, 0.05), (9.0, 0.05)])
def test_the_stall_before_the_first_death(at: float, stall: float) -> None:
    assert measure(recorded(death(at)), SCENARIO).full_before == stall


@pytest.mark.parametrize("kind", ["sample", "guard", "recorder"])
def test_what_was_cut_short_is_no_result(kind: str) -> None:
    with pytest.raises(ValueError, match=kind):
        measure([line for line in recorded() if kind not in line], SCENARIO)


def course(*readings: tuple[int, float], swap_free: int = 0) -> list[Sample]:
    """A reading a tenth of a second: MiB available, and how much of it everybody waited."""
    full, samples = 0.0, []
    for index, (available, share) in enumerate(readings):
        full += share * 0.1
        samples.append(
            Sample(at=index / 10, available=available * KIB, swap_free=swap_free, some=full, full=full)
        )
    return samples


WELL, LOW, STALLING = (500, 0.0), (20, 0.0), (500, 0.9)


@pytest.mark.parametrize(
    ("readings", "expected"),
    [
        ((WELL,) * 40, 0.0),
        ((WELL, LOW) + (WELL,) * 30, 0.0),
        ((WELL, LOW, WELL, WELL, LOW) + (WELL,) * 30, 0.3),
        ((WELL,) * 30 + (LOW,), None),
        ((WELL,) * 30 + (LOW,) + (WELL,) * 18, None),
        # Less than two tenths of stall are borne; a third one is too many, while it is within the second.
        ((WELL,) * 20 + (STALLING,) * 2 + (WELL,) * 40, 0.0),
        ((WELL,) * 20 + (STALLING,) * 3 + (WELL,) * 40, 0.7),
        ((LOW,) * 40, None),
    ],
)
def test_unwell(readings: tuple[tuple[int, float], ...], expected: float | None) -> None:
    assert unwell(course(*readings), memory=1000, swap=0) == expected


def test_low_memory_with_swap_left_is_no_illness() -> None:
    assert unwell(course(*(LOW,) * 40, swap_free=100 * KIB), memory=1000, swap=512) == 0.0
    assert unwell(course(*(LOW,) * 40, swap_free=20 * KIB), memory=1000, swap=512) is None


@given(
    st.lists(st.sampled_from([WELL, LOW, STALLING]), min_size=1, max_size=80),
    st.integers(min_value=30, max_value=60),
)
def test_being_well_for_longer_does_not_make_it_worse(readings: list[tuple[int, float]], longer: int) -> None:
    ended = unwell(course(*readings, *(WELL,) * 60), memory=1000, swap=0)
    assert ended is not None
    assert ended == unwell(course(*readings, *(WELL,) * (60 + longer)), memory=1000, swap=0)


@pytest.mark.parametrize(
    ("changes", "verdicts"),
    [
        ({}, {Expect.ENDS, Expect.MAY_END}),
        ({"innocents_dead": ("x",)}, set()),
        ({"unwell": None}, {Expect.MAY_END}),
        ({"hogs_ended": 0, "first_death": None}, {Expect.SPARES, Expect.MAY_END, Expect.LEAVES_IT}),
        ({"hogs_ended": 2, "kernel_kills": 2}, {Expect.ENDS, Expect.MAY_END, Expect.LEAVES_IT}),
        ({"hogs_ended": 2, "kernel_kills": 1}, {Expect.ENDS, Expect.MAY_END}),
    ],
)
def test_right(changes: dict[str, Any], verdicts: set[Expect]) -> None:
    figures = replace(FIGURES, **changes)
    assert {expect for expect in Expect if right(figures, expect)} == verdicts


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([2.5], "2.5"),
        ([2.5, 2.5], "2.5"),
        ([3, 1, 2], "2 (1 to 3)"),
        ([0.041, 0.9], "0.47 (0.04 to 0.90)"),
        ([1.0, None], "never (1 to never)"),
        ([1.0, 2.0, None], "2 (1 to never)"),
        ([None], "never"),
        ([0], "0"),
    ],
)
def test_spread(values: list[float | None], text: str) -> None:
    assert spell(spread(values), "never") == text


def test_rows_are_read_as_they_were_written(tmp_path: Path) -> None:
    file = tmp_path / "results"
    assert rows.read(file) == ()
    other = replace(ROW, run=2, figures=replace(FIGURES, unwell=None, innocents_dead=("a", "b")))
    rows.add(file, ROW)
    rows.add(file, other)
    assert rows.read(file) == (ROW, other)


def test_rows_of_another_version_do_not_count() -> None:
    newer, earlyoom = replace(KEY, version="v2"), replace(KEY, guard="earlyoom")
    every = (
        ROW,
        replace(ROW, key=newer),
        replace(ROW, key=earlyoom),
        replace(ROW, key=newer, run=2),
        replace(ROW, key=replace(KEY, guard="kernel", setup="s0")),
    )
    assert rows.runs(every, KEY) == (ROW,)
    assert {(cell[0].key.guard, cell[0].key.version, len(cell)) for cell in rows.latest(every)} == {
        ("oomguard", "v2", 2),
        ("earlyoom", "v1", 1),
        ("kernel", "v1", 1),
    }


def test_page_says_what_was_run_and_leaves_blank_what_was_not() -> None:
    second = replace(ROW, run=2, figures=replace(FIGURES, full=3.5, innocents_dead=("journald",)))
    text = report.page({("one", "oomguard"): (ROW, second)}, (SCENARIO,))
    overview = next(
        line for line in text.splitlines() if line.startswith("| [One, at a time](#one-at-a-time)")
    )
    assert overview.endswith("|  |  |  |  | 1 of 2; 3 (2.5 to 3.5) |  |")
    assert "| oomguard | 2 | 1 | 3 (2.5 to 3.5) |  | 4 |" in text
    assert "| journald |" in text
    blank = next(line for line in text.splitlines() if line.startswith("| kernel alone"))
    assert set(blank.removeprefix("| kernel alone")) == {" ", "|"}


def test_the_page_compares_with_the_best_peer() -> None:
    def cell(guard: str, *stalls: float) -> tuple[Row, ...]:
        key = replace(KEY, guard=guard)
        return tuple(replace(ROW, key=key, figures=replace(FIGURES, full=full)) for full in stalls)

    runs = {"kernel": (1.0,), "earlyoom": (20.0, 10.0, 11.0), "nohang": (12.0,), "oomguard": (2.0, 2.75, 9.0)}
    text = report.page({("one", guard): cell(guard, *stalls) for guard, stalls in runs.items()}, (SCENARIO,))
    assert "| One, at a time | 11.0 | 0.25 |  | 0.5 | 1.00 |  |" in text
    text = report.page(
        {("one", "nohang"): cell("nohang", 0.4), ("one", "oomguard"): cell("oomguard", 2)}, (SCENARIO,)
    )
    assert "| One, at a time | 0.4 |  |  | 0.5 | 1.00 |  |" in text


@pytest.mark.parametrize(
    ("kinds", "stall"), [(("lifecycle", "killing", "killing"), 0.75), (("lifecycle",), None), ((), None)]
)
def test_how_long_bystanders_had_waited_at_the_first_signal(
    kinds: Sequence[str], stall: float | None
) -> None:
    events = [{"kind": kind, "figures": {"stall": 0.7512 + at - 1}} for at, kind in enumerate(kinds)]
    document = json.dumps({"events": events}, indent=2)
    assert told_stall(f"\nKilled: {{}}\n{document}\n\n-- console") == stall


def test_other_guards_tell_no_stall() -> None:
    assert told_stall("\nsending SIGTERM to process 7") is None


def test_what_is_in_docs_is_made_from_the_rows() -> None:
    for name, text in report.made_from(rows.read(rows.RESULTS), scenarios()).items():
        assert (REPOSITORY / "docs" / name).read_text() == text, "run python -m bench.gauntlet report"


def test_there_are_pictures_once_there_are_rows() -> None:
    assert set(report.made_from((), (SCENARIO,))) == {"gauntlet.md"}
    pictures = {"gauntlet-stall.svg", "gauntlet-gap.svg", "gauntlet-innocents.svg"}
    assert set(report.made_from((ROW,), (SCENARIO,))) == {"gauntlet.md"} | pictures


def test_page_has_columns_for_all_headings() -> None:
    text = report.page({("one", "oomguard"): (ROW,)}, (SCENARIO,))
    table = [line for line in text.partition("### ")[2].splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in table}) == 1


@given(st.lists(st.floats(min_value=0, max_value=1e6) | st.just(math.inf), min_size=1, max_size=5))
def test_chart_stays_within_itself(values: list[float]) -> None:
    bars = (*(Spread(least=value, middle=value, most=value) for value in values), None)
    names = [f"guard <{number}>" for number in range(len(bars))]
    svg = ElementTree.fromstring(chart.bars("A & B", names, [Group(title="<x>", bars=bars)]))
    width = float(svg.attrib["width"])
    for each in svg.iter("{http://www.w3.org/2000/svg}rect"):
        if each.attrib["width"] != "100%":
            assert 0 <= float(each.attrib["x"]) + float(each.attrib["width"]) <= width + 0.1
    for each in svg.iter("{http://www.w3.org/2000/svg}text"):
        assert 0 <= float(each.attrib["x"]) <= width


def test_chart_is_to_scale() -> None:
    bars = (Spread(least=1, middle=2, most=4), Spread(least=4, middle=4, most=4))
    svg = ElementTree.fromstring(chart.bars("t", ["a", "b"], [Group(title="g", bars=bars)]))
    widths = [
        float(each.attrib["width"])
        for each in svg.iter("{http://www.w3.org/2000/svg}rect")
        if each.attrib["fill"] in chart.COLOURS
    ]
    legend, bar_widths = widths[:2], widths[2:]
    assert legend == [10, 10]
    assert bar_widths == [chart.WIDTH * 2 / 5, chart.WIDTH * 4 / 5]


def test_scenarios_are_sound() -> None:
    every = scenarios()
    assert len({scenario.title for scenario in every}) == len(every) > 10
    assert {scenario.expect for scenario in every} == set(Expect)
    for scenario in every:
        assert scenario.start.count("systemd-run") == len(scenario.hogs) > 0


@pytest.mark.parametrize(
    ("changes", "mib", "words"),
    [
        ({"swap": 0}, None, "1024 MiB, no swap"),
        ({"swap": 256}, 256, "1024 MiB, 256 MiB of swap at 30 MB/s and 1500 IOPS"),
        (
            {"swap": 0, "disk": 700},
            700,
            "1024 MiB, no swap and a data disk of 700 MiB at 30 MB/s and 1500 IOPS",
        ),
        ({"swap": 9, "speed": Speed.FAST}, 9, "1024 MiB, 9 MiB of swap at 400 MB/s and 50000 IOPS"),
    ],
)
def test_the_machine_is_what_is_told_of_it(changes: dict[str, Any], mib: int | None, words: str) -> None:
    scenario = replace(SCENARIO, **changes)
    swap = scenario.machine.swap
    assert (swap.mib if swap else None) == mib
    assert scenario.hardware == words


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('title = "x"\nhog = ["y"]', "hog: no such key"),
        ('title = "x"', "missing"),
        ('expect = "dies"', "dies"),
    ],
)
def test_a_wrong_scenario_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text(text)
    with pytest.raises(ValueError, match=problem):
        load(file)


def test_cells_are_named_by_globs() -> None:
    assert [cell.name for cell in cells(["flat-out/oomguard"])] == ["flat-out/oomguard"]
    assert len(cells(["flat-out/*"])) == len(GUARDS)
    assert cells(["nothing/*"]) == []


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.name)
def test_only_who_is_to_be_spared_is_named(guard: Any) -> None:
    spared, open_to_all = (guard.setup(replace(SCENARIO, protect=protect)) for protect in (True, False))
    assert "database" not in open_to_all
    assert guard.name in {"kernel", "systemd-oomd"} or "database" in spared
