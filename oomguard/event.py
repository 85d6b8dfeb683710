"""What there is to tell: a closed union of frozen values, each with its words for the record.

The guard writes them into the record once a decision is made and carried out; the journal, the
metrics and `status` read them there. Names in them are as their owners chose them, so whoever shows
one passes it through `names.printable`.
"""

from __future__ import annotations

from enum import StrEnum

from oomguard.badness import Policy
from oomguard.episode import Outcome, Sent
from oomguard.frozen import frozen
from oomguard.holders import Held
from oomguard.plan import HoldReason
from oomguard.pressure import Figures, Level, Phase, Reason
from oomguard.ranking import Spared
from oomguard.remedy import Action, Ending, Result
from oomguard.rules import Scope, Signal, Standing
from oomguard.storm import Obstacle, Response
from oomguard.units import Bytes, Pid, Points, Seconds, Ticks


class Mode(StrEnum):
    """Whether the guard kills, or only says what it would have done."""

    ENFORCE = "enforce"
    DRY_RUN = "dry-run"


@frozen
class Person:
    """A process as a decision names it."""

    pid: Pid
    starttime: Ticks
    comm: str
    unit: str | None
    uid: int
    rss: Bytes
    swap: Bytes
    points: Points
    oom_score_adj: int
    standing: Standing
    rules: tuple[str, ...]


@frozen
class Killing:
    """A victim was signalled; in dry run, it would have been."""

    mode: Mode
    reasons: tuple[Reason, ...]
    level: Level
    policy: Policy
    scope: Scope
    sent: Sent
    victim: Person
    members: int
    """How many processes the scope took, the victim included."""
    runners_up: tuple[Person, ...]
    kernel_choice: Person | None
    """Whom the kernel would have picked."""
    figures: Figures
    reaction: Seconds
    """From the start of the sample that crossed the limit to the signal."""


@frozen
class Ended:
    """How it ended for a victim, and what came of it."""

    mode: Mode
    outcome: Outcome
    victim: Person
    freed: Bytes
    """How much more was available than at the signal; may be negative."""
    took: Seconds
    """From the first signal to the exit, or to when it was given up."""


@frozen
class Holding:
    """A limit is crossed and nobody is killed: told once for each change."""

    reasons: tuple[Reason, ...]
    level: Level
    why: HoldReason
    spared: tuple[tuple[Spared, int], ...]
    """How many processes were spared for which reason."""
    biggest: tuple[Person, ...]
    """The worst of those that were spared."""
    held: Held
    """Who holds the memory: the largest of them."""
    figures: Figures


@frozen
class Storming:
    """What died was started again and died again, and so on: told once in each `within`.

    Who it was, in the first of these that there is: its unit, its control group, its user and parent.
    """

    mode: Mode
    action: Response
    """What is done about it; in dry run, what would be."""
    obstacle: Obstacle | None
    """Why it is left alone, where its unit was to be stopped."""
    unit: str | None
    cgroup: str | None
    parent: Pid | None
    comm: str
    """Of the latest victim, as is `uid`."""
    uid: int
    kills: int
    within: Seconds


@frozen
class Relieving:
    """Something softer than a kill was tried; in dry run, it would have been."""

    mode: Mode
    action: Action
    result: Result | None
    """None in dry run."""
    cgroup: str | None
    """None for a signal."""
    process: Person | None
    """Who gets the signal."""
    signal: Signal | None
    amount: Bytes
    """Reclaimed (in dry run: to be reclaimed), or what the group is held to; else 0."""
    lasts: Seconds
    """How long at the most; 0 for what needs no undoing."""
    figures: Figures


@frozen
class Relieved:
    """What it brought, told once it is undone, or has had time to show."""

    action: Action
    ending: Ending
    cgroup: str | None
    process: Person | None
    gained: Bytes
    """How much more memory is available; may be negative."""
    stalled_before: float
    """The share of the time that the host stalled in full, in the seconds before it."""
    stalled_after: float
    """And since it was begun."""
    took: Seconds
    """Since it was begun; 0 for what a dead guard left behind, and so are the others then."""


@frozen
class PhaseChanged:
    """The loop went from one phase to another; not each change is told (`phase.Headlines`)."""

    before: Phase
    after: Phase
    reasons: tuple[Reason, ...]
    likely: Person | None
    """Who would die next, where a limit is near."""
    figures: Figures


@frozen
class KernelKilled:
    """The kernel's own killer was faster, or a memory cgroup hit its limit; told in sums (`spell.Toll`)."""

    kills: int
    """Since this was last told."""


class Lifecycle(StrEnum):
    """What the guard itself went through."""

    STARTED = "started"
    RELOADING = "reloading"
    RELOADED = "reloaded"
    RELOAD_REFUSED = "reload_refused"
    STOPPING = "stopping"
    FELL_BACK = "fell_back"
    RESUMED = "resumed"


@frozen
class LifecycleChanged:
    """The guard started, reloaded or stops; `text` says with what."""

    what: Lifecycle
    text: str


@frozen
class Degraded:
    """Something is missing on this host: `text` says what, and what it costs."""

    text: str


@frozen
class Failed:
    """An unexpected error inside the guard: it goes on, and this is a bug to report."""

    text: str


Event = (
    Killing
    | Ended
    | Holding
    | Storming
    | Relieving
    | Relieved
    | PhaseChanged
    | KernelKilled
    | LifecycleChanged
    | Degraded
    | Failed
)
