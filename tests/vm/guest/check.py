"""A check: a function that raises when something is not as it should be."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from types import ModuleType

ASKS_FOR_PAUSE = '{"pause": '
"""How the line begins by which the host is asked to have the machine stand still."""


class Clocks(StrEnum):
    """What the machine's clocks do while it stands still."""

    STAND = "stand"
    """Its hypervisor stops it, clocks and all."""
    GO_ON = "go on"
    """Its hypervisor is stopped, and does not know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One check of a module. They are made in the module's order: later ones may rest on earlier ones."""

    name: str
    function: Callable[[], None]
    limit: int
    """In seconds of the guest's."""


def check(limit: int = 180) -> Callable[[Callable[[], None]], Check]:
    """Makes a function of a check module a `Check` that must be through within `limit` seconds."""
    return lambda function: Check(name=function.__name__, function=function, limit=limit)


def measured(what: str, value: float) -> None:
    """Tells a figure that is worth knowing, and that no check can rest on."""
    _tell({"measured": what, "value": value})


def ask_for_pause(seconds: float, clocks: Clocks) -> None:
    """Has the host make the whole machine stand still for so long, a moment from now."""
    _tell({"pause": seconds, "clocks": clocks})


def _tell(what: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def checks_of(module: ModuleType) -> tuple[Check, ...]:
    """The checks of `module`, first to last."""
    return tuple(value for value in vars(module).values() if isinstance(value, Check))
