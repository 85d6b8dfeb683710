"""The file of the record: found, trusted, claimed for one writer, and put in place whole."""

from __future__ import annotations

import fcntl
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from oomguard.errors import RecordError
from oomguard.frozen import positional
from oomguard.layout import BOOT_ID, MAGIC, SIZE, TABLE, header
from oomguard.trust import check_file, check_folder

_CAREFULLY = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""Neither a symbolic link nor a FIFO in the record's place leads anywhere."""

_MODE = 0o644
_SANE = 1 << 62
"""Above any sequence number or count that a guard can reach."""


@positional
class Claim:
    """A record that this process alone may write: the file, and the lock that says so."""

    record: int
    lock: int


def boot_id() -> bytes:
    """This boot's id, as the kernel prints it (random(4)). Raises `OSError`."""
    with open("/proc/sys/kernel/random/boot_id", "rb") as file:
        return file.read().strip().ljust(BOOT_ID, b"\0")[:BOOT_ID]


def claim(path: str) -> Claim:
    """The record at `path`, made anew unless it is one of this layout and this boot.

    Raises `RecordError` where another guard holds it, where it cannot be trusted, or cannot be written.
    """
    with _explained(path, "cannot keep the record here"):
        with suppress(FileExistsError):
            os.mkdir(os.path.dirname(path), mode=0o755)
        check_folder(os.path.dirname(path))
        with _explained(f"{path}.lock", "cannot keep the record's lock here"):
            lock = _lock(f"{path}.lock")
        try:
            head = header(boot_id())
            return Claim(_old(path, head) or _new(path, head), lock)
        except (OSError, RecordError):
            os.close(lock)
            raise


def anonymous() -> int:
    """A new record without a path, for hosts where none can be written. Raises `RecordError`."""
    with _explained("the record", "no memory for it"):
        record = os.memfd_create("oomguard-record")
        try:
            _fill(record, header(boot_id()))
        except OSError:
            os.close(record)
            raise
        return record


def read_only(descriptor: int) -> int:
    """A second descriptor of the same file that can only read it. Raises `RecordError`."""
    with _explained("the record", "cannot be opened for reading"):
        return os.open(f"/proc/self/fd/{descriptor}", os.O_RDONLY | os.O_CLOEXEC)


def mapped(record: int) -> mmap.mmap:
    """The whole record as memory, shared with its readers. Raises `RecordError`."""
    with _explained("the record", "cannot be mapped"):
        return mmap.mmap(record, SIZE)


def find(path: str) -> int:
    """The file at `path`, open for reading. Raises `RecordError`."""
    with _explained(path, "cannot read the record"):
        return os.open(path, os.O_RDONLY | _CAREFULLY)


def refill(descriptor: int) -> None:
    """Make a record that was cut short whole again: it has its header, and nothing else. Raises `OSError`."""
    record = os.open(f"/proc/self/fd/{descriptor}", os.O_RDWR | os.O_CLOEXEC)
    try:
        _fill(record, header(boot_id()))
    finally:
        os.close(record)


@contextmanager
def _explained(path: str, problem: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise RecordError(f"{path}: {problem}: {error.strerror}") from error


def _lock(path: str) -> int:
    # The record itself is open to all, and whoever can open a file can lock it: hence a file of its own.
    lock = os.open(path, os.O_RDWR | os.O_CREAT | _CAREFULLY, 0o600)
    try:
        check_file(lock)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Never cut short first: on a full file system somebody else would take the page.
        os.pwrite(lock, b"%-19d\n" % os.getpid(), 0)
    except BlockingIOError as error:
        holder = os.pread(lock, 20, 0).decode("ascii", "replace").strip()
        os.close(lock)
        raise RecordError(f"{path}: another oomguard runs (pid {holder})") from error
    except (OSError, RecordError):
        os.close(lock)
        raise
    return lock


def _old(path: str, head: bytes) -> int | None:
    try:
        record = os.open(path, os.O_RDWR | _CAREFULLY)
    except FileNotFoundError:
        return None
    try:
        check_file(record)
        if _continues(path, record, head):
            os.fchmod(record, _MODE)
            return record
    except (OSError, RecordError):
        os.close(record)
        raise
    os.close(record)
    return None


def _continues(path: str, record: int, head: bytes) -> bool:
    found = os.pread(record, len(head), 0)
    if found and not found.startswith(MAGIC):
        raise RecordError(f"{path}: not a record; move it away or set [record] path")
    if found != head or os.fstat(record).st_size != SIZE:
        return False
    cells = memoryview(os.pread(record, TABLE.stop - TABLE.start, TABLE.start)).cast("Q")
    return max(cells) < _SANE


def _new(path: str, head: bytes) -> int:
    # Whoever reads the old file keeps it, whole: it is replaced, never cut short or written over.
    fresh = f"{path}.new"
    with suppress(FileNotFoundError):
        os.unlink(fresh)
    record = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL | _CAREFULLY, _MODE)
    try:
        os.fchmod(record, _MODE)
        _fill(record, head)
        os.rename(fresh, path)
    except OSError:
        os.close(record)
        raise
    return record


def _fill(record: int, head: bytes) -> None:
    # Space is claimed now: a hole that tmpfs cannot fill later would end the guard with SIGBUS.
    os.posix_fallocate(record, 0, SIZE)
    os.pwrite(record, head, 0)
