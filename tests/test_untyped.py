"""What stands in for `typing` in the guard."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import oomguard
from oomguard import untyped

PACKAGE = Path(oomguard.__file__).parent
LOADED = "import oomguard.start; print(*(name for name in sys.modules if name.startswith('oomguard.')))"


def lean(script: str) -> str:
    """What `script` prints in an interpreter like the guard's."""
    start = "import sys; sys.path.append(sys.argv[1]); from oomguard.lean import spare_typing; spare_typing()"
    words = (sys.executable, "-ISc", f"{start}\n{script}", str(PACKAGE.parent))
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def test_it_has_all_that_the_guards_modules_take() -> None:
    taken = {
        alias.name
        for name in lean(LOADED).split()
        for node in ast.walk(ast.parse((PACKAGE / f"{name.partition('.')[2]}.py").read_bytes()))
        if isinstance(node, ast.ImportFrom) and node.module == "typing"
        for alias in node.names
    }
    assert taken - vars(untyped).keys() == set()


def test_what_it_has_not_comes_from_the_real_one() -> None:
    script = "from typing import get_args; print(get_args(list[int]), sys.modules['typing'].__name__)"
    assert lean(script) == "(<class 'int'>,) typing\n"


def test_types_do_nothing() -> None:
    script = """
from typing import Any, Generic, NewType, Protocol, TypeVar, assert_never
T = TypeVar("T", bound=int)
class Box(Generic[T]):
    pass
class Shape(Protocol):
    pass
print(Box[int] is Box, NewType("Bytes", int)(3), Shape.__name__)
try:
    assert_never(3)
except AssertionError as error:
    print(error)
"""
    assert lean(script) == "True 3 Shape\nnobody thought of 3\n"
