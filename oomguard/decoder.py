"""Events from what `codec` made of them. Pure.

Apart from it, as the guard writes events and reads none: what asks types for their hints is not loaded there.
"""

from __future__ import annotations

import json
from enum import StrEnum
from functools import cache
from types import NoneType, UnionType
from typing import Any, NewType, Union, get_args, get_origin, get_type_hints

from oomguard.codec import KINDS
from oomguard.event import Event
from oomguard.frozen import is_value


def decode(data: bytes) -> Event:
    """What `codec.encode` wrote; raises `ValueError` for anything else."""
    try:
        plain = json.loads(data)
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    match plain:
        case {"kind": str(tag), **rest} if tag in KINDS:
            event: Event = _build(KINDS[tag], rest)
            return event
    raise ValueError("not an event")


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
    if is_value(hint) and isinstance(value, dict):
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
