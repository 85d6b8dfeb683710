"""What the limits, groups and rules of a configuration come to on one host. Values in, findings out; pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet

from oomguard.cgroup import Layout
from oomguard.enclosure import Entry
from oomguard.finding import Finding, Topic, note, problem, warning, well
from oomguard.frozen import frozen
from oomguard.names import quoted
from oomguard.pressure import Assessment, Level
from oomguard.remedy import Remedies, Restraint
from oomguard.rules import Rule
from oomguard.wording import because, size


@frozen
class Matched:
    """Whom the rules speak of now."""

    rules: AbstractSet[str]
    """The names of those that match anybody."""
    candidates: int
    """How many processes may die."""


def limit_findings(now: Assessment) -> Iterator[Finding]:
    """Whether the guard would act at once, or watch closely for good; `now` is by its limits."""
    figures = now.figures
    available = f"{size(figures.available)} available, limit {size(figures.available_limit)}"
    lower = "If this is how the host is on a good day, lower the limits"
    if now.reasons:
        why = because(now.reasons, figures)
        what = f"By these limits somebody has to end at once, as {why}."
        yield problem(Topic.LIMITS, what, f"{lower}; oomguard check --print shows them.")
    elif now.level is Level.ARMED:
        what = (
            f"The host is near its limits ({available}): as long as it is, the guard looks 20 times a second."
        )
        yield note(Topic.LIMITS, what, f"{lower}: that saves CPU.")
    else:
        yield well(Topic.LIMITS, f"The host is far from its limits ({available}).")


def group_findings(
    layout: Layout, entries: tuple[Entry, ...], groups: Mapping[str, Mapping[str, bool]], relief: Remedies
) -> Iterator[Finding]:
    """What is amiss with [[cgroup]] and [relief].

    `groups`: for the name of each entry the groups that it matches, and whether anything limits them.
    """
    wants_relief = relief.culprit is not Restraint.NONE or bool(relief.reclaim)
    if layout is not Layout.UNIFIED:
        if entries or wants_relief:
            yield problem(
                Topic.CONFIGURATION,
                f"[[cgroup]] and [relief] take control groups of version 2 alone, and here is {layout}.",
                "Boot with systemd.unified_cgroup_hierarchy=1, or take them out: they do nothing.",
            )
        return
    for entry in entries:
        found = groups[entry.name]
        if not found:
            yield warning(
                Topic.CONFIGURATION,
                f"cgroup {quoted(entry.name)}: {quoted(entry.path)} matches no control group now.",
                "systemd-cgls shows which there are; those that come later are found.",
            )
        for path in sorted(path for path, limited in found.items() if not limited):
            yield warning(
                Topic.CONFIGURATION,
                f"cgroup {quoted(entry.name)}: {quoted(path)} has no limit, so it is never short of memory.",
                "Give it MemoryMax= or MemoryHigh=.",
            )


def rule_findings(rules: tuple[Rule, ...], matched: Matched | None) -> Iterator[Finding]:
    """Whether anybody may die, and which rules speak of nobody. None: that cannot be told from here."""
    if matched is None:
        yield note(
            Topic.RULES,
            "Whom the rules match cannot be told without seeing the programs of other users.",
            "Run oomguard doctor as root.",
        )
        return
    if not matched.candidates:
        yield problem(
            Topic.RULES,
            "Everybody is spared: nobody could be ended for a shortage.",
            "oomguard rank says why; let a rule spare fewer.",
        )
    for rule in rules:
        if rule.name not in matched.rules:
            yield note(
                Topic.RULES,
                f"rule {quoted(rule.name)} matches nobody now.",
                "Right for what does not run at present; else oomguard rank --json shows who is who.",
            )
