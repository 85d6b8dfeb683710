"""What takes long to make is made once: a folder for each digest of what goes into it."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path

KEPT = 3
"""Of each kind, so that going back and forth between two states of the code costs nothing."""


def folder() -> Path:
    """Where everything is kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "oomguard-vm"


def cached(kind: str, inputs: Iterable[bytes], build: Callable[[Path], None]) -> Path:
    """The folder that `build` filled for these `inputs`, now or earlier; a failed build leaves nothing."""
    home = folder()
    home.mkdir(parents=True, exist_ok=True)
    made = home / f"{kind}-{_digest(inputs)}"
    with ExitStack() as stack:
        lock = stack.enter_context((home / f"{kind}.lock").open("w"))
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            work = Path(tempfile.mkdtemp(prefix=f"{kind}.building-", dir=home))
            stack.callback(shutil.rmtree, work, ignore_errors=True)
            # mkdtemp's 0700 would become the mode of the guest's root folder.
            work.chmod(0o755)
            build(work)
            work.rename(made)
        os.utime(made)
        _prune(home, kind)
    return made


def _digest(inputs: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for each in inputs:
        digest.update(len(each).to_bytes(8))
        digest.update(each)
    return digest.hexdigest()[:16]


def _prune(home: Path, kind: str) -> None:
    entries = sorted(home.glob(f"{kind}-*"), key=lambda path: path.stat().st_mtime, reverse=True)
    for old in entries[KEPT:]:
        shutil.rmtree(old)
    # With the lock held, what is still being built was left by a process that was killed.
    for abandoned in home.glob(f"{kind}.building-*"):
        shutil.rmtree(abandoned)
