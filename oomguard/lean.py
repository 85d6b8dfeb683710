"""Starts the guard's interpreter with little loaded: what it loads stays locked in memory."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import LazyLoader
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType


class PutOff:
    """Finds one module, and has it loaded at its first use instead of its import."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The importer's question (importlib.abc.MetaPathFinder); None: another finder is to answer it."""
        spec = PathFinder.find_spec(fullname, path, target) if fullname == self.name else None
        if spec and spec.loader:
            spec.loader = LazyLoader(spec.loader)
        return spec


def main(*arguments: str) -> None:
    """The guard's process from its first line: `start.main`.

    `dataclasses` imports `inspect` (and that `ast`, `dis` and `tokenize`) to word the docstring of a class
    that has none. Ours have one.
    """
    sys.meta_path.insert(0, PutOff("inspect"))
    from oomguard.start import main as start  # noqa: PLC0415 - not before

    start(*arguments)
