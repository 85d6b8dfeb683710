from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import pytest

from tests.system.hog import Hog, Pen, build
from tests.system.subject import Settings, Subject, available, candidates

ENOUGH = 8000
"""MiB that must be available before a test takes its share, which is well below that."""


class Start(Protocol):
    """Starts a guard, once it is sure whom it may kill."""

    def __call__(self, settings: Settings, *options: str, before: tuple[str, ...] = ()) -> Subject: ...


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the hog, and with the same under the name of one that a rule protects."""
    folder = tmp_path_factory.mktemp("programs")
    for name in ("hog", "precious"):
        build(folder / name)
    # Hogs that become nobody are to find their way.
    for parent in (folder, *folder.parents):
        if parent.is_relative_to(tmp_path_factory.getbasetemp().parent):
            parent.chmod(0o755)
    return folder


@pytest.fixture
def pen() -> Iterator[Pen]:
    if os.geteuid() != 0:
        pytest.skip("NOT TESTED: real kills take root")
    try:
        pen = Pen()
    except OSError as error:
        pytest.skip(f"NOT TESTED: real kills take a control group to keep the hogs in: {error}")
    yield pen
    pen.close()


@pytest.fixture
def hog(programs: Path, pen: Pen) -> Iterator[Callable[..., Hog]]:
    """Makes hogs."""
    with ExitStack() as hogs:

        def make(mib: int, *modes: str, program: str = "hog") -> Hog:
            assert available() > ENOUGH, "this host has too little memory to spare for this test"
            one = Hog(programs / program, pen, mib, *modes)
            hogs.callback(one.close)
            return one

        yield make


@pytest.fixture
def start(tmp_path: Path, pen: Pen) -> Iterator[Start]:
    """Starts guards; refuses to where anybody but the hogs could die by it."""
    with ExitStack() as guards:

        def run(settings: Settings, *options: str, before: tuple[str, ...] = ()) -> Subject:
            config = tmp_path / settings.folder / "oomguard.toml"
            config.parent.mkdir(exist_ok=True)
            settings.write(config)
            assert candidates(config) <= pen.pids(), "somebody else's process could die: not started"
            guard = Subject(config, *options, before=before)
            guards.callback(guard.close)
            return guard

        yield run
