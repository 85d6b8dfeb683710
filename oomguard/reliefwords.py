"""What was tried before a kill, in plain words. Pure."""

from __future__ import annotations

from typing import assert_never

from oomguard.event import Relieved, Relieving
from oomguard.remedy import Action, Ending, Result
from oomguard.units import MIB

RESULTS = {
    Result.DONE: "",
    Result.PARTLY: ": there was no more to be had in time",
    Result.UNHEARD: ": it does not catch the signal, and might end by it",
    Result.ALREADY: ": somebody else has done so, or holds it to less",
    Result.CHANGED: ": somebody is in it who was not judged with it",
    Result.VANISHED: ": it is gone",
    Result.UNSUPPORTED: ": this kernel, or the way control groups are mounted here, has no way to",
    Result.REFUSED: ": that was refused, or could not be noted for the next guard",
}
ENDINGS = {
    Ending.MEASURED: "",
    Ending.WELL: ", as memory is well",
    Ending.TIME: ", as its time is over",
    Ending.VICTIM: ", as somebody in it has to end",
    Ending.RELOAD: ", for the new configuration",
}


def relieving(event: Relieving, whom: str) -> str:
    """What was tried, in one line; `whom`: the process or the control group, as a line names it."""
    done = _done(event, whom)
    match event.result:
        case None:
            return f"Would have {done}, as memory is getting short."
        case Result.DONE | Result.PARTLY:
            return f"{done[0].upper()}{done[1:]}, {_why(event.action)}{RESULTS[event.result]}."
        case _:
            return f"Have not {done}{RESULTS[event.result]}."


def _why(action: Action) -> str:
    return "as memory is there again" if action is Action.HOLD_SWAP else "as memory is getting short"


def _done(event: Relieving, whom: str) -> str:
    match event.action:
        case Action.SIGNAL:
            return f"sent {event.signal} to {whom}"
        case Action.RECLAIM:
            partly = event.result is Result.PARTLY
            amount = f"{event.amount // MIB} MiB" if event.amount or partly else "memory"
            return f"reclaimed {amount} from {whom}"
        case Action.THROTTLE:
            amount = f" at {event.amount // MIB} MiB" if event.amount else ""
            return f"throttled {whom}{amount} for at most {event.lasts:g} s"
        case Action.FREEZE:
            return f"frozen {whom} for at most {event.lasts:g} s"
        case Action.HOLD_SWAP:
            return f"held swapping out back for at most {event.lasts:g} s"
    assert_never(event.action)


def relieved(event: Relieved, whom: str) -> str:
    """What it brought, in one line."""
    done = _undone(event.action, whom)
    if event.ending is Ending.LEFT_BEHIND:
        return f"{done}: a guard that has died had left it so."
    change = f"{abs(event.gained) // MIB} MiB {'more' if event.gained >= 0 else 'less'} available"
    stall = f"the host stalled {event.stalled_after:.0%} of the time, and {event.stalled_before:.0%} before"
    return f"{done}{ENDINGS[event.ending]}; {change} after {event.took:.1f} s, {stall}."


def _undone(action: Action, whom: str) -> str:
    match action:
        case Action.SIGNAL:
            return f"After the signal to {whom}"
        case Action.RECLAIM:
            return f"After reclaiming from {whom}"
        case Action.THROTTLE:
            return f"Throttled no more: {whom}"
        case Action.FREEZE:
            return f"Thawed: {whom}"
        case Action.HOLD_SWAP:
            return f"May be swapped out again: {whom}"
    assert_never(action)
