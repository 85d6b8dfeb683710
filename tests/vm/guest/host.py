"""The machine as its checks see it: services, processes, memory."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

EAT = "/opt/vm/eat"


def run(*words: str) -> str:
    """The standard output of a command that succeeds."""
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    if done.returncode:
        raise AssertionError(f"{' '.join(words)}: exit {done.returncode}: {done.stderr.strip()}")
    return done.stdout.strip()


def fails(*words: str) -> str:
    """The standard error of a command that fails."""
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    if not done.returncode:
        raise AssertionError(f"{' '.join(words)}: succeeds")
    return done.stderr.strip()


def until(condition: Callable[[], bool], what: str, limit: float = 60) -> None:
    """Waits for `condition`; what does not come true in `limit` seconds is a finding."""
    end = time.monotonic() + limit
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"not within {limit} s: {what}")
        time.sleep(0.2)


def meminfo(line: str) -> int:
    """A line of /proc/meminfo, in MiB."""
    for words in map(str.split, Path("/proc/meminfo").read_text().splitlines()):
        if words[0] == f"{line}:":
            return int(words[1]) >> 10
    raise AssertionError(f"/proc/meminfo has no {line}")


def vmstat(counter: str) -> int:
    """A counter of /proc/vmstat."""
    for words in map(str.split, Path("/proc/vmstat").read_text().splitlines()):
        if words[0] == counter:
            return int(words[1])
    raise AssertionError(f"/proc/vmstat has no {counter}")


@dataclass(frozen=True, slots=True)
class Unit:
    """A systemd unit."""

    name: str

    def __getitem__(self, key: str) -> str:
        """A property, as `systemctl show` has it."""
        return run("systemctl", "show", "--value", f"--property={key}", self.name)

    @property
    def pid(self) -> int:
        """The main process; 0 for none."""
        return int(self["MainPID"])

    @property
    def alive(self) -> bool:
        """Whether there is a main process."""
        return self.pid != 0

    @property
    def ending(self) -> str:
        """How the main process ended: "exited 0", "killed TERM", …"""
        code = {"1": "exited", "2": "killed", "3": "dumped"}.get(self["ExecMainCode"], "running")
        status = self["ExecMainStatus"]
        if code == "killed":
            status = {"15": "TERM", "9": "KILL"}.get(status, status)
        return f"{code} {status}"

    @property
    def rss(self) -> int:
        """The main process's resident set, in MiB."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return next(int(line.split()[1]) >> 10 for line in status.splitlines() if line.startswith("VmRSS"))

    def stop(self) -> None:
        """Ends it, by force, and forgets how it ended."""
        for verb in (("kill", "--signal=KILL"), ("stop",), ("reset-failed",)):
            subprocess.run(("systemctl", *verb, self.name), check=False, capture_output=True)


def eat(name: str, *words: str, properties: tuple[str, ...] = (), program: str = EAT) -> Unit:
    """Starts `eat` (see eat.c), or a copy of it, as a service of its own."""
    # RemainAfterExit keeps a service that died by TERM, so that it can be asked how it ended.
    settings = (
        f"--property={setting}" for setting in ("RemainAfterExit=yes", "OOMPolicy=continue", *properties)
    )
    run("systemd-run", "--quiet", f"--unit={name}", *settings, program, *words)
    return Unit(f"{name}.service")
