"""What the deciding side of a guard got while memory ran out: recorded in a machine, replayed by test_replay.

A file of JSON lines, compressed, each the name of its kind and what the kind says. Only what has changed
since the last look is told of the processes, so that who has not changed is the same object after reading.
"""

from __future__ import annotations

import json
import lzma
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from enum import StrEnum
from functools import cache
from types import NoneType, UnionType
from typing import Any, NewType, Union, get_args, get_origin, get_type_hints

from oomguard.badness import Machine
from oomguard.episode import Sent
from oomguard.kill import Delivery
from oomguard.meminfo import Holdings
from oomguard.pressure import Reason, Sample
from oomguard.ranking import Judged
from oomguard.units import Pid


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """A sample was taken."""

    sample: Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A look at everybody: who is new or has changed since the look before, and who has gone."""

    changed: tuple[Judged, ...]
    gone: tuple[Pid, ...]
    own: tuple[Pid, ...]
    """The guard's own processes."""
    machine: Machine


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """What memory was used for."""

    holdings: Holdings


@dataclass(frozen=True, slots=True, kw_only=True)
class Signalled:
    """What the recorded guard did."""

    victim: Pid
    sent: Sent
    reasons: tuple[Reason, ...]
    members: int
    delivery: Delivery


@dataclass(frozen=True, slots=True, kw_only=True)
class Exited:
    """All that were signalled have exited."""


Line = Read | Seen | Used | Signalled | Exited
KINDS: dict[str, type[Line]] = {kind.__name__.lower(): kind for kind in (Read, Seen, Used, Signalled, Exited)}


def dump(lines: Iterable[Line]) -> bytes:
    """The file."""
    plain = ([type(line).__name__.lower(), _plain(line)] for line in lines)
    text = "".join(json.dumps(each, separators=(",", ":")) + "\n" for each in plain)
    return lzma.compress(text.encode(), preset=9)


def load(data: bytes) -> Iterator[Line]:
    """The lines of a file that `dump` made.

    What a value has gained since the recording has its default, or is 0; what it has lost is left out.
    """
    for text in lzma.decompress(data).splitlines():
        kind, value = json.loads(text)
        line: Line = _build(KINDS[kind], value)
        yield line


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    return dict(value) if isinstance(value, Mapping) else value


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _build(hint: Any, value: Any) -> Any:
    if isinstance(hint, NewType):
        return _build(hint.__supertype__, value)
    arguments, origin = get_args(hint), get_origin(hint)
    # Written with a NewType, a union is of another kind.
    if isinstance(hint, UnionType) or origin is Union:
        (present,) = (arm for arm in arguments if arm is not NoneType)
        return None if value is None else _build(present, value)
    if origin is tuple:
        hints = (arguments[0],) * len(value) if arguments[-1] is Ellipsis else arguments
        return tuple(_build(one, item) for one, item in zip(hints, value, strict=True))
    if origin is Mapping:
        return dict(value)
    if isinstance(hint, type) and is_dataclass(hint):
        hints_of = _hints(hint)
        known = {field.name: field for field in fields(hint)}
        told = {name: _build(hints_of[name], value[name]) for name in known.keys() & value.keys()}
        unknown = (name for name in known.keys() - value.keys() if not _has_default(known[name]))
        return hint(**told, **{name: _build(hints_of[name], 0) for name in unknown})
    return hint(value) if isinstance(hint, type) and issubclass(hint, StrEnum) else value


def _has_default(field: Any) -> bool:
    return field.default is not MISSING or field.default_factory is not MISSING
