"""What the record says, as metrics: names, help texts, labels and values. Pure.

Base units, `_total` for what only grows, and a fixed set of label values, all present from the start.
Nothing that a process can choose (pid, name, cgroup) is ever a label.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from math import inf

from oomguard.counters import FAMILIES, Counter
from oomguard.event import Killing, Mode
from oomguard.frozen import frozen, positional
from oomguard.pressure import Level, Phase, Reason, Sample, StallOf
from oomguard.state import State

_LABELS: Mapping[type[StrEnum], str] = {Reason: "reason", StallOf: "of"}
"""What a label is called where it is not as its metric."""


class Kind(StrEnum):
    """How the values of a metric behave in time."""

    GAUGE = "gauge"
    COUNTER = "counter"


@positional
class Metric:
    """A metric with all its values; each value comes with one label value for each label."""

    kind: Kind
    name: str
    """Without the prefix, and without the `_total` of a counter."""
    help: str
    values: tuple[tuple[tuple[str, ...], float], ...]
    labels: tuple[str, ...] = ()


@frozen
class Kill:
    """A kill, real or of a dry run, and when it was told."""

    wall: float
    """Seconds since the epoch."""
    told: Killing


def gauge(name: str, text: str, value: float) -> Metric:
    """A metric of one value that goes up and down."""
    return Metric(Kind.GAUGE, name, text, (((), value),))


def of_guard(state: State) -> Iterator[Metric]:
    """What the guard is and what it does."""
    yield gauge("start_time_seconds", "When the guard started, since the epoch.", state.started)
    yield _one_of(
        "mode", "1 for whether the guard kills or only says whom it would have killed.", Mode, (state.mode,)
    )
    yield _one_of("phase", "1 for where the guard's loop is.", Phase, (state.phase,))
    yield _one_of("level", "1 for how bad the memory situation is.", Level, (state.level,))
    yield _one_of("limit_crossed", "1 for each limit that is crossed, by reason.", Reason, state.reasons)
    yield gauge(
        "last_poll_timestamp_seconds", "When memory was last looked at, since the epoch.", state.polled
    )
    yield gauge(
        "last_poll_duration_seconds",
        "How long the last look at memory took that was no glimpse.",
        state.poll_took,
    )
    yield gauge("poll_pause_seconds", "The longest time to the next look at memory.", state.pause)
    yield gauge(
        "worst_poll_lateness_seconds",
        "The most that a look at memory began later than planned, since the guard started.",
        state.worst_lateness,
    )
    yield gauge(
        "config_last_reload_successful",
        "0: the last configuration was refused, and an older one is in force.",
        state.config_ok,
    )
    yield gauge(
        "config_last_reload_success_timestamp_seconds",
        "When the configuration in force was loaded, since the epoch.",
        state.configured,
    )
    yield Metric(
        Kind.GAUGE,
        "processes",
        "Processes that may be chosen, and those that are spared.",
        ((("candidate",), state.candidates), (("spared",), state.spared)),
        ("standing",),
    )


def of_groups(state: State) -> Iterator[Metric]:
    """The control groups that are watched on their own; nothing where there are none to be."""
    if not state.watched:
        return
    for name, text, values in (
        (
            "cgroups_watched",
            "Control groups that a [[cgroup]] matches, by its name. Absent where the configuration has none.",
            (((each.entry,), float(each.groups)) for each in state.watched),
        ),
        (
            "cgroups_crossed",
            "Those of them that have crossed a limit of their own. Absent as above.",
            (((each.entry,), float(each.crossed)) for each in state.watched),
        ),
    ):
        yield Metric(Kind.GAUGE, name, text, tuple(values), ("entry",))


def of_memory(state: State) -> Iterator[Metric]:
    """The figures that decisions rest on, and their limits."""
    figures, limits = state.figures, state.thresholds
    yield gauge("memory_available_bytes", "Memory that can be had without swapping.", figures.available)
    yield gauge(
        "swap_free_bytes",
        "Swap that is not used, less the memory that using it would take (zram).",
        figures.swap_free,
    )
    yield gauge("memory_committed_bytes", "Memory promised to processes.", figures.committed)
    yield gauge(
        "memory_commit_limit_bytes", "Memory that may be promised to processes.", figures.commit_limit
    )
    yield Metric(
        Kind.GAUGE,
        "limit_bytes",
        "Where the guard acts: below it, for committed memory above it. 0: there is no limit.",
        (
            (("available", "term"), limits.available_term),
            (("available", "kill"), limits.available_kill),
            (("swap_free", "term"), limits.swap_term),
            (("swap_free", "kill"), limits.swap_kill),
            (("committed", "term"), limits.commit_term),
        ),
        ("limit", "action"),
    )
    yield gauge("stall_seconds", "The stall within the window that counts against the budget.", figures.stall)
    yield _one_of("stall_of", "1 for whose stall that is.", StallOf, (figures.stall_of,))
    yield gauge(
        "stall_budget_seconds",
        "How much stall the window may hold: less than configured while it holds an earlier one.",
        figures.stall_budget,
    )
    yield gauge(
        "stall_budget_left_seconds",
        "What is left of the stall budget.",
        max(0.0, figures.stall_budget - figures.stall),
    )
    yield gauge("stall_window_seconds", "The window of the stall budget.", limits.stall_window)
    yield gauge(
        "memory_exhausted_in_seconds",
        "When memory and swap will have run out at their present pace. +Inf: they do not fall.",
        inf if figures.exhausted_in is None else figures.exhausted_in,
    )
    yield gauge(
        "swap_backlog_seconds", "How long the disk has yet to write what was swapped out.", figures.backlog
    )
    yield gauge("pressure_readable", "0: this kernel does not account for memory pressure.", state.psi)


def of_sample(sample: Sample) -> Iterator[Metric]:
    """What only the sample knows; the names of pressure are those of node_exporter."""
    yield gauge("memory_total_bytes", "Memory of the host.", sample.memory.total)
    yield gauge("swap_total_bytes", "Swap of the host.", sample.memory.swap_total)
    if sample.pressure is not None:
        waiting, stalled = sample.pressure.some, sample.pressure.full
        yield _total(
            "pressure_memory_waiting_seconds",
            "Time in which some task waited for memory, as in node_exporter. Absent without PSI.",
            waiting,
        )
        yield _total(
            "pressure_memory_stalled_seconds",
            "Time in which no task could run for want of memory, as in node_exporter. Absent without PSI.",
            stalled,
        )


def of_counters(counted: Mapping[Counter, int]) -> Iterator[Metric]:
    """Every family of counters."""
    for family in FAMILIES:
        values = tuple((counter.labels, counted[counter]) for counter in family.counters())
        yield Metric(
            Kind.COUNTER, family.name, family.help, values, tuple(label for label, _ in family.labels)
        )


def of_last_kills(kills: Mapping[Mode, Kill]) -> Iterator[Metric]:
    """The last kill of each mode."""
    yield Metric(
        Kind.GAUGE,
        "last_kill_timestamp_seconds",
        "When a victim was last signalled, since the epoch. 0: never, as far as the record goes back.",
        tuple(((mode.value,), kills[mode].wall if mode in kills else 0.0) for mode in Mode),
        ("mode",),
    )
    yield Metric(
        Kind.GAUGE,
        "last_victim_info",
        "1 for why and how the last victim was signalled, and the rules that matched it. "
        "Absent before the first.",
        tuple((_circumstances(kill.told), 1.0) for kill in kills.values()),
        ("mode", "reason", "level", "signal", "policy", "scope", "rules"),
    )


def _circumstances(told: Killing) -> tuple[str, ...]:
    words = (told.mode, told.reasons[0], told.level, told.sent, told.policy, told.scope)
    return (*words, ",".join(told.victim.rules))


def _total(name: str, text: str, value: float) -> Metric:
    return Metric(Kind.COUNTER, name, text, (((), value),))


def _one_of(name: str, text: str, words: type[StrEnum], present: tuple[StrEnum, ...]) -> Metric:
    values = tuple(((word.value,), float(word in present)) for word in words)
    return Metric(Kind.GAUGE, name, text, values, (_LABELS.get(words, name),))
