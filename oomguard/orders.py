"""What the guard and its relieving process say to each other: a line each. Pure.

An order is JSON and fits into PIPE_BUF, so that it is written whole or not at all (pipe(7)). A report has a
word for each field: the guard loads nothing that reads JSON (`jsontext`).
"""

from __future__ import annotations

from typing import Any

from oomguard.frozen import frozen, plain
from oomguard.jsontext import dumped
from oomguard.names import decode
from oomguard.process import Key
from oomguard.remedy import Action, Ending, Result
from oomguard.rules import Signal
from oomguard.units import Bytes, Pid, Seconds, Ticks


@frozen
class SendOrder:
    """Send a signal to a process, if it still is who it was and catches it."""

    number: int
    key: Key
    signal: Signal


@frozen
class ReclaimOrder:
    """Reclaim so much from a group in which nobody but `members` is."""

    number: int
    cgroup: str
    members: tuple[Pid, ...]
    amount: Bytes
    lasts: Seconds
    """When to give up, from now."""


@frozen
class RestrainOrder:
    """Slow down or stop a group in which nobody but `members` is, for so long at the most."""

    number: int
    action: Action
    cgroup: str
    members: tuple[Pid, ...]
    lasts: Seconds


@frozen
class UndoOrder:
    """End this act before its time."""

    number: int
    ending: Ending


Order = SendOrder | ReclaimOrder | RestrainOrder | UndoOrder


@frozen
class Tried:
    """What came of an order."""

    number: int
    result: Result
    amount: Bytes
    """What was reclaimed, or what the group is held to; else 0."""


@frozen
class Undone:
    """A restraint is over."""

    number: int
    ending: Ending


@frozen
class Found:
    """A restraint that a dead guard had left behind is over."""

    action: Action
    cgroup: str


Report = Tried | Undone | Found


def encode_order(order: Order) -> bytes:
    """One line."""
    return dumped({"kind": type(order).__name__, **plain(order)}).encode("ascii") + b"\n"


def encode_report(report: Report) -> bytes:
    """One line; the name of a group may have any characters, so it is in hexadecimal digits."""
    words: tuple[str, ...]
    match report:
        case Tried():
            words = ("tried", str(report.number), report.result, str(report.amount))
        case Undone():
            words = ("undone", str(report.number), report.ending)
        case Found():
            words = ("found", report.action, report.cgroup.encode("utf-8", "surrogateescape").hex())
    return " ".join(words).encode("ascii") + b"\n"


def decode_order(line: bytes) -> Order:
    """Raises `ValueError` for what is none."""
    match _plain(line):
        case {
            "kind": "SendOrder",
            "number": int(number),
            "key": {"pid": int(pid), "starttime": int(starttime)},
            "signal": str(signal),
        }:
            key = Key(Pid(pid), Ticks(starttime))
            return SendOrder(number=number, key=key, signal=Signal(signal))
        case {
            "kind": "ReclaimOrder",
            "number": int(number),
            "cgroup": str(cgroup),
            "members": list(members),
            "amount": int(amount),
            "lasts": float() | int() as lasts,
        }:
            return ReclaimOrder(
                number=number,
                cgroup=cgroup,
                members=_pids(members),
                amount=Bytes(amount),
                lasts=Seconds(lasts),
            )
        case {
            "kind": "RestrainOrder",
            "number": int(number),
            "action": str(action),
            "cgroup": str(cgroup),
            "members": list(members),
            "lasts": float() | int() as lasts,
        }:
            return RestrainOrder(
                number=number,
                action=Action(action),
                cgroup=cgroup,
                members=_pids(members),
                lasts=Seconds(lasts),
            )
        case {"kind": "UndoOrder", "number": int(number), "ending": str(ending)}:
            return UndoOrder(number=number, ending=Ending(ending))
    raise ValueError("not an order")


def decode_report(line: bytes) -> Report:
    """Raises `ValueError` for what is none."""
    match line.decode("ascii").split():
        case ["tried", number, result, amount]:
            return Tried(number=int(number), result=Result(result), amount=Bytes(int(amount)))
        case ["undone", number, ending]:
            return Undone(number=int(number), ending=Ending(ending))
        case ["found", action, cgroup]:
            return Found(action=Action(action), cgroup=decode(bytes.fromhex(cgroup)))
    raise ValueError("not a report")


def _plain(line: bytes) -> Any:
    import json  # noqa: PLC0415 - the relieving process reads orders, and not the guard

    try:
        return json.loads(line)
    except RecursionError as error:
        raise ValueError("nested too deep") from error


def _pids(values: list[Any]) -> tuple[Pid, ...]:
    if not all(type(value) is int for value in values):
        raise ValueError("a member is not a pid")
    return tuple(map(Pid, values))
