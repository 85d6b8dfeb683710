"""Starts the guard's interpreter with little loaded: what it loads stays locked in memory."""

from __future__ import annotations

import sys

from oomguard import untyped


def main(*arguments: str) -> None:
    """The guard's process from its first line: `start.main`."""
    spare_typing()
    from oomguard.start import main as start  # noqa: PLC0415 - not before

    start(*arguments)


def spare_typing() -> None:
    """Have all that is imported from now on take `untyped` for `typing`."""
    sys.modules["typing"] = untyped
