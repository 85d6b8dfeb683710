"""Events as entries of the journal: message id, priority and fields (systemd.journal-fields(7)). Pure."""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import assert_never

from oomguard import journalfields, roster, wording
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
    PhaseChanged,
    Relieved,
    Relieving,
    Storming,
)
from oomguard.frozen import frozen, replace
from oomguard.journalfields import Fields
from oomguard.wording import Mounts


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
        fields=journalfields.unit(unit),
    )


def _parts(event: Event) -> tuple[MessageId, Priority, Fields]:  # noqa: C901, PLR0911  # one for each of a union
    match event:
        case Killing(mode=mode):
            priority = Priority.ERROR if mode is Mode.ENFORCE else Priority.WARNING
            return MessageId.KILLING, priority, journalfields.killing(event)
        case Ended(outcome=outcome):
            return MessageId.ENDED, _OUTCOME_PRIORITY[outcome], journalfields.ended(event)
        case Holding():
            return MessageId.HOLDING, Priority.WARNING, journalfields.holding(event)
        case Storming(mode=mode):
            priority = Priority.ERROR if mode is Mode.ENFORCE else Priority.WARNING
            return MessageId.STORM, priority, journalfields.storming(event)
        case Relieving():
            return MessageId.RELIEVING, Priority.NOTICE, journalfields.relieving(event)
        case Relieved():
            return MessageId.RELIEVED, Priority.NOTICE, journalfields.relieved(event)
        case PhaseChanged():
            return MessageId.PHASE_CHANGED, Priority.INFO, journalfields.phase_changed(event)
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
