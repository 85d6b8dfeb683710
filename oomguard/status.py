"""`oomguard status`: what the guard on this host sees and does, for a person or as JSON."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta

from oomguard import codec, tmpfs, wording
from oomguard.counters import FAMILIES, Counter
from oomguard.errors import Gone, RecordError
from oomguard.frozen import frozen, plain
from oomguard.holders import Held, holders, swapped
from oomguard.names import printable
from oomguard.process import Process
from oomguard.procfs import ProcFS
from oomguard.reader import Reader, Told
from oomguard.state import State, age, current
from oomguard.units import Bytes, Seconds
from oomguard.wording import Mounts, because, sentence, size

LAST = 10
"""How many of the told events are shown."""
LARGEST = 4
"""How many of those who hold memory."""


@frozen
class Status:
    """All that is shown: one record, and what holds memory now."""

    state: State
    age: Seconds
    counters: dict[Counter, int]
    told: tuple[Told, ...]
    held: Held
    mounts: Mounts


def look(path: str | os.PathLike[str]) -> Status:
    """The record at `path`. Raises `RecordError`, whose text says so, where no guard runs."""
    now = Seconds(time.monotonic())
    try:
        with Reader.open(path) as reader:
            state = current(reader.state(), now)
            _, told = reader.events(0)
            return Status(
                state=state,
                age=age(state, now),
                counters=reader.counters(),
                told=told[-LAST:],
                held=held_now(ProcFS()),
                mounts=tmpfs.biggest(),
            )
    except RecordError as error:
        raise RecordError(f"no guard runs: {error}") from error


def held_now(procfs: ProcFS) -> Held:
    """Who holds the memory of the host; without swap, nobody has to be looked at for it."""
    holdings = procfs.holdings()
    private = swapped(_everybody(procfs)) if holdings.swap_used else 0
    return holders(holdings, Bytes(private * procfs.machine().page_size))


def _everybody(procfs: ProcFS) -> Iterator[Process]:
    for pid in procfs.pids():
        with suppress(Gone):
            yield procfs.process(pid)


def words(status: Status) -> str:
    """`status` for a person: lines, each ended by a newline."""
    return "".join(f"{line}\n" for line in _lines(status))


def document(status: Status) -> str:
    """`status` as one JSON document. Wall times are seconds since the epoch, memory is in bytes."""
    return json.dumps(
        {
            "age_seconds": status.age,
            "state": plain(status.state),
            "counters": {
                family.name: [
                    {
                        **{
                            label: value
                            for (label, _), value in zip(family.labels, counter.labels, strict=True)
                        },
                        "value": status.counters[counter],
                    }
                    for counter in family.counters()
                ]
                for family in FAMILIES
            },
            "held": [{"holder": holder, "bytes": amount} for holder, amount in status.held],
            "tmpfs": [{"path": printable(path), "bytes": used} for path, used in status.mounts],
            "events": [
                {"sequence": told.sequence, "time": told.wall, **codec.document(told.event)}
                for told in status.told
            ],
        },
        indent=2,
    )


def _lines(status: Status) -> Iterator[str]:
    state = status.state
    figures, limits = state.figures, state.thresholds
    why = f", as {because(state.reasons, figures)}" if state.reasons else ""
    up = timedelta(seconds=max(0, round(state.polled - state.started)))
    yield f"Guard      pid {state.pid}, mode {state.mode}, up {up}, last poll {status.age:.1f} s ago"
    yield f"Phase      {state.phase}, level {state.level}{why}"
    yield (
        f"Memory     {size(figures.available)} available; "
        f"term below {size(limits.available_term)}, kill below {size(limits.available_kill)}"
    )
    yield f"Held by    {wording.holders(status.held[:LARGEST])}"
    if status.mounts:
        yield f"Tmpfs      {', '.join(wording.mounts(status.mounts))}"
    if limits.swap_term:
        yield (
            f"Swap       {size(figures.swap_free)} free; "
            f"term below {size(limits.swap_term)}, kill below {size(limits.swap_kill)}"
        )
    yield (
        f"Stall      {figures.stall:.2f} s of a budget of {figures.stall_budget:g} s "
        f"in {limits.stall_window:g} s{'' if state.psi else ', estimated: this kernel has no PSI'}"
    )
    if limits.commit_term:
        yield f"Committed  {size(figures.committed)}; term above {size(limits.commit_term)}"
    if state.watched:
        yield "Groups     " + ", ".join(
            f"{each.entry} {each.groups} ({each.crossed} crossed)" for each in state.watched
        )
    yield f"Processes  {state.candidates} candidates, {state.spared} spared"
    refused = "" if state.config_ok else "; a newer one was refused, see the journal"
    yield f"Configured {_when(state.configured)}{refused}"
    totals = {family.name: sum(status.counters[each] for each in family.counters()) for family in FAMILIES}
    yield "Counted    " + ", ".join(f"{name.replace('_', ' ')} {total}" for name, total in totals.items())
    if status.told:
        yield "Last told"
        yield from (f"  {_when(told.wall)}  {sentence(told.event)}" for told in status.told)


def _when(wall: float) -> str:
    return datetime.fromtimestamp(wall).astimezone().strftime("%Y-%m-%d %H:%M:%S")
