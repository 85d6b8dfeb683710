"""/sys/fs/cgroup: how control groups are mounted, and the files of a v2 group (cgroups(7))."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable
from typing import TypeVar

from oomguard.cgroup import Layout
from oomguard.errors import Malformed
from oomguard.hostfile import KeptOpen, read
from oomguard.marks import UNMARKED, Marks, Preference
from oomguard.memcg import parse_switch
from oomguard.names import decode
from oomguard.psi import Pressure, parse_pressure
from oomguard.units import Seconds

T = TypeVar("T")

ATTRIBUTES = ((Preference.OMIT, "user.oomd_omit"), (Preference.AVOID, "user.oomd_avoid"))
"""Where systemd keeps ManagedOOMPreference= of a unit (src/core/cgroup.c `cgroup_oomd_xattr_apply()`)."""
TRUE = frozenset((b"1", b"yes", b"y", b"true", b"t", b"on"))
"""systemd's `parse_boolean()`."""
MAGIC = frozenset("*?[")
"""What makes a name a glob."""


MEMORY_PRESSURE = "memory.pressure"
IO_PRESSURE = "io.pressure"


class GroupStalls:
    """How long all that runs in each of some v2 groups has waited; their files are kept open."""

    def __init__(self, cgroups: CgroupFS, file: str) -> None:
        """`file`: for what they waited; `MEMORY_PRESSURE`, or `IO_PRESSURE`."""
        self._cgroups = cgroups
        self._name = file
        self._files: dict[str, KeptOpen[Pressure]] = {}

    def watch(self, groups: frozenset[str]) -> None:
        """Read these from now on, as far as they have pressure of their own, and no others."""
        for group in self._files.keys() - groups:
            self._files.pop(group).close()
        for group in groups - self._files.keys():
            file = self._cgroups.kept(group, self._name, parse_pressure)
            if file is not None:
                self._files[group] = file

    def read(self) -> dict[str, Seconds]:
        """The full stall of each group since it was made; who has gone, or has no figures, is left out."""
        totals = {}
        for group, file in self._files.items():
            with contextlib.suppress(OSError, Malformed):
                totals[group] = file.read().full
        return totals

    def close(self) -> None:
        """Close the files."""
        self.watch(frozenset())


class CgroupFS:
    """The control groups below `root`, as they were mounted when this was made."""

    def __init__(self, root: str) -> None:
        self.layout, self._v2 = _mounted(root)

    def kept(self, path: str, name: str, parse: Callable[[bytes], T]) -> KeptOpen[T] | None:
        """A file of a v2 group, to be read again and again; None where there is no v2.

        None too for what lies outside of this process's cgroup namespace ("/..").
        """
        folder = self._folder(path)
        return None if folder is None else KeptOpen(os.fsdecode(folder + b"/" + name.encode()), parse)

    def value(self, path: str, name: str, parse: Callable[[bytes], T]) -> T | None:
        """What a file of a v2 group says now; None where there is none, or it cannot be understood."""
        folder = self._folder(path)
        if folder is None:
            return None
        try:
            return parse(read(folder + b"/" + name.encode()))
        except (OSError, Malformed):
            return None

    def children(self, path: str) -> list[str]:
        """The names of the groups in a v2 group, in order; none where there is no such group."""
        folder = self._folder(path)
        if folder is None:
            return []
        try:
            with os.scandir(folder) as entries:
                return sorted(decode(each.name) for each in entries if each.is_dir(follow_symlinks=False))
        except OSError:
            return []

    def matching(self, path: str) -> list[str]:
        """The v2 groups that `path` means, whose last part may be a glob over the children of a group.

        Without a glob it is the path itself, whether there is such a group or not.
        """
        parent, _, last = path.rpartition("/")
        if MAGIC.isdisjoint(last):
            return [path]
        # Loads `re`, so only for who has such a path: the first time as its configuration comes into force.
        from fnmatch import fnmatchcase  # noqa: PLC0415

        return [f"{parent}/{name}" for name in self.children(parent or "/") if fnmatchcase(name, last)]

    def marks(self, path: str) -> Marks:
        """What the system says of a v2 group. Takes locks of the kernel's: never in the kill path."""
        folder = self._folder(path)
        if folder is None or self.layout is not Layout.UNIFIED:
            return UNMARKED
        together = self.value(path, "memory.oom.group", parse_switch)
        return Marks(preference=_preference(folder), oom_group=bool(together))

    def open(self, path: str) -> int:
        """A descriptor of a v2 group's folder, for the caller to close; raises `OSError`.

        There is none but where v2 alone is mounted, as for `kill`.
        """
        folder = self._folder(path)
        if folder is None or self.layout is not Layout.UNIFIED:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def kill(self, path: str) -> bool:
        """Kill all that is in a v2 group and below, forks in progress included, where the kernel can (5.14).

        Gives whether it did. Only where v2 alone is mounted: elsewhere a path may be one of another
        hierarchy, with others in it.
        """
        folder = self._folder(path)
        if folder is None or self.layout is not Layout.UNIFIED:
            return False
        # Whoever has no cgroup.kill is killed process by process.
        try:
            fd = os.open(folder + b"/cgroup.kill", os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.write(fd, b"1\n")
            finally:
                os.close(fd)
        except OSError:
            return False
        return True

    def _folder(self, path: str) -> bytes | None:
        if self._v2 is None or ".." in path.split("/"):
            return None
        return os.fsencode(self._v2) + path.encode("utf-8", "surrogateescape")


def _preference(folder: bytes) -> Preference:
    """Where nobody but root may say it: whoever may write to a folder can set its attributes (xattr(7)).

    systemd-oomd asks for the same owner, root, when swap runs out (src/oom/oomd-util.c
    `oomd_fetch_cgroup_oom_preference()`).
    """
    try:
        status = os.stat(folder)
    except OSError:
        return Preference.NONE
    if status.st_uid != 0 or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return Preference.NONE
    said = (preference for preference, attribute in ATTRIBUTES if _is_set(folder, attribute))
    return next(said, Preference.NONE)


def _is_set(folder: bytes, attribute: str) -> bool:
    try:
        return os.getxattr(folder, attribute).lower() in TRUE
    except OSError:
        return False


def _mounted(root: str) -> tuple[Layout, str | None]:
    """How control groups are mounted at `root`, and where v2 is."""
    if os.access(f"{root}/cgroup.controllers", os.F_OK):
        return Layout.UNIFIED, root
    if os.access(f"{root}/unified/cgroup.controllers", os.F_OK):
        return Layout.HYBRID, f"{root}/unified"
    if os.access(f"{root}/memory", os.F_OK) or os.access(f"{root}/systemd", os.F_OK):
        return Layout.LEGACY, None
    return Layout.NONE, None
