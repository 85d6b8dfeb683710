"""What most of our classes are: values, with slots, made by keywords (`frozen`), and their kin.

To type checkers, and to who asks `dataclasses` of them, they are its own. In the guard that module would stay
locked in memory, with all that it keeps of each class and field, for nothing but to have made them.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeVar, dataclass_transform

if TYPE_CHECKING:
    from dataclasses import replace as replace  # noqa: PLC0414 - so that its keywords are checked
else:

    def replace(value: Any, /, **changes: Any) -> Any:
        """`value` with these of its fields changed."""
        kind, *values = value._values(value)
        return kind(**(dict(zip(kind.__slots__, values, strict=True)) | changes))


T = TypeVar("T")


@dataclass_transform(frozen_default=True, kw_only_default=True)
def frozen(cls: type[T]) -> type[T]:
    """A value: cannot be changed, equals others with the same fields, is made by keywords alone."""
    return _made_anew(cls, "*, ", "_set(self, {0!r}, {0})", _SHARED)


@dataclass_transform(frozen_default=True)
def positional(cls: type[T]) -> type[T]:
    """A value of few fields, whose order goes without saying: made by position, or by keywords."""
    return _made_anew(cls, "", "_set(self, {0!r}, {0})", _SHARED)


@dataclass_transform(kw_only_default=True, eq_default=False)
def mutable(cls: type[T]) -> type[T]:
    """No value: what is known of something so far. Made by keywords alone."""
    return _made_anew(cls, "*, ", "self.{0} = {0}", {})


def is_value(kind: Any) -> bool:
    """Whether a class, or what might be one, is of values."""
    return isinstance(kind, type) and "_values" in kind.__dict__


def plain(value: Any) -> Any:
    """`value` as JSON has it: its fields by their names, and so on with the values in them."""
    if isinstance(value, tuple):
        return [plain(each) for each in value]
    if is_value(value.__class__):
        return {name: plain(getattr(value, name)) for name in value.__slots__}
    return value


def _made_anew(cls: type[T], parameters: str, assignment: str, shared: dict[str, object]) -> type[T]:
    """`cls` with a slot for each field: the only way to have both slots and defaults.

    Nobody inherits from these classes, nor they from others with fields.
    """
    names = tuple(cls.__annotations__)
    ours = {name: value for name, value in vars(cls).items() if name not in {"__dict__", "__weakref__"}}
    defaults = {name: ours.pop(name) for name in names if name in ours}
    steps = "; ".join(assignment.format(name) for name in names)
    exec(f"def __init__(self, {parameters}{', '.join(names)}): {steps}", globals(), ours)  # noqa: S102
    init: Any = ours["__init__"]
    init.__defaults__, init.__kwdefaults__ = (
        (None, defaults) if parameters else (tuple(defaults.values()), None)
    )
    ours |= {"__slots__": names, "__qualname__": cls.__qualname__, "__dataclass_fields__": _AS_DATACLASS}
    if shared:
        ours |= {"_values": attrgetter("__class__", *names), **shared}
    made: type[T] = type(cls.__name__, cls.__bases__, ours)
    return made


class _AsDataclass:
    """What `dataclasses` knows a class by, made when it is asked for: in tests, never in the guard."""

    def __get__(self, value: object, kind: Any) -> Any:
        from dataclasses import field, make_dataclass  # noqa: PLC0415 - see above

        defaults = (kind.__init__.__kwdefaults__ or {}).items()
        given = {name: field(default_factory=_giver(default)) for name, default in defaults}
        fields = [(name, hint, given.get(name, field())) for name, hint in kind.__annotations__.items()]
        known: Any = make_dataclass(kind.__name__, fields, kw_only=True)
        kind.__dataclass_params__ = known.__dataclass_params__
        kind.__dataclass_fields__ = known.__dataclass_fields__
        return kind.__dataclass_fields__


def _giver(value: object) -> Callable[[], object]:
    return lambda: value


def _refuse(self: object, name: str, *_: object) -> None:
    raise AttributeError(f"cannot change {name!r} of {self!r}")


def _equals(self: Any, other: Any) -> Any:
    return self._values(self) == self._values(other) if other.__class__ is self.__class__ else NotImplemented


def _hashed(self: Any) -> int:
    return hash(self._values(self))


def _described(self: Any) -> str:
    said = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__slots__)
    return f"{self.__class__.__qualname__}({said})"


def _reduced(self: Any) -> Any:
    """For copies (pickle, copy): no field could be set afterwards."""
    return _remade, self._values(self)


def _remade(kind: type[T], *values: object) -> T:
    return kind(**dict(zip(kind.__slots__, values, strict=True)))  # type: ignore[attr-defined]


_set = object.__setattr__

_SHARED: dict[str, object] = {
    "__eq__": _equals,
    "__hash__": _hashed,
    "__repr__": _described,
    "__reduce__": _reduced,
    "__setattr__": _refuse,
    "__delattr__": _refuse,
}
"""What all values do alike."""

_AS_DATACLASS = _AsDataclass()
