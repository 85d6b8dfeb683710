"""`oomguard doctor`: what on this host keeps a guard from its work, and what to do about it."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator

from oomguard import check
from oomguard.config import DEFAULTS, Config, load, record_path
from oomguard.errors import ConfigErrors
from oomguard.examination import Examiner
from oomguard.finding import Finding, Severity, Topic, problem, warning, worst_first
from oomguard.frozen import plain
from oomguard.guardfindings import (
    UNSEEN,
    Absent,
    Present,
    hiding_findings,
    memlock_findings,
    other_findings,
    presence_findings,
    privilege_findings,
    reservation_findings,
    residence_findings,
    said_findings,
    storm_findings,
)
from oomguard.hostfindings import Host, host_findings
from oomguard.privilege import Privileges
from oomguard.settingfindings import group_findings, limit_findings, rule_findings
from oomguard.units import Pid
from oomguard.wording import line

WIDTH = max(map(len, Severity))


def diagnose(path: str | None, examiner: Examiner) -> tuple[Finding, ...]:
    """All that is found, the worst first; `path`: of the configuration, None for the usual one.

    Raises `OomguardError` where the host cannot be read at all.
    """
    return worst_first(_findings(path, examiner))


def _findings(path: str | None, examiner: Examiner) -> Iterator[Finding]:
    guard = examiner.guard(record_path(path))
    own = examiner.privileges(Pid(os.getpid()))
    yield from presence_findings(guard)
    yield from other_findings(examiner.neighbours())
    yield from _privileges(guard, own, examiner)
    host = examiner.host(guard)
    try:
        config = load(path)
    except ConfigErrors as error:
        yield from _refusals(error)
        yield from host_findings(host, DEFAULTS.limits.stall_of)
        return
    yield from host_findings(host, config.limits.stall_of)
    if isinstance(guard, Present) and (who := examiner.privileges(guard.state.pid)) is not None:
        yield from storm_findings(config.storm.action, who)
    yield from _settings(config, host, own, examiner)


def words(findings: Iterable[Finding]) -> str:
    """`findings` for a person: lines, each ended by a newline."""
    return "".join(f"{each}\n" for each in _lines(tuple(findings)))


def document(findings: Iterable[Finding]) -> str:
    """`findings` as one JSON document."""
    return json.dumps({"findings": [plain(each) for each in findings]}, indent=2)


def _lines(findings: tuple[Finding, ...]) -> Iterator[str]:
    for each in findings:
        yield f"{each.severity:{WIDTH}}  {each.topic}: {each.what}"
        if each.remedy:
            yield f"{'':{WIDTH}}  - {each.remedy}"
    counts = Counter(each.severity for each in findings)
    yield ", ".join(f"{severity} {counts[severity]}" for severity in reversed(Severity))


def _privileges(guard: Present | Absent, own: Privileges | None, examiner: Examiner) -> Iterator[Finding]:
    """The guard's, where one runs; else those of a guard that is started as this very process was."""
    if isinstance(guard, Present):
        whose, who = "The guard", examiner.privileges(guard.state.pid)
        if who is not None:
            yield from privilege_findings(who, whose, UNSEEN)
            yield from residence_findings(who)
            yield from reservation_findings(examiner.reserved(guard.state.pid))
            yield from said_findings(guard.degraded, who)
    else:
        whose, who = "A guard started like this", own
        if who is not None:
            yield from privilege_findings(who, whose)
            yield from memlock_findings(who)
    if who is not None and examiner.hides_processes():
        yield from hiding_findings(who, whose)


def _refusals(error: ConfigErrors) -> Iterator[Finding]:
    for each in error.problems:
        yield problem(
            Topic.CONFIGURATION,
            f"{line(str(each))}.",
            "Until it is mended no guard starts with it, and one that runs keeps the old one.",
        )


def _settings(config: Config, host: Host, own: Privileges | None, examiner: Examiner) -> Iterator[Finding]:
    for text in check.findings(config, host.memory):
        yield warning(Topic.CONFIGURATION, f"{text}.")
    yield from limit_findings(examiner.assessment(config))
    groups = examiner.groups_of(config)
    yield from group_findings(host.groups.layout, config.enclosures, groups, config.relief)
    yield from rule_findings(config.rules, None if own is None else examiner.matched(config, own))
