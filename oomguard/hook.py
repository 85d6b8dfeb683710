"""[[hook]]: a command that is run when something happens, and what can happen. Pure.

`hooks` runs them; the guard never does, and only checks that they are well written.
"""

from __future__ import annotations

from enum import StrEnum
from typing import assert_never

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
from oomguard.frozen import frozen
from oomguard.names import DIGITS, LETTERS, quoted
from oomguard.pressure import Phase
from oomguard.table import Table, take_name, word
from oomguard.units import Seconds, parse_duration, spell_duration

MOST_HOOKS = 8
"""Each may have a process of its own while memory is short."""
MOST_WORDS = 64
"""Of a command."""
DEFAULT_TIMEOUT = Seconds(10.0)

_SHORTEST, _LONGEST = 0.1, 600.0
_USER = LETTERS | DIGITS | frozenset("_.-")
_LONGEST_USER = 32


class Occasion(StrEnum):
    """What a hook can be run on."""

    NEAR = "near"
    """A limit is near: as long before the first signal as the headroom lasts."""
    CALM = "calm"
    """None is near any more, and that has lasted for a while."""
    KILL = "kill"
    """A victim was signalled."""
    WOULD_KILL = "would-kill"
    """In dry run it would have been."""
    RELIEF = "relief"
    """Something softer than a kill was tried, or what it brought is known."""
    OUTCOME = "outcome"
    """How it ended for a victim."""
    HOLD = "hold"
    """A limit is crossed and nobody is killed."""
    STORM = "storm"
    """What was killed comes back and is killed again."""
    KERNEL_KILL = "kernel-kill"
    """The kernel's own killer was at work."""
    PROBLEM = "problem"
    """Something is wrong with the guard itself, with its configuration, or missing on the host."""


@frozen
class Hook:
    """One command."""

    name: str
    command: tuple[str, ...]
    """The program, by its absolute path, and its arguments; no shell looks at them."""
    on: tuple[Occasion, ...]
    timeout: Seconds
    user: str | None
    """Whom it runs as; None: as whom `oomguard hooks` does."""


def occasion(event: Event) -> Occasion | None:  # noqa: C901, PLR0911  # a closed union
    """What `event` is an occasion for. A dry run has no kill, outcome, storm or relief."""
    match event:
        case Killing(mode=Mode.ENFORCE):
            return Occasion.KILL
        case Killing(mode=Mode.DRY_RUN):
            return Occasion.WOULD_KILL
        case Ended(mode=Mode.ENFORCE):
            return Occasion.OUTCOME
        case Relieving(mode=Mode.ENFORCE) | Relieved():
            return Occasion.RELIEF
        case Storming(mode=Mode.ENFORCE):
            return Occasion.STORM
        case Holding():
            return Occasion.HOLD
        case PhaseChanged(after=Phase.ARMED):
            return Occasion.NEAR
        case PhaseChanged(after=Phase.CALM):
            return Occasion.CALM
        case KernelKilled():
            return Occasion.KERNEL_KILL
        case Degraded() | Failed() | LifecycleChanged(what=Lifecycle.RELOAD_REFUSED):
            return Occasion.PROBLEM
        case Killing() | Ended() | Storming() | Relieving() | PhaseChanged() | LifecycleChanged():
            return None
    assert_never(event)


def parse(table: Table) -> Hook | None:
    """The hook that `table` describes, or None where it has problems, which are left in it."""
    name = table.take("name", take_name, None)
    command = table.take_texts("command", _argument)
    on = table.take_texts("on", word(Occasion))
    timeout = table.take("timeout", parse_duration, DEFAULT_TIMEOUT)
    user = table.take("user", _user, None)
    table.close()
    for key in ("name", "command", "on"):
        if not table.has(key):
            table.refuse("is missing", key)
    if table.has("command") and table.sound("command"):
        _refuse_command(table, command)
    if table.has("on") and table.sound("on") and not 0 < len(set(on)) == len(on):
        table.refuse(f"must name each occasion once, of {', '.join(Occasion)}", "on")
    if not _SHORTEST <= timeout <= _LONGEST:
        table.refuse(f"is {spell_duration(timeout)}; it must be between 100ms and 10min", "timeout")
    if table.problems or name is None:
        return None
    return Hook(name=name, command=command, on=on, timeout=timeout, user=user)


def _refuse_command(table: Table, command: tuple[str, ...]) -> None:
    if not command:
        table.refuse('is empty: write the program and its arguments, ["/path", "argument"]', "command")
    elif not command[0].startswith("/"):
        table.refuse(f"{quoted(command[0])} is not an absolute path, and no shell looks for it", "command")
    elif len(command) > MOST_WORDS:
        table.refuse(f"has {len(command)} words; at most {MOST_WORDS} may be", "command")


def _argument(text: str) -> str:
    if "\0" in text:
        raise ValueError(f"{quoted(text)} has a character that no argument can have")
    return text


def _user(text: str) -> str:
    # Nothing that a program could take for an option, or a path.
    if not (0 < len(text) <= _LONGEST_USER and _USER.issuperset(text)) or text[0] in ".-":
        raise ValueError(f"{quoted(text)} is not the name of a user")
    return text
