"""Waiting for what another process does."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

PATIENCE = 20.0
"""Seconds: far more than anything here takes, even where others use the CPUs."""


def eventually(look: Callable[[], T]) -> T:
    """The first true thing that `look` gives; fails if there is none for long."""
    deadline = time.monotonic() + PATIENCE
    while not (seen := look()):
        assert time.monotonic() < deadline, f"waited {PATIENCE:g} s in vain; the last that was seen: {seen!r}"
        time.sleep(0.02)
    return seen
