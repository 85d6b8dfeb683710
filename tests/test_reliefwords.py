from __future__ import annotations

from dataclasses import replace

import pytest

from oomguard.event import Event
from oomguard.reliefwords import ENDINGS, RESULTS
from oomguard.remedy import Action, Ending, Result
from oomguard.units import MIB
from oomguard.wording import sentence
from tests.telling import HOSTILE, person, relieved, relieving

JAVA = '"java" (pid 1234, tomcat.service, uid 998, 812 MiB and 512 KiB of swap)'
GROUP = 'the control group "/a"'
STALL = "the host stalled 10% of the time, and 42% before"


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (
            relieving(Action.SIGNAL, process=person()),
            f"Sent SIGUSR1 to {JAVA}, as memory is getting short.",
        ),
        (
            relieving(Action.SIGNAL, Result.UNHEARD, process=person()),
            f"Have not sent SIGUSR1 to {JAVA}: it does not catch the signal, and might end by it.",
        ),
        (
            relieving(Action.RECLAIM, cgroup="/a", amount=40 * MIB),
            f"Reclaimed 40 MiB from {GROUP}, as memory is getting short.",
        ),
        (
            relieving(Action.RECLAIM, Result.PARTLY, cgroup="/a"),
            f"Reclaimed 0 MiB from {GROUP}, as memory is getting short: there was no more to be had in time.",
        ),
        (
            relieving(Action.RECLAIM, Result.CHANGED, cgroup="/a"),
            f"Have not reclaimed memory from {GROUP}: somebody is in it who was not judged with it.",
        ),
        (
            relieving(Action.THROTTLE, cgroup="/a", amount=40 * MIB),
            f"Throttled {GROUP} at 40 MiB for at most 10 s, as memory is getting short.",
        ),
        (
            relieving(Action.THROTTLE, Result.ALREADY, cgroup="/a"),
            f"Have not throttled {GROUP} for at most 10 s: somebody else has done so, or holds it to less.",
        ),
        (
            relieving(Action.FREEZE, None, cgroup="/a"),
            f"Would have frozen {GROUP} for at most 10 s, as memory is getting short.",
        ),
        (
            relieving(Action.HOLD_SWAP, cgroup="/"),
            "Held swapping out back for at most 0 s, as memory is there again.",
        ),
        (
            relieving(Action.HOLD_SWAP, Result.REFUSED, cgroup="/"),
            "Have not held swapping out back for at most 0 s: "
            "that was refused, or could not be noted for the next guard.",
        ),
        (
            relieved(Action.SIGNAL, Ending.MEASURED, process=person()),
            f"After the signal to {JAVA}; 40 MiB more available after 3.0 s, {STALL}.",
        ),
        (
            relieved(Action.RECLAIM, Ending.MEASURED, cgroup="/a", gained=-3 * MIB),
            f"After reclaiming from {GROUP}; 3 MiB less available after 3.0 s, {STALL}.",
        ),
        (
            relieved(Action.THROTTLE, Ending.TIME, cgroup="/a"),
            f"Throttled no more: {GROUP}, as its time is over; 40 MiB more available after 3.0 s, {STALL}.",
        ),
        (
            relieved(Action.FREEZE, Ending.VICTIM, cgroup="/a"),
            f"Thawed: {GROUP}, as somebody in it has to end; 40 MiB more available after 3.0 s, {STALL}.",
        ),
        (
            relieved(Action.FREEZE, Ending.LEFT_BEHIND, cgroup="/a"),
            f"Thawed: {GROUP}: a guard that has died had left it so.",
        ),
        (
            relieved(Action.HOLD_SWAP, Ending.LEFT_BEHIND, cgroup="/a"),
            f"May be swapped out again: {GROUP}: a guard that has died had left it so.",
        ),
    ],
)
def test_the_words(event: Event, words: str) -> None:
    assert sentence(event) == words


def test_each_result_and_ending_has_words() -> None:
    assert RESULTS.keys() == set(Result)
    assert {*ENDINGS, Ending.LEFT_BEHIND} == set(Ending)


@pytest.mark.parametrize("action", Action)
def test_no_name_forges_a_line(action: Action) -> None:
    someone = replace(person(), comm=HOSTILE) if action is Action.SIGNAL else None
    cgroup = None if someone else HOSTILE
    for result in (*Result, None):
        assert sentence(relieving(action, result, cgroup=cgroup, process=someone)).isprintable()
    for ending in Ending:
        assert sentence(relieved(action, ending, cgroup=cgroup, process=someone)).isprintable()
