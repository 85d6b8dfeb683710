"""Control groups: which ones a process is in (/proc/PID/cgroup, cgroups(7)), and the systemd unit."""

from __future__ import annotations

from enum import StrEnum

from oomguard.errors import Malformed
from oomguard.fields import whole
from oomguard.frozen import frozen
from oomguard.names import decode


class Layout(StrEnum):
    """How the host mounts its control groups."""

    UNIFIED = "v2"
    HYBRID = "hybrid"
    LEGACY = "v1"
    NONE = "none"


@frozen
class Membership:
    """The cgroups of one process, each a path from its hierarchy's root; None where there is none."""

    unified: str | None
    systemd: str | None
    """The hierarchy of v1 and hybrid hosts that systemd names its units in."""
    memory: str | None
    """The v1 memory controller's."""

    @property
    def path(self) -> str:
        """The one that says most: v2's unless it is the root, else systemd's, else memory's, else "/"."""
        for path in (self.unified, self.systemd, self.memory):
            if path is not None and path != "/":
                return path
        return "/"

    @property
    def unit(self) -> str | None:
        """The system unit, a service or scope, by the name that systemd shows.

        The outermost one, with nothing but slices above it (systemd's cg_path_get_unit()): what is below
        a unit, or below anyone else's cgroup, belongs to whoever it was delegated to, who can name it at
        will. So it is a user's manager for all that the user runs, and None in a container without one.
        """
        for part in self.path.split("/")[1:]:
            if part.endswith((".service", ".scope")):
                # systemd escapes names that cgroupfs would mistake for its own files (cg_escape()).
                return part.removeprefix("_")
            if not part.endswith(".slice"):
                return None
        return None


NO_CGROUP = Membership(unified=None, systemd=None, memory=None)
"""In no cgroup that can be seen."""


# 7:memory:/system.slice/nginx.service
# 4:cpu,cpuacct:/system.slice/nginx.service
# 1:name=systemd:/system.slice/nginx.service
# 0::/system.slice/nginx.service
def parse_cgroup(data: bytes) -> Membership:
    """`Membership` from /proc/PID/cgroup of v1, v2 and hybrid hosts; names may hold anything but newlines.

    A path that starts with "/.." lies outside of this process's cgroup namespace. An empty text, of a
    kernel without cgroups mounted, is `NO_CGROUP`. Raises `Malformed`.
    """
    if not data:
        return NO_CGROUP
    unified = systemd = memory = None
    for line in whole(data)[:-1].split(b"\n"):
        _, colon, rest = line.partition(b":")
        controllers, another, path = rest.partition(b":")
        if not (colon and another and path.startswith(b"/")):
            raise Malformed("a line is not ID:CONTROLLERS:PATH")
        if not controllers:
            # The kernel marks a cgroup that was removed while a zombie is still in it.
            unified = decode(path.removesuffix(b" (deleted)"))
        elif controllers == b"name=systemd":
            systemd = decode(path)
        elif b"memory" in controllers.split(b","):
            memory = decode(path)
    return Membership(unified=unified, systemd=systemd, memory=memory)


def contains(cgroup: str, path: str) -> bool:
    """Whether `path` is `cgroup` or lies below it."""
    return path == cgroup or path.startswith(cgroup.rstrip("/") + "/")


def is_inside(cgroup: str, path: str) -> bool:
    """The same, but for what lies outside of this process's cgroup namespace, of which nothing is known."""
    return contains(cgroup, path) and not contains("/..", path)


def innermost_unit(path: str) -> str | None:
    """The control group of the innermost service or scope on `path`, which may be a user's own."""
    parts = path.split("/")
    for end in range(len(parts), 0, -1):
        if parts[end - 1].endswith((".service", ".scope")):
            return "/".join(parts[:end])
    return None
