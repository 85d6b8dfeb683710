"""What the guard's interpreter does not load."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PACKAGES = str(Path(__file__).parents[1])


def lean(script: str) -> str:
    """What `script` prints in an interpreter like the guard's, which puts `inspect` off."""
    start = "import sys; sys.path.append(sys.argv[1]); from oomguard.lean import PutOff"
    put_off = "sys.meta_path.insert(0, PutOff('inspect'))"
    words = (sys.executable, "-ISc", "\n".join((start, put_off, script)), PACKAGES)
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def test_no_class_of_the_guard_makes_dataclasses_use_inspect() -> None:
    script = "import oomguard.start; print('dataclasses' in sys.modules, 'ast' in sys.modules)"
    assert lean(script) == "True False\n"


def test_who_uses_what_was_put_off_gets_it() -> None:
    script = "import inspect; print('ast' in sys.modules, inspect.isclass(int), 'ast' in sys.modules)"
    assert lean(script) == "False True True\n"


def test_other_modules_are_found_as_ever() -> None:
    assert lean("import colorsys; print(colorsys.__name__)") == "colorsys\n"
