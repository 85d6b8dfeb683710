"""Events as JSON, small enough for their slot in the record, and back again. Pure."""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass
from enum import StrEnum
from functools import cache
from types import NoneType, UnionType
from typing import Any, NewType, Union, get_args, get_origin, get_type_hints

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
    return {"kind": _TAGS[type(event)], **_plain(event)}


def encode(event: Event, room: int) -> bytes:
    """`event` in at most `room` bytes of ASCII; `room` must be 4000 or more.

    What is too long loses first the last of the other persons, one by one, then the ends of its texts,
    names and lists of rules; each cut text ends in an ellipsis.
    """
    plain = document(event)
    data = _dump(plain)
    for others in (plain.get(key, []) for key in _OTHERS):
        while others and len(data) > room:
            others.pop()
            data = _dump(plain)
    return data if len(data) <= room else _dump(_cut(plain))


def decode(data: bytes) -> Event:
    """What `encode` wrote; raises `ValueError` for anything else."""
    try:
        plain = json.loads(data)
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    match plain:
        case {"kind": str(tag), **rest} if tag in KINDS:
            event: Event = _build(KINDS[tag], rest)
            return event
    raise ValueError("not an event")


def _dump(plain: dict[str, Any]) -> bytes:
    return json.dumps(plain, ensure_ascii=True, separators=(",", ":")).encode("ascii")


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    return value


def _cut(plain: dict[str, Any]) -> dict[str, Any]:
    return {key: _cut_value(key, value) for key, value in plain.items()}


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


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _build(hint: Any, value: Any) -> Any:  # noqa: PLR0911  # one return for each form of a hint
    """`value` as `hint` says it is; raises `ValueError` where it is not."""
    if isinstance(hint, NewType):
        return _build(hint.__supertype__, value)
    # Written with a NewType, a union is of another kind.
    if isinstance(hint, UnionType) or get_origin(hint) is Union:
        return None if value is None else _build(_present(hint), value)
    if get_origin(hint) is tuple and isinstance(value, list):
        return _build_tuple(get_args(hint), value)
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return hint(value)
    if is_dataclass(hint) and isinstance(hint, type) and isinstance(value, dict):
        hints = _hints(hint)
        if hints.keys() != value.keys():
            raise ValueError(f"other fields than those of {hint.__name__}")
        return hint(**{name: _build(hints[name], value[name]) for name in hints})
    if hint is float and type(value) in (int, float):
        return float(value)
    if hint in (int, str) and type(value) is hint:
        return value
    raise ValueError(f"{type(value).__name__} where {hint} is due")


def _build_tuple(hints: tuple[Any, ...], values: list[Any]) -> tuple[Any, ...]:
    if hints[-1] is Ellipsis:
        return tuple(_build(hints[0], value) for value in values)
    if len(hints) != len(values):
        raise ValueError(f"{len(values)} items where {len(hints)} are due")
    return tuple(_build(hint, value) for hint, value in zip(hints, values, strict=True))


def _present(hint: Any) -> Any:
    (present,) = (arm for arm in get_args(hint) if arm is not NoneType)
    return present
