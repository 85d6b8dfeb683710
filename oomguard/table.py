"""A table of the configuration, taken apart key by key; all that is wrong with it is collected."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import TypeVar

from oomguard.errors import ConfigError
from oomguard.names import DIGITS, LETTERS, quoted

T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)

_NAME = LETTERS | DIGITS | frozenset("._-")
_LONGEST_NAME = 64
_LARGEST = (1 << 63) - 1
"""Of integers in TOML. Python reads larger ones, and cannot always write them."""
_DEEPEST = 8
"""Tables within tables; no known key is as deep."""
_BARE = LETTERS | DIGITS | frozenset("_-")


class Table:
    """The values of one or more files, by dotted key. What nobody took when it is closed is unknown."""

    def __init__(self, title: str, home: str) -> None:
        self.home = home
        """The file to name for a key that no file sets."""
        self.problems: list[ConfigError] = []
        self._title = title
        self._refused: set[str] = set()
        self._values: dict[str, tuple[object, str]] = {}
        self._known: list[str] = []

    def merge(self, values: dict[str, object], file: str) -> None:
        """Put `values` of `file` over those that are there."""
        for key, value in _flattened(values, "", _DEEPEST):
            self._values[key] = value, file

    def take(self, key: str, parse: Callable[[str], T], default: T) -> T:
        """The text at `key`, parsed; the default where there is none or where `parse` raises ValueError."""
        self._known.append(key)
        if key not in self._values:
            return default
        value, _ = self._values[key]
        if not isinstance(value, str):
            self.refuse(f"must be text in quotes, not {_kind(value)}", key)
            return default
        try:
            return parse(value)
        except ValueError as error:
            self.refuse(str(error), key)
            return default

    def take_integer(self, key: str) -> int | None:
        """The integer at `key`; None where there is none."""
        self._known.append(key)
        if key not in self._values:
            return None
        value, _ = self._values[key]
        if isinstance(value, int) and not isinstance(value, bool):
            if abs(value) <= _LARGEST:
                return value
            self.refuse("is too large", key)
            return None
        self.refuse(f"must be an integer, not {_kind(value)}", key)
        return None

    def take_texts(self, key: str, parse: Callable[[str], T]) -> tuple[T, ...]:
        """The list of texts at `key`, each parsed; nothing where there is none, or where one is refused."""
        self._known.append(key)
        value, _ = self._values.get(key, ([], ""))
        if not isinstance(value, list):
            self.refuse(f"must be a list of texts in quotes, not {_kind(value)}", key)
            return ()
        parsed = []
        for each in value:
            if not isinstance(each, str):
                self.refuse(f"must hold texts in quotes, not {_kind(each)}", key)
                return ()
            try:
                parsed.append(parse(each))
            except ValueError as error:
                self.refuse(str(error), key)
        return tuple(parsed)

    def text(self, key: str) -> str | None:
        """The text at `key`, as it stands there; None where there is none."""
        value, _ = self._values.get(key, (None, ""))
        return value if isinstance(value, str) else None

    def has(self, key: str) -> bool:
        """Whether a file sets `key`."""
        return key in self._values

    def sound(self, *keys: str) -> bool:
        """Whether none of `keys` was refused."""
        return self._refused.isdisjoint(keys)

    def refuse(self, problem: str, *keys: str) -> None:
        """Collect `problem`, told of the first of `keys` that a file sets."""
        key = next(filter(self.has, keys), keys[0])
        file = self._values[key][1] if self.has(key) else self.home
        self._refused.add(key)
        self.problems.append(ConfigError(file, f"{self._title} {key}".strip(), problem))

    def close(self) -> None:
        """Refuse the keys that nobody took."""
        sections = {known[:end] for known in self._known for end, char in enumerate(known) if char == "."}
        for key, (value, _) in self._values.items():
            if key in self._known:
                continue
            if key not in sections:
                self.refuse(f"is not a known key; {nearest(key, [*self._known, *sorted(sections)])}", key)
            elif value != {}:
                self.refuse(f"must be a table: write [{key}] and its keys below it", key)


def word(kind: type[E]) -> Callable[[str], E]:
    """A parser of the words of `kind`."""

    def parse(text: str) -> E:
        try:
            return kind(text)
        except ValueError:
            raise ValueError(f"{quoted(text)} is not a known word; {nearest(text, list(kind))}") from None

    return parse


def spelt(name: str) -> str:
    """A part of a key as TOML has it: bare, or in quotes where it must be."""
    return name if name and _BARE.issuperset(name) else quoted(name)


def take_name(text: str) -> str:
    """A name that may be a label of the metrics. ValueError, in words for people, for others."""
    if not (0 < len(text) <= _LONGEST_NAME and _NAME.issuperset(text)):
        raise ValueError(f"{quoted(text)} must be 1 to 64 of the characters A-Z a-z 0-9 . _ -")
    return text


def refuse_duplicates(kind: str, tables: list[Table]) -> None:
    """Refuse each of `tables` whose name is that of another `kind` before it."""
    taken: dict[str, str] = {}
    for table in tables:
        name = table.text("name")
        if name is None or table.problems:
            continue
        if name in taken:
            table.refuse(f"is the name of a {kind} in {taken[name]} already; each needs its own", "name")
        taken[name] = table.home


def nearest(text: str, known: list[str]) -> str:
    """What was probably meant by `text`, in words."""
    import difflib  # noqa: PLC0415  # the guard needs it only to explain a mistake

    close = difflib.get_close_matches(text, known, n=1)
    return f"did you mean {quoted(close[0])}?" if close else f"known are {', '.join(known)}"


def _flattened(values: dict[str, object], prefix: str, depth: int) -> Iterator[tuple[str, object]]:
    for name, value in values.items():
        key = prefix + spelt(name)
        if isinstance(value, dict) and value and depth:
            yield from _flattened(value, f"{key}.", depth - 1)
        else:
            yield key, value


def _kind(value: object) -> str:
    match value:
        case bool():
            return "true or false"
        case int() | float():
            return "a number" if isinstance(value, int) and abs(value) > _LARGEST else f"the number {value}"
        case str():
            return "text"
        case list():
            return "a list"
        case dict():
            return "a table"
        case _:
            return "a date or time"
