"""Every query that we ship, asked of a Prometheus that scraped two guards through a real incident.

One guard acts and one only watches; the limit of the one that watches is crossed first.
"""

from __future__ import annotations

import math
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from signal import SIGHUP
from typing import Any

import pytest

from tests.shipped import DASHBOARDS, RULES, Question, choosings, filled, marks, questions, sections
from tests.system.conftest import Start
from tests.system.hog import Hog
from tests.system.patience import eventually
from tests.system.prometheus import Prometheus
from tests.system.subject import Settings
from tests.system.web import free_port

pytestmark = [
    pytest.mark.kill,
    pytest.mark.skipif(shutil.which("prometheus") is None, reason="NOT TESTED: takes Prometheus"),
]

WATCHED, ALLOWED = 400, 1000
"""MiB from what is available to the limit of the guard that watches, and to that of the one that acts."""
SIZE = 650
"""MiB of each of two hogs: one crosses the first limit, both cross both."""

GROUP = '[[cgroup]]\nname = "pens"\npath = "/no-such-group"\n'

STEP = 2
"""Seconds from one point of a graph to the next, and what Grafana puts in as $__interval."""

EMPTY = {
    "oomguard-host / Time left / A": "memory need not fall at the moment of a scrape",
    "oomguard-host / Kernel kills": "the kernel must not have to kill on the host of the tests",
    "oomguard-fleet / Kernel kills": "the same",
    "oomguard-audit / Kernel kills": "the same",
    "oomguard-fleet / Without a guard / A": "both guards run",
}
"""What may have nothing to show after the incident, and why."""

QUIET = {
    "OomguardDown": "both guards run",
    "OomguardRecordStale": "and look at memory",
    "OomguardUnreachable": "and their exporters answer",
    "OomguardAbsent": "and are scraped",
    "OomguardVictimSurvived": "the victim ends",
    "OomguardRestartStorm": "one death is no storm",
    "OomguardKernelKilledFirst": "the kernel must not have to kill on the host of the tests",
    "OomguardFutile": "killing helps",
    "OomguardNobodyMayDie": "and there is somebody to kill",
    "OomguardShortageLasts": "the shortage is over within a moment",
    "OomguardNearBudget": "memory is taken from plenty, so nobody stalls",
    "OomguardNearLimit": "both hogs may have ended, and the limits are far off again",
    "OomguardEventsDropped": "all is told",
    "OomguardSlow": "where the CPUs are not overrun",
    "OomguardFailed": "no error of its own",
    "OomguardFallback": "nor one at each poll",
    "OomguardDegraded": "where nothing is missing",
}
"""Alerts that may have nothing to say, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """What was scraped of it."""

    prometheus: Prometheus
    instances: tuple[str, str]
    began: float
    ended: float

    def shows(self, question: Question) -> bool:
        """Whether `question` has an answer, on one of the hosts."""
        return any(self._values(question, instance) for instance in self.instances)

    def _values(self, question: Question, instance: str) -> list[float]:
        expr = self.asked(question.expr, instance)
        if question.instant:
            found = [float(series["value"][1]) for series in self.prometheus.now(expr)]
        else:
            found = list(self.range(expr).values())
        return [value for value in found if not math.isnan(value)]

    def range(self, expr: str) -> dict[tuple[str, float], float]:
        """What a graph or a mark shows, by series and time."""
        answer = self.prometheus.since(self.began, self.ended, expr, STEP)
        return {
            (str(series["metric"]), at): float(value) for series in answer for at, value in series["values"]
        }

    def asked(self, expr: str, instance: str) -> str:
        """`expr` as Grafana would send it."""
        return filled(
            expr,
            job="oomguard",
            cluster="lab",
            instance=instance,
            __interval=f"{STEP}s",
            __rate_interval="10s",
            __range="60s",
            __range_s="60",
        )


@pytest.fixture
def incident(start: Start, hog: Callable[..., Hog], tmp_path: Path) -> Iterator[Incident]:
    began = time.time()
    instances = (f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}")
    prometheus = Prometheus(tmp_path, instances, tuple(RULES.glob("*.yml")))
    try:
        start(Settings(room=ALLOWED, rules=GROUP), "--metrics", instances[0])
        watched = Settings(room=WATCHED, rules=GROUP, mode="dry-run", folder="watcher")
        watcher = start(watched, "--metrics", instances[1])
        eventually(lambda: len(prometheus.now("oomguard_up == 1")) == 2)
        # A rate takes two samples.
        eventually(lambda: len(prometheus.now("rate(oomguard_polls_total[5s]) > 0")) == 2)

        one, other = hog(SIZE), hog(SIZE)
        one.eat()
        eventually(lambda: prometheus.now("sum(oomguard_would_kills_total) > 0"))
        assert one.died_by() is None
        other.eat()
        eventually(lambda: one.died_by() or other.died_by())
        watcher.config.write_text("nonsense = true\n")
        watcher.send(SIGHUP)
        for seen in (
            'oomguard_outcomes_total{outcome="recovered"} > 0',
            "oomguard_config_last_reload_successful == 0",
            "sum(cluster_job_reason:oomguard_kills:rate5m) > 0",
            "sum(cluster_job_le:oomguard_exit_seconds_bucket:rate5m) > 0",
            # Graphs of events compare with what was before a step.
            "sum(oomguard_outcomes_total offset 4s) > 0",
            'ALERTS{alertname="OomguardKilled", alertstate="firing"}',
        ):
            eventually(lambda seen=seen: prometheus.now(seen))  # type: ignore[misc]
        yield Incident(prometheus=prometheus, instances=instances, began=began, ended=time.time())
    finally:
        prometheus.close()


def test_no_query_comes_back_empty(incident: Incident) -> None:
    asked = [question for dashboard in DASHBOARDS for question in questions(dashboard)]
    assert len(asked) > 80
    empty = {question.where for question in asked if not incident.shows(question)}
    assert empty - EMPTY.keys() == set()
    _no_variable_is_empty(incident)
    _each_kill_is_marked_once(incident)
    _every_rule_works(incident)
    _the_right_alerts_fire(incident)


def _each_kill_is_marked_once(incident: Incident) -> None:
    """Grafana draws a line at each point of the range that has a value."""
    asked = [mark for dashboard in DASHBOARDS for mark in marks(dashboard)]
    for counter in ("oomguard_kills_total", "oomguard_would_kills_total"):
        of_kills = [mark for mark in asked if f"sum by (instance, reason, signal) ({counter}" in mark.expr]
        of_kills += [mark for mark in asked if f"sum by (reason, signal) ({counter}" in mark.expr]
        assert of_kills
        for mark, instance in product(of_kills, incident.instances):
            counted = incident.prometheus.now(f'{counter}{{instance="{instance}"}}')
            lines = incident.range(incident.asked(mark.expr, instance))
            assert sum(lines.values()) == sum(float(each["value"][1]) for each in counted), mark.where


def _no_variable_is_empty(incident: Incident) -> None:
    offered = {"job": {"oomguard"}, "instance": set(incident.instances), "cluster": {"lab"}}
    for choosing in (each for dashboard in DASHBOARDS for each in choosings(dashboard)):
        expr = incident.asked(choosing.expr, incident.instances[0])
        assert set(incident.prometheus.values(choosing.label, expr)) == offered[choosing.label], (
            choosing.where
        )


def _every_rule_works(incident: Incident) -> None:
    for rule in incident.prometheus.rules():
        assert (rule["health"], rule.get("lastError", "")) == ("ok", ""), rule["name"]
        if rule["type"] == "recording":
            assert incident.prometheus.now(rule["name"]), rule["name"]
        else:
            _asks_for_what_there_is(incident, rule)


def _asks_for_what_there_is(incident: Incident, alert: Any) -> None:
    for series in re.findall(r"\w+\{[^}]+\}|\boomguard_\w+\b(?!\{)", alert["query"]):
        # When it is well, a guard has this age, and one that is gone does not.
        found = incident.prometheus.now(series)
        assert found, f"{alert['name']}: no series {series}"


def _the_right_alerts_fire(incident: Incident) -> None:
    alerts = [rule for rule in incident.prometheus.rules() if rule["type"] == "alerting"]
    active = {alert["name"]: alert["alerts"] for alert in alerts if alert["alerts"]}
    assert {alert["name"] for alert in alerts} - active.keys() - QUIET.keys() == set()
    for alert in (each for several in active.values() for each in several):
        told = alert["annotations"]
        assert not [text for text in told.values() if re.search(r"\{\{|<no value>|error", text)], told
        assert told["runbook_url"].partition("#")[2].lower() in sections(), told["runbook_url"]
    fired = {(name, alert["labels"].get("reason")) for name in active for alert in active[name]}
    assert {("OomguardKilled", "low_memory"), ("OomguardWouldHaveKilled", "low_memory")} <= fired
