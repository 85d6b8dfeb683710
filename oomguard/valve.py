"""The relieving process: carries out what is softer than a kill, and undoes it in time.

A process of its own, for what it does may wait in the kernel for seconds. It outlives its guard by what it
takes to undo all that is in force: the end of the orders is the end of the guard. What it leaves behind
itself, killed too, is in its notes, and the next one undoes that first.
"""

from __future__ import annotations

import os
import select
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from typing import assert_never

from oomguard import restraint
from oomguard.cgroupfs import CgroupFS
from oomguard.frozen import mutable
from oomguard.notes import Notes
from oomguard.nudge import nudge
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
    encode_report,
)
from oomguard.remedy import Ending, Result
from oomguard.restraint import Note, Refusal
from oomguard.units import Bytes, Seconds

CGROUPS = "/sys/fs/cgroup"
TICK = Seconds(1.0)
"""How often to look for what nobody wakes for; and between two tries to undo what could not be undone."""
NOTHING = Bytes(0)

Tell = Callable[[Report], None]


def main() -> None:
    """Obeys until the guard ends; the arguments are the path of the notes, and two descriptors.

    From one come orders, to the other go reports. Without descriptors, it undoes what was left behind, and
    ends: so does systemd once a guard has ended.
    """
    path, *descriptors = sys.argv[1:]
    if not descriptors:
        undo_left_behind(path)
        return
    orders, reports = map(int, descriptors)
    for descriptor in (orders, reports):
        os.set_inheritable(descriptor, False)
    os.set_blocking(reports, False)
    valve = Valve(CgroupFS(CGROUPS), _opened(path), teller(reports))
    serve(valve, orders)


def undo_left_behind(path: str) -> None:
    """Undo what is noted at `path`, where there is anything."""
    notes = _opened(path) if os.path.exists(path) else None
    Valve(CgroupFS(CGROUPS), notes, lambda _: None).close()


def serve(valve: Valve, orders: int) -> None:
    """Has `valve` obey what comes from `orders`, until that is at its end; then all is undone."""
    ready = select.poll()
    ready.register(orders, select.POLLIN)
    rest = b""
    while True:
        valve.tend(_now())
        if ready.poll(valve.pause(_now()) * 1000):
            text = os.read(orders, select.PIPE_BUF)
            if not text:
                break
            *lines, rest = (rest + text).split(b"\n")
            for line in lines:
                valve.obey(decode_order(line), _now())
    valve.close()


def teller(reports: int) -> Tell:
    """Writes each report as a line, or not at all: nobody waits for a guard that does not read."""

    def tell(report: Report) -> None:
        with suppress(OSError):
            os.write(reports, encode_report(report))

    return tell


@mutable
class _Standing:
    """A restraint in force."""

    note: Note
    until: Seconds
    ending: Ending
    """Why it will be over then."""


class Valve:
    """Restrains, reclaims and sends signals. Nothing is restrained that is not noted before."""

    def __init__(self, groups: CgroupFS, notes: Notes | None, tell: Tell) -> None:
        """What is in `notes` is undone at the first turn. Without notes nobody is restrained."""
        self._groups = groups
        self._notes = notes
        self._tell = tell
        self._reclaimer = Reclaimer(groups, tell)
        left = notes.read() if notes else ()
        # Numbers that no order has.
        self._standing = {
            -number: _Standing(note=note, until=Seconds(0.0), ending=Ending.LEFT_BEHIND)
            for number, note in enumerate(left, start=1)
        }

    def obey(self, order: Order, now: Seconds) -> None:
        """Carry one order out, or have it carried out."""
        match order:
            case SendOrder():
                self._tell(Tried(number=order.number, result=nudge(order.key, order.signal), amount=NOTHING))
            case ReclaimOrder():
                self._reclaimer.ask(order, Seconds(now + order.lasts))
            case RestrainOrder():
                result, amount = self._restrain(order, now)
                self._tell(Tried(number=order.number, result=result, amount=amount))
            case UndoOrder():
                self._reclaimer.cancel(order.number)
                if (standing := self._standing.get(order.number)) is not None:
                    standing.until, standing.ending = now, order.ending
                    self.tend(now)
            case _:
                assert_never(order)

    def tend(self, now: Seconds) -> None:
        """Undo what is due; to be called again and again."""
        due = [number for number, standing in self._standing.items() if standing.until <= now]
        for number in due:
            self._undo(number, now)

    def pause(self, now: Seconds) -> Seconds:
        """How long there is nothing to do."""
        until = min((standing.until for standing in self._standing.values()), default=now + TICK)
        return Seconds(min(max(until - now, 0.0), TICK))

    def close(self) -> None:
        """Undo all, or leave it to the next one."""
        for number in tuple(self._standing):
            self._undo(number, _now())
        if self._notes is not None:
            self._notes.close()

    def _restrain(self, order: RestrainOrder, now: Seconds) -> tuple[Result, Bytes]:
        if self._notes is None:
            return Result.REFUSED, NOTHING
        try:
            note = restraint.plan(self._groups, order.action, order.cgroup, order.members)
            until = Seconds(now + order.lasts)
            self._standing[order.number] = _Standing(note=note, until=until, ending=Ending.TIME)
            self._note()
            restraint.restrain(self._groups, note)
        except Refusal as refusal:
            self._forget(order.number)
            return refusal.result, NOTHING
        except OSError:
            # What could not be noted must not be done.
            self._forget(order.number)
            return Result.REFUSED, NOTHING
        return Result.DONE, restraint.held_to(note)

    def _undo(self, number: int, now: Seconds) -> None:
        standing = self._standing[number]
        try:
            restraint.undo(self._groups, standing.note)
        except Refusal:
            standing.until = Seconds(now + TICK)
            return
        self._forget(number)
        note = standing.note
        if standing.ending is Ending.LEFT_BEHIND:
            self._tell(Found(action=note.action, cgroup=note.cgroup))
        else:
            self._tell(Undone(number=number, ending=standing.ending))

    def _forget(self, number: int) -> None:
        self._standing.pop(number, None)
        with suppress(OSError):
            self._note()

    def _note(self) -> None:
        if self._notes is not None:
            self._notes.write(standing.note for standing in self._standing.values())


class Reclaimer:
    """Reclaims on a thread of its own, one group after the other: it waits for the disk."""

    def __init__(self, groups: CgroupFS, tell: Tell) -> None:
        self._groups = groups
        self._tell = tell
        self._queue: SimpleQueue[tuple[ReclaimOrder, Seconds]] = SimpleQueue()
        self._cancelled: set[int] = set()
        threading.Thread(target=self._work, name="reclaim", daemon=True).start()

    def ask(self, order: ReclaimOrder, until: Seconds) -> None:
        """Have it done, as far as it is done by `until`."""
        self._queue.put((order, until))

    def cancel(self, number: int) -> None:
        """Go no further with this one."""
        self._cancelled.add(number)

    def _work(self) -> None:
        while True:
            order, until = self._queue.get()
            self._tell(self._reclaim(order, until))

    def _reclaim(self, order: ReclaimOrder, until: Seconds) -> Tried:
        def goes_on() -> bool:
            return order.number not in self._cancelled and _now() < until

        try:
            done = restraint.reclaim(self._groups, order.cgroup, order.members, order.amount, goes_on)
        except Refusal as refusal:
            return Tried(number=order.number, result=refusal.result, amount=NOTHING)
        result = Result.DONE if done >= order.amount else Result.PARTLY
        return Tried(number=order.number, result=result, amount=done)


def _opened(path: str) -> Notes | None:
    try:
        return Notes(path)
    except OSError:
        return None


def _now() -> Seconds:
    return Seconds(time.monotonic())


if __name__ == "__main__":
    main()
