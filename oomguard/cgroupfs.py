"""/sys/fs/cgroup: how control groups are mounted, and the files of a v2 group (cgroups(7))."""

from __future__ import annotations

import contextlib
import errno
import os

from oomguard.cgroup import Layout
from oomguard.errors import Gone
from oomguard.hostfile import parsed, read
from oomguard.names import decode
from oomguard.psi import NO_PSI, Pressure, parse_pressure


class CgroupFS:
    """The control groups below `root`, as they were mounted when this was made."""

    def __init__(self, root: str) -> None:
        self.layout, self._v2 = _mounted(root)

    def pressure(self, path: str) -> Pressure | None:
        """The memory pressure of a v2 group; None where it is not accounted for. Raises `Gone`.

        None too for what lies outside of this process's cgroup namespace ("/..").
        """
        folder = self._folder(path)
        if folder is None:
            return None
        file = folder + b"/memory.pressure"
        try:
            return parsed(decode(file), parse_pressure, read(file))
        except OSError as error:
            if error.errno in NO_PSI and os.access(folder, os.F_OK):
                return None
            # An open file of a group that was removed says ENODEV (fs/kernfs/file.c).
            if error.errno in (errno.ENOENT, errno.ENODEV):
                raise Gone(path) from error
            raise

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
