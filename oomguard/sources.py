"""What the guard reads besides /proc and /sys, as far as the operator and the host allow. Pure."""

from __future__ import annotations

from enum import StrEnum

from oomguard.frozen import frozen
from oomguard.units import MIB, Bytes

PLENTY = Bytes(2048 * MIB)
"""Of memory: there what the kernel holds ready for the guard to read (`netlink.QUEUE`) is nothing."""


class Use(StrEnum):
    """Whether a source is used."""

    AUTO = "auto"
    ON = "on"
    OFF = "off"


class Source(StrEnum):
    """What is read through netlink."""

    PROCESS_EVENTS = "process_events"
    DELAYS = "delays"


@frozen
class Sources:
    """The [sources] of the configuration."""

    process_events: Use
    delays: Use


@frozen
class Means:
    """What the host has for them."""

    memory: Bytes
    counts_delays: bool
    """kernel.task_delayacct is 1."""


def wanted(sources: Sources, means: Means) -> frozenset[Source]:
    """Which to use; what comes at no cost to speak of is, unless it is switched off."""
    suits = {
        Source.PROCESS_EVENTS: (sources.process_events, means.memory >= PLENTY),
        Source.DELAYS: (sources.delays, means.counts_delays),
    }
    return frozenset(
        source for source, (use, fits) in suits.items() if use is Use.ON or (use is Use.AUTO and fits)
    )
