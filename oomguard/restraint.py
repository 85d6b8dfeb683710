"""What can be done to a v2 control group short of killing it (cgroups(7), cgroup-v2.rst), and undone.

Not for the guard's own process, but for `Action.HOLD_SWAP`: each of these may wait in the kernel, for
reclaim or for the lock of all control groups (kernel/cgroup/cgroup.c `cgroup_kn_lock_live()`).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager

from oomguard.cgroup import Layout
from oomguard.cgroupfs import CgroupFS
from oomguard.frozen import frozen
from oomguard.hostfile import read
from oomguard.remedy import Action, Result
from oomguard.units import MIB, Bytes, Pid

SLACK = Bytes(8 * MIB)
"""A throttled group may hold so much more than it does: so the write has nothing to reclaim, and returns."""
CHUNK = Bytes(8 * MIB)
"""Reclaimed at a time: in between it can be told to stop."""
FILES = {
    Action.FREEZE: "cgroup.freeze",
    Action.THROTTLE: "memory.high",
    Action.HOLD_SWAP: "memory.swap.max",
}
FREE, FROZEN = "0", "1"
NO_SWAP = "0"
NO_LIMIT = "max"


class Refusal(Exception):
    """Nothing was done, and why."""

    def __init__(self, result: Result) -> None:
        super().__init__(result)
        self.result = result


@frozen
class Note:
    """A restraint that is in force, or about to be: all that it takes to undo it."""

    action: Action
    cgroup: str
    inode: int
    """Of its folder: another group of the same name is not ours."""
    before: str
    """What its file said."""
    written: str
    """What we write there. Where it says something else by then, somebody else has decided since."""


def plan(groups: CgroupFS, action: Action, cgroup: str, members: Collection[Pid]) -> Note:
    """How to restrain a group in which nobody but `members` is; raises `Refusal`."""
    with _opened(groups, cgroup) as folder:
        _make_sure(folder, members)
        before = _text(folder, FILES[action])
        if action is Action.FREEZE:
            written = FROZEN
            already = before != FREE or "frozen 1" in _text(folder, "cgroup.events").splitlines()
        else:
            page = os.sysconf("SC_PAGE_SIZE")
            most = (int(_text(folder, "memory.current")) + SLACK) // page * page
            written = str(most)
            already = before != NO_LIMIT and int(before) <= most
        if already:
            raise Refusal(Result.ALREADY)
        inode = os.fstat(folder).st_ino
        return Note(action=action, cgroup=cgroup, inode=inode, before=before, written=written)


def plan_hold(groups: CgroupFS, cgroup: str) -> Note:
    """How to keep a group, and all below it, from being swapped out; raises `Refusal`."""
    with _opened(groups, cgroup) as folder:
        before = _text(folder, FILES[Action.HOLD_SWAP])
        if before == NO_SWAP:
            raise Refusal(Result.ALREADY)
        inode = os.fstat(folder).st_ino
        return Note(action=Action.HOLD_SWAP, cgroup=cgroup, inode=inode, before=before, written=NO_SWAP)


def held_to(note: Note) -> Bytes:
    """What the group may hold by it; 0 for a frozen one."""
    return Bytes(int(note.written) if note.action is Action.THROTTLE else 0)


def restrain(groups: CgroupFS, note: Note) -> None:
    """Do what was planned; raises `Refusal`."""
    with _opened(groups, note.cgroup) as folder:
        if os.fstat(folder).st_ino != note.inode:
            raise Refusal(Result.VANISHED)
        _write(folder, FILES[note.action], note.written)


def undo(groups: CgroupFS, note: Note) -> None:
    """Put back what was there before, unless the group is gone or another has written there since.

    Twice does no harm. Raises `Refusal` where it is to be tried again.
    """
    file = FILES[note.action]
    try:
        with _opened(groups, note.cgroup) as folder:
            if os.fstat(folder).st_ino == note.inode and _text(folder, file) == note.written:
                _write(folder, file, note.before)
    except Refusal as refusal:
        if refusal.result is Result.REFUSED:
            raise


def reclaim(
    groups: CgroupFS, cgroup: str, members: Collection[Pid], amount: Bytes, goes_on: Callable[[], bool]
) -> Bytes:
    """Reclaim from a group in which nobody but `members` is, while it `goes_on`; gives how much.

    Waits while the kernel writes to swap (memory.reclaim, 5.19 and later). Raises `Refusal`.
    """
    done = 0
    with _opened(groups, cgroup) as folder:
        _make_sure(folder, members)
        while done < amount and goes_on():
            chunk = min(CHUNK, amount - done)
            try:
                _write(folder, "memory.reclaim", str(chunk))
            except BlockingIOError:  # there is no more
                break
            done += chunk
    return Bytes(done)


def _make_sure(folder: int, members: Collection[Pid]) -> None:
    """Raises `Refusal` where anybody else is in the group or below."""
    if not set(members).issuperset(_pids(folder)):
        raise Refusal(Result.CHANGED)


def _pids(folder: int) -> Iterator[Pid]:
    for word in _text(folder, "cgroup.procs").split():
        yield Pid(int(word))
    with os.scandir(folder) as entries:
        children = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    for child in children:
        below = os.open(child, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder)
        try:
            yield from _pids(below)
        finally:
            os.close(below)


@contextmanager
def _opened(groups: CgroupFS, cgroup: str) -> Iterator[int]:
    """The group's folder; what fails with it is a `Refusal`."""
    if groups.layout is not Layout.UNIFIED:
        raise Refusal(Result.UNSUPPORTED)
    try:
        folder = groups.open(cgroup)
    except OSError as error:
        raise Refusal(_result(error)) from error
    try:
        yield folder
    except OSError as error:
        raise Refusal(_result(error)) from error
    finally:
        os.close(folder)


def _result(error: OSError) -> Result:
    gone = (errno.ENOENT, errno.ENODEV)
    return Result.VANISHED if error.errno in gone else Result.REFUSED


def _text(folder: int, file: str) -> str:
    try:
        return read(file, folder).decode("ascii").strip()
    except FileNotFoundError as error:
        raise Refusal(Result.UNSUPPORTED) from error


def _write(folder: int, file: str, text: str) -> None:
    try:
        fd = os.open(file, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC, dir_fd=folder)
    except FileNotFoundError as error:
        raise Refusal(Result.UNSUPPORTED) from error
    try:
        os.write(fd, text.encode("ascii"))
    finally:
        os.close(fd)
