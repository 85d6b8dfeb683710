"""A figure of several runs: its median, and the least and the most. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """What several runs came to; infinite is what did not happen before the end."""

    least: float
    middle: float
    most: float


def spread(values: Iterable[float | None]) -> Spread:
    """The spread of at least one value; None counts as infinite."""
    numbers = [math.inf if value is None else value for value in values]
    return Spread(least=min(numbers), middle=median(numbers), most=max(numbers))


def spell(figure: Spread, never: str) -> str:
    """`2.5 (1.9 to 3.1)`, or `2.5` where all runs agree; `never` is the word for infinite."""
    least, middle, most = (_spell(value, never) for value in (figure.least, figure.middle, figure.most))
    return middle if least == most else f"{middle} ({least} to {most})"


def _spell(value: float, never: str) -> str:
    if math.isinf(value):
        return never
    return f"{value:.2f}" if value < 1 and value != int(value) else f"{value:.1f}".removesuffix(".0")
