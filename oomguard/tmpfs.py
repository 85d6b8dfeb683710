"""The file systems in memory that hold the most: what no death of a process brings back."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

from oomguard import names
from oomguard.mountinfo import Mount, in_memory, parse_mountinfo
from oomguard.units import Bytes, Seconds
from oomguard.wording import Mounts

SHOWN = 3
MOST_MOUNTS = 256
"""No more than so many are asked."""
PATIENCE = Seconds(0.5)
"""For asking them: on a host that stalls, each may take a while."""


def biggest(proc: str | os.PathLike[str] = "/proc") -> Mounts:
    """The largest mounts that use any memory, as PID 1 sees them; as oneself, where only root may."""
    for viewer in ("1", "self"):
        folder = Path(proc) / viewer
        with suppress(OSError):
            (folder / "root").stat()
            mounts = parse_mountinfo((folder / "mountinfo").read_bytes())
            sized = sorted(_sized(bytes(folder / "root"), mounts), key=lambda one: one[1], reverse=True)
            return tuple(one for one in sized if one[1])[:SHOWN]
    return ()


def _sized(root: bytes, mounts: tuple[Mount, ...]) -> Iterator[tuple[str, Bytes]]:
    end = time.monotonic() + PATIENCE
    for mount in islice(in_memory(mounts), MOST_MOUNTS):
        if time.monotonic() > end:
            return
        with suppress(OSError):
            yield names.decode(mount.path), _used(root, mount)


def _used(root: bytes, mount: Mount) -> Bytes:
    """What the files of `mount` hold; 0 where something else has been mounted over it since."""
    # O_PATH asks the file system nothing, so even one that hangs does no harm.
    fd = os.open(root + mount.path, os.O_PATH | os.O_CLOEXEC)
    try:
        if f"\nmnt_id:\t{mount.id}\n" not in Path(f"/proc/self/fdinfo/{fd}").read_text():
            return Bytes(0)
        usage = os.statvfs(fd)
        return Bytes((usage.f_blocks - usage.f_bfree) * usage.f_frsize)
    finally:
        os.close(fd)
