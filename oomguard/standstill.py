"""Holds that are news: told once for each change; going to and fro between the same few is none. Pure."""

from __future__ import annotations

from oomguard.plan import Hold, HoldReason, Kill
from oomguard.pressure import Assessment, Reason
from oomguard.spell import Spell
from oomguard.units import Seconds

_What = tuple[str | None, HoldReason, tuple[Reason, ...]]
"""The control group that somebody would be killed in, None for the host; why nobody is; what is crossed."""


class Standstills:
    """The Holds of late, each with how long it has been told of."""

    def __init__(self) -> None:
        self._spells: dict[_What, Spell] = {}

    def __len__(self) -> int:
        """How many are remembered."""
        return len(self._spells)

    def is_news(self, hold: Hold, at: Seconds) -> bool:
        """Whether this Hold, made at `at`, is to be told."""
        what = (path(hold.assessment), hold.why, hold.assessment.reasons)
        if what not in self._spells:
            # Groups come and go.
            self._spells = {each: spell for each, spell in self._spells.items() if not spell.is_forgotten(at)}
            self._spells[what] = Spell()
        return self._spells[what].seen(at)

    def end(self, kill: Kill) -> None:
        """A kill makes the same Hold news again: one of the host what is held anywhere."""
        group = path(kill.assessment)
        if group is None:
            self._spells.clear()
        else:
            self._spells = {what: spell for what, spell in self._spells.items() if what[0] != group}


def path(assessment: Assessment) -> str | None:
    """Of the control group that it is about; None: the whole host."""
    group = assessment.figures.group
    return None if group is None else group.path
