"""A host with three thousand processes: slower to look at, and as safe."""

from __future__ import annotations

from tests.vm.guest import guard
from tests.vm.guest.check import check, measured
from tests.vm.guest.guard import counter, events, status
from tests.vm.guest.hog import hog
from tests.vm.guest.host import until

COUNT = 3000


@check(limit=120)
def starts() -> None:
    guard.install("")


@check(limit=400)
def a_leaker_dies_in_the_crowd() -> None:
    with hog("crowd", "crowd", str(COUNT), properties=("TasksMax=infinity",)) as crowd:
        until(lambda: crowd["TasksCurrent"] == str(COUNT + 1), "the crowd", limit=180)
        # As much slower than in life as the look at everybody is on an emulated CPU.
        with hog("leaker", "leak", "4000", "20") as unit:
            until(lambda: not unit.alive, "its death", limit=120)
            assert unit.ending.startswith("killed"), unit.ending
        # Those who have just come are read for a second at the most, the largest first.
        measured("candidates", status()["state"]["candidates"])
        assert crowd["TasksCurrent"] == str(COUNT + 1), "innocent, and dead"
    first = next(event for event in events("killing") if event["victim"]["unit"] == "leaker.service")
    measured("reaction_seconds", first["reaction"])


@check()
def nothing_failed() -> None:
    assert counter("failures") == 0, events("failed")
