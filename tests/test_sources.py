from __future__ import annotations

import pytest

from oomguard.sources import PLENTY, Means, Source, Sources, Use, wanted
from oomguard.units import Bytes

POOR, RICH = Means(memory=Bytes(PLENTY - 1), counts_delays=False), Means(memory=PLENTY, counts_delays=True)
ALL = frozenset(Source)


@pytest.mark.parametrize(
    ("use", "means", "expected"),
    [
        (Use.AUTO, RICH, ALL),
        (Use.AUTO, POOR, frozenset()),
        (Use.ON, POOR, ALL),
        (Use.OFF, RICH, frozenset()),
    ],
)
def test_sources_are_used_where_wished_or_where_they_suit(
    use: Use, means: Means, expected: frozenset[Source]
) -> None:
    assert wanted(Sources(process_events=use, delays=use), means) == expected


def test_each_source_is_for_itself() -> None:
    sources = Sources(process_events=Use.AUTO, delays=Use.AUTO)
    assert wanted(sources, Means(memory=PLENTY, counts_delays=False)) == {Source.PROCESS_EVENTS}
    assert wanted(sources, Means(memory=Bytes(0), counts_delays=True)) == {Source.DELAYS}
