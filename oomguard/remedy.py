"""What can be tried before a kill: its words, and what came of it. Pure."""

from __future__ import annotations

from enum import StrEnum
from typing import assert_never

from oomguard.frozen import frozen
from oomguard.ranking import Judged
from oomguard.rules import Pattern, Signal
from oomguard.units import Amount, Bytes, Pid, Seconds


class Action(StrEnum):
    """What can be tried."""

    SIGNAL = "signal"
    RECLAIM = "reclaim"
    THROTTLE = "throttle"
    FREEZE = "freeze"
    HOLD_SWAP = "hold_swap"
    """After a kill: nothing more is sent to swap for a moment (`brake`)."""


class AfterKill(StrEnum):
    """What is done about swapping out once a victim's memory is there."""

    HOLD = "hold"
    LEAVE = "leave"


class Restraint(StrEnum):
    """What is done to the group that takes the memory."""

    NONE = "none"
    THROTTLE = "throttle"
    FREEZE = "freeze"


class Result(StrEnum):
    """What came of trying."""

    DONE = "done"
    PARTLY = "partly"
    """Less was reclaimed than asked for."""
    UNHEARD = "unheard"
    """It does not catch the signal, and might end by it."""
    ALREADY = "already"
    """Somebody else has frozen the group, or holds it to less."""
    CHANGED = "changed"
    """Somebody is in the group who was not judged with it."""
    VANISHED = "vanished"
    UNSUPPORTED = "unsupported"
    """The kernel, or the way control groups are mounted, has no such file."""
    REFUSED = "refused"


class Ending(StrEnum):
    """Why an act is over."""

    MEASURED = "measured"
    """It needs no undoing."""
    WELL = "well"
    """The shortage is over."""
    TIME = "time"
    VICTIM = "victim"
    """Somebody in the group has to end."""
    RELOAD = "reload"
    LEFT_BEHIND = "left_behind"
    """By a guard that has died."""


@frozen
class Remedies:
    """The [relief] of the configuration."""

    culprit: Restraint
    lasts: Seconds
    """How long a group is restrained at the most."""
    reclaim: tuple[Pattern, ...]
    """Over control groups: whom to reclaim from."""
    amount: Amount
    """How much of memory to reclaim from each in one shortage."""
    swapping: AfterKill


@frozen
class Send:
    """Send a signal to a process."""

    to: Judged
    signal: Signal


@frozen
class Reclaim:
    """Reclaim memory from a group."""

    cgroup: str
    members: tuple[Pid, ...]
    """All that were judged with it; nothing is done where there are others."""
    amount: Bytes


@frozen
class Restrain:
    """Slow a group down, or stop it, for a while."""

    action: Action
    cgroup: str
    members: tuple[Pid, ...]
    lasts: Seconds


Act = Send | Reclaim | Restrain


def action_of(act: Act) -> Action:
    """Its word."""
    match act:
        case Send():
            return Action.SIGNAL
        case Reclaim():
            return Action.RECLAIM
        case Restrain():
            return act.action
    assert_never(act)
