"""/sys/fs/cgroup: how control groups are mounted, and the files of a v2 group (cgroups(7))."""

from __future__ import annotations

import contextlib
import errno
import os

from oomguard.cgroup import Layout
from oomguard.errors import Malformed
from oomguard.hostfile import KeptOpen
from oomguard.psi import Pressure, parse_pressure
from oomguard.units import Seconds


class GroupStalls:
    """How long all that runs in each of some v2 groups has waited for memory; their files are kept open."""

    def __init__(self, cgroups: CgroupFS) -> None:
        self._cgroups = cgroups
        self._files: dict[str, KeptOpen[Pressure]] = {}

    def watch(self, groups: frozenset[str]) -> None:
        """Read these from now on, as far as they have pressure of their own, and no others."""
        for group in self._files.keys() - groups:
            self._files.pop(group).close()
        for group in groups - self._files.keys():
            file = self._cgroups.pressure_file(group)
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

    def pressure_file(self, path: str) -> KeptOpen[Pressure] | None:
        """The memory pressure of a v2 group, to be read again and again; None where there is no v2.

        None too for what lies outside of this process's cgroup namespace ("/..").
        """
        folder = self._folder(path)
        return None if folder is None else KeptOpen(os.fsdecode(folder + b"/memory.pressure"), parse_pressure)

    def open(self, path: str) -> int:
        """A descriptor of a v2 group's folder, for the caller to close; raises `OSError`.

        There is none but where v2 alone is mounted, as for `kill`.
        """
        folder = self._folder(path)
        if folder is None or self.layout is not Layout.UNIFIED:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def kill(self, path: str) -> None:
        """Kill all that is in a v2 group and below, forks in progress included, where the kernel can (5.14).

        Only where v2 alone is mounted: elsewhere a path may be one of another hierarchy, with others in it.
        """
        folder = self._folder(path)
        if folder is None or self.layout is not Layout.UNIFIED:
            return
        # Whoever has no cgroup.kill is killed process by process.
        with contextlib.suppress(OSError):
            fd = os.open(folder + b"/cgroup.kill", os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.write(fd, b"1\n")
            finally:
                os.close(fd)

    def _folder(self, path: str) -> bytes | None:
        if self._v2 is None or ".." in path.split("/"):
            return None
        return os.fsencode(self._v2) + path.encode("utf-8", "surrogateescape")


def _mounted(root: str) -> tuple[Layout, str | None]:
    """How control groups are mounted at `root`, and where v2 is."""
    if os.access(f"{root}/cgroup.controllers", os.F_OK):
        return Layout.UNIFIED, root
    if os.access(f"{root}/unified/cgroup.controllers", os.F_OK):
        return Layout.HYBRID, f"{root}/unified"
    if os.access(f"{root}/memory", os.F_OK) or os.access(f"{root}/systemd", os.F_OK):
        return Layout.LEGACY, None
    return Layout.NONE, None
