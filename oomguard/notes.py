"""What it takes to undo the restraints in force, kept where the next guard finds it: a file on /run.

It is written before anybody is restrained. Whoever has it open has it alone (flock(2)), so a relieving
process that outlives its guard has undone its own before the next one begins.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from oomguard.frozen import plain
from oomguard.jsontext import dumped
from oomguard.remedy import Action
from oomguard.restraint import Note
from oomguard.trust import check_file, check_folder

LARGEST = 1 << 20


class Notes:
    """The file at `path`, open and ours."""

    def __init__(self, path: str) -> None:
        """Opens it, and waits for whoever has it. Raises `OSError`, as where others could write it."""
        check_folder(os.path.dirname(path))
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        self._fd = os.open(path, flags, 0o600)
        try:
            check_file(self._fd)
            fcntl.flock(self._fd, fcntl.LOCK_EX)
        except OSError:
            os.close(self._fd)
            raise

    def close(self) -> None:
        """Let the next one have it."""
        os.close(self._fd)

    def read(self) -> tuple[Note, ...]:
        """What is noted; what is no note is left out: it was never acted on."""
        notes = list[Note]()
        lines = os.pread(self._fd, LARGEST, 0).splitlines()
        if lines:
            import json  # noqa: PLC0415 - only where somebody died before it had undone all
        for line in lines:
            with suppress(ValueError, RecursionError):
                notes.append(_note(json.loads(line)))
        return tuple(notes)

    def write(self, notes: Iterable[Note]) -> None:
        """Note these and no others. Raises `OSError`, and then may have noted some of them alone."""
        lines = "".join(f"{dumped(plain(note))}\n" for note in notes).encode("ascii")
        # Lines that are left until they are cut off are of the undone: undoing twice does no harm.
        os.pwrite(self._fd, lines, 0)
        os.ftruncate(self._fd, len(lines))


def _note(plain: Any) -> Note:
    match plain:
        case {
            "action": "freeze" | "throttle" | "hold_swap" as action,
            "cgroup": str(cgroup),
            "inode": int(inode),
            "before": str(before),
            "written": str(written),
        }:
            return Note(action=Action(action), cgroup=cgroup, inode=inode, before=before, written=written)
    raise ValueError("not a note")
