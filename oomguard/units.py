"""Units of measure, in the types: a bare number never says what it counts."""

from __future__ import annotations

import math
from typing import NewType, TypeAlias

from oomguard.frozen import positional
from oomguard.names import DIGITS, LETTERS, quoted

Pid = NewType("Pid", int)
"""A process id; it names a process only together with its start time (`process.Key`)."""

Uid = NewType("Uid", int)
"""A real user id, as the initial user namespace sees it."""

Ticks = NewType("Ticks", int)
"""Time in clock ticks (`sysconf(_SC_CLK_TCK)` a second), as /proc/PID/stat counts it."""

Pages = NewType("Pages", int)
"""Memory in pages of `Machine.page_size` bytes."""

Bytes = NewType("Bytes", int)
"""Memory in bytes."""

Points = NewType("Points", int)
"""Badness in pages, as `oom_badness()` counts it; negative after a negative adjustment."""

Seconds = NewType("Seconds", float)
"""A duration, or an instant on CLOCK_MONOTONIC."""

KIB = 1 << 10
MIB = 1 << 20

SIZES = {"B": 1, "KiB": KIB, "MiB": MIB, "GiB": 1 << 30, "TiB": 1 << 40}
DURATIONS = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0}

_UNIT = "".join((*LETTERS, "%"))


@positional
class Percent:
    """A share of some total, from 0 to 100."""

    value: float

    def of(self, total: Bytes) -> Bytes:
        """The share of `total`, rounded down."""
        return Bytes(int(total * self.value / 100))


Amount: TypeAlias = "Percent | Bytes"
"""Memory as the configuration gives it: a share of a total, or a size."""


def resolve(amount: Amount, total: Bytes) -> Bytes:
    """`amount` in bytes, where a share is one of `total`."""
    return amount.of(total) if isinstance(amount, Percent) else amount


def parse_percent(text: str) -> Percent:
    """A share such as "10%" or "2.5 %". ValueError, in words for people, for others."""
    value, _ = _measure(text, ("%",), 'a percentage such as "10%"')
    if value > 100:
        raise ValueError(f"{quoted(text)} is more than 100%")
    return Percent(round(value, 9))


def parse_amount(text: str) -> Amount:
    """A share such as "10%", or a size such as "300MiB". ValueError, in words for people, for others."""
    value, unit = _measure(text, (*SIZES, "%"), 'a size such as "300MiB" or a percentage such as "10%"')
    return parse_percent(text) if unit == "%" else Bytes(int(value * SIZES[unit]))


def parse_duration(text: str) -> Seconds:
    """A time such as "10s" or "500ms". ValueError, in words for people, for others."""
    value, unit = _measure(text, tuple(DURATIONS), 'a duration such as "10s"')
    return Seconds(round(value * DURATIONS[unit], 9))


def spell_amount(amount: Amount) -> str:
    """`amount` in the words that `parse_amount` reads back as the same."""
    if isinstance(amount, Percent):
        return f"{_spell(amount.value)}%"
    unit = max((unit for unit, size in SIZES.items() if amount % size == 0), key=SIZES.__getitem__)
    return f"{amount // SIZES[unit]}{unit}" if amount else "0B"


def spell_duration(duration: Seconds) -> str:
    """`duration` in the words that `parse_duration` reads back as the same."""
    return f"{_spell(duration)}s"


def _measure(text: str, units: tuple[str, ...], what: str) -> tuple[float, str]:
    """The number and the unit that `text` is made of."""
    number = text.rstrip(_UNIT)
    unit = text[len(number) :]
    digits = number.removesuffix(" ").removeprefix("-")
    if not all(part and DIGITS.issuperset(part) for part in digits.split(".", 1)):
        raise ValueError(f"{quoted(text)} is not {what}")
    value = float(digits)
    if number.startswith("-"):
        raise ValueError(f"{quoted(text)} is negative; needed is {what}")
    if not unit:
        raise ValueError(f"{quoted(text)} has no unit; needed is {what}")
    if unit not in units:
        raise ValueError(f"{quoted(text)} is not {what}; known units are {', '.join(units)}")
    if not math.isfinite(value * 2.0**40):
        raise ValueError(f"{quoted(text)} is too large; needed is {what}")
    return value, unit


def _spell(value: float) -> str:
    whole, _, fraction = f"{value:.9f}".partition(".")
    fraction = fraction.rstrip("0")
    return f"{whole}.{fraction}" if fraction else whole
