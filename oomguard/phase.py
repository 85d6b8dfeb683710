"""The phases of the loop: calm, armed, acting, recovering. Pure.

calm ──a limit is near──► armed ──an episode begins──► acting
 ▲                          ▲  ▲                         │
 │      5 s with none near  │  └──a second after── recovering ◄──it ends
 └──────────────────────────┘
"""

from __future__ import annotations

from oomguard.pressure import Level, Phase
from oomguard.spell import Spell
from oomguard.units import Seconds

CALM_AFTER = Seconds(5.0)
"""How long no limit must have been near before the loop counts as calm again."""
RECOVERY = Seconds(1.0)
"""How long the figures have to settle after an episode."""


class Phases:
    """Remembers when a limit was last near, and when the last episode ended."""

    def __init__(self) -> None:
        self.now = Phase.CALM
        self._armed_until = Seconds(0.0)
        self._recovering_until = Seconds(0.0)

    def advance(self, at: Seconds, level: Level, *, acting: bool) -> Phase:
        """The phase at `at`; `acting`: an episode is on."""
        if self.now is Phase.ACTING and not acting:
            self._recovering_until = Seconds(at + RECOVERY)
        if acting or level is not Level.CALM:
            self._armed_until = Seconds(at + CALM_AFTER)
        if acting:
            self.now = Phase.ACTING
        elif at < self._recovering_until:
            self.now = Phase.RECOVERING
        elif at < self._armed_until:
            self.now = Phase.ARMED
        else:
            self.now = Phase.CALM
        return self.now


class Headlines:
    """Which changes of the phase are worth telling: that a limit is near, and that all is well again.

    Of what is between them, the kills and their ends are told anyhow.
    """

    def __init__(self) -> None:
        self._spell = Spell()
        self._is_on = False

    def change(self, at: Seconds, now: Phase) -> tuple[Phase, Phase] | None:
        """What to tell of the phase at `at`: it went from what to what."""
        if now is Phase.CALM:
            if not self._is_on or self._spell.lasts(at):
                return None
            self._is_on = False
            return Phase.ARMED, Phase.CALM
        self._is_on = True
        is_news = self._spell.seen(at)
        return (Phase.CALM, Phase.ARMED) if is_news and now is Phase.ARMED else None
