"""/proc/PID: what one process tells, read by the path of its folder (proc_pid(5)).

Raises `Gone` for a process that ended or may not be read, `Malformed` for what does not parse, and
`OSError` for whatever else fails (no memory, no descriptors).

A thread-group leader that exited stays as a zombie while other threads run, and its own files then tell
of no memory and no names: a living thread's folder, task/TID, is read in its place, so that nobody hides
behind a leader that exited.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from functools import partial
from typing import TypeVar

from oomguard.cgroup import NO_CGROUP, Membership, parse_cgroup
from oomguard.errors import Gone
from oomguard.fields import parse_int
from oomguard.frozen import replace
from oomguard.hostfile import parsed, read, read_start
from oomguard.names import decode
from oomguard.process import (
    Outline,
    Process,
    Stat,
    Statm,
    Status,
    parse_outline,
    parse_stat,
    parse_statm,
    parse_status,
)
from oomguard.units import KIB, Uid

T = TypeVar("T")

_FOLDER = os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY
_CMDLINE_MOST = 32 * KIB
_ENDED = (FileNotFoundError, ProcessLookupError, PermissionError)
_KERNEL_THREAD = Status(uid=Uid(0), cap_effective=0, memory=None)
"""What is taken for read of a kernel thread, which cannot die: there may be hundreds."""


def read_process(path: str, page_size: int) -> Process:
    """All of one process."""
    # An open folder stays with its process: once that has ended it leads nowhere, even when another
    # process got the pid. So all that is read through it belongs to one process.
    try:
        folder = os.open(path, _FOLDER)
    except _ENDED as error:
        raise Gone(path) from error
    try:
        stat, living = _stat(path, folder)
        if stat.kernel_thread:
            status, oom_score_adj = _KERNEL_THREAD, 0
        else:
            status = _tell(path, f"{living}status", partial(parse_status, page_size=page_size), folder)
            oom_score_adj = _tell(path, "oom_score_adj", parse_int, folder)
    finally:
        os.close(folder)
    return Process(
        key=stat.key,
        comm=stat.comm,
        state=stat.state,
        ppid=stat.ppid,
        pgid=stat.pgid,
        sid=stat.sid,
        kernel_thread=stat.kernel_thread,
        cpu_time=stat.cpu_time,
        nice=stat.nice,
        image=stat.image,
        uid=status.uid,
        cap_effective=status.cap_effective,
        memory=status.memory,
        oom_score_adj=oom_score_adj,
        fingerprint=stat.fingerprint,
    )


def read_stat(path: str) -> Stat:
    """Its stat; state and image are a living thread's where the leader has exited."""
    return _stat(path, None)[0]


def read_fingerprint(path: str) -> int:
    """A digest of its stat, which changes once it has run, or its resident set has changed.

    The leader counts what all threads have done (fs/proc/array.c `do_task_stat()`), also where it has exited.
    """
    return _tell(path, "stat", hash)


def read_outline(path: str) -> Outline:
    """What its stat tells of how much it may hold, and since when."""
    return _tell(path, "stat", parse_outline)


def read_statm(path: str) -> Statm:
    """What it maps and holds: the cheapest reading."""
    return _statm(path)[0]


def read_oom_score(path: str) -> int:
    """The kernel's own answer."""
    return _tell(path, "oom_score", parse_int)


def read_membership(path: str) -> Membership:
    """Its cgroups; `NO_CGROUP` where the kernel has none, or cannot tell."""
    membership = _membership(path)
    if membership.path != "/":
        return membership
    return _of_living_thread(path, _membership) or membership


def read_exe(path: str) -> str | None:
    """The executable's path; None for kernel threads and where the kernel cannot tell."""
    return _exe(path) or _of_living_thread(path, _exe)


def read_cmdline(path: str) -> str:
    """The arguments, separated by spaces; the first 32 KiB of them."""
    return _cmdline(path) or _of_living_thread(path, _cmdline) or ""


def read_user_namespace(path: str) -> str | None:
    """Its user namespace, as "user:[4026531837]" (namespaces(7)); None where the kernel cannot tell."""
    return _link(path, "ns/user")


def _stat(path: str, folder: int | None) -> tuple[Stat, str]:
    """Its stat, and what comes before the names of the files that tell of what lives of it."""
    stat = _tell(path, "stat", parse_stat, folder)
    if stat.image or stat.threads == 1 or stat.kernel_thread:
        return stat, ""
    living = _statm(path)[1]
    thread = _tell(path, f"{living}stat", parse_stat, folder)
    return replace(stat, state=thread.state, image=thread.image), living


def _statm(path: str) -> tuple[Statm, str]:
    leader = _tell(path, "statm", parse_statm)
    if leader.size:
        return leader, ""
    # All of them, if need be: threads that exited under a debugger stay too, and could hide one behind them.
    for thread in _threads(path):
        try:
            statm = _tell(path, f"{thread}statm", parse_statm)
        except Gone:
            continue
        if statm.size:
            return statm, thread
    return leader, ""


def _threads(path: str) -> Iterator[str]:
    try:
        with os.scandir(f"{path}/task") as entries:
            for entry in entries:
                yield f"task/{entry.name}/"
    except _ENDED as error:
        raise Gone(path) from error


def _of_living_thread(path: str, ask: Callable[[str], T]) -> T | None:
    living = _statm(path)[1]
    return ask(f"{path}/{living}") if living else None


def _membership(path: str) -> Membership:
    file = f"{path}/cgroup"
    try:
        return parsed(file, parse_cgroup, read(file))
    except OSError as error:
        _check_only_untold(path, error)
        return NO_CGROUP


def _exe(path: str) -> str | None:
    return _link(path, "exe")


def _link(path: str, name: str) -> str | None:
    try:
        return decode(os.readlink(f"{path}/{name}".encode()))
    except OSError as error:
        _check_only_untold(path, error)
        return None


def _cmdline(path: str) -> str:
    try:
        arguments = read_start(f"{path}/cmdline", _CMDLINE_MOST)
    except _ENDED as error:
        raise Gone(path) from error
    return decode(arguments.rstrip(b"\0").replace(b"\0", b" "))


def _tell(path: str, name: str, parse: Callable[[bytes], T], folder: int | None = None) -> T:
    """What `parse` makes of a file of the process, read through its open `folder` if there is one."""
    file = f"{path}/{name}"
    try:
        text = read(file if folder is None else name, folder)
    except _ENDED as error:
        raise Gone(file) from error
    if not text:
        raise Gone(file)
    return parsed(file, parse, text)


def _check_only_untold(path: str, error: OSError) -> None:
    """Return where the process lives and the kernel merely cannot tell a name of it.

    That is so where there is none, where it is hidden, and where it is longer than a page: whoever makes
    it so earns no protection by it. Raises `Gone`, or else `error`.
    """
    if error.errno in (errno.ENAMETOOLONG, errno.EACCES, errno.EPERM):
        return
    if error.errno == errno.ENOENT and os.access(path, os.F_OK):
        return
    if isinstance(error, _ENDED):
        raise Gone(path) from error
    raise error
