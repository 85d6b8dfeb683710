"""States that come and go, each told when it begins, and once it is over for good. Pure."""

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
