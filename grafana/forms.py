"""The few kinds of panels that the dashboards are made of."""

from __future__ import annotations

from collections.abc import Mapping

from grafana.board import Colour, Look, Panel, Query, Step, Unit, Word
from grafana.promql import quantile

CROSSED = {0: Word("no", Colour.WELL), 1: Word("crossed", Colour.BAD)}
"""What `oomguard_limit_crossed` says."""

NAMED = (Step(None, Colour.NOTE),)
"""For what is neither good nor bad."""


def number(
    title: str, description: str, unit: Unit, section: str, width: int, steps: tuple[Step, ...], expr: str
) -> Panel:
    """The latest value of `expr`, coloured by `steps`."""
    return Panel(
        look=Look.STAT,
        title=title,
        description=description,
        unit=unit,
        queries=(Query(expr),),
        section=section,
        width=width,
        steps=steps,
    )


def state(
    title: str, description: str, section: str, width: int, words: Mapping[int, Word], expr: str
) -> Panel:
    """The latest value of `expr`, 0 or 1, in `words`."""
    return Panel(
        look=Look.STAT,
        title=title,
        description=description,
        unit=Unit.STATE,
        queries=(Query(expr),),
        section=section,
        width=width,
        words=words,
    )


def word(title: str, description: str, section: str, width: int, query: Query) -> Panel:
    """The name of the one series of `query`."""
    return Panel(
        look=Look.WORD,
        title=title,
        description=description,
        unit=Unit.STATE,
        queries=(query,),
        section=section,
        width=width,
        steps=NAMED,
    )


def spread(rates: str) -> tuple[Query, ...]:
    """What half of the durations stayed below, and nearly all; `rates` of a histogram's buckets, by `le`."""
    return tuple(Query(quantile(share, rates), f"{share:.0%}") for share in (0.5, 0.99))


def lines(title: str, description: str, unit: Unit, section: str, width: int, *queries: Query) -> Panel:
    """A graph of levels."""
    return _graph(Look.LINES, title, description, unit, section, width, queries)


def bars(title: str, description: str, unit: Unit, section: str, width: int, *queries: Query) -> Panel:
    """A graph of what happened within each step."""
    return _graph(Look.BARS, title, description, unit, section, width, queries)


def timeline(
    title: str, description: str, section: str, width: int, words: Mapping[int, Word], query: Query
) -> Panel:
    """A band for each series of `query`, in the colours of `words`."""
    return Panel(
        look=Look.TIMELINE,
        title=title,
        description=description,
        unit=Unit.STATE,
        queries=(query,),
        section=section,
        width=width,
        words=words,
    )


def table(
    title: str, description: str, unit: Unit, section: str, width: int, steps: tuple[Step, ...], expr: str
) -> Panel:
    """Hosts, with the value of `expr` for each, coloured by `steps`."""
    return Panel(
        look=Look.TABLE,
        title=title,
        description=description,
        unit=unit,
        queries=(Query(expr),),
        section=section,
        width=width,
        steps=steps,
    )


def _graph(
    look: Look,
    title: str,
    description: str,
    unit: Unit,
    section: str,
    width: int,
    queries: tuple[Query, ...],
) -> Panel:
    return Panel(
        look=look,
        title=title,
        description=description,
        unit=unit,
        queries=queries,
        section=section,
        width=width,
    )
