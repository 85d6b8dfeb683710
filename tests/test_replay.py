"""Recorded incidents, replayed: from the same record, the same decision.

`python -m bench.incidents NAME` makes the records anew, where the engine is meant to decide otherwise.
"""

from __future__ import annotations

import random
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from oomguard.plan import HoldReason
from oomguard.pressure import Reason, Sample
from oomguard.ranking import Judged
from oomguard.rules import Standing
from oomguard.swapspace import SwapArea, cost
from oomguard.units import Bytes, Pages
from tests.builders import PAGE
from tests.incident import Line, dump, load
from tests.taped import Otherwise, Story, play, steps

INCIDENTS = Path(__file__).parent / "incidents"
NAMES = sorted(path.name.partition(".")[0] for path in INCIDENTS.iterdir())
WITH_A_VICTIM = {
    "flat-out": (Reason.STALL,),
    "fork-bomb": (Reason.LOW_MEMORY,),
    "leak-beside-database": (Reason.STALL,),
    "zram": (Reason.LOW_MEMORY,),
    "zram-uncounted": (Reason.STALL,),
}
HOLDS = {"tmpfs": (HoldReason.FUTILE,)}
AS_RECORDED = Otherwise()
SOON = 0.7
"""A look takes no time in a replay, so that what is read again after it is what was read before."""


@cache
def recorded(name: str) -> tuple[Line, ...]:
    return tuple(load((INCIDENTS / f"{name}.jsonl.xz").read_bytes()))


def replay(name: str, otherwise: Otherwise = AS_RECORDED) -> Story:
    return play(recorded(name), otherwise)


def is_hog(one: Judged) -> bool:
    return one.cgroup.startswith("/workload.slice/workload-hogs.slice/")


def test_a_record_reads_back_as_it_was_written() -> None:
    lines = recorded("fork-bomb")
    assert tuple(load(dump(lines))) == lines


@pytest.mark.parametrize("name", NAMES)
def test_the_same_decision_from_the_same_record(name: str) -> None:
    story = replay(name)
    told = [(one.victim, one.sent, one.reasons, len(one.members)) for one in story.decisions]
    record = steps(recorded(name), AS_RECORDED)
    acts = [(step.sample.at - record[0].sample.at, act) for step in record for act in step.signalled]
    assert told == [(act.victim, act.sent, act.reasons, act.members) for _, act in acts]
    assert [one.after for one in story.decisions] == pytest.approx([at for at, _ in acts], abs=SOON)
    assert {one.reasons for one in story.decisions} == {WITH_A_VICTIM[name] for _ in acts[:1]}
    assert story.holds == HOLDS.get(name, ())
    assert all(is_hog(member) for one in story.decisions for member in one.members)


@pytest.mark.parametrize("name", NAMES)
def test_in_whatever_order_the_processes_come(name: str) -> None:
    as_recorded = replay(name)
    shuffled = replay(name, Otherwise(order=random.Random(name)))
    assert shuffled.holds == as_recorded.holds
    assert _in_order(shuffled) == _in_order(as_recorded)


def _in_order(story: Story) -> list[object]:
    return [replace(one, members=(one.members[0], *sorted(one.members, key=_pid))) for one in story.decisions]


def _pid(one: Judged) -> int:
    return one.process.key.pid


@pytest.mark.parametrize("name", NAMES)
def test_who_is_protected_never_dies(name: str) -> None:
    def protect(one: Judged) -> Judged:
        never = replace(one.verdict, standing=Standing.NEVER, rules=("hogs",))
        return replace(one, verdict=never) if is_hog(one) else one

    story = replay(name, Otherwise(judged=protect))
    assert not any(is_hog(member) for one in story.decisions for member in one.members)
    assert (HoldReason.CULPRIT_SPARED in story.holds) == (name in WITH_A_VICTIM)


@pytest.mark.parametrize(
    ("name", "right"),
    [(name, name != "fork-bomb") for name in WITH_A_VICTIM],
)
def test_growth_is_what_tells_a_swarm_from_who_is_bigger_than_each(name: str, right: bool) -> None:
    """Where it is not known, who holds most dies: right for one process, wrong for a swarm."""

    def unknown(one: Judged) -> Judged:
        return replace(one, growth=Pages(0))

    first = replay(name, Otherwise(judged=unknown)).decisions[0]
    assert all(is_hog(member) for member in first.members) is right


def counted(sample: Sample) -> Sample:
    """With what its swap, in zram, takes of memory."""
    memory = sample.memory
    used = Bytes(memory.swap_total - memory.swap_free)
    zram = SwapArea(size=memory.swap_total, used=used, in_memory=True)
    return replace(sample, swap_cost=cost((zram,), Bytes(sample.vmstat.zspages * PAGE)))


def test_zram_that_takes_what_it_gives_is_no_headroom() -> None:
    """Recorded of a guard that took zram for a disk: everybody waited until the budget was spent."""
    before = replay("zram-uncounted").decisions[0]
    after = replay("zram-uncounted", Otherwise(sample=counted)).decisions[0]
    assert after.victim == before.victim
    assert after.after < before.after - 3
    assert after.stall < before.stall / 3
