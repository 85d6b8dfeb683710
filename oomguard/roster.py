"""Who was to die next when somebody was ended: the ranking of a decision as a table. Pure.

Bounded in its rows (`plan.RUNNERS_UP`) and in their width, whatever the processes call themselves.
"""

from __future__ import annotations

from oomguard.event import Killing, Person
from oomguard.names import printable
from oomguard.wording import size

UNIT_LENGTH, RULES = 64, 4
"""How much of a unit's name is shown, and how many of the rules that matched."""

_HEADER = ("place", "points", "pid", "uid", "rss", "swap", "adj", "standing", "process")
_RIGHT = range(1, 7)


def ranking(event: Killing) -> tuple[str, ...]:
    """The victim, who would have been next, and whom the kernel would have picked by its own points."""
    places = [("victim", event.victim)]
    places += [(str(place), person) for place, person in enumerate(event.runners_up, start=2)]
    if event.kernel_choice is not None:
        places.append(("kernel", event.kernel_choice))
    rows = (_HEADER, *(_row(place, person) for place, person in places))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return tuple(_line(row, widths) for row in rows)


def _row(place: str, person: Person) -> tuple[str, ...]:
    return (
        place,
        str(person.points),
        str(person.pid),
        str(person.uid),
        size(person.rss),
        size(person.swap),
        str(person.oom_score_adj),
        person.standing.value,
        _process(person),
    )


def _process(person: Person) -> str:
    unit = f", {printable(_cut(person.unit))}" if person.unit else ""
    rules = [printable(_cut(rule)) for rule in person.rules[:RULES]]
    more = [f"{len(person.rules) - RULES} more"] if len(person.rules) > RULES else []
    matched = f", rules {' '.join([*rules, *more])}" if rules else ""
    return f'"{printable(person.comm)}"{unit}{matched}'


def _cut(name: str) -> str:
    return name if len(name) <= UNIT_LENGTH else f"{name[: UNIT_LENGTH - 1]}…"


def _line(row: tuple[str, ...], widths: list[int]) -> str:
    cells = (
        cell.rjust(width) if column in _RIGHT else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(row, widths, strict=True))
    )
    return f"  {'  '.join(cells)}".rstrip()
