"""The rules for Prometheus: promtool's own tests of them, and what promtool does not look at."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.shipped import DASHBOARDS, REPOSITORY, RULES, Rule, questions, rules, sections

PROMETHEUS = REPOSITORY / "prometheus"
ALERTS = rules(RULES / "alerts.yml", "alert")
REASONS = {"{{ $labels.reason }}": "reason", "{{ $labels.outcome }}": "outcome"}

every = pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="NOT TESTED: takes promtool (apt-get install prometheus)"
)


def promtool(*arguments: str | Path) -> None:
    ran = subprocess.run(("promtool", *arguments), capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@needs_promtool
def test_prometheus_takes_them() -> None:
    promtool("check", "config", PROMETHEUS / "prometheus.yml")


@needs_promtool
@pytest.mark.parametrize("file", sorted((PROMETHEUS / "tests").glob("*.yml")), ids=lambda path: path.stem)
def test_they_do_what_they_are_for(file: Path) -> None:
    promtool("test", "rules", file)


def test_each_alert_is_tested() -> None:
    tested = (PROMETHEUS / "tests/alerts.yml").read_text()
    assert {alert.name for alert in ALERTS if f'alertname="{alert.name}"' not in tested} == set()


@every
def test_an_alert_says_what_it_is_and_what_to_do(alert: Rule) -> None:
    severity = re.search(r"labels: \{severity: (\w+)\}", alert.text)
    assert severity is not None
    assert severity[1] in {"critical", "warning", "info"}
    summary = re.search(r'summary: "?(.+?)"?$', alert.text, re.MULTILINE)
    assert summary is not None
    assert summary[1].endswith(".")
    description = re.search(r"description: >-\n(.+?)\n +runbook_url", alert.text, re.DOTALL)
    assert description is not None
    assert description[1].endswith(".")


@every
def test_an_alert_leads_to_its_section(alert: Rule) -> None:
    link = re.search(r"runbook_url: docs/runbook.md#(.+)$", alert.text, re.MULTILINE)
    assert link is not None
    assert alert.name.lower() in sections()
    if (label := REASONS.get(link[1])) is None:
        assert link[1] == alert.name.lower()
    else:
        # It leads to the section of the reason, so the series must still have it.
        assert re.search(rf"without \((?!.*\b{label}\b)|{label}=~", alert.expr)


def test_nothing_is_recorded_in_vain() -> None:
    used = " ".join(question.expr for dashboard in DASHBOARDS for question in questions(dashboard))
    names = {rule.name for rule in rules(RULES / "recording.yml", "record")}
    assert {name for name in names if name not in used} == set()
