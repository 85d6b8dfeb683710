"""What the guard does for the bystanders of a kill on the host: when the brake is held, and that it is told.

Not in dry run, where no victim's memory comes back; not for the kill in a control group, whose memory is not
the host's. Events are left in `events`, as in `hunt`.
"""

from __future__ import annotations

from oomguard import account
from oomguard.brake import LASTS, Brake
from oomguard.event import Event, Mode
from oomguard.orders import Found
from oomguard.pressure import Assessment, Sample
from oomguard.remedy import Action, AfterKill


class Aftermath:
    """Follows the kills on the host, under one configuration after the other."""

    def __init__(self, brake: Brake, after_kill: AfterKill, mode: Mode) -> None:
        self.events: list[Event] = []
        self._brake = brake
        self._was_ending = False
        self.reconfigure(after_kill, mode)

    def reconfigure(self, after_kill: AfterKill, mode: Mode) -> None:
        """For the kills to come; what is held is let go in time."""
        self._is_wanted = mode is Mode.ENFORCE and after_kill is AfterKill.HOLD

    def recover(self) -> None:
        """Undo what a guard that has died left held, and tell of it. Raises `OSError`."""
        left = (Found(action=Action.HOLD_SWAP, cgroup=group) for group in self._brake.recover())
        self.events += map(account.left_behind, left)

    def follow(self, sample: Sample, host: Assessment, *, ending: bool) -> None:
        """For each poll; `ending`: whether somebody is on the way out for the sake of the host.

        A victim's memory may be there in the very poll in which he is no longer on the way.
        """
        self._brake.tend(sample, host)
        if self._was_ending and self._is_wanted:
            result = self._brake.hold(sample, host)
            if result is not None:
                self.events.append(account.swap_held(result, LASTS, host))
        if not ending:
            self._brake.ready()
        self._was_ending = ending

    @property
    def is_on(self) -> bool:
        """Whether anything is held now, and to be let go as soon as memory is short."""
        return self._brake.is_on

    def lift(self) -> None:
        """Let go; what could not be let go of is tried again by the next call."""
        self._brake.lift()
