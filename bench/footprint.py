"""What a guard in calm costs, beside other guards, as a Markdown table; and how long it takes to start.

    .venv/bin/python -m bench.footprint [SECONDS]

Runs all that are installed at the same time on this host for SECONDS (60 unless told), and lets them be:
oomguard in dry run with metrics, earlyoom in a dry run, nohang with limits that are not reached.
"""

from __future__ import annotations

import os
import platform
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from shutil import which

import psutil

SETTLE_SECONDS = 30
"""Those that have just started are newcomers: the guard looks at each twice within twenty seconds."""
STARTS = 5
READY = b"READY=1"
READY_WITHIN = 60.0
KIB = 1024
MILLISECOND = 1e-3
NOHANG = Path("/etc/nohang/nohang.conf")
NEVER = (r"(?m)^((?:soft|hard|warning)_threshold_min_\w+ *=).*", r"\1 0 %")
"""nohang's limits, and what becomes of them."""


def main() -> None:
    """Measure, and print the table."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    with tempfile.TemporaryDirectory() as name, ExitStack() as running:
        folder = Path(name)
        parts = {}
        for title, command in peers(folder).items():
            parts[title] = running.enter_context(started(command))
        ours = running.enter_context(started(guard(folder, "--metrics", f"127.0.0.1:{free_port()}")))
        time.sleep(SETTLE_SECONDS)
        parts = {role(part): part for part in (ours, *ours.children())} | parts
        before = {title: cpu_seconds(part) for title, part in parts.items()}
        time.sleep(seconds)
        out(f"Python {platform.python_version()}, {len(psutil.pids())} processes, {seconds:.0f} s in calm\n")
        out("| process | RSS, KiB | of it private | CPU of a core | major faults |\n|---|---|---|---|---|")
        for title, part in parts.items():
            memory = part.memory_full_info()
            share = (cpu_seconds(part) - before[title]) / seconds
            faults = (Path("/proc") / str(part.pid) / "stat").read_text().rpartition(")")[2].split()[9]
            out(f"| {title} | {memory.rss // KIB} | {memory.uss // KIB} | {share:.3%} | {faults} |")
    with tempfile.TemporaryDirectory() as name:
        starts = [start(Path(name)) for _ in range(STARTS)]
    wall, cpu = (min(figures) / MILLISECOND for figures in zip(*starts, strict=True))
    out(f"\nFrom the start to READY: {wall:.0f} ms, of which {cpu:.0f} ms of CPU; the best of {STARTS}.")


def peers(folder: Path) -> dict[str, Sequence[str]]:
    """The other guards that are here, told to do nothing."""
    found: dict[str, Sequence[str]] = {}
    if path := which("earlyoom"):
        found["earlyoom"] = (path, "--dryrun", "-m", "1", "-s", "1", "-r", "0")
    if path := which("nohang"):
        config = folder / "nohang.conf"
        config.write_text(re.sub(*NEVER, NOHANG.read_text()))
        found["nohang"] = (path, "--monitor", "--config", str(config))
    return found


def guard(folder: Path, *options: str) -> Sequence[str]:
    """Our own in dry run, with its record in `folder`."""
    config = folder / "oomguard.toml"
    config.write_text(f'[record]\npath = "{folder}/record"\n')
    return (sys.executable, "-m", "oomguard", "run", "--dry-run", "--config", str(config), *options)


@contextmanager
def started(command: Sequence[str], **environment: str) -> Iterator[psutil.Process]:
    """It, until it is told to end."""
    running = subprocess.Popen(  # noqa: S603 - nothing of anybody else's
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ | environment
    )
    try:
        yield psutil.Process(running.pid)
    finally:
        running.terminate()
        running.wait()


def start(folder: Path) -> tuple[float, float]:
    """Seconds, and of CPU, from the start of a guard to when it says that it guards (sd_notify(3))."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        address = folder / "notify"
        told.bind(str(address))
        told.settimeout(READY_WITHIN)
        began = time.monotonic()
        with started(guard(folder), NOTIFY_SOCKET=str(address)) as ours:
            while READY not in told.recv(KIB):
                pass
            took = time.monotonic() - began, cpu_seconds(ours)
        address.unlink()
        return took


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def role(part: psutil.Process) -> str:
    """Which of oomguard's processes it is."""
    words = " ".join(part.cmdline())
    return (
        "telling process" if "oomguard.journal" in words else "exporter" if "exporter" in words else "guard"
    )


def out(line: str) -> None:
    """Print one line."""
    sys.stdout.write(f"{line}\n")


def cpu_seconds(part: psutil.Process) -> float:
    """User and system time, to the nanosecond (/proc/PID/schedstat counts what `times` rounds)."""
    return int((Path("/proc") / str(part.pid) / "schedstat").read_text().split()[0]) / 1e9


if __name__ == "__main__":
    main()
