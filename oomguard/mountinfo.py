"""/proc/PID/mountinfo: what is mounted where, and which file systems in memory one may ask for their size."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from oomguard.frozen import frozen


@frozen
class Mount:
    """One mount, as a process sees it (proc_pid_mountinfo(5), fs/proc_namespace.c `show_mountinfo()`)."""

    id: int
    parent: int
    device: bytes
    path: bytes
    """Where it is mounted, below the root folder of the process."""
    kind: bytes
    """The type of its file system."""


# 43 42 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard
# 58 43 0:6 / /dev rw,relatime - devtmpfs devtmpfs rw,size=12334492k
_LINE = re.compile(rb"^(\d{1,10}) (\d{1,10}) (\d+:\d+) \S+ (\S+) .*? - (\S+) ", re.MULTILINE)
_STEP = re.compile(rb"/[^/]+")
_ESCAPE = re.compile(rb"\\([0-7]{3})")


def parse_mountinfo(data: bytes) -> tuple[Mount, ...]:
    """Every mount of the text; lines that are none are left out."""
    return tuple(
        Mount(id=int(id_), parent=int(parent), device=device, path=_unescaped(path), kind=kind)
        for id_, parent, device, path, kind in _LINE.findall(data)
    )


SIZED = frozenset((b"tmpfs", b"devtmpfs", b"rootfs"))
"""In memory, and able to say how much is used; a ramfs is not (fs/libfs.c `simple_statfs()`)."""

PROMPT = SIZED | {b"ramfs", b"proc", b"sysfs", b"overlay", b"btrfs", b"zfs"}
"""What has no block device, and answers at once all the same."""


# 24 29 0:22 / /proc rw,relatime shared:12 - proc proc rw,hidepid=invisible
_PROC_OPTIONS = re.compile(rb" /proc \S+ .*?- proc \S+ (\S+)$", re.MULTILINE)
_SHOWS_ALL = frozenset((b"0", b"off"))


def hides_processes(data: bytes) -> bool:
    """Whether /proc, as it is mounted last, hides the processes of others (proc(5), hidepid)."""
    found = _PROC_OPTIONS.findall(data)
    options = dict(option.partition(b"=")[::2] for option in found[-1].split(b",")) if found else {}
    return options.get(b"hidepid", b"off") not in _SHOWS_ALL


def in_memory(mounts: tuple[Mount, ...]) -> Iterator[Mount]:
    """One mount of each file system in memory whose path leads to it, past none that may hang.

    A server that is gone, or a user's own FUSE over a folder of his, would keep whoever goes there waiting
    for ever.
    """
    ids = {mount.id for mount in mounts}
    # The parent of the root is a mount that is not shown, or the root itself.
    inner = [one for one in mounts if one.parent in ids and one.parent != one.id]
    below = {(one.parent, one.path): one for one in inner}
    root = next((one for one in mounts if one.path == b"/" and one not in inner), None)
    if root is None:
        return
    seen: set[bytes] = set()
    for mount in mounts:
        if mount.kind in SIZED and mount.device not in seen:
            way = (root, *_onwards(mount.path, root, below))
            # Whatever the root is on, this very program is too.
            if way[-1] is mount and all(map(_is_prompt, way[1:])):
                seen.add(mount.device)
                yield mount


def _onwards(path: bytes, root: Mount, below: Mapping[tuple[int, bytes], Mount]) -> Iterator[Mount]:
    """The mounts that whoever follows `path` from `root` comes to, in order."""
    # Ids are given away anew, and the text is not of one instant: it may lead in circles.
    here, passed = root, {root.id}
    for place in (b"/", *(path[: step.end()] for step in _STEP.finditer(path))):
        while (there := below.get((here.id, place))) and there.id not in passed:
            here = there
            passed.add(here.id)
            yield here


def _is_prompt(mount: Mount) -> bool:
    has_block_device = not mount.device.startswith(b"0:") and not mount.kind.startswith(b"fuse")
    return has_block_device or mount.kind in PROMPT


def _unescaped(path: bytes) -> bytes:
    return _ESCAPE.sub(lambda found: bytes((int(found[1], 8) & 0xFF,)), path)
