"""What our modules take from `typing` when they are loaded, in its place in the guard (`lean`).

All that a type checker has read by then does nothing in a running guard. `typing` itself would stay locked in
memory for it: 0.6 MiB. Whatever is asked for besides comes from the real one, at that price.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False
Any = NoReturn = Self = TextIO = TypeAlias = object


class Generic:
    """What a class with parameters inherits from; they are forgotten."""

    __slots__ = ()

    def __class_getitem__(cls, parameters: object) -> type[Generic]:
        return cls


Protocol = Generic


def TypeVar(name: str, **_: object) -> str:  # noqa: N802 - its name
    """A parameter: nobody looks at it."""
    return name


def NewType(name: str, kind: object) -> object:  # noqa: ARG001, N802 - its name
    """What gives back what it is given."""
    return _itself


def _itself(value: object) -> object:
    return value


def dataclass_transform(**_: object) -> object:
    """A decorator that changes nothing."""
    return _itself


def assert_never(value: object) -> None:
    """Called only where a type checker was wrong."""
    raise AssertionError(f"nobody thought of {value!r}")


def __getattr__(name: str) -> object:
    if name.startswith("__"):
        raise AttributeError(name)
    sys.modules.pop("typing", None)
    import typing  # noqa: PLC0415 - see above

    return getattr(typing, name)
