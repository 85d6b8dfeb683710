"""What the guard's interpreter does not load."""

from __future__ import annotations

from tests.test_untyped import lean

COSTLY = {
    "ast",
    "inspect",
    "typing",
    "dataclasses",
    "copy",
    "importlib.util",
    "threading",
    "queue",
    "oomguard.reader",
    "oomguard.decoder",
}
"""What it would keep locked in memory for nothing (docs/footprint.md)."""


def test_the_guard_loads_nothing_that_is_costly_and_not_needed() -> None:
    script = "import oomguard.start; print(*(sys.modules[name].__name__ for name in sys.modules))"
    loaded = set(lean(script).split())
    assert loaded & COSTLY == set()
    assert {"oomguard.guard", "oomguard.untyped"} <= loaded
