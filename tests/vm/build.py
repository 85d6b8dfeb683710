"""What of this repository goes into the machine."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.vm.cache import cached
from tests.vm.payload import RUN, Tree

HERE = Path(__file__).parent
REPOSITORY = HERE.parent.parent
PYTHON = "/usr/bin/python3"
"""Debian's, here as in the guest: what is compiled here runs there."""
CONSTRAINTS = "constraints.txt"
HOME = "/opt/oomguard"
"""Where the units of systemd/ expect the program."""


def eat() -> Path:
    """The program of eat.c, for any x86-64 Linux."""
    source = HERE / "eat.c"
    gcc = ("gcc", "-static", "-O2", "-Wall", "-Wextra", "-Werror", str(source), "-o")
    inputs = (source.read_bytes(), " ".join(gcc[:-2]).encode())
    return cached("eat", inputs, lambda into: _run(*gcc, str(into / "eat"))) / "eat"


def oomguard() -> Path:
    """oomguard as a wheel in a virtual environment of its own, byte-compiled, to be put at `HOME`."""
    sources = sorted(path for path in (REPOSITORY / "oomguard").rglob("*.py"))
    files = (*(REPOSITORY / name for name in ("pyproject.toml", "README.md", CONSTRAINTS)), *sources)
    inputs = (part for path in files for part in (bytes(path.relative_to(REPOSITORY)), path.read_bytes()))
    return cached("oomguard", inputs, _install)


def _install(into: Path) -> None:
    python = str(into / "bin/python")
    wheels = into / "wheels"
    _run(PYTHON, "-m", "venv", "--without-pip", str(into))
    # Not the checkout itself: building there would leave files behind.
    source = into / "source"
    shutil.copytree(
        REPOSITORY / "oomguard", source / "oomguard", ignore=shutil.ignore_patterns("__pycache__")
    )
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(REPOSITORY / name, source)
    pip = (sys.executable, "-m", "pip", "--python", python)
    constraint = f"--constraint={REPOSITORY / CONSTRAINTS}"
    _run(*pip, "wheel", "--quiet", "--no-deps", constraint, "-w", str(wheels), str(source))
    _run(*pip, "install", "--quiet", constraint, *map(str, wheels.iterdir()))
    shutil.rmtree(source)
    shutil.rmtree(wheels)
    for script in _scripts(into / "bin"):
        script.write_text(script.read_text().replace(str(into), HOME))


def _scripts(folder: Path) -> Iterator[Path]:
    return (
        path for path in folder.iterdir() if not path.is_symlink() and path.read_bytes().startswith(b"#!")
    )


def checks(*names: str) -> Tree:
    """The payload that makes the checks of these modules of tests/vm/guest."""
    return {
        HOME: oomguard(),
        "/opt/vm/systemd": REPOSITORY / "systemd",
        "/opt/vm/config": REPOSITORY / "config",
        "/opt/vm/hooks": REPOSITORY / "hooks",
        "/opt/vm/tests/vm/guest": HERE / "guest",
        "/opt/vm/eat": eat(),
        RUN: f"#!/bin/sh\ncd /opt/vm && exec {PYTHON} -m tests.vm.guest {' '.join(names)}\n",
    }


def _run(*words: str) -> None:
    subprocess.run(words, check=True, stdout=sys.stderr)
