"""What `oomguard doctor` finds: what is so on this host, what that means, what to do about it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from oomguard.frozen import frozen


class Severity(StrEnum):
    """How much it matters, from nothing to all."""

    WELL = "well"
    NOTE = "note"
    """Good to know; nobody has to do anything."""
    WARNING = "warning"
    """The guard works, and less well than it could."""
    PROBLEM = "problem"
    """Somebody dies who should not, or the guard cannot do its work."""


class Topic(StrEnum):
    """What a finding is about."""

    GUARD = "guard"
    CONFIGURATION = "configuration"
    LIMITS = "limits"
    RULES = "rules"
    OTHERS = "other guards"
    PRIVILEGES = "privileges"
    STALLS = "stalls"
    SWAP = "swap"
    OVERCOMMIT = "overcommit"
    CGROUPS = "control groups"
    KERNEL = "kernel"


@frozen
class Finding:
    """One of them."""

    severity: Severity
    topic: Topic
    what: str
    """What is so and what it means, in one line; names in it are made printable."""
    remedy: str = ""
    """What to do, where anything is to be done."""


def well(topic: Topic, what: str) -> Finding:
    """That this is as it should be."""
    return Finding(severity=Severity.WELL, topic=topic, what=what)


def note(topic: Topic, what: str, remedy: str = "") -> Finding:
    """That this is good to know."""
    return Finding(severity=Severity.NOTE, topic=topic, what=what, remedy=remedy)


def warning(topic: Topic, what: str, remedy: str = "") -> Finding:
    """That the guard works less well for this."""
    return Finding(severity=Severity.WARNING, topic=topic, what=what, remedy=remedy)


def problem(topic: Topic, what: str, remedy: str) -> Finding:
    """That this keeps the guard from its work, or kills whom it should not."""
    return Finding(severity=Severity.PROBLEM, topic=topic, what=what, remedy=remedy)


def worst_first(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The same, sorted by severity; among equals as they came."""
    return tuple(sorted(findings, key=lambda one: -_ORDER.index(one.severity)))


def is_well(findings: Iterable[Finding]) -> bool:
    """Whether there is none that anybody should do something about."""
    return all(one.severity in {Severity.WELL, Severity.NOTE} for one in findings)


_ORDER = tuple(Severity)
