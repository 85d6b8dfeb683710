"""The [[cgroup]] of the configuration: control groups that are watched, each on its own."""

from __future__ import annotations

from oomguard.enclosure import Entry
from oomguard.names import quoted
from oomguard.table import Table, take_name
from oomguard.units import Percent, Seconds, parse_duration, parse_percent, spell_amount, spell_duration

MOST_ENTRIES = 16
"""Each is a label of the metrics."""
TERM, KILL = Percent(95.0), Percent(98.0)
"""Of a group's limit, where an entry does not say."""

_MAGIC = frozenset("*?[")


def entries(tables: list[Table], window: Seconds) -> tuple[Entry, ...]:
    """The entries that `tables` come to; what is wrong is collected there. `window`: that of [stall]."""
    found = [_entry(table, window) for table in tables]
    for table in tables[MOST_ENTRIES:]:
        table.refuse(f"is one [[cgroup]] too many: at most {MOST_ENTRIES} may be", "name")
    return tuple(filter(None, found))


def _entry(table: Table, window: Seconds) -> Entry | None:
    """The entry, or None where the table has problems."""
    name = table.take("name", take_name, None)
    path = table.take("path", _path, None)
    term = table.take("term", parse_percent, TERM)
    kill = table.take("kill", parse_percent, max(KILL, term, key=lambda share: share.value))
    budget = table.take("budget", parse_duration, None)
    table.close()
    for key in ("name", "path"):
        if not table.has(key):
            table.refuse("is missing", key)
    if term.value == 0:
        table.refuse("must be above 0%", "term")
    if table.sound("term", "kill") and kill.value < term.value:
        problem = (
            f"kill is {spell_amount(kill)} and term is {spell_amount(term)} of what may be used; "
            "kill is the last resort, and must not be below term"
        )
        table.refuse(problem, "kill", "term")
    if budget is not None and not 0 < budget <= window:
        problem = (
            f"is {spell_duration(budget)}; it must be above 0s and fit into stall.window, "
            f"which is {spell_duration(window)}"
        )
        table.refuse(problem, "budget")
    if table.problems or name is None or path is None:
        return None
    return Entry(name=name, path=path, term=term, kill=kill, budget=budget)


def _path(text: str) -> str:
    """A group from the root that the guard sees; only the last part may be a glob."""
    *above, last = text.split("/")
    if not text.startswith("/") or "\0" in text:
        raise ValueError(f'{quoted(text)} is not a control group such as "/machine.slice", from the root on')
    if text == "/":
        return text
    if not last or not all(above[1:]) or not {".", ".."}.isdisjoint((*above, last)):
        raise ValueError(f"{quoted(text)} is not a path: no part of it may be empty, . or ..")
    if any(_MAGIC.intersection(part) for part in above):
        raise ValueError(
            f"{quoted(text)} has a glob before its last part; only the children of one can be meant"
        )
    return text
