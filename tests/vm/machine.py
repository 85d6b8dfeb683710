"""A machine in qemu: boots, runs what its payload brings, and is gone with all that it wrote.

The accelerator is TCG, said outright: nested KVM is seen to hang. Each disk is opened as a snapshot,
whose changes go to a file that qemu unlinks as it opens it; so nothing stays behind, even when qemu
or the test is killed.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.vm import payload
from tests.vm.image import Image, image, swap_disk
from tests.vm.pauses import Pauses
from tests.vm.payload import Tree

CPUS = 2
TICK = 0.1
"""Seconds from one look at a running machine to the next."""

Attend = Callable[[subprocess.Popen[bytes]], float]
"""What is done with a running machine at each look; gives the seconds that are not to count as its time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Swap:
    """A swap disk, as slow as asked for; None: as fast as the host's."""

    mib: int
    bytes_per_second: int | None = None
    operations_per_second: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """The hardware, and what its kernel is told."""

    mib: int = 1024
    swap: Swap | None = None
    cmdline: tuple[str, ...] = ()
    """Added to the kernel's command line: `psi=0`, `systemd.unified_cgroup_hierarchy=0`, …"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came out of a run."""

    results: tuple[dict[str, Any], ...]
    """The lines of the output that are JSON objects."""
    output: str
    """The other lines."""
    exit: str | None
    """How `payload.RUN` ended ("exited 0", "killed KILL", …); None: it didn't, or couldn't say so."""
    console: str
    """The kernel's and systemd's messages."""
    seconds: float
    """How long the machine ran."""
    timed_out: bool

    @property
    def story(self) -> str:
        """What a person wants to read when the run went wrong."""
        ending = "ran into its time limit" if self.timed_out else f"ended ({self.exit or 'without a word'})"
        tail = "\n".join(self.console.splitlines()[-40:])
        return (
            f"the machine {ending} after {self.seconds:.0f} s\n-- output\n{self.output}\n-- console\n{tail}"
        )


def run(machine: Machine, tree: Tree, limit: float) -> Outcome:
    """Boots `machine` with `tree` in it and waits until it is off, for `limit` seconds at most."""
    built = image()
    with tempfile.TemporaryDirectory(prefix="oomguard-vm-") as name:
        folder = Path(name)
        payload.write(tree, folder / "payload")
        start = time.monotonic()
        pauses = Pauses(folder / "results", folder / "monitor")
        timed_out = boot(command(machine, built, folder), limit, pauses.grant)
        seconds = time.monotonic() - start
        results, output, ending = parse(_text(folder / "results"))
        return Outcome(
            results=results,
            output=output,
            exit=ending,
            console=_text(folder / "console"),
            seconds=seconds,
            timed_out=timed_out,
        )


def command(machine: Machine, built: Image, folder: Path) -> tuple[str, ...]:
    """The command line: the payload is in `folder`, and so are the serial ports' files, and the monitor."""
    cmdline = (
        "root=/dev/vda",
        "rw",
        "console=ttyS0",
        "quiet",
        "panic=-1",
        "mitigations=off",
        *machine.cmdline,
    )
    disks = [_disk(built.disk, "root"), _disk(folder / "payload", "payload")]
    if machine.swap:
        disks.append(_disk(swap_disk(machine.swap.mib), "swap", *_throttle(machine.swap)))
    # fmt: off
    return (
        # Ends qemu when this process ends, in whatever way.
        "setpriv", "--pdeathsig=KILL",
        "qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
        "-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "max",
        "-smp", str(CPUS), "-m", str(machine.mib),
        "-kernel", str(built.kernel), "-initrd", str(built.initrd), "-append", " ".join(cmdline),
        "-object", "rng-random,id=random,filename=/dev/urandom", "-device", "virtio-rng-pci,rng=random",
        *(word for disk in disks for word in disk),
        "-chardev", f"file,id=console,path={folder / 'console'}", "-serial", "chardev:console",
        "-chardev", f"file,id=results,path={folder / 'results'}", "-serial", "chardev:results",
        "-qmp", f"unix:{folder / 'monitor'},server=on,wait=off",
    )
    # fmt: on


def _disk(file: Path, serial: str, *options: str) -> tuple[str, ...]:
    drive = ",".join((f"file={file}", f"id={serial}", "format=raw", "if=none", "snapshot=on", *options))
    return ("-drive", drive, "-device", f"virtio-blk-pci,drive={serial},serial={serial}")


def _throttle(swap: Swap) -> tuple[str, ...]:
    limits = {"bps": swap.bytes_per_second, "iops": swap.operations_per_second}
    return tuple(f"throttling.{what}-total={limit}" for what, limit in limits.items() if limit is not None)


def _let_be(_: subprocess.Popen[bytes]) -> float:
    return 0.0


def boot(words: tuple[str, ...], limit: float, attend: Attend = _let_be) -> bool:
    """Runs qemu to its end and tells whether it had to be ended at the limit; it never outlives the call."""
    qemu = subprocess.Popen(words, stdin=subprocess.DEVNULL)
    end = time.monotonic() + limit
    try:
        while (status := qemu.poll()) is None:
            if time.monotonic() > end:
                return True
            end += attend(qemu)
            time.sleep(TICK)
    finally:
        qemu.kill()
        qemu.wait()
    if status:
        raise subprocess.CalledProcessError(status, words)
    return False


def parse(text: str) -> tuple[tuple[dict[str, Any], ...], str, str | None]:
    """The results, the other output, and the ending that payload.service writes last."""
    results: list[dict[str, Any]] = []
    others: list[str] = []
    ending = None
    for line in text.splitlines():
        if line.startswith("exit "):
            ending = line.removeprefix("exit ")
        elif (result := _json_object(line)) is not None:
            results.append(result)
        else:
            others.append(line)
    return tuple(results), "\n".join(others), ending


def _json_object(line: str) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _text(file: Path) -> str:
    return file.read_text(errors="replace") if file.exists() else ""
