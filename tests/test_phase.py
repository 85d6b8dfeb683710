from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oomguard.phase import CALM_AFTER, RECOVERY, Headlines, Phases
from oomguard.pressure import Level, Phase
from oomguard.units import Seconds

CALM, ARMED, ACTING, RECOVERING = Phase.CALM, Phase.ARMED, Phase.ACTING, Phase.RECOVERING

POLLS = st.lists(
    st.tuples(st.floats(0.01, 3), st.sampled_from(Level), st.booleans()), min_size=1, max_size=40
)


@pytest.mark.parametrize(
    ("polls", "phases"),
    [
        pytest.param([(10, "calm", False)], [CALM], id="calm"),
        pytest.param([(10, "armed", False), (14.9, "calm", False)], [ARMED, ARMED], id="stays armed"),
        pytest.param(
            [(10, "armed", False), (15, "calm", False)], [ARMED, CALM], id="calm after five seconds"
        ),
        pytest.param(
            [(10, "term", False), (12, "armed", False), (16, "calm", False)],
            [ARMED, ARMED, ARMED],
            id="the five seconds begin anew",
        ),
        pytest.param(
            [(10, "kill", True), (11, "armed", False), (11.9, "calm", False), (12, "calm", False)],
            [ACTING, RECOVERING, RECOVERING, ARMED],
            id="recovers after an episode, then is armed",
        ),
        pytest.param(
            [(10, "calm", True), (11, "calm", False), (14.9, "calm", False), (15, "calm", False)],
            [ACTING, RECOVERING, ARMED, CALM],
            id="acting arms by itself",
        ),
        pytest.param(
            [(10, "kill", True), (11, "kill", False), (11.1, "kill", True)],
            [ACTING, RECOVERING, ACTING],
            id="another episode cuts recovery short",
        ),
    ],
)
def test_advance(polls: list[tuple[float, str, bool]], phases: list[Phase]) -> None:
    loop = Phases()
    assert [loop.advance(Seconds(at), Level(level), acting=acting) for at, level, acting in polls] == phases


@given(POLLS)
def test_laws_of_the_phases(polls: list[tuple[float, Level, bool]]) -> None:
    loop, at = Phases(), 1000.0
    near, ended, before = -1e9, -1e9, False
    for step, level, acting in polls:
        at += step
        ended = at if before and not acting else ended
        near = at if acting or level is not Level.CALM else near
        before = acting
        phase = loop.advance(Seconds(at), level, acting=acting)
        assert phase is loop.now
        assert (phase is ACTING) == acting
        assert (phase is CALM) == (at >= near + CALM_AFTER)
        assert (phase is RECOVERING) == (not acting and at < ended + RECOVERY)


@pytest.mark.parametrize(
    ("phases", "told"),
    [
        pytest.param([(0, CALM), (9, CALM)], [], id="calm is no news"),
        pytest.param(
            [(0, ARMED), (5, CALM), (65, CALM)], [(0, CALM, ARMED), (65, ARMED, CALM)], id="there and back"
        ),
        pytest.param([(0, ARMED), (5, CALM), (59, ARMED)], [(0, CALM, ARMED)], id="back within a minute"),
        pytest.param(
            [(0, ARMED), (1, ACTING), (2, ACTING), (3, RECOVERING), (4, ARMED), (70, CALM), (80, CALM)],
            [(0, CALM, ARMED), (70, ARMED, CALM)],
            id="what is between is told otherwise",
        ),
        pytest.param(
            [(0, ACTING), (1, RECOVERING), (2, ARMED), (7, CALM), (70, CALM)],
            [(70, ARMED, CALM)],
            id="at once",
        ),
        pytest.param(
            [(at, ARMED) for at in range(0, 3700, 50)],
            [(0, CALM, ARMED), (3600, CALM, ARMED)],
            id="for more than an hour",
        ),
    ],
)
def test_headlines(phases: list[tuple[float, Phase]], told: list[tuple[float, Phase, Phase]]) -> None:
    headlines = Headlines()
    found = [(at, headlines.change(Seconds(at), now)) for at, now in phases]
    assert [(at, *change) for at, change in found if change] == told
