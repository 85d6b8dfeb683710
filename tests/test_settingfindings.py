from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from oomguard.cgroup import Layout
from oomguard.config import DEFAULTS
from oomguard.enclosure import Entry
from oomguard.finding import Severity, Topic
from oomguard.pressure import Assessment, Level, Reason
from oomguard.remedy import Remedies, Restraint
from oomguard.rules import Effect, Field, Rule, pattern
from oomguard.settingfindings import Matched, group_findings, limit_findings, rule_findings
from oomguard.units import Percent
from tests.specimens import FIGURES

ENTRY = Entry(name="pens", path="/pens/*", term=Percent(95.0), kill=Percent(98.0), budget=None)
RULE = Rule(name="db", patterns=(pattern(Field.UNIT, "db.service"),), effect=Effect.NEVER)
CALM = Assessment(level=Level.CALM, reasons=(), headroom=1.0, figures=FIGURES)
WELL, NOTE, WARNING, PROBLEM = Severity


@pytest.mark.parametrize(
    ("now", "severity", "what"),
    [
        (CALM, WELL, "far from its limits (300 MiB available, limit 400 MiB)"),
        (replace(CALM, level=Level.ARMED), NOTE, "near its limits"),
        (
            replace(CALM, level=Level.TERM, reasons=(Reason.COMMIT_LIMIT,)),
            PROBLEM,
            "end at once, as nearly all memory that may be promised is",
        ),
    ],
)
def test_limits(now: Assessment, severity: Severity, what: str) -> None:
    (found,) = limit_findings(now)
    assert (found.severity, found.topic) == (severity, Topic.LIMITS)
    assert what in found.what


@pytest.mark.parametrize(
    ("groups", "what"),
    [
        ({}, '"/pens/*" matches no control group now'),
        ({"/pens/a": True, '/pens/b"\n': False}, '"/pens/b\\"\\n" has no limit'),
    ],
)
def test_groups_that_are_never_short(groups: Mapping[str, bool], what: str) -> None:
    (found,) = group_findings(Layout.UNIFIED, (ENTRY,), {"pens": groups}, DEFAULTS.relief)
    assert found.severity is WARNING
    assert what in found.what
    assert found.what.isprintable()


@pytest.mark.parametrize(
    ("entries", "relief", "is_found"),
    [
        ((ENTRY,), DEFAULTS.relief, True),
        ((), replace(DEFAULTS.relief, culprit=Restraint.FREEZE), True),
        ((), replace(DEFAULTS.relief, reclaim=(pattern(Field.CGROUP, "/a"),)), True),
        ((), DEFAULTS.relief, False),
    ],
)
def test_what_takes_version_2(entries: tuple[Entry, ...], relief: Remedies, is_found: bool) -> None:
    found = tuple(group_findings(Layout.HYBRID, entries, {}, relief))
    assert [one.severity for one in found] == [PROBLEM] * is_found
    assert tuple(group_findings(Layout.UNIFIED, (), {}, relief)) == ()


def test_groups_with_limits() -> None:
    assert not tuple(group_findings(Layout.UNIFIED, (ENTRY,), {"pens": {"/pens/a": True}}, DEFAULTS.relief))


@pytest.mark.parametrize(
    ("matched", "severity", "what"),
    [
        (None, NOTE, "cannot be told"),
        (Matched(rules=frozenset(("db",)), candidates=0), PROBLEM, "Everybody is spared"),
        (Matched(rules=frozenset(("other",)), candidates=1), NOTE, 'rule "db" matches nobody now'),
    ],
)
def test_rules(matched: Matched | None, severity: Severity, what: str) -> None:
    (found,) = rule_findings((RULE,), matched)
    assert (found.severity, found.topic) == (severity, Topic.RULES)
    assert what in found.what


def test_rules_that_match() -> None:
    assert tuple(rule_findings((RULE,), Matched(rules=frozenset(("db",)), candidates=1))) == ()
