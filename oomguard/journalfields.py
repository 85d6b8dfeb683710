"""The fields of the journal's entries, by which programs find them (systemd.journal-fields(7)). Pure."""

from __future__ import annotations

import string

from oomguard import wording
from oomguard.event import Ended, Holding, Killing, Person, PhaseChanged, Relieved, Relieving, Storming
from oomguard.names import printable
from oomguard.pressure import Figures, GroupFigures, Reason

Fields = tuple[tuple[str, str], ...]
"""Names may repeat, as the journal allows; each value is one line."""

UNIT_CHARACTERS = frozenset(string.ascii_letters + string.digits + ":-_.\\@")
"""What systemd allows in the name of a unit (systemd.unit(5))."""


def killing(event: Killing) -> Fields:
    """What an entry says of a signal that was sent."""
    kernel = event.kernel_choice
    return (
        ("OOMGUARD_MODE", event.mode),
        ("OOMGUARD_SENT", event.sent),
        ("OOMGUARD_LEVEL", event.level),
        *_reasons(event.reasons),
        ("OOMGUARD_POLICY", event.policy),
        ("OOMGUARD_SCOPE", event.scope),
        ("OOMGUARD_MEMBERS", str(event.members)),
        *_victim(event.victim),
        *(("OOMGUARD_RUNNER_UP", wording.who(person)) for person in event.runners_up),
        *((("OOMGUARD_KERNEL_CHOICE", wording.who(kernel)),) if kernel else ()),
        ("OOMGUARD_REACTION_SECONDS", f"{event.reaction:.6f}"),
        *_figures(event.figures),
    )


def ended(event: Ended) -> Fields:
    """And of the end of an episode."""
    return (
        ("OOMGUARD_MODE", event.mode),
        ("OOMGUARD_OUTCOME", event.outcome),
        *_victim(event.victim),
        ("OOMGUARD_FREED_BYTES", str(event.freed)),
        ("OOMGUARD_TOOK_SECONDS", f"{event.took:.3f}"),
    )


def holding(event: Holding) -> Fields:
    """And of a Hold."""
    return (
        ("OOMGUARD_HOLD", event.why),
        ("OOMGUARD_LEVEL", event.level),
        *_reasons(event.reasons),
        *(("OOMGUARD_SPARED", f"{why}={count}") for why, count in event.spared),
        *(("OOMGUARD_BIGGEST", wording.who(person)) for person in event.biggest),
        *(("OOMGUARD_HELD", f"{holder}={amount}") for holder, amount in event.held),
        *_figures(event.figures),
    )


def storming(event: Storming) -> Fields:
    """And of a restart storm."""
    cgroup, parent, obstacle = event.cgroup, event.parent, event.obstacle
    return (
        ("OOMGUARD_MODE", event.mode),
        ("OOMGUARD_STORM_ACTION", event.action),
        *((("OOMGUARD_STORM_OBSTACLE", obstacle),) if obstacle else ()),
        ("OOMGUARD_STORM_KILLS", str(event.kills)),
        ("OOMGUARD_STORM_WITHIN_SECONDS", f"{event.within:.3f}"),
        *((("OOMGUARD_VICTIM_CGROUP", printable(cgroup)),) if cgroup is not None else ()),
        *((("OOMGUARD_VICTIM_PARENT", str(parent)),) if parent is not None else ()),
        ("OOMGUARD_VICTIM_COMM", printable(event.comm)),
        ("OOMGUARD_VICTIM_UID", str(event.uid)),
        *unit(event.unit),
    )


def relieving(event: Relieving) -> Fields:
    """And of a remedy that was tried."""
    return (
        ("OOMGUARD_MODE", event.mode),
        ("OOMGUARD_RELIEF", event.action),
        *((("OOMGUARD_RELIEF_RESULT", event.result),) if event.result else ()),
        *((("OOMGUARD_RELIEF_SIGNAL", event.signal),) if event.signal else ()),
        *_eased(event.cgroup, event.process),
        ("OOMGUARD_RELIEF_BYTES", str(event.amount)),
        ("OOMGUARD_RELIEF_LASTS_SECONDS", f"{event.lasts:.3f}"),
        *_figures(event.figures),
    )


def relieved(event: Relieved) -> Fields:
    """And of one that is over."""
    return (
        ("OOMGUARD_RELIEF", event.action),
        ("OOMGUARD_RELIEF_ENDING", event.ending),
        *_eased(event.cgroup, event.process),
        ("OOMGUARD_RELIEF_GAINED_BYTES", str(event.gained)),
        ("OOMGUARD_RELIEF_STALLED_BEFORE", f"{event.stalled_before:.3f}"),
        ("OOMGUARD_RELIEF_STALLED_AFTER", f"{event.stalled_after:.3f}"),
        ("OOMGUARD_TOOK_SECONDS", f"{event.took:.3f}"),
    )


def _eased(cgroup: str | None, process: Person | None) -> Fields:
    """Who it was done to."""
    return (
        *((("OOMGUARD_RELIEF_CGROUP", printable(cgroup)),) if cgroup is not None else ()),
        *((("OOMGUARD_RELIEF_PROCESS", wording.who(process)),) if process is not None else ()),
    )


def phase_changed(event: PhaseChanged) -> Fields:
    """And of a phase."""
    return (
        ("OOMGUARD_PHASE", event.after),
        ("OOMGUARD_PHASE_BEFORE", event.before),
        *_reasons(event.reasons),
        *(_likely(event.likely) if event.likely else ()),
        *_figures(event.figures),
    )


def _reasons(reasons: tuple[Reason, ...]) -> Fields:
    return tuple(("OOMGUARD_REASON", reason) for reason in reasons)


def _victim(person: Person) -> Fields:
    return (*_person("VICTIM", person), *unit(person.unit))


def _likely(person: Person) -> Fields:
    """Not filed under its unit, to which nothing has happened yet."""
    unit = (("OOMGUARD_LIKELY_UNIT", printable(person.unit)),) if person.unit else ()
    return (*_person("LIKELY", person), *unit)


def _person(role: str, person: Person) -> Fields:
    return (
        (f"OOMGUARD_{role}_PID", str(person.pid)),
        (f"OOMGUARD_{role}_STARTTIME", str(person.starttime)),
        (f"OOMGUARD_{role}_COMM", printable(person.comm)),
        (f"OOMGUARD_{role}_UID", str(person.uid)),
        (f"OOMGUARD_{role}_RSS_BYTES", str(person.rss)),
        (f"OOMGUARD_{role}_SWAP_BYTES", str(person.swap)),
        (f"OOMGUARD_{role}_POINTS", str(person.points)),
        (f"OOMGUARD_{role}_OOM_SCORE_ADJ", str(person.oom_score_adj)),
        (f"OOMGUARD_{role}_STANDING", person.standing),
        *((f"OOMGUARD_{role}_RULE", wording.line(rule)) for rule in person.rules),
    )


def unit(name: str | None) -> Fields:
    """The victim's unit, and the field by which `journalctl -u UNIT` shows the entry among the unit's own.

    Journald would add that field by itself for an OBJECT_PID, but to do so it reads the command line of
    that process, and so waits for the mmap lock of a victim that may hang.
    """
    if name is None:
        return ()
    shown = ("OOMGUARD_VICTIM_UNIT", printable(name))
    return (shown, ("OBJECT_SYSTEMD_UNIT", name)) if UNIT_CHARACTERS.issuperset(name) else (shown,)


def _figures(figures: Figures) -> Fields:
    left = figures.exhausted_in
    return (
        ("OOMGUARD_AVAILABLE_BYTES", str(figures.available)),
        ("OOMGUARD_AVAILABLE_LIMIT_BYTES", str(figures.available_limit)),
        ("OOMGUARD_SWAP_FREE_BYTES", str(figures.swap_free)),
        ("OOMGUARD_SWAP_LIMIT_BYTES", str(figures.swap_limit)),
        ("OOMGUARD_STALL_SECONDS", f"{figures.stall:.3f}"),
        ("OOMGUARD_STALL_OF", figures.stall_of.value),
        ("OOMGUARD_STALL_BUDGET_SECONDS", f"{figures.stall_budget:.3f}"),
        ("OOMGUARD_EXHAUSTED_IN_SECONDS", "" if left is None else f"{left:.3f}"),
        ("OOMGUARD_BACKLOG_SECONDS", f"{figures.backlog:.3f}"),
        ("OOMGUARD_COMMITTED_BYTES", str(figures.committed)),
        ("OOMGUARD_COMMIT_LIMIT_BYTES", str(figures.commit_limit)),
        *(_group(figures.group) if figures.group is not None else ()),
    )


def _group(group: GroupFigures) -> Fields:
    return (
        ("OOMGUARD_CGROUP_ENTRY", wording.line(group.entry)),
        ("OOMGUARD_CGROUP", printable(group.path)),
        ("OOMGUARD_CGROUP_USED_BYTES", str(group.used)),
        ("OOMGUARD_CGROUP_LIMIT_BYTES", str(group.limit)),
        ("OOMGUARD_CGROUP_SWAP_USED_BYTES", str(group.swap_used)),
        ("OOMGUARD_CGROUP_SWAP_LIMIT_BYTES", str(group.swap_limit)),
        ("OOMGUARD_CGROUP_STALL_SECONDS", f"{group.stall:.3f}"),
        ("OOMGUARD_CGROUP_STALL_BUDGET_SECONDS", f"{group.stall_budget:.3f}"),
    )
