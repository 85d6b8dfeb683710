"""From the crossed limit to the signal, in CPU, the more processes there are, as a Markdown table.

    .venv/bin/python -m bench.scan [PROCESSES...]

Has so many children asleep (100, 1,000 and 10,000 unless told), each with some hundred KiB of memory, and one
that is worth a signal; then goes from the crossed limit to the signal as the guard does by its defaults, but
for the signal itself: armed, and as one that has just started and knows nobody. Where earlyoom is installed,
a scan of its is measured beside it, in a dry run; it looks at all processes of the host, and the guard at our
children alone, so both are told for each process as well. The children end with this process.
"""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from shutil import which

import psutil

from oomguard import ranking
from oomguard.census import Census
from oomguard.config import DEFAULTS
from oomguard.episode import Sent
from oomguard.event import Mode
from oomguard.gauge import ARMED_PAUSE, Gauge
from oomguard.growth import SHORT
from oomguard.hunt import Hunt
from oomguard.kill import Delivery
from oomguard.plan import HOPEFUL_GAIN, LEAST_GAIN, Kill
from oomguard.pressure import Assessment, Limit, Sample
from oomguard.process import Key
from oomguard.procfs import ProcFS
from oomguard.ranking import Exempt
from oomguard.sampler import Sampler
from oomguard.scout import WATCH_EVERY, Scout
from oomguard.units import Bytes, Percent, Pid, Seconds

CROWDS = (100, 1_000, 10_000)
ROUNDS, LOOKS = 9, 3
MILLISECOND = 1e-3
NEWS = Seconds(SHORT + 2.0)
"""How long it is remarkable that somebody has started."""
ARMED = Seconds(1.4 * WATCH_EVERY)
"""From one crossing to the next: so each comes at another time after a look at everybody."""
SCANS = Seconds(10.0)
"""How long earlyoom is watched."""
EARLYOOM = ("earlyoom", "--dryrun", "-m", "99,98", "-s", "99,98", "-r", "0")
"""It would kill all the time, and with `--dryrun` kills nobody."""
SCANNED = "low memory! at or below"
ALWAYS = Limit(term=Percent(100.0), kill=Percent(0.0))
"""A limit that is always crossed."""


class Children(ProcFS):
    """This host, as far as it is ours: so the others' doings do not count."""

    def __init__(self, pids: frozenset[Pid]) -> None:
        super().__init__()
        self._ours = pids

    def pids(self) -> list[Pid]:
        """Lists all, as that is part of the cost."""
        return [pid for pid in super().pids() if pid in self._ours]

    def living(self, pids: Iterable[int]) -> list[Pid]:
        """Asks for all, as that is part of the cost."""
        return [pid for pid in super().living(pids) if pid in self._ours]


class Stopwatch:
    """An actor that notes when it is told to signal, and says that the victim has vanished."""

    mode = Mode.DRY_RUN
    fds: tuple[int, ...] = ()

    def __init__(self) -> None:
        self.began = 0.0
        self.took: list[float] = []

    def signal(self, _kill: Kill, _sent: Sent) -> Delivery:
        """Note how long it took to come here."""
        self.took.append(time.process_time() - self.began)
        return Delivery.VANISHED

    def left(self) -> int:
        """It never was there."""
        return 0

    def stand_down(self) -> None:
        """There is nothing to let go of."""

    def world(self, sample: Sample) -> Sample:
        """As it is."""
        return sample

    def pretended(self) -> frozenset[Key]:
        """Nobody: each crossing is like the first."""
        return frozenset()

    def pretended_in(self, group: str) -> Bytes:  # noqa: ARG002 - of the Protocol
        """Nothing."""
        return Bytes(0)


class Scene:
    """The guard, armed, among so many children."""

    def __init__(self, pids: frozenset[Pid]) -> None:
        procfs = Children(pids)
        limits = replace(DEFAULTS.limits, available=ALWAYS, swap_free=ALWAYS)
        self._procfs = procfs
        self._stopwatch = Stopwatch()
        self._sampler = Sampler(procfs)
        self._gauge = Gauge(limits, procfs.overcommit(), procfs.machine().page_size)
        machine, census = procfs.machine(), Census(procfs, (), None)
        self._hunt = Hunt(
            scout=Scout(
                policy=DEFAULTS.policy, scope=DEFAULTS.scope, census=census, machine=machine, own=frozenset
            ),
            actor=self._stopwatch,
            grace=DEFAULTS.grace,
            storm=DEFAULTS.storm,
            machine=machine,
            holdings=procfs.holdings,
        )

    def start(self) -> float:
        """Seconds of CPU that the guard takes before its first poll."""
        began = time.process_time()
        self._hunt.rehearse(*self._read())
        return time.process_time() - began

    def arm(self, length: Seconds) -> float:
        """Be armed for so long; gives its share of a CPU."""
        spent, began = 0.0, time.monotonic()
        while time.monotonic() < began + length:
            time.sleep(ARMED_PAUSE)
            before = time.process_time()
            self._hunt.watch(self._sampler.take(self._gauge.is_near))
            spent += time.process_time() - before
        return spent / (time.monotonic() - began)

    def cross(self) -> float:
        """Seconds of CPU from the sample that crosses the limit to the signal."""
        self._stopwatch.took.clear()
        self._stopwatch.began = time.process_time()
        self._hunt.act(*self._read(), self._read)
        self._hunt.events.clear()
        if not self._stopwatch.took:
            sys.exit("nobody here is worth a signal: most of the memory in use is not that of processes")
        return self._stopwatch.took[0]

    def look(self) -> float:
        """Seconds of CPU that it takes to read everybody from nothing, and to rank them."""
        began = time.process_time()
        machine, everybody = self._procfs.machine(), Census(self._procfs, (), None).take()
        nobody = Exempt(own=frozenset(), passed_over=frozenset())
        ranking.rank(everybody, ranking.score(DEFAULTS.policy, (), everybody, machine), machine, nobody)
        return time.process_time() - began

    def _read(self) -> tuple[Sample, Assessment]:
        sample = self._sampler.take(self._gauge.is_near)
        found = self._gauge.read(sample, self._hunt.kill_takes)
        # As where it has just been crossed.
        return sample, replace(found, figures=replace(found.figures, available_limit=found.figures.available))


def main() -> None:
    """Measure, and print the table."""
    # As the guard does.
    gc.disable()
    crowds = tuple(map(int, sys.argv[1:])) or CROWDS
    measured = {size: measure(size) for size in crowds}
    first = measured[crowds[0]]
    columns = "".join(f" {size:,} | ratio |" for size in crowds)
    sys.stdout.write(f"CPU in ms, the best of {ROUNDS}\n\n| |{columns}\n|---|{'---|---|' * len(crowds)}\n")
    for step in first:
        cells = "".join(f" {of[step]:.2f} | {of[step] / first[step]:.1f} |" for of in measured.values())
        sys.stdout.write(f"| {step} |{cells}\n")


def measure(size: int) -> dict[str, float]:
    """Milliseconds of each step with `size` processes; the best, as other load only adds to it."""
    with asleep(size) as pids:
        scene = Scene(pids)
        scene.start()
        swarming = min(_rounds(scene, 3))
        share = scene.arm(NEWS)
        steps = {
            "from the crossed limit to the signal": min(_rounds(scene, ROUNDS)),
            "the same, where all have just started": swarming,
            "armed, of a second": share,
            "everybody read from nothing, and ranked": min(scene.look() for _ in range(LOOKS)),
        }
        first = min(from_nothing(pids) for _ in range(ROUNDS))
        steps |= {
            "from nothing to the signal": first,
            "that, a process seen, in µs": first / size / MILLISECOND,
        }
        if which(EARLYOOM[0]):
            scan = earlyoom()
            seen = len(ProcFS().pids())
            steps |= {
                "a scan of earlyoom's": scan,
                "that scan, a process seen, in µs": scan / seen / MILLISECOND,
            }
        return {step: taken / MILLISECOND for step, taken in steps.items()}


def from_nothing(pids: frozenset[Pid]) -> float:
    """Seconds of CPU from the start of a guard, where the limit is crossed already, to its first signal."""
    scene = Scene(pids)
    return scene.start() + scene.cross()


def _rounds(scene: Scene, rounds: int) -> Iterator[float]:
    for _ in range(rounds):
        scene.arm(ARMED)
        yield scene.cross()


def earlyoom() -> float:
    """Seconds of CPU that one of its scans takes, in a dry run."""
    with (
        tempfile.TemporaryFile("w+") as told,
        subprocess.Popen(EARLYOOM, stdout=told, stderr=told) as scanner,  # noqa: S603  # nothing of anybody else's
    ):
        time.sleep(SCANS)
        spent = psutil.Process(scanner.pid).cpu_times()
        scanner.terminate()
        scanner.wait()
        told.seek(0)
        scans = told.read().count(SCANNED)
    return float(spent.user + spent.system) / max(scans, 1)


@contextmanager
def asleep(size: int) -> Iterator[frozenset[Pid]]:
    """So many children that sleep until this process lets go of them, by its end at the latest."""
    ours, theirs = os.pipe()
    pids: list[Pid] = []
    try:
        for number in range(size):
            pid = os.fork()
            if pid == 0:
                os.close(theirs)
                _held = bytearray(0 if number else HOPEFUL_GAIN + 2 * LEAST_GAIN)
                os.read(ours, 1)
                os._exit(0)
            pids.append(Pid(pid))
        yield frozenset(pids)
    finally:
        os.close(theirs)
        os.close(ours)
        for pid in pids:
            os.waitpid(pid, 0)


if __name__ == "__main__":
    main()
