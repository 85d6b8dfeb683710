from __future__ import annotations

import pytest

from oomguard.sources import PLENTY, Sources, Use, wants_events
from oomguard.units import Bytes


@pytest.mark.parametrize(
    ("use", "total", "wanted"),
    [
        (Use.AUTO, PLENTY, True),
        (Use.AUTO, PLENTY - 1, False),
        (Use.ON, 0, True),
        (Use.OFF, PLENTY, False),
    ],
)
def test_events_are_heard_where_wished_or_where_memory_is_plenty(use: Use, total: int, wanted: bool) -> None:
    assert wants_events(Sources(process_events=use), Bytes(total)) is wanted
