"""What we ship for Prometheus and Grafana, as tests read it: dashboards, rules, the runbook."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[1]
DASHBOARDS = sorted((REPOSITORY / "grafana/dashboards").glob("*.json"))
RULES = REPOSITORY / "prometheus/rules"
RUNBOOK = REPOSITORY / "docs/runbook.md"


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A query of a dashboard, and where it stands."""

    where: str
    expr: str
    instant: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Choosing:
    """A variable's query: the values of `label` among the series of `expr`."""

    where: str
    expr: str
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """An alert or a recorded series, as the file has it."""

    name: str
    expr: str
    text: str


def read(dashboard: Path) -> Any:
    return json.loads(dashboard.read_text())


def panels(dashboard: Path) -> list[Any]:
    """Those that show something: all but the titles of rows."""
    return [panel for panel in read(dashboard)["panels"] if panel["type"] != "row"]


def questions(dashboard: Path) -> Iterator[Question]:
    """What the panels and the marks of `dashboard` ask."""
    for panel in panels(dashboard):
        for target in panel["targets"]:
            where = f"{dashboard.stem} / {panel['title']} / {target['refId']}"
            yield Question(where=where, expr=target["expr"], instant=target["instant"])
    yield from marks(dashboard)


def marks(dashboard: Path) -> Iterator[Question]:
    """What is asked for the lines in every graph of `dashboard`."""
    for each in read(dashboard)["annotations"]["list"]:
        yield Question(where=f"{dashboard.stem} / {each['name']}", expr=each["expr"], instant=False)


def choosings(dashboard: Path) -> Iterator[Choosing]:
    """What the variables of `dashboard` ask."""
    for variable in read(dashboard)["templating"]["list"]:
        if variable["type"] == "query":
            found = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"])
            assert found is not None, variable["query"]
            yield Choosing(where=f"{dashboard.stem} / {variable['name']}", expr=found[1], label=found[2])


def rules(file: Path, kind: str) -> list[Rule]:
    """The rules of this kind, `alert` or `record`."""
    blocks = re.split(rf"^ +- {kind}: ", file.read_text(), flags=re.MULTILINE)[1:]
    return [_rule(block) for block in blocks]


def _rule(block: str) -> Rule:
    name, _, text = block.partition("\n")
    found = re.search(r"^ +expr: (?:>-\n)?(.+?)(?=\n +(?:for|labels|annotations|#|-)|\Z)", text, re.M | re.S)
    assert found is not None, block
    return Rule(name=name, expr=found[1], text=text)


def filled(expr: str, **values: str) -> str:
    """`expr` with what Grafana puts in; the longest names first, as some begin like others."""
    for name in sorted(values, key=len, reverse=True):
        expr = expr.replace(f"${name}", values[name])
    assert "$" not in expr, expr
    return expr


def sections() -> set[str]:
    """The anchors of the runbook's headings."""
    headings = re.findall(r"^#+ (.+)$", RUNBOOK.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
