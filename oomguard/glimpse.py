"""Whether calm has lasted since the last poll, by as little as tells: a glimpse. Pure.

A poll that finds calm says what would have to change for the next one to find anything else: somebody has
waited for memory, or another amount of it is left. As long as neither is so, a glimpse at both does in place
of a poll, and what the gauge would have been told meanwhile the next poll makes up for (`sampler`).
"""

from __future__ import annotations

from oomguard.forecast import SPAN
from oomguard.frozen import frozen
from oomguard.gauge import ARMING_FACTOR, pause, rest
from oomguard.meminfo import Room
from oomguard.pressure import Assessment, Level, Sample
from oomguard.psi import Pressure
from oomguard.units import Bytes, Seconds

AT_MOST = Seconds(10.0)
"""Between two polls: figures that are shown are no older, and who has come is met."""
STEADY = 1 / 64
"""Another amount is left once it has changed by this share. From one look to the next, at least `SPAN` later,
it falls by two of these at most: a pace at which the rest lasts for 15 s; the gauge arms at 10 where kills
take longest. And no figure of memory that is shown is wrong by more."""


@frozen
class Glimpse:
    """What was seen."""

    at: Seconds
    room: Room
    pressure: Pressure | None


@frozen
class Lull:
    """Calm as a poll has found it."""

    least: Room
    most: Room
    """What is left is between these."""
    pressure: Pressure
    limit: Bytes
    """Of available memory."""
    pause: Seconds
    """From that poll to whatever came next."""
    until: Seconds

    def lasts(self, seen: Glimpse) -> bool:
        """Whether a poll would find calm as well, and nothing else is due."""
        room, least, most = seen.room, self.least, self.most
        return (
            seen.at < self.until
            and least.available <= room.available <= most.available
            and least.swap_free <= room.swap_free <= most.swap_free
            and seen.pressure == self.pressure
        )

    def rest(self, seen: Glimpse) -> Seconds:
        """How long the loop may sleep now: by the distance to the limit, and no longer than before."""
        return min(rest(seen.room.available - self.limit, self.pause), self.pause)


def lull(sample: Sample, host: Assessment, longest: Seconds) -> Lull | None:
    """What a glimpse goes by after this poll, and a pause of `longest` at the most; None where none tells.

    That is so near a limit, or where looks are so dense that more than two of them tell a pace; where stalls
    are told by what reclaim did alone; and where promises are bounded, which are made at no pace at all.
    """
    figures, memory = host.figures, sample.memory
    near = ARMING_FACTOR * figures.available_limit
    slept = pause(host, longest)
    is_far = memory.available > near and slept >= SPAN and not figures.commit_limit
    if host.level is not Level.CALM or not is_far or sample.pressure is None:
        return None
    available, swap_free = (int(amount * STEADY) for amount in (memory.available, memory.swap_free))
    return Lull(
        least=Room(
            available=Bytes(max(near + 1, memory.available - available)),
            swap_free=Bytes(memory.swap_free - swap_free),
        ),
        most=Room(
            available=Bytes(memory.available + available), swap_free=Bytes(memory.swap_free + swap_free)
        ),
        pressure=sample.pressure,
        limit=figures.available_limit,
        pause=slept,
        until=Seconds(sample.at + AT_MOST),
    )
