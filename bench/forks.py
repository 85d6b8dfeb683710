"""Kills while a hundred thousand processes come and go: how many attempts are aborted, and what it costs.

    .venv/bin/python -m bench.forks [FORKS]

Two loops fork as fast as they can, 100,000 times together unless told. Meanwhile the guard's own parts are
armed, listen to the kernel's process events, and go from a crossed limit to the signal again and again, each
time for another process of this benchmark's own. It takes root and gcc.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from oomguard import netlink
from oomguard.pressure import Level
from oomguard.procevents import ProcEvents
from oomguard.units import MIB
from tests.victims import SIZE, Scene, build, said

FORKS, LOOPS = 100_000, 2


def main() -> None:
    """Measure, and print a line."""
    forks = int(sys.argv[1]) if len(sys.argv) > 1 else FORKS
    with tempfile.TemporaryDirectory() as folder:
        victims, others = Path(folder) / "victims", Path(folder) / "others"
        build(victims)
        build(others)
        scene = Scene(victims, ProcEvents(netlink.subscribe(frozenset())))
        guard, began = psutil.Process(), time.monotonic()
        _attempt(scene, victims)
        before = guard.memory_info().rss
        each = str(forks // LOOPS)
        loops = [subprocess.Popen((others, "forks", each)) for _ in range(LOOPS)]  # noqa: S603  # our own program
        sent = [
            _attempt(scene, victims) for _ in iter(lambda: any(loop.poll() is None for loop in loops), False)
        ]
        for loop in loops:
            if loop.wait() != 0:
                sys.exit("a loop could not fork, or ran out of time")
        grown = (guard.memory_info().rss - before) / MIB
        scene.close()
    took = time.monotonic() - began
    sys.stdout.write(
        f"{forks:,} forks in {took:.0f} s: {len(sent)} attempts, {sent.count(False)} aborted; "
        f"the memory of the guard's parts grew by {grown:.1f} MiB\n"
    )


def _attempt(scene: Scene, victims: Path) -> bool:
    """Whether a victim that has just started was ended."""
    with subprocess.Popen((victims, "plain", str(SIZE)), stdout=subprocess.PIPE, text=True) as victim:  # noqa: S603  # our own program
        scene.actor.ours = {said(victim)}
        was_sent = scene.attempt(Level.KILL)
        victim.kill()
        return was_sent


if __name__ == "__main__":
    main()
