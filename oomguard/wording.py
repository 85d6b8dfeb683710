"""Events in plain words, one line each. Pure.

A name that a process gave itself appears only as `names.printable` shows it, so it can neither start a
new line nor end the quotes around it.
"""

from __future__ import annotations

from typing import assert_never

from oomguard import reliefwords
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
    Person,
    PhaseChanged,
    Relieved,
    Relieving,
    Storming,
)
from oomguard.holders import Held, Holder
from oomguard.names import printable
from oomguard.plan import HoldReason
from oomguard.pressure import Figures, GroupFigures, Phase, Reason, StallOf
from oomguard.state import State
from oomguard.storm import Obstacle, Response
from oomguard.units import KIB, MIB, Bytes, Seconds

OUTCOMES = {
    Outcome.RECOVERED: "ended, and no limit is crossed any more",
    Outcome.NOT_ENOUGH: "ended, and that was not enough",
    Outcome.HUNG: "did not end in time and is passed over",
    Outcome.REFUSED: "could not be signalled and is passed over",
    Outcome.VANISHED: "was gone before the signal",
    Outcome.RECEDED: "is let be, for memory came back by itself",
}

HOLDS = {
    HoldReason.ALL_PROTECTED: "everybody is protected, by the kernel's law or by the rules",
    HoldReason.UNRESOLVED: "those who are left may be protected by a name that could not be read yet",
    HoldReason.NOTHING_TO_GAIN: "nobody who is left holds enough memory for it to help",
    HoldReason.FUTILE: "killing does not help",
    HoldReason.CULPRIT_SPARED: "who takes the memory is spared, and the others hold too little of it",
    HoldReason.NOBODY_GROWS: "it is not those who may die that take it",
    HoldReason.BACKLOG: "the disk is writing what was swapped out, and no death shortens that",
}

HELD_ELSEWHERE = frozenset((HoldReason.NOTHING_TO_GAIN, HoldReason.FUTILE))
"""Where the question is what holds the memory instead."""

HOLDERS = {
    Holder.PROCESSES: "processes",
    Holder.KERNEL_STACKS: "kernel stacks",
    Holder.PAGE_TABLES: "page tables",
    Holder.SHARED_MEMORY: "tmpfs and shared memory",
    Holder.LOCKED_FILES: "ramfs and locked files",
    Holder.SLAB: "the kernel's slab",
    Holder.HUGEPAGES: "huge pages set aside",
    Holder.PERCPU: "the kernel's per-CPU memory",
    Holder.SOCKETS: "socket buffers",
    Holder.OTHER: "what /proc/meminfo does not name",
}

OBSTACLES = {
    Obstacle.NO_UNIT: "it has no unit that may be stopped",
    Obstacle.PROTECTED: "somebody in it may not die",
}

Mounts = tuple[tuple[str, Bytes], ...]
"""Where file systems are mounted, and how much they hold; the largest first."""

PHASES = {
    Phase.CALM: "Calm",
    Phase.ARMED: "Watching closely",
    Phase.ACTING: "Acting",
    Phase.RECOVERING: "Letting the figures settle",
    Phase.FALLBACK: "Errors of its own, so the fallback decides; these figures are old",
}

LIFECYCLE = {
    Lifecycle.STARTED: "Started",
    Lifecycle.RELOADING: "Reading the configuration again",
    Lifecycle.RELOADED: "The new configuration is in force",
    Lifecycle.RELOAD_REFUSED: "The new configuration is refused, the old one stays in force",
    Lifecycle.STOPPING: "Stopping",
    Lifecycle.FELL_BACK: "Errors of its own, so whom the kernel would pick is ended once memory is low",
    Lifecycle.RESUMED: "It decides in full again",
}


def sentence(event: Event) -> str:  # noqa: C901, PLR0911  # one return for each of a closed union
    """What happened and why, in one line."""
    match event:
        case Killing():
            return _killing(event)
        case Ended(mode=mode, outcome=outcome, victim=victim, freed=freed, took=took):
            dry = "In dry run: " if mode is Mode.DRY_RUN else ""
            change = f"{size(freed)} more" if freed >= 0 else f"{size(Bytes(-freed))} less"
            return f"{dry}{who(victim)} {OUTCOMES[outcome]}; {change} available after {took:.1f} s."
        case Holding(reasons=reasons, why=why, biggest=biggest, held=held, figures=figures):
            instead = f"; memory is held by {holders(held)}" if held and why in HELD_ELSEWHERE else ""
            spared = f" The biggest of the spared is {who(biggest[0])}." if biggest else ""
            return f"Nobody is killed though {because(reasons, figures)}: {HOLDS[why]}{instead}.{spared}"
        case Storming():
            return _storming(event)
        case Relieving():
            return reliefwords.relieving(event, _whom(event.cgroup, event.process))
        case Relieved():
            return reliefwords.relieved(event, _whom(event.cgroup, event.process))
        case PhaseChanged(after=after, reasons=reasons, likely=likely, figures=figures):
            why_now = f" as {because(reasons, figures)}" if reasons else ""
            first = f" Who would die first is {who(likely)}." if likely else ""
            return f"{PHASES[after]}{why_now}; {size(figures.available)} available.{first}"
        case KernelKilled(kills=kills):
            return f"The kernel itself killed for want of memory; kills since this was last told: {kills}."
        case LifecycleChanged(what=what, text=text):
            return f"{LIFECYCLE[what]}: {line(text)}" if text else f"{LIFECYCLE[what]}."
        case Degraded(text=text):
            return f"Missing on this host: {line(text)}"
        case Failed(text=text):
            return f"An error of oomguard's own, please report it: {line(text)}"
    assert_never(event)


def lost(count: int) -> str:
    """The words for `count` events that were overwritten before they could be told."""
    return f"{count} events came faster than they could be told; the counters have them all."


def status(state: State) -> str:
    """How the guard and the host's memory are, in one line."""
    figures = state.figures
    dry = "Dry run. " if state.mode is Mode.DRY_RUN else ""
    refused = "" if state.config_ok else " The last configuration was refused."
    available = f"{size(figures.available)} available (limit {size(figures.available_limit)})"
    stall = (
        f"stalled {figures.stall:.1f} s (budget {figures.stall_budget:.1f} s)"
        if state.psi
        else "stalls unknown"
    )
    return f"{dry}{PHASES[state.phase]}; {available}, {stall}; {state.candidates} candidates.{refused}"


def _killing(event: Killing) -> str:
    match event.mode, event.sent:
        case Mode.ENFORCE, Sent.TERM:
            done = "Asked to end:"
        case Mode.ENFORCE, _:
            done = "Killed:"
        case _, Sent.TERM:
            done = "Would have asked to end:"
        case _:
            done = "Would have killed:"
    others = event.members - 1
    company = f" and {others} more of its {event.scope}" if others else ""
    return f"{done} {who(event.victim)}{company}, as {because(event.reasons, event.figures)}."


def _storming(event: Storming) -> str:
    title, were = "Restart storm", "were"
    if event.mode is Mode.DRY_RUN:
        title, were = "Restart storm in dry run", "would have been"
    return (
        f"{title}: {_origin(event)} {were} ended {event.kills} times within {span(event.within)}; "
        f"{_response(event)}."
    )


def _origin(event: Storming) -> str:
    if event.unit is not None:
        return f"processes of {printable(event.unit)}"
    if event.cgroup is not None:
        return f'processes of the control group "{printable(event.cgroup)}"'
    parent = "orphans" if event.parent is None else f"children of pid {event.parent}"
    return f'{parent} such as "{printable(event.comm)}" (uid {event.uid})'


def _response(event: Storming) -> str:
    match event.action:
        case Response.STOP_UNIT:
            done = "would be" if event.mode is Mode.DRY_RUN else "is being"
            return f'the unit {done} stopped (storm.action = "stop-unit")'
        case Response.ALERT:
            why = f", as {OBSTACLES[event.obstacle]}" if event.obstacle else ' (storm.action = "alert")'
            return f"it is left alone{why}"
    assert_never(event.action)


def not_stopped(unit: str, why: str) -> str:
    """The words for a unit that was to be stopped."""
    return f"{printable(unit)} could not be stopped: {line(why)}."


def who(person: Person) -> str:
    """A process as a line names it."""
    unit = f", {printable(person.unit)}" if person.unit else ""
    swap = f" and {size(person.swap)} of swap" if person.swap else ""
    return f'"{printable(person.comm)}" (pid {person.pid}{unit}, uid {person.uid}, {size(person.rss)}{swap})'


def _whom(cgroup: str | None, process: Person | None) -> str:
    if process is not None:
        return who(process)
    return f'the control group "{printable(cgroup or "")}"'


def holders(held: Held) -> str:
    """Who holds how much."""
    return ", ".join(f"{HOLDERS[holder]} ({size(amount)})" for holder, amount in held)


def mounts(found: Mounts) -> tuple[str, ...]:
    """Each mount and how much it holds."""
    return tuple(f'"{printable(path)}" ({size(used)})' for path, used in found)


def because(reasons: tuple[Reason, ...], figures: Figures) -> str:
    """All `reasons`, with the figures that they rest on."""
    return " and ".join(_because(reason, figures) for reason in reasons)


def _because(reason: Reason, figures: Figures) -> str:
    match reason:
        case Reason.LOW_MEMORY:
            limit = size(figures.available_limit)
            swap = f", {size(figures.swap_free)} of swap free, limit {size(figures.swap_limit)}"
            with_swap = swap if figures.swap_limit else ""
            return f"memory is low ({size(figures.available)} available, limit {limit}{with_swap})"
        case Reason.STALL:
            whose = "bystanders" if figures.stall_of is StallOf.BYSTANDERS else "the whole host"
            budget = f"{figures.stall_budget:.1f} s"
            return f"{whose} waited {figures.stall:.1f} s for memory (budget {budget})"
        case Reason.EXHAUSTION_FORECAST:
            left = figures.exhausted_in or 0.0
            return f"memory lasts {left:.1f} s more at this pace ({size(figures.available)} available)"
        case Reason.COMMIT_LIMIT:
            promised = f"{size(figures.committed)} of {size(figures.commit_limit)}"
            return f"nearly all memory that may be promised is promised ({promised})"
        case Reason.CGROUP_LIMIT:
            return _group_limit(figures.group)
        case Reason.CGROUP_STALL:
            return _group_stall(figures.group)
    assert_never(reason)


def _group_limit(group: GroupFigures | None) -> str:
    if group is None:
        return "a control group is at its memory limit"
    swap = f", and {size(group.swap_used)} of {size(group.swap_limit)} of swap" if group.swap_limit else ""
    used = f"{size(group.used)} used of {size(group.limit)}{swap}"
    return f"{_group(group)} is at its memory limit ({used})"


def _group_stall(group: GroupFigures | None) -> str:
    if group is None:
        return "a control group waits for memory"
    return f"{_group(group)} waited {group.stall:.1f} s for memory (budget {group.stall_budget:.1f} s)"


def _group(group: GroupFigures) -> str:
    return f'the control group "{printable(group.path)}"'


def size(amount: Bytes) -> str:
    """`amount` for people: in whole MiB, or in KiB where it is less than one."""
    return f"{amount // MIB} MiB" if amount >= MIB else f"{amount // KIB} KiB"


def span(duration: Seconds) -> str:
    """`duration` for people: in minutes, or in seconds where it is less than one."""
    return f"{duration / 60:g} min" if duration >= 60 else f"{duration:g} s"


def line(text: str) -> str:
    """`text` in one line; quotes stay as they are, for it stands in none."""
    return "".join(char if char in "\"'" else printable(char) for char in text)
