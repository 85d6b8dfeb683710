"""What is counted: a fixed table of families, every combination of their label values present from the start.

Pure. An event says itself what it counts for (`counts`, `observations`), so the counters and the told
events cannot disagree, and nothing that a dry run does counts as a kill.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from enum import StrEnum
from itertools import product
from typing import assert_never

from oomguard.episode import Outcome, Sent
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
from oomguard.frozen import frozen, positional
from oomguard.plan import HoldReason
from oomguard.pressure import Reason
from oomguard.remedy import Action, Result
from oomguard.storm import Response
from oomguard.units import Seconds


class Reload(StrEnum):
    """What became of a new configuration."""

    ACCEPTED = "accepted"
    REFUSED = "refused"


@positional
class Counter:
    """One number that only grows: a family's name and a value for each of its labels."""

    family: str
    labels: tuple[str, ...] = ()


@positional
class Family:
    """Counters of one name, one for each combination of label values."""

    name: str
    help: str
    labels: tuple[tuple[str, type[StrEnum]], ...] = ()

    def counters(self) -> tuple[Counter, ...]:
        """All of them."""
        return tuple(Counter(self.name, values) for values in product(*(kind for _, kind in self.labels)))


@positional
class Histogram:
    """Durations, counted by the first bound that they do not exceed; the last bucket has no bound."""

    name: str
    help: str
    bounds: tuple[Seconds, ...]

    @property
    def cells(self) -> int:
        """How many cells it has in the record."""
        return len(self.bounds) + 2

    def bucket(self, duration: Seconds) -> int:
        """The index of the bucket that `duration` falls into."""
        return bisect_left(self.bounds, duration)


@frozen
class Distribution:
    """What a histogram has counted."""

    histogram: Histogram
    counts: tuple[int, ...]
    """For each bound, then for what lies above them; not cumulative."""
    sum: Seconds


def _bounds(*values: float) -> tuple[Seconds, ...]:
    return tuple(Seconds(value) for value in values)


POLLS = Counter("polls")
POLL_OVERRUNS = Counter("poll_overruns")
EPISODES = Counter("episodes")
EVENTS_DROPPED = Counter("events_dropped")
KERNEL_KILLS = Counter("kernel_kills")
"""At once, while they are told in sums."""
FAILURES = Counter("failures")

REACTION = Histogram(
    "reaction_seconds",
    "From the start of the sample that crossed a limit to the signal.",
    _bounds(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1),
)
EXIT = Histogram(
    "exit_seconds",
    "From the first signal to the exit of the victim.",
    _bounds(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
HISTOGRAMS = (REACTION, EXIT)

FAMILIES = (
    Family("polls", "Looks at memory: polls, and the glimpses that do in place of most polls in calm."),
    Family("poll_overruns", "Polls that took longer than the pause that was planned before them."),
    Family("episodes", "Episodes begun, those that a dry run only plays through included."),
    Family(
        "kills",
        "Signals sent to victims, by the first reason. A victim that ignores term is counted again at kill.",
        (("reason", Reason), ("signal", Sent)),
    ),
    Family(
        "would_kills",
        "Signals that a dry run would have sent to victims, by the first reason.",
        (("reason", Reason), ("signal", Sent)),
    ),
    Family("outcomes", "Victims by how it ended for them.", (("outcome", Outcome),)),
    Family("holds", "Limits crossed with nobody killed, once for each change.", (("reason", HoldReason),)),
    Family(
        "storms",
        "Times that the same unit was found killed again and again, by what was done about it.",
        (("action", Response),),
    ),
    Family(
        "reliefs",
        "What was tried that is softer than a kill, by what came of it.",
        (("action", Action), ("result", Result)),
    ),
    Family("would_reliefs", "What a dry run would have tried.", (("action", Action),)),
    Family(
        "relief_gained_bytes",
        "Memory that became available from such an act to its end; what others did meanwhile is in it.",
        (("action", Action),),
    ),
    Family("memory_freed_bytes", "Memory that came back between the signals to victims and their ends."),
    Family("kernel_kills", "Kills by the kernel's own out-of-memory killer, in memory cgroups too."),
    Family("events_dropped", "Events that could not be told to the journal."),
    Family("config_reloads", "Reloads of the configuration.", (("result", Reload),)),
    Family("degraded", "Times that something the guard uses was found missing on this host."),
    Family("failures", "Unexpected errors inside the guard: each is a bug to report, and told once."),
    Family(
        "fallbacks",
        "Times that the guard's own decisions failed one after the other, so that the fallback decided.",
    ),
)

COUNTERS = tuple(counter for family in FAMILIES for counter in family.counters())
CELLS = {counter: cell for cell, counter in enumerate(COUNTERS)}
"""Where each counter has its cell in the table of the record."""

BUCKETS = {REACTION: len(COUNTERS), EXIT: len(COUNTERS) + REACTION.cells}
"""Where each histogram has its first cell: its buckets, then the sum in microseconds."""

TABLE_SIZE = len(COUNTERS) + sum(histogram.cells for histogram in HISTOGRAMS)
"""How many cells the table has."""


def counts(event: Event) -> tuple[tuple[Counter, int], ...]:  # noqa: C901, PLR0911, PLR0912  # a closed union
    """What `event` adds to which counters."""
    match event:
        case Killing(mode=Mode.ENFORCE, reasons=(reason, *_)):
            return ((Counter("kills", (reason, event.sent)), 1),)
        case Killing(mode=Mode.DRY_RUN, reasons=(reason, *_)):
            return ((Counter("would_kills", (reason, event.sent)), 1),)
        case Ended(mode=Mode.ENFORCE):
            freed = max(0, event.freed) if event.outcome in _DEAD else 0
            return (Counter("outcomes", (event.outcome,)), 1), (Counter("memory_freed_bytes"), freed)
        case Holding():
            return ((Counter("holds", (event.why,)), 1),)
        case Storming(mode=Mode.ENFORCE):
            return ((Counter("storms", (event.action,)), 1),)
        case Relieving(result=result):
            if result is None:
                return ((Counter("would_reliefs", (event.action,)), 1),)
            return ((Counter("reliefs", (event.action, result)), 1),)
        case Relieved():
            return ((Counter("relief_gained_bytes", (event.action,)), max(0, event.gained)),)
        case LifecycleChanged(what=Lifecycle.RELOADED):
            return ((Counter("config_reloads", (Reload.ACCEPTED,)), 1),)
        case LifecycleChanged(what=Lifecycle.RELOAD_REFUSED):
            return ((Counter("config_reloads", (Reload.REFUSED,)), 1),)
        case Degraded():
            return ((Counter("degraded"), 1),)
        case LifecycleChanged(what=Lifecycle.FELL_BACK):
            return ((Counter("fallbacks"), 1),)
        case Failed():
            # Each is counted when it happens (`failsafe`).
            return ()
        case Killing() | Ended() | Storming() | PhaseChanged() | KernelKilled() | LifecycleChanged():
            return ()
        case _:
            assert_never(event)


def observations(event: Event) -> tuple[tuple[Histogram, Seconds], ...]:
    """What `event` adds to which histograms."""
    match event:
        case Killing(mode=Mode.ENFORCE):
            return ((REACTION, event.reaction),)
        case Ended(mode=Mode.ENFORCE) if event.outcome in _DEAD:
            return ((EXIT, event.took),)
        case _:
            return ()


_DEAD = frozenset((Outcome.RECOVERED, Outcome.NOT_ENOUGH))

_MICROSECOND = 1e-6


def additions(event: Event) -> Iterator[tuple[int, int]]:
    """What to add to which cells of the table for `event`."""
    for counter, n in counts(event):
        yield CELLS[counter], n
    for histogram, duration in observations(event):
        start = BUCKETS[histogram]
        yield start + histogram.bucket(duration), 1
        yield start + len(histogram.bounds) + 1, round(max(0.0, duration) / _MICROSECOND)


def tallied(cells: Sequence[int]) -> dict[Counter, int]:
    """Every counter of the table `cells`, in the order of `FAMILIES`."""
    return {counter: cells[cell] for counter, cell in CELLS.items()}


def distributions(cells: Sequence[int]) -> tuple[Distribution, ...]:
    """Every histogram of the table `cells`."""
    return tuple(
        Distribution(
            histogram=histogram,
            counts=tuple(cells[start : start + len(histogram.bounds) + 1]),
            sum=Seconds(cells[start + len(histogram.bounds) + 1] * _MICROSECOND),
        )
        for histogram, start in BUCKETS.items()
    )
