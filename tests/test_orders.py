from __future__ import annotations

import json
import select

import pytest

from oomguard.orders import (
    Found,
    Order,
    ReclaimOrder,
    Report,
    RestrainOrder,
    SendOrder,
    Tried,
    Undone,
    UndoOrder,
    decode_order,
    decode_report,
    encode_order,
    encode_report,
)
from oomguard.process import Key
from oomguard.relief import LONGEST_NAME, MOST_MEMBERS
from oomguard.remedy import Action, Ending, Result
from oomguard.rules import Signal
from oomguard.units import Bytes, Pid, Seconds, Ticks
from tests.specimens import HOSTILE

LARGEST_PID = 1 << 22
LARGEST = RestrainOrder(
    number=1 << 30,
    action=Action.THROTTLE,
    cgroup="\udcff" * LONGEST_NAME,
    members=(Pid(LARGEST_PID),) * MOST_MEMBERS,
    lasts=Seconds(1 / 3),
)
ORDERS: tuple[Order, ...] = (
    SendOrder(number=1, key=Key(Pid(7), Ticks(8)), signal=Signal.RELEASE),
    ReclaimOrder(number=2, cgroup=HOSTILE, members=(Pid(7),), amount=Bytes(9), lasts=Seconds(1.5)),
    LARGEST,
    UndoOrder(number=4, ending=Ending.VICTIM),
)
REPORTS: tuple[Report, ...] = (
    Tried(number=1, result=Result.PARTLY, amount=Bytes(3)),
    Undone(number=2, ending=Ending.TIME),
    Found(action=Action.FREEZE, cgroup=HOSTILE),
)


@pytest.mark.parametrize("order", ORDERS)
def test_an_order_arrives_as_one_line(order: Order) -> None:
    line = encode_order(order)
    assert line.count(b"\n") == 1
    assert decode_order(line[:-1]) == order


@pytest.mark.parametrize("report", REPORTS)
def test_a_report_arrives_as_one_line(report: Report) -> None:
    line = encode_report(report)
    assert line.count(b"\n") == 1
    assert decode_report(line[:-1]) == report


def test_the_longest_order_is_written_whole_or_not_at_all() -> None:
    assert len(encode_order(LARGEST)) <= select.PIPE_BUF


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("wrong", [None, [None], {}])
def test_what_is_no_order_is_refused(order: Order, wrong: object) -> None:
    plain = json.loads(encode_order(order))
    for key in plain:
        with pytest.raises(ValueError, match="not"):
            decode_order(json.dumps({**plain, key: wrong}).encode())


NO_REPORTS = (
    b"",
    b"tried",
    b"undone 1 tired",
    b"tried 1 done much",
    b"tried 1 done 1 2",
    b"found freeze /",
    b"\xff",
    encode_order(ORDERS[0]),
)


@pytest.mark.parametrize("line", NO_REPORTS)
def test_what_is_no_report_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError):
        decode_report(line)


@pytest.mark.parametrize("line", [b"", b"{", b"\xff"])
def test_what_is_no_json_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError):
        decode_order(line)
