"""What a process has gained: within seconds, and over minutes as far as it still gains. Pure."""

from __future__ import annotations

from oomguard.frozen import mutable
from oomguard.units import Pages, Seconds

SHORT = Seconds(10.0)
LONG = Seconds(600.0)
PACE = int(LONG / SHORT)
HABIT = 6
"""What was gained over minutes counts so many times less than what was gained within seconds: most programs
gain all that they hold in the minutes after their start, and little of it in the last seconds of these."""


@mutable
class _Span:
    """What was held at two instants, so that there is always one from half the span to the whole span ago.

    Where notes come seldom, the older one is as old as the note before the last.
    """

    length: Seconds
    older: Pages
    newer: Pages
    newer_at: Seconds

    def note(self, at: Seconds, held: Pages) -> None:
        if at - self.newer_at >= self.length / 2:
            self.older, self.newer, self.newer_at = self.newer, held, at

    def gained(self, held: Pages) -> int:
        return held - self.older


class Past:
    """What one process held within the last seconds and the last minutes. All times are on one clock."""

    __slots__ = ("_long", "_short", "settles_at")

    def __init__(self, born: Seconds, at: Seconds, held: Pages) -> None:
        """Who was born within a span has gained all that it holds; of who is older nothing is known yet."""
        self.settles_at = Seconds(born + SHORT)
        """Until it is noted after this, all that it holds counts as gained within seconds."""
        self._short = _begun(SHORT, born, at, held)
        self._long = _begun(LONG, born, at, held)

    def note(self, at: Seconds, held: Pages) -> None:
        """What it holds now, swap included; the times of two notes never fall."""
        self._short.note(at, held)
        self._long.note(at, held)

    def growth(self, held: Pages) -> Pages:
        """What it has gained, now that it holds `held`; never negative, and never more than that.

        What it gained within seconds; or a share of what it gained over minutes, as far as it would have at
        the pace of these seconds: somebody who filled up minutes ago, and is steady since, counts nothing.
        """
        lately = max(self._short.gained(held), 0)
        return Pages(max(lately, min(self._long.gained(held), lately * PACE) // HABIT))


def _begun(length: Seconds, born: Seconds, at: Seconds, held: Pages) -> _Span:
    if at - born >= length:
        return _Span(length=length, older=held, newer=held, newer_at=at)
    span = _Span(length=length, older=Pages(0), newer=Pages(0), newer_at=born)
    span.note(at, held)
    return span
