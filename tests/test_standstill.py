from __future__ import annotations

import pytest

from oomguard.plan import Hold, HoldReason, Kill
from oomguard.pressure import Assessment
from oomguard.rules import Scope
from oomguard.spell import LONGEST
from oomguard.standstill import Standstills
from oomguard.units import Seconds
from tests.builders import assessment, enclosed, judged, process, ranked

HOST, PEN, OTHER = assessment(), enclosed("/pens/a"), enclosed("/pens/b")


def hold(at: Assessment, why: HoldReason = HoldReason.FUTILE) -> Hold:
    return Hold(why=why, spared=(), assessment=at)


def kill(at: Assessment) -> Kill:
    (victim,) = ranked(judged(process(10, 50))).candidates
    return Kill(
        victim=victim,
        scope=Scope.PROCESS,
        members=(victim.judged,),
        whole_cgroup=None,
        runners_up=(),
        kernel_choice=None,
        assessment=at,
    )


def test_each_change_is_news_once() -> None:
    standstills = Standstills()
    different = (hold(HOST), hold(HOST, HoldReason.ALL_PROTECTED), hold(PEN), hold(OTHER))
    for _ in range(3):
        told = [standstills.is_news(each, Seconds(100.0)) for each in different]
    assert not any(told)
    assert all(Standstills().is_news(each, Seconds(100.0)) for each in different)


@pytest.mark.parametrize(
    ("killed_in", "news"),
    [
        pytest.param(HOST, (True, True, True), id="host"),
        pytest.param(PEN, (False, True, False), id="group"),
    ],
)
def test_a_kill_makes_it_news_again(killed_in: Assessment, news: tuple[bool, ...]) -> None:
    standstills = Standstills()
    holds = (hold(HOST), hold(PEN), hold(OTHER))
    assert all(standstills.is_news(each, Seconds(100.0)) for each in holds)
    standstills.end(kill(killed_in))
    assert tuple(standstills.is_news(each, Seconds(101.0)) for each in holds) == news


def test_what_is_long_past_is_forgotten() -> None:
    standstills = Standstills()
    for at in range(50):
        assert standstills.is_news(hold(enclosed(f"/pens/{at}")), Seconds(at * LONGEST))
    assert len(standstills) == 1
