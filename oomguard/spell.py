"""What comes and goes, or comes again and again: told at once, and then ever more rarely. Pure."""

from __future__ import annotations

from math import inf

from oomguard.units import Seconds

SHORTEST = Seconds(60.0)
"""A state that comes back sooner has not been away."""
LONGEST = Seconds(3600.0)
"""Nothing is told anew more rarely, while it lasts; and away for so long, it is forgotten."""


class Spell:
    """One such state: in any hour it begins seven times at most, however it flickers.

    It is over once it has been away for a minute, and for twice as long with each time that it comes back
    within an hour.
    """

    __slots__ = ("_patience", "_seen", "_told")

    def __init__(self) -> None:
        self._patience = SHORTEST
        self._seen = Seconds(-inf)
        self._told = Seconds(-inf)

    def seen(self, at: Seconds) -> bool:
        """It is so at `at`; gives whether that is news: it begins, or an hour has passed since it was."""
        begins = not self.lasts(at)
        if begins:
            soon = at - self._seen < LONGEST
            self._patience = min(Seconds(2 * self._patience), LONGEST) if soon else SHORTEST
        self._seen = at
        if not begins and at - self._told < LONGEST:
            return False
        self._told = at
        return True

    def lasts(self, at: Seconds) -> bool:
        """It is not over yet."""
        return at - self._seen < self._patience

    def is_forgotten(self, at: Seconds) -> bool:
        """It has been away for so long that it is as if it had never been."""
        return at - self._seen >= LONGEST


class Toll:
    """How often something happened: told at once, then in sums, so that in any hour there are six at most.

    What comes after a sum waits for a minute, after the next for two, and so on up to an hour. Once an hour
    has passed since a sum, and nothing has happened, it begins anew.
    """

    __slots__ = ("_patience", "_told", "_untold")

    def __init__(self) -> None:
        self._patience = SHORTEST
        self._told = Seconds(-inf)
        self._untold = 0

    def note(self, at: Seconds, more: int) -> int:
        """So many `more` by `at`; gives how many there are to tell now, 0 for none."""
        since = Seconds(at - self._told)
        is_quiet = not self._untold and since >= LONGEST
        self._untold += more
        if not self._untold or since < self._patience:
            return 0
        self._patience = SHORTEST if is_quiet else min(Seconds(2 * self._patience), LONGEST)
        self._told = at
        told, self._untold = self._untold, 0
        return told
