"""Events as JSON, small enough for their slot in the record (`decoder` reads them back). Pure."""

from __future__ import annotations

from typing import Any

from oomguard.event import (
    Degraded,
    Ended,
    Event,
    Failed,
    Holding,
    KernelKilled,
    Killing,
    LifecycleChanged,
    PhaseChanged,
    Relieved,
    Relieving,
    Storming,
)
from oomguard.frozen import plain
from oomguard.jsontext import dumped

KINDS: dict[str, type[Event]] = {
    "killing": Killing,
    "ended": Ended,
    "holding": Holding,
    "storm": Storming,
    "relieving": Relieving,
    "relieved": Relieved,
    "phase": PhaseChanged,
    "kernel_killed": KernelKilled,
    "lifecycle": LifecycleChanged,
    "degraded": Degraded,
    "failed": Failed,
}
"""The tag that each kind of event has in the record."""

_TAGS = {kind: tag for tag, kind in KINDS.items()}

_OTHERS = ("runners_up", "biggest")
"""The lists of persons beside the victim, worst first: what an event can do without."""

_TEXT, _NAME, _RULES = 256, 16, 4
"""What is left of an event's text, of a name and of a list of rules where the event is too long."""


def document(event: Event) -> dict[str, Any]:
    """`event` as JSON has it: an object with its kind, its fields by name, enumerations as their words."""
    return {"kind": _TAGS[type(event)], **plain(event)}


def encode(event: Event, room: int) -> bytes:
    """`event` in at most `room` bytes of ASCII; `room` must be 4000 or more.

    What is too long loses first the last of the other persons, one by one, then the ends of its texts,
    names and lists of rules; each cut text ends in an ellipsis.
    """
    told = document(event)
    data = _dump(told)
    for others in (told.get(key, []) for key in _OTHERS):
        while others and len(data) > room:
            others.pop()
            data = _dump(told)
    return data if len(data) <= room else _dump(_cut(told))


def _dump(told: dict[str, Any]) -> bytes:
    return dumped(told).encode("ascii")


def _cut(told: dict[str, Any]) -> dict[str, Any]:
    return {key: _cut_value(key, value) for key, value in told.items()}


def _cut_value(key: str, value: Any) -> Any:
    if isinstance(value, dict):
        return _cut(value)
    if isinstance(value, str):
        return _shorter(value, _TEXT if key == "text" else _NAME)
    if key == "rules":
        return [_shorter(rule, _NAME) for rule in value[:_RULES]]
    return value


def _shorter(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
