"""Recorded processes, changed at will, and looks at what is read of them."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from oomguard.cgroup import Membership
from oomguard.procfs import ProcFS
from oomguard.units import Pid

RECORDED = Path(__file__).parent / "fixtures/linux-6.18/proc"
HOME = "user:[4026531837]"
FOREIGN = "user:[4026532177]"


def host(root: Path) -> Path:
    """An empty host below `root`, on which this very process has a user namespace and nothing else."""
    _link(root / f"proc/{os.getpid()}/ns/user", HOME)
    return root


def place(
    root: Path,
    pid: int,
    *,
    comm: str = "python3.11",
    exe: str | None = "/usr/bin/python3.11",
    cmdline: str = "python3 -c pass",
    cgroup: str = "/user.slice",
    uid: int = 0,
    cap_effective: int = 0,
    namespace: str = HOME,
    started: int = 247106,
    code: int = 4321280,
) -> None:
    """Put a process there, or another in its place; `code` is where its program was mapped."""
    folder = root / f"proc/{pid}"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(RECORDED / "5984", folder, symlinks=True)
    (folder / "exe").unlink()
    if exe is not None:
        _link(folder / "exe", exe)
    _link(folder / "ns/user", namespace)
    (folder / "cmdline").write_bytes(cmdline.replace(" ", "\0").encode("utf-8", "surrogateescape"))
    (folder / "cgroup").write_text(f"0::{cgroup}\n")
    _edit(
        folder / "stat",
        ("5984 (python)", f"{pid} ({comm})"),
        (" 247106 ", f" {started} "),
        (" 4321280 ", f" {code} "),
    )
    _edit(
        folder / "status",
        ("Uid:\t0\t", f"Uid:\t{uid}\t"),
        ("CapEff:\t000001fffeffffff", f"CapEff:\t{cap_effective:016x}"),
    )


def stick(root: Path, pid: int) -> Path:
    """Make its command line one that no reading returns from, until `loosen`."""
    cmdline = root / f"proc/{pid}/cmdline"
    cmdline.unlink()
    os.mkfifo(cmdline)
    return cmdline


def loosen(cmdline: Path) -> None:
    """Let whoever waits for it go on."""
    os.close(os.open(cmdline, os.O_RDWR | os.O_NONBLOCK))


class WatchedProcFS(ProcFS):
    """Counts the readings, and who has read command lines."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.reads: Counter[str] = Counter()
        self.readers = set[int]()

    def pids(self) -> list[Pid]:
        return [pid for pid in super().pids() if pid != os.getpid()]

    def membership(self, pid: Pid) -> Membership:
        self.reads["membership"] += 1
        return super().membership(pid)

    def exe(self, pid: Pid) -> str | None:
        self.reads["exe"] += 1
        return super().exe(pid)

    def cmdline(self, pid: Pid) -> str:
        self.reads["cmdline"] += 1
        self.readers.add(threading.get_ident())
        return super().cmdline(pid)


def eventually(holds: Callable[[], bool]) -> bool:
    """Whether `holds` does within some seconds: long enough for a busy machine."""
    deadline = time.monotonic() + 10
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.002)
    return True


def _link(path: Path, target: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)


def _edit(path: Path, *changes: tuple[str, str]) -> None:
    text = path.read_text()
    for old, new in changes:
        assert old in text, f"{path} has no {old!r}"
        text = text.replace(old, new, 1)
    path.write_text(text, errors="surrogateescape")
