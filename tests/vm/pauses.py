"""A machine that stands still for a while, because a check inside of it has asked for that.

As a hypervisor has it do while it is moved to another host, or saved (its clocks stand still too); or as
it does when its hypervisor is itself not run: frozen, swapped out, in a host that sleeps (its clocks go on).
"""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.vm.guest.check import ASKS_FOR_PAUSE, Clocks
from tests.vm.qmp import Monitor


class Pauses:
    """Follows what a machine prints, and grants the pauses that are asked for there."""

    def __init__(self, results: Path, monitor: Path) -> None:
        """`results`: what it prints, once it does; `monitor`: the socket of its QMP."""
        self._results = results
        self._monitor = monitor
        self._followed = 0

    def grant(self, qemu: subprocess.Popen[bytes]) -> float:
        """Has it stand still for as long as was asked for since the last call; gives how long that took."""
        start = time.monotonic()
        asked = list(self._asked())
        for seconds, clocks in asked:
            with self._stopped(qemu) if clocks is Clocks.STAND else _frozen(qemu):
                time.sleep(seconds)
        return time.monotonic() - start if asked else 0.0

    def _asked(self) -> Iterator[tuple[float, Clocks]]:
        if not self._results.exists():
            return
        with self._results.open("rb") as file:
            file.seek(self._followed)
            text = file.read()
        whole = text[: text.rfind(b"\n") + 1]
        self._followed += len(whole)
        for line in whole.splitlines():
            if line.startswith(ASKS_FOR_PAUSE.encode()):
                request = json.loads(line)
                yield request["pause"], Clocks(request["clocks"])

    @contextmanager
    def _stopped(self, qemu: subprocess.Popen[bytes]) -> Iterator[None]:
        with Monitor(self._monitor) as monitor:
            monitor.execute("stop")
            yield
            monitor.execute("cont")


@contextmanager
def _frozen(qemu: subprocess.Popen[bytes]) -> Iterator[None]:
    qemu.send_signal(signal.SIGSTOP)
    yield
    qemu.send_signal(signal.SIGCONT)
