"""Globs, and regular expressions that are safe to run on hostile names: what could take too long is refused.

`re` tries alternatives one after another, so an expression of a dozen characters can keep it busy for
years on a name chosen for that. Here an upper bound on the work is computed from the parse tree: a node
has a number of `ways` in which it can match from one position, and each way of what stands before it
starts it anew. Alternatives that begin differently are one way. Repeats within repeats, and alternatives
within long repeats, exceed every bound; so do three long repeats in a row.
"""

from __future__ import annotations

import fnmatch
import re
import warnings
from collections.abc import Iterable
from re import _parser as sre  # type: ignore[attr-defined]  # no public module has the parse tree
from typing import Any

from oomguard.frozen import positional
from oomguard.names import LONGEST

_LOOK = 1
"""Work: one character is compared. The other weights are measured against it on CPython 3.11."""
_TRY = 8
"""Work: one more way is tried."""
_GROUP = 16
"""Work: a group is entered, and left."""
_ALLOWED = 24 * LONGEST**2
"""Work that two long repeats in a row may cost: about 0.2 s on a small machine."""


@positional
class _Cost:
    """Of matching a part of an expression from one position."""

    ways: int
    work: int


def compile_glob(text: str) -> re.Pattern[str]:
    """`text` compiled, of which `*` matches `/` too."""
    return re.compile(fnmatch.translate(text))


def compile_bounded(text: str) -> re.Pattern[str]:
    """`text` compiled, with `.` matching newlines too, as names may hold them.

    ValueError, in words for people, where it is not an expression or could take too long.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            tree = sre.parse(text, re.DOTALL)
            regex = re.compile(text, re.DOTALL)
        cost = _sequence(tree)
    except (re.error, OverflowError, Warning) as error:
        raise ValueError(f"is not a valid regular expression: {error}") from error
    except RecursionError as error:
        raise ValueError("is nested too deeply for a regular expression") from error
    _affordable(cost.ways + cost.work)
    return regex


def _affordable(work: int) -> int:
    if work > _ALLOWED:
        raise ValueError(
            "can take too long on a hostile name: use at most two of *, + and {n,}, none inside another, "
            "and no alternatives inside a repeat; or write a glob, which is always fast"
        )
    return work


def _sequence(nodes: Iterable[tuple[Any, Any]]) -> _Cost:
    ways, work = 1, 0
    for code, argument in nodes:
        cost = _node(code, argument)
        work = _affordable(work + ways * cost.work)
        ways *= cost.ways
    return _Cost(ways, work)


def _node(code: Any, argument: Any) -> _Cost:  # noqa: PLR0911  # one line for each kind of node
    match code:
        case sre.LITERAL | sre.NOT_LITERAL | sre.ANY | sre.AT:
            return _Cost(1, _LOOK)
        case sre.IN:
            return _Cost(1, len(argument) * _LOOK)
        case sre.SUBPATTERN:
            inner = _sequence(argument[3])
            return _Cost(inner.ways, inner.work + _GROUP)
        case sre.BRANCH:
            costs = [_sequence(each) for each in argument[1]]
            ways = _ways([(each, cost.ways) for each, cost in zip(argument[1], costs, strict=True)])
            return _Cost(ways, sum(_TRY + cost.work for cost in costs))
        case sre.MAX_REPEAT | sre.MIN_REPEAT:
            return _repeat(*argument)
        case sre.POSSESSIVE_REPEAT:
            return _Cost(1, _repeat(*argument).work)
        case sre.ATOMIC_GROUP:
            return _Cost(1, _sequence(argument).work + _GROUP)
        case sre.ASSERT | sre.ASSERT_NOT:
            return _Cost(1, _sequence(argument[1]).work + _GROUP)
        case _:
            raise ValueError("has a back-reference or a condition, which can take too long: write it without")


def _repeat(least: int, most: int, body: Iterable[tuple[Any, Any]]) -> _Cost:
    """Every turn is entered in each of the ways that the turns before it can match."""
    once = _sequence(body)
    least, most = min(least, LONGEST), min(most, LONGEST)
    ways, work, entered = 0, 0, 1
    for turn in range(most + 1):
        if turn >= least:
            ways += entered
        if turn < most:
            work += entered * once.work
        entered *= once.ways
    return _Cost(ways, work + ways * _TRY)


def _ways(alternatives: list[tuple[Any, int]]) -> int:
    """As many as can match at one place: of those that begin with different characters, one group.

    Each comes with its own ways, which are those of what follows its first character too.
    """
    if len(alternatives) == 1 or not all(nodes and nodes[0][0] is sre.LITERAL for nodes, _ in alternatives):
        return sum(ways for _, ways in alternatives)
    groups: dict[str, list[tuple[Any, int]]] = {}
    for nodes, ways in alternatives:
        # Folded, as the expression may ignore case.
        groups.setdefault(chr(nodes[0][1]).casefold()[0], []).append((nodes[1:], ways))
    return max(map(_ways, groups.values()))
