from __future__ import annotations

from dataclasses import replace

import pytest

from oomguard.effect import Watch, effect
from oomguard.pressure import Sample
from oomguard.units import MIB, Seconds
from tests.builders import memory, psi, sample


def at(seconds: float, full: float, available: float = 100) -> Sample:
    return replace(sample(seconds), memory=memory(available), pressure=psi(full), at=Seconds(seconds))


def test_what_came_of_an_act() -> None:
    watch = Watch()
    for tenth in range(101):
        watch.note(at(tenth / 10, full=tenth / 20))
    felt = effect(watch.start(at(10, full=5)), at(14, full=6, available=130))
    assert felt.gained == 30 * MIB
    assert felt.stalled_before == pytest.approx(0.5)
    assert felt.stalled_after == pytest.approx(0.25)
    assert felt.took == Seconds(4.0)


def test_what_was_seen_for_a_moment_only() -> None:
    watch = Watch()
    watch.note(at(10, full=5))
    start = watch.start(at(10, full=5, available=50))
    assert start.stalled_before == 0
    felt = effect(start, at(10, full=5, available=40))
    assert (felt.gained, felt.stalled_after) == (-10 * MIB, 0)
    watch.note(at(11, full=6))
    assert watch.start(at(11, full=6)).stalled_before == pytest.approx(1)


def test_a_kernel_that_does_not_tell() -> None:
    watch = Watch()
    silent = replace(at(1, full=0), pressure=None)
    watch.note(silent)
    assert effect(watch.start(silent), replace(silent, at=Seconds(2.0))).stalled_after == 0
