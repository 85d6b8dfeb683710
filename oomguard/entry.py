"""Events as entries of the journal: message id, priority and fields (systemd.journal-fields(7)). Pure."""

from __future__ import annotations

import string
from dataclasses import replace
from enum import IntEnum, StrEnum
from typing import assert_never

from oomguard import roster, wording
from oomguard.episode import Outcome
from oomguard.event import (
    Degraded,
    Ended,
    Event,
    Failed,
    Holding,
    KernelKilled,
    Killing,
    Lifecycle,
    LifecycleChanged,
    Mode,
    Person,
    PhaseChanged,
    Relieved,
    Relieving,
    Storming,
)
from oomguard.frozen import frozen
from oomguard.names import printable
from oomguard.pressure import Figures, GroupFigures, Reason
from oomguard.wording import Mounts

Fields = tuple[tuple[str, str], ...]


class Priority(IntEnum):
    """The levels of syslog(3) that are in use."""

    ERROR = 3
    WARNING = 4
    NOTICE = 5
    INFO = 6


class MessageId(StrEnum):
    """One for each kind of event, for ever: programs and catalogues look entries up by it."""

    KILLING = "18732253037c42ed9ece03caf54c4a04"
    ENDED = "b29b3ac53bf44342b340dbbc14bfa34d"
    HOLDING = "89d74ae891034c6fa2c8d4f5fc0eb21c"
    STORM = "bc2ca58a729446aa93e972dcf3738981"
    NOT_STOPPED = "8dc1d72cfefc4fc0bd693928ad8e69e1"
    RELIEVING = "23ff16956d8c46ce9d9b3c431491bf79"
    RELIEVED = "1c36e840437d4524a41ea5921a15b6ad"
    PHASE_CHANGED = "78c6390ff5f841ee8d66f282f2ff107f"
    KERNEL_KILLED = "b852e346e25544f3a90410c7ff488d55"
    LIFECYCLE_CHANGED = "39812a60df2c460187502145848ec9aa"
    DEGRADED = "1949211790e846cfb2035be960a63678"
    FAILED = "3bb50bd2776e49378d7575ae3f2dba5c"
    LOST = "b45b3f9835574eb48baa6533fcd98535"


@frozen
class Entry:
    """One event as the journal takes it."""

    message_id: MessageId
    priority: Priority
    message: str
    """One line, without control characters."""
    fields: Fields
    """Each value in one line too. Names may repeat, as the journal allows."""
    table: tuple[str, ...] = ()
    """More lines, for whoever shows more than one."""

    @property
    def text(self) -> str:
        """The message with the table below it."""
        return "\n".join((self.message, *self.table))


UNIT_CHARACTERS = frozenset(string.ascii_letters + string.digits + ":-_.\\@")
"""What systemd allows in the name of a unit (systemd.unit(5))."""

_BAD_NEWS = frozenset((Lifecycle.RELOAD_REFUSED, Lifecycle.FELL_BACK))
_OUTCOME_PRIORITY = {
    Outcome.RECOVERED: Priority.NOTICE,
    Outcome.NOT_ENOUGH: Priority.WARNING,
    Outcome.HUNG: Priority.ERROR,
    Outcome.REFUSED: Priority.ERROR,
    Outcome.VANISHED: Priority.NOTICE,
    Outcome.RECEDED: Priority.NOTICE,
}


def entry(event: Event, wall: float) -> Entry:
    """`event`, of the time of day `wall`, as the journal takes it: what waited keeps its own time."""
    message_id, priority, fields = _parts(event)
    return Entry(
        message_id=message_id,
        priority=priority,
        message=wording.sentence(event),
        fields=(("OOMGUARD_TIME", f"{wall:.6f}"), *fields),
        table=roster.ranking(event) if isinstance(event, Killing) else (),
    )


def with_tmpfs(item: Entry, found: Mounts) -> Entry:
    """`item`, and where the files are that hold memory."""
    if not found:
        return item
    words = wording.mounts(found)
    return replace(
        item,
        message=f"{item.message} The biggest tmpfs: {', '.join(words)}.",
        fields=(*item.fields, *(("OOMGUARD_TMPFS", one) for one in words)),
    )


def lost(count: int) -> Entry:
    """The entry for `count` events that were overwritten before they could be told."""
    return Entry(
        message_id=MessageId.LOST,
        priority=Priority.WARNING,
        message=wording.lost(count),
        fields=(("OOMGUARD_LOST", str(count)),),
    )


def not_stopped(unit: str, why: str) -> Entry:
    """The entry for a unit that was to be stopped, and could not be."""
    return Entry(
        message_id=MessageId.NOT_STOPPED,
        priority=Priority.ERROR,
        message=wording.not_stopped(unit, why),
        fields=_unit(unit),
    )


def _parts(event: Event) -> tuple[MessageId, Priority, Fields]:  # noqa: C901, PLR0911  # one for each of a union
    match event:
        case Killing(mode=mode):
            priority = Priority.ERROR if mode is Mode.ENFORCE else Priority.WARNING
            return MessageId.KILLING, priority, _killing(event)
        case Ended(outcome=outcome):
            return MessageId.ENDED, _OUTCOME_PRIORITY[outcome], _ended(event)
        case Holding():
            return MessageId.HOLDING, Priority.WARNING, _holding(event)
        case Storming(mode=mode):
            priority = Priority.ERROR if mode is Mode.ENFORCE else Priority.WARNING
            return MessageId.STORM, priority, _storming(event)
        case Relieving():
            return MessageId.RELIEVING, Priority.NOTICE, _relieving(event)
        case Relieved():
            return MessageId.RELIEVED, Priority.NOTICE, _relieved(event)
        case PhaseChanged():
            return MessageId.PHASE_CHANGED, Priority.INFO, _phase_changed(event)
        case KernelKilled(kills=kills):
            return MessageId.KERNEL_KILLED, Priority.ERROR, (("OOMGUARD_KERNEL_KILLS", str(kills)),)
        case LifecycleChanged(what=what):
            priority = Priority.ERROR if what in _BAD_NEWS else Priority.INFO
            return MessageId.LIFECYCLE_CHANGED, priority, (("OOMGUARD_LIFECYCLE", what),)
        case Degraded():
            return MessageId.DEGRADED, Priority.WARNING, ()
        case Failed():
            return MessageId.FAILED, Priority.ERROR, ()
    assert_never(event)


def _killing(event: Killing) -> Fields:
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


def _ended(event: Ended) -> Fields:
    return (
        ("OOMGUARD_MODE", event.mode),
        ("OOMGUARD_OUTCOME", event.outcome),
        *_victim(event.victim),
        ("OOMGUARD_FREED_BYTES", str(event.freed)),
        ("OOMGUARD_TOOK_SECONDS", f"{event.took:.3f}"),
    )


def _holding(event: Holding) -> Fields:
    return (
        ("OOMGUARD_HOLD", event.why),
        ("OOMGUARD_LEVEL", event.level),
        *_reasons(event.reasons),
        *(("OOMGUARD_SPARED", f"{why}={count}") for why, count in event.spared),
        *(("OOMGUARD_BIGGEST", wording.who(person)) for person in event.biggest),
        *(("OOMGUARD_HELD", f"{holder}={amount}") for holder, amount in event.held),
        *_figures(event.figures),
    )


def _storming(event: Storming) -> Fields:
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
        *_unit(event.unit),
    )


def _relieving(event: Relieving) -> Fields:
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


def _relieved(event: Relieved) -> Fields:
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


def _phase_changed(event: PhaseChanged) -> Fields:
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
    return (*_person("VICTIM", person), *_unit(person.unit))


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


def _unit(unit: str | None) -> Fields:
    """The victim's unit, and the field by which `journalctl -u UNIT` shows the entry among the unit's own.

    Journald would add that field by itself for an OBJECT_PID, but to do so it reads the command line of
    that process, and so waits for the mmap lock of a victim that may hang.
    """
    if unit is None:
        return ()
    shown = ("OOMGUARD_VICTIM_UNIT", printable(unit))
    return (shown, ("OBJECT_SYSTEMD_UNIT", unit)) if UNIT_CHARACTERS.issuperset(unit) else (shown,)


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
