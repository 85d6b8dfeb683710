from __future__ import annotations

import pytest

from bench.thrash import courses
from oomguard.units import Seconds
from tests.builders import PAGE, TOTAL, memory, psi, sample, vmstat

PAGES = TOTAL // PAGE


def test_windows_of_ten_seconds() -> None:
    samples = [
        sample(
            at,
            memory(500 - at),
            psi(at / 10),
            vmstat(file=at * PAGES // 100, anon=at * PAGES // 300, direct=at * 999),
        )
        for at in range(0, 24, 2)
    ]
    found = courses(samples)
    assert len(found) == 7
    for course in found:
        assert course.refaults == pytest.approx(0.4 / 3, abs=1e-4)
        assert course.anon == pytest.approx(0.25, abs=1e-3)
        assert course.scans == pytest.approx(9990 / (PAGES * 0.4 / 3), rel=1e-3)
        assert course.stall == pytest.approx(Seconds(1.0))
    assert [course.available for course in found] == [490 - 2 * n for n in range(7)]


def test_no_window_is_whole_yet() -> None:
    assert courses([sample(0), sample(9.9)]) == []
