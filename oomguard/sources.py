"""What the guard listens to besides /proc, as far as the operator and the host's size allow. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from oomguard.units import MIB, Bytes

PLENTY = Bytes(2048 * MIB)
"""Of memory: there what the kernel holds ready for the guard to read (`netlink.QUEUE`) is nothing."""


class Use(StrEnum):
    """Whether a source is used."""

    AUTO = "auto"
    ON = "on"
    OFF = "off"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """The [sources] of the configuration."""

    process_events: Use


def wants_events(sources: Sources, total: Bytes) -> bool:
    """Whether to hear of processes that start and end, on a host with so much memory in `total`."""
    match sources.process_events:
        case Use.ON:
            return True
        case Use.AUTO:
            return total >= PLENTY
        case Use.OFF:
            return False
