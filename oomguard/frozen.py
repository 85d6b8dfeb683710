"""`@frozen`: what most of our classes are: values, with slots, made by keywords."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, dataclass, field, fields
from operator import attrgetter
from typing import Any, TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field,))
def frozen(cls: type[T]) -> type[T]:
    """A `dataclass` that is frozen and slotted, with keywords alone.

    What all values do alike they share, where `dataclass` would make it anew for each. And the class that
    another with slots has replaced is let go of, which Python 3.11 keeps for its `__weakref__`.
    """
    made: Any = dataclass(frozen=True, slots=True, kw_only=True, repr=False, eq=False)(cls)
    made._values = attrgetter("__class__", *(each.name for each in fields(made)))
    made.__eq__, made.__hash__ = _equals, _hashed
    made.__setattr__ = made.__delattr__ = _refuse
    made.__repr__ = _described
    if "__weakref__" in made.__dict__:
        del made.__weakref__
    return made  # type: ignore[no-any-return]


def _refuse(self: object, name: str, *_: object) -> None:
    raise FrozenInstanceError(f"cannot change {name!r} of {self!r}")


def _equals(self: Any, other: Any) -> Any:
    return self._values(self) == self._values(other) if other.__class__ is self.__class__ else NotImplemented


def _hashed(self: Any) -> int:
    return hash(self._values(self))


def _described(self: Any) -> str:
    said = ", ".join(f"{each.name}={getattr(self, each.name)!r}" for each in fields(self))
    return f"{type(self).__qualname__}({said})"
