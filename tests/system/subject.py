"""The guard under test: a process of its own, seen as its users see it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from oomguard.counters import Counter
from oomguard.event import Event
from oomguard.reader import Reader
from oomguard.state import State
from tests.system.hog import MARK, on_cpu_lists
from tests.system.patience import PATIENCE, eventually

E = TypeVar("E")

OOMGUARD = (sys.executable, "-m", "oomguard")


def available() -> int:
    """What the guard takes for available, in MiB: MemAvailable, and what the CPUs keep for themselves."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    told = next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")) // 1024
    return told + on_cpu_lists()


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a test configures: the limits are sizes, so that only what the test takes crosses them."""

    mode: str = "enforce"
    folder: str = ""
    """Below the test's own: for a second guard."""
    room: int = 700
    """MiB from what is available now to the limit of term."""
    last_room: int = 1_000_000
    """MiB from there to the limit of kill."""
    grace: str = "10s"
    scope: str = "process"
    rules: str = ""

    def write(self, path: Path) -> None:
        # Stalls are left out: they are everybody's. Whoever is in none of our control groups is protected,
        # by what the kernel says of him.
        now = available()
        path.write_text(
            f"""
mode = "{self.mode}"
[limits.available]
term = "{now - self.room}MiB"
kill = "{max(now - self.last_room, 0)}MiB"
[limits.swap_free]
term = "100%"
kill = "100%"
[stall]
budget = "60s"
window = "60s"
[victim]
scope = "{self.scope}"
grace = "{self.grace}"
[record]
path = "{path.parent}/run/record"
[[rule]]
name = "in-the-root"
cgroup = "/"
effect = "never"
[[rule]]
name = "in-another-group"
cgroup = "/[!{MARK}]*"
effect = "never"
{self.rules}
"""
        )


def oomguard(*arguments: str | Path, before: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """A command that ends by itself; `before`: one that becomes it."""
    return subprocess.run(
        (*before, *OOMGUARD, *arguments), capture_output=True, text=True, timeout=PATIENCE, check=False
    )


def candidates(config: Path) -> frozenset[int]:
    """Whom a guard of this configuration may kill."""
    ranked = oomguard("rank", "--json", "--config", config)
    assert ranked.returncode == 0, ranked.stderr
    return frozenset(candidate["pid"] for candidate in json.loads(ranked.stdout)["candidates"])


class Subject:
    """A guard that runs."""

    def __init__(self, config: Path, *options: str, before: tuple[str, ...] = ()) -> None:
        """`before`: a command that becomes the guard."""
        self.config = config
        self._record = config.parent / "run/record"
        self._log = config.with_suffix(".log")
        command = (*before, *OOMGUARD, "run", "--config", str(config), *options)
        with self._log.open("w") as log:
            self._process = subprocess.Popen(command, stderr=log, start_new_session=True)
        self.pid = self._process.pid
        try:
            eventually(self._is_ready)
        except AssertionError:
            self._kill()
            raise

    def log(self) -> list[str]:
        """The lines on standard error so far."""
        return self._log.read_text(errors="replace").splitlines()

    def state(self) -> State:
        with Reader.open(self._record) as reader:
            state = reader.state()
        assert state is not None
        return state

    def events(self) -> tuple[Event, ...]:
        with Reader.open(self._record) as reader:
            return tuple(told.event for told in reader.events(0)[1])

    def told(self, kind: type[E]) -> tuple[E, ...]:
        """The events of this kind."""
        return tuple(event for event in self.events() if isinstance(event, kind))

    def counted(self, family: str) -> int:
        """The sum of a family of counters."""
        with Reader.open(self._record) as reader:
            return sum(n for counter, n in reader.counters().items() if counter.family == family)

    def helpers(self, word: str) -> tuple[int, ...]:
        """The pids of its helpers that have this word in their command lines."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        lines = {int(pid): Path(f"/proc/{pid}/cmdline").read_bytes() for pid in children}
        return tuple(pid for pid, line in lines.items() if word.encode() in line.split(b"\0"))

    def ended(self) -> int | None:
        """Its exit status; None while it runs."""
        return self._process.poll()

    def major_faults(self) -> int:
        """majflt of proc_pid_stat(5)."""
        return int(Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[9])

    def count(self, family: str, *labels: str) -> int:
        with Reader.open(self._record) as reader:
            return reader.counters()[Counter(family, labels)]

    def status(self) -> Any:
        """The document of `oomguard status --json`."""
        shown = oomguard("status", "--json", "--config", self.config)
        assert shown.returncode == 0, shown.stderr
        return json.loads(shown.stdout)

    def polls(self, more: int = 3) -> None:
        """Wait until it has looked at memory so many times again."""
        seen = self.state().polls
        eventually(lambda: self.state().polls >= seen + more)

    def send(self, number: int) -> None:
        os.kill(self.pid, number)

    def close(self) -> None:
        """Stop it as its users do."""
        if self._process.poll() is None:
            self.send(signal.SIGTERM)
        try:
            self._process.wait(PATIENCE)
        finally:
            self._kill()

    def _is_ready(self) -> bool:
        assert self._process.poll() is None, f"it ended: {self.log()}"
        return any("Started: " in line for line in self.log())

    def _kill(self) -> None:
        """What is left of the guard and its helpers, which share a process group of ours."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
