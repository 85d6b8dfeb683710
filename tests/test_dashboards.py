"""The dashboards as they are committed: up to date, complete, and asking for what there is."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from grafana.__main__ import BOARDS, RUNBOOK, write_dashboards
from grafana.board import Unit
from oomguard.counters import FAMILIES
from oomguard.event import Mode
from tests.shipped import (
    DASHBOARDS,
    REPOSITORY,
    RULES,
    choosings,
    filled,
    panels,
    questions,
    read,
    rules,
    sections,
)

UNUSED = {
    "oomguard_level": "oomguard_limit_crossed has the reasons, and oomguard_phase the rest",
    "oomguard_stall_window_seconds": "the operator set it",
    "oomguard_pressure_readable": "OomguardDegraded tells of it, and there is no pressure to show",
    "oomguard_config_reloads_total": "what counts is whether the last one was taken",
}
"""Metrics that no panel and no rule asks for, and why."""

VALUES = {
    "job": "j", "instance": "i", "cluster": "c",
    "__interval": "15s", "__rate_interval": "1m",
    "__range": "6h", "__range_s": "21600",
}  # fmt: skip

every = pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda path: path.stem)


def everything_asked(dashboard: Path) -> Iterator[tuple[str, str]]:
    for question in questions(dashboard):
        yield question.where, filled(question.expr, **VALUES)
    for choosing in choosings(dashboard):
        yield choosing.where, filled(choosing.expr, **VALUES)


def test_what_is_committed_is_what_the_code_makes(tmp_path: Path) -> None:
    write_dashboards(tmp_path, RUNBOOK)
    made = {file.name: file.read_text() for file in tmp_path.iterdir()}
    assert made == {file.name: file.read_text() for file in DASHBOARDS}, "run python -m grafana"


def test_each_can_be_told_from_the_others() -> None:
    assert len({board.uid for board in BOARDS}) == len({board.title for board in BOARDS}) == len(BOARDS) == 3


def test_the_runbook_is_where_one_says(tmp_path: Path) -> None:
    address = "https://wiki.example/runbook"
    command = (sys.executable, "-m", "grafana", "--runbook", address, "--into", tmp_path)
    subprocess.run(command, check=True, cwd=REPOSITORY)
    for dashboard in DASHBOARDS:
        (constant,) = (
            v for v in read(tmp_path / dashboard.name)["templating"]["list"] if v["name"] == "runbook"
        )
        assert constant["query"] == address
    ours, theirs = (RULES / "alerts.yml").read_text(), (tmp_path / "alerts.yml").read_text()
    assert theirs.replace(address, RUNBOOK) == ours
    assert ours.count("runbook_url: docs/") == theirs.count(f"runbook_url: {address}#") > 0


@every
def test_each_panel_explains_itself(dashboard: Path) -> None:
    for panel in panels(dashboard):
        assert panel["description"].endswith("."), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"] in set(Unit), panel["title"]
        assert panel["targets"], panel["title"]
        assert all(target["legendFormat"] for target in panel["targets"][1:]), panel["title"]


@every
def test_each_panel_leads_to_its_section(dashboard: Path) -> None:
    (constant,) = (v for v in read(dashboard)["templating"]["list"] if v["name"] == "runbook")
    assert constant["type"] == "constant"
    for panel in panels(dashboard):
        (link,) = panel["links"]
        base, _, section = link["url"].partition("#")
        assert base == "${runbook}"
        assert section in sections(), f"{panel['title']}: no section {section}"


@every
def test_the_panels_fill_their_lines(dashboard: Path) -> None:
    def line(panel: Any) -> int:
        y: int = panel["gridPos"]["y"]
        return y

    at = [(panel["gridPos"]["x"], line(panel)) for panel in read(dashboard)["panels"]]
    assert len(set(at)) == len(at)
    for _, group in groupby(panels(dashboard), line):
        places = [panel["gridPos"] for panel in group]
        assert sum(place["w"] for place in places) == 24
        assert len({place["h"] for place in places}) == 1


@every
def test_ids_are_unique(dashboard: Path) -> None:
    ids = [panel["id"] for panel in read(dashboard)["panels"]]
    assert len(set(ids)) == len(ids)


def documented() -> list[str]:
    return re.findall(r"^\| `(\w+)`", (REPOSITORY / "docs/metrics.md").read_text(), flags=re.MULTILINE)


def test_each_metric_is_asked_for_or_there_is_a_reason() -> None:
    files = (*DASHBOARDS, *RULES.glob("*.yml"))
    asked = {name for file in files for name in re.findall(r"\boomguard_\w+", file.read_text())}
    assert {name for name in documented() if not {name, f"{name}_bucket"} & asked} == UNUSED.keys()


@every
def test_each_question_asks_for_what_there_is(dashboard: Path) -> None:
    recorded = [rule.name for rule in rules(RULES / "recording.yml", "record")]
    known = {*documented(), *recorded, *(f"{name}_bucket" for name in documented())}
    for where, expr in everything_asked(dashboard):
        asked = re.findall(r"[\w:]*oomguard_[\w:]+", expr)
        assert asked
        assert set(asked) <= known, where


@every
def test_each_question_is_promql(dashboard: Path, tmp_path: Path) -> None:
    if shutil.which("promtool") is None:
        pytest.skip("NOT TESTED: takes promtool (apt-get install prometheus)")
    asked = [{"record": f"q:{n}", "expr": expr} for n, (_, expr) in enumerate(everything_asked(dashboard))]
    file = tmp_path / "rules.yml"
    file.write_text(json.dumps({"groups": [{"name": "asked", "rules": asked}]}))
    checked = subprocess.run(
        ("promtool", "check", "rules", file), capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr
    assert f"SUCCESS: {len(asked)} rules found" in checked.stdout


@pytest.mark.parametrize("file", [*DASHBOARDS, *RULES.glob("*.yml")], ids=lambda path: path.name)
def test_labels_are_compared_with_values_that_they_can_have(file: Path) -> None:
    values: dict[str, set[str]] = {"mode": set(Mode)}
    for label, kind in (label for family in FAMILIES for label in family.labels):
        values.setdefault(label, set()).update(kind)
    values["limit"] = {"available", "swap_free", "committed"}
    values["action"] |= {"term", "kill"}
    text = file.read_text().replace('\\"', '"')
    compared = [pair for pair in re.findall(r'(\w+)=~?"([\w|-]+)"', text) if pair[0] in values]
    for label, words in compared:
        assert set(words.split("|")) <= values[label], label


@every
def test_the_operator_chooses(dashboard: Path) -> None:
    names = [variable["name"] for variable in read(dashboard)["templating"]["list"]]
    assert names[:3] == ["datasource", "runbook", "job"]
    others = {"oomguard-fleet": ["cluster"]}
    assert names[3:] == others.get(dashboard.stem, ["instance"])


@pytest.mark.parametrize("dashboard", ["host", "audit"])
@pytest.mark.parametrize("metric", ["oomguard_would_kills_total", "oomguard_kernel_kills_total"])
def test_what_was_done_is_marked_in_every_graph(dashboard: str, metric: str) -> None:
    marks = read(REPOSITORY / f"grafana/dashboards/oomguard-{dashboard}.json")["annotations"]["list"]
    assert any(metric in mark["expr"] for mark in marks)
