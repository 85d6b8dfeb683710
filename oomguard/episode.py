"""One episode: from the first signal to the memory that came back, or did not. Pure.

    asked ──gone──────────────► settling ──► finished
      │ grace is over             ▲
      ▼                           │
    killed ──gone, or released────┘
      └─ patience is over ──► finished (hung)

Patience begins anew with each sign that the dying goes on, up to `MOST_PATIENCE`: where a disk has seconds of
swapping to write, all the dying wait for it, and so would the next victim.

Where nobody looked for longer than patience lasts, the machine itself stood still, as a virtual one may while
its clocks go on, and who is dying had no time for it either: once, that time does not count.

One victim is in flight at a time. TERM first, unless the headroom is gone; KILL once the grace is over,
which shrinks with the headroom and is never given back; then wait for the memory before looking again.
"""

from __future__ import annotations

from enum import StrEnum
from typing import assert_never

from oomguard.frozen import frozen, positional, replace
from oomguard.pressure import Level
from oomguard.units import Bytes, Pages, Seconds

PATIENCE = Seconds(2.0)
"""Who has not ended this long after KILL, or after the last sign of dying, hangs, and is passed over."""
MOST_PATIENCE = Seconds(8.0)
"""And this long after KILL whatever the signs: what a burst sends to a slow disk is written by then."""
SETTLING = Seconds(1.0)
"""Memory that has not come back this long after the exit is not coming."""
STILL = Seconds(0.1)
"""Memory that has not grown for this long after the exit has come back as far as it will."""


class Sent(StrEnum):
    """What was done to a victim."""

    TERM = "term"
    KILL = "kill"


class Outcome(StrEnum):
    """How an episode ended for its victim."""

    RECOVERED = "recovered"
    """It died, and no limit is crossed any more."""
    NOT_ENOUGH = "not_enough"
    """It died, and the limit is still crossed."""
    HUNG = "hung"
    """It did not die in time, and was passed over."""
    REFUSED = "refused"
    """It could not be signalled."""
    VANISHED = "vanished"
    """It was gone before the signal."""
    RECEDED = "receded"
    """Memory came back by itself while it was asked to end."""


class Stage(StrEnum):
    """How far the episode is."""

    ASKED = "asked"
    KILLED = "killed"
    SETTLING = "settling"


@frozen
class Seen:
    """What the loop sees while the victim is in flight."""

    at: Seconds
    left: int
    """Members of the victim's scope that have not exited."""
    moved: Pages
    """What swap's disks have written and read since boot."""
    level: Level
    headroom: float
    free: Bytes
    """Available memory and free swap together."""


@frozen
class Episode:
    """The state of one episode; `begin` makes it, `advance` moves it on."""

    stage: Stage
    began: Seconds
    deadline: Seconds
    """When this stage is over at the latest."""
    killed: Seconds | None
    """When SIGKILL was sent."""
    left: int
    """The fewest members that were left, and the most that swap's disks had moved."""
    moved: Pages
    exited: Seconds | None
    free_before: Bytes
    best: Bytes
    """The most that was free since the exit, and when it last grew: memory comes back in steps."""
    best_at: Seconds
    looked: Seconds
    """When it was last looked at."""
    stood_still: bool
    """A gap was made up for already: a guard that is late again and again must give up some time."""


@positional
class Signal:
    """Send this to the victim and its scope; after KILL, have its memory released at once."""

    sent: Sent


@positional
class WaitUntil:
    """Nothing to do before then, unless the victim exits."""

    at: Seconds


@frozen
class Finish:
    """The episode is over."""

    outcome: Outcome
    freed: Bytes
    took: Seconds


Action = Signal | WaitUntil | Finish


def begin(seen: Seen, grace: Seconds) -> tuple[Episode, Signal]:
    """A new episode and its first signal: KILL at once where there is no headroom to ask in."""
    episode = Episode(
        stage=Stage.ASKED,
        began=seen.at,
        deadline=Seconds(seen.at + grace * seen.headroom),
        killed=None,
        left=seen.left,
        moved=seen.moved,
        exited=None,
        free_before=seen.free,
        best=seen.free,
        best_at=seen.at,
        looked=seen.at,
        stood_still=False,
    )
    if seen.level is Level.KILL:
        return _killed(episode, seen), Signal(Sent.KILL)
    return episode, Signal(Sent.TERM)


def advance(episode: Episode, seen: Seen, grace: Seconds) -> tuple[Episode, Action]:
    """The next state, and what to do now."""
    episode = _looked_at(episode, seen)
    match episode.stage:
        case Stage.ASKED:
            return _asked(episode, seen, grace)
        case Stage.KILLED:
            return _after_kill(episode, seen)
        case Stage.SETTLING:
            return _settling(episode, seen)
        case _:
            assert_never(episode.stage)


def finish(episode: Episode, seen: Seen, outcome: Outcome) -> Finish:
    """The end of an episode, by `advance` or because its victim cannot be followed any further."""
    until = seen.at if episode.exited is None else episode.exited
    return Finish(
        outcome=outcome,
        freed=Bytes(seen.free - episode.free_before),
        took=Seconds(until - episode.began),
    )


def _looked_at(episode: Episode, seen: Seen) -> Episode:
    gap = seen.at - episode.looked
    episode = replace(episode, looked=seen.at)
    # Who was only asked to end is still the one to end, gap or not.
    if gap <= PATIENCE or episode.stood_still or episode.stage is Stage.ASKED:
        return episode
    return replace(
        episode,
        stood_still=True,
        deadline=Seconds(episode.deadline + gap),
        killed=None if episode.killed is None else Seconds(episode.killed + gap),
        best_at=Seconds(episode.best_at + gap),
    )


def _asked(episode: Episode, seen: Seen, grace: Seconds) -> tuple[Episode, Action]:
    if not seen.left:
        return _settling(_exited(episode, seen), seen)
    deadline = min(episode.deadline, Seconds(episode.began + grace * seen.headroom))
    episode = replace(episode, deadline=deadline)
    if seen.level is Level.KILL:
        return _killed(episode, seen), Signal(Sent.KILL)
    if seen.at < deadline:
        return episode, WaitUntil(deadline)
    if _is_crossed(seen.level):
        return _killed(episode, seen), Signal(Sent.KILL)
    return episode, finish(episode, seen, Outcome.RECEDED)


def _after_kill(episode: Episode, seen: Seen) -> tuple[Episode, Action]:
    if not seen.left:
        return _settling(_exited(episode, seen), seen)
    episode = _waited_for(episode, seen)
    if seen.at < episode.deadline:
        return episode, WaitUntil(episode.deadline)
    if _is_crossed(seen.level):
        return episode, finish(episode, seen, Outcome.HUNG)
    return episode, finish(episode, seen, Outcome.RECOVERED)


def _settling(episode: Episode, seen: Seen) -> tuple[Episode, Action]:
    if not _is_crossed(seen.level):
        return episode, finish(episode, seen, Outcome.RECOVERED)
    if seen.free > episode.best:
        episode = replace(episode, best=seen.free, best_at=seen.at)
    until = min(episode.deadline, Seconds(episode.best_at + STILL))
    if seen.at < until:
        return episode, WaitUntil(until)
    return episode, finish(episode, seen, Outcome.NOT_ENOUGH)


def _killed(episode: Episode, seen: Seen) -> Episode:
    return replace(
        episode,
        stage=Stage.KILLED,
        killed=seen.at,
        deadline=Seconds(seen.at + PATIENCE),
        left=seen.left,
        moved=seen.moved,
    )


def _waited_for(episode: Episode, seen: Seen) -> Episode:
    """For longer, where there is a sign that the dying goes on."""
    if episode.killed is None or not (seen.left < episode.left or seen.moved > episode.moved):
        return episode
    return replace(
        episode,
        deadline=Seconds(min(seen.at, episode.killed + MOST_PATIENCE - PATIENCE) + PATIENCE),
        left=min(seen.left, episode.left),
        moved=max(seen.moved, episode.moved),
    )


def _exited(episode: Episode, seen: Seen) -> Episode:
    return replace(
        episode,
        stage=Stage.SETTLING,
        deadline=Seconds(seen.at + SETTLING),
        exited=seen.at,
        best=seen.free,
        best_at=seen.at,
    )


def _is_crossed(level: Level) -> bool:
    return level in (Level.TERM, Level.KILL)
