"""What the process that reads the configuration loads, before it becomes the guard."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import sys
from oomguard import cli, launch
print("oomguard.guard" in sys.modules, "oomguard.census" in sys.modules, "pyroute2" in sys.modules)
launch._spare_the_rest_of("pyroute2")
launch._spare_the_rest_of("no_such_package")
from oomguard import netlink
print("pyroute2.ndb" in sys.modules, "asyncio" in sys.modules, netlink.open_sources((), ()))
"""


def test_nothing_of_the_guard_is_loaded_and_of_pyroute2_what_is_used() -> None:
    said = subprocess.run((sys.executable, "-c", SCRIPT), check=True, capture_output=True, text=True).stdout
    assert said.split()[:5] == ["False"] * 5
    assert "missing=()" in said
