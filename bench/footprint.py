"""What a guard in calm costs: memory and CPU of each of its processes, as a Markdown table.

    .venv/bin/python -m bench.footprint [SECONDS]

Runs a guard in dry run with metrics, on this host, for SECONDS (60 unless told), and lets it be.
"""

from __future__ import annotations

import platform
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

SETTLE_SECONDS = 5
KIB = 1024


def main() -> None:
    """Measure, and print the table."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    with tempfile.TemporaryDirectory() as folder, guard(Path(folder)) as process:
        time.sleep(SETTLE_SECONDS)
        parts = {name(part): part for part in (process, *process.children())}
        before = {title: cpu_seconds(part) for title, part in parts.items()}
        time.sleep(seconds)
        out(f"Python {platform.python_version()}, {len(psutil.pids())} processes, {seconds:.0f} s in calm\n")
        out("| process | RSS, KiB | of it private | CPU of a core | major faults |\n|---|---|---|---|---|")
        for title, part in parts.items():
            memory = part.memory_full_info()
            share = (cpu_seconds(part) - before[title]) / seconds
            faults = (Path("/proc") / str(part.pid) / "stat").read_text().rpartition(")")[2].split()[9]
            out(f"| {title} | {memory.rss // KIB} | {memory.uss // KIB} | {share:.3%} | {faults} |")


@contextmanager
def guard(folder: Path) -> Iterator[psutil.Process]:
    """A guard in dry run, with its record in `folder`."""
    config = folder / "oomguard.toml"
    config.write_text(f'[record]\npath = "{folder}/record"\n')
    command = ("run", "--dry-run", "--config", str(config), "--metrics", f"127.0.0.1:{free_port()}")
    running = subprocess.Popen((sys.executable, "-m", "oomguard", *command), stderr=subprocess.DEVNULL)  # noqa: S603
    try:
        yield psutil.Process(running.pid)
    finally:
        running.terminate()
        running.wait()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def name(part: psutil.Process) -> str:
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
