"""What a dashboard consists of, in an operator's words. Pure; `build` turns it into Grafana's JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Look(StrEnum):
    """How a panel shows its values."""

    STAT = "stat"
    """The latest value, large."""
    WORD = "word"
    """The name of the series, large: for states, of which one is 1."""
    LINES = "lines"
    BARS = "bars"
    """Stacked: for counts within each step."""
    TIMELINE = "timeline"
    """A band for each series, coloured where it is 1."""
    TABLE = "table"


class Unit(StrEnum):
    """Units by Grafana's names for them."""

    COUNT = "short"
    SECONDS = "s"
    BYTES = "bytes"
    BYTES_A_SECOND = "binBps"
    SHARE = "percentunit"
    EACH_SECOND = "cps"
    EACH_MINUTE = "cpm"
    SINCE = "dateTimeFromNow"
    """Of a time in milliseconds since the epoch."""
    STATE = "none"
    """0 or 1, or a name."""


class Colour(StrEnum):
    """Colours by Grafana's names for them."""

    WELL = "green"
    NOTE = "blue"
    WARN = "orange"
    BAD = "red"
    DRY = "yellow"
    KERNEL = "purple"


@dataclass(frozen=True, slots=True)
class Query:
    """PromQL, and how its series are named: `{{label}}` stands for a label's value."""

    expr: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """From `value` on, a panel has this colour; None: from the lowest on."""

    value: float | None
    colour: Colour


@dataclass(frozen=True, slots=True)
class Word:
    """What a state is called, instead of its number."""

    text: str
    colour: Colour


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """One question and its answer."""

    look: Look
    title: str
    description: str
    unit: Unit
    queries: tuple[Query, ...]
    section: str
    """The section of the runbook that goes with it."""
    width: int
    """Of 24."""
    steps: tuple[Step, ...] = ()
    words: Mapping[int, Word] | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """Panels that answer one question."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """What the operator chooses at the top."""

    name: str
    label: str
    query: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice(Variable):
    """A variable of one value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices(Variable):
    """A variable of several values, at first of all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """Lines in every graph."""

    name: str
    expr: str
    title: str
    """What is shown beside the line; `{{label}}` stands for a label's value."""
    colour: Colour


@dataclass(frozen=True, slots=True, kw_only=True)
class Events(Marks):
    """Marks where `expr` has a value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments(Marks):
    """Marks at the values of `expr`, which are times in milliseconds since the epoch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """A dashboard."""

    uid: str
    title: str
    description: str
    span: str
    """How far it looks back at first, as in `now-6h`."""
    variables: tuple[Choice | Choices, ...]
    marks: tuple[Events | Moments, ...]
    rows: tuple[Row, ...]


def good_below(warn: float, bad: float) -> tuple[Step, ...]:
    """Colours for what is to stay small."""
    return Step(None, Colour.WELL), Step(warn, Colour.WARN), Step(bad, Colour.BAD)


def good_above(warn: float, bad: float) -> tuple[Step, ...]:
    """Colours for what is to stay large; `bad` is the lower of the two."""
    return Step(None, Colour.BAD), Step(bad, Colour.WARN), Step(warn, Colour.WELL)


def from_one(colour: Colour) -> tuple[Step, ...]:
    """Colours for counts of what should not happen. Counts over a range are estimated, so half is one."""
    return Step(None, Colour.WELL), Step(0.5, colour)
