"""What the guard's interpreter does not load."""

from __future__ import annotations

from tests.test_untyped import lean

COSTLY = {
    "ast", "inspect", "typing", "dataclasses", "copy", "json", "re", "fnmatch", "threading", "queue",
    "weakref", "importlib.util", "tomllib", "argparse", "logging", "subprocess", "traceback", "linecache",
    "oomguard.reader", "oomguard.decoder", "oomguard.expression",
}  # fmt: skip
"""What it would keep locked in memory for nothing (docs/footprint.md)."""


def test_the_guard_loads_nothing_that_is_costly_and_not_needed() -> None:
    script = "import oomguard.start; print(*(sys.modules[name].__name__ for name in sys.modules))"
    loaded = set(lean(script).split())
    assert loaded & COSTLY == set()
    assert {"oomguard.guard", "oomguard.untyped"} <= loaded


def test_a_configuration_without_patterns_loads_none_of_it_either() -> None:
    script = """
from oomguard.config import build
build([("a.toml", {"record": {"path": "/run/a"}, "limits": {"available": {"term": "8%"}},
                   "metrics": {"listen": "[::1]:1"}})], [])
print(*(name for name in ("re", "json", "difflib") if name in sys.modules))
"""
    assert lean(script) == "\n"
