"""How much an hour costs: from samples to what is told, by a clock that is made to run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from math import sin

import pytest

from oomguard.event import Event, PhaseChanged
from oomguard.gauge import Gauge
from oomguard.phase import Headlines, Phases
from oomguard.pressure import Assessment, Phase, Sample
from oomguard.psi import Pressure
from oomguard.units import Seconds
from tests.builders import HEURISTIC, LIMITS, PAGE, memory, sample
from tests.test_hunt import PROTECTED, Scene

HOUR = 3600.0
STEP = 1.0
"""From one poll to the next: longer than they are apart, so that the test is not."""
FIRST, LATER = 12, 3
"""Lines that the first of such hours may cost, and those after it."""

Host = Callable[[float], Sample]
"""What the host is like so long after the beginning."""


def low(since: float) -> Sample:
    """Below the limit all the time."""
    return sample(since, memory(80))


def flickers(period: float) -> Host:
    """Near the limit, and well again, by turns."""
    return lambda since: sample(since, memory(190 if since % period < period / 2 else 400))


def crosses(period: float) -> Host:
    """Over the limit, and well again, by turns."""
    return lambda since: sample(since, memory(80 if since % period < period / 2 else 400))


def restless(since: float) -> Sample:
    """Low and less so, with stalls and without, in every combination."""
    available = 100 + 40 * sin(since / 7) + 90 * sin(since / 61) + 150 * sin(since / 503)
    full = since * 0.3 if int(since / 13) % 3 else 0.0
    return sample(since, memory(max(available, 20)), Pressure(some=Seconds(full), full=Seconds(full)))


def life(host: Host, scene: Scene, hours: int) -> Iterator[tuple[float, Event]]:
    """What is told, and when, with the parts of the loop that tell."""
    gauge = Gauge(LIMITS, HEURISTIC, PAGE)
    phases, headlines = Phases(), Headlines()
    since = 0.0
    while since < hours * HOUR:
        now = host(since)
        now = replace(now, at=Seconds(now.at + 1e6))
        found = gauge.read(now, scene.hunt.kill_takes)
        if found.reasons:
            scene.hunt.act(now, found, lambda now=now, found=found: (now, found))  # type: ignore[misc]
        phases.advance(now.at, found.level, acting=False)
        if phases.now is Phase.CALM:
            scene.hunt.relax()
        if change := headlines.change(now.at, phases.now):
            yield since, _phase_changed(change, found)
        yield from ((since, event) for event in scene.told())
        since += STEP


def _phase_changed(change: tuple[Phase, Phase], found: Assessment) -> PhaseChanged:
    before, after = change
    return PhaseChanged(before=before, after=after, reasons=found.reasons, likely=None, figures=found.figures)


@pytest.mark.parametrize(
    "host",
    [
        pytest.param(low, id="low for ever"),
        *(pytest.param(flickers(period), id=f"near by turns of {period} s") for period in (12, 60, 130, 400)),
        *(pytest.param(crosses(period), id=f"low by turns of {period} s") for period in (3, 12, 130, 400)),
        pytest.param(restless, id="restless"),
    ],
)
def test_hours_with_nobody_to_kill_cost_a_handful_of_lines(host: Host) -> None:
    hours = 3
    told = Counter(int(since / HOUR) for since, _ in life(host, Scene(PROTECTED), hours))
    first, *later = (told[hour] for hour in range(hours))
    assert 0 < first <= FIRST
    assert all(0 < lines <= LATER for lines in later)
