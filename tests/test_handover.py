from __future__ import annotations

import os

import pytest

from oomguard.delays import Accounting
from oomguard.handover import NOTHING_OPENED, Legacy, Opened
from oomguard.procevents import Subscription


@pytest.mark.parametrize("some", [False, True])
def test_what_is_left_is_taken(some: bool) -> None:
    documents: list[tuple[str, dict[str, object]]] = [("a\udcff.toml", {"mode": "dry-run", "n": [1, 2]})]
    one, other = os.pipe()
    opened = Opened(
        events=Subscription(fd=one, listen=b"\0\xff", ignore=b""),
        delays=Accounting(fd=other, order=b"\n\x80"),
        missing=('"why"\n\udcff',),
    )
    legacy = Legacy(documents=documents, opened=opened if some else NOTHING_OPENED)
    left = legacy.leave()
    assert os.get_inheritable(left)
    assert os.get_inheritable(one) is os.get_inheritable(other) is some
    assert Legacy.take(left) == legacy
    assert not os.get_inheritable(one)
    assert not os.get_inheritable(other)
    os.close(one)
    os.close(other)
