"""A hog: what eats the machine's memory in a check, and what must come of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.vm.guest.host import EAT, Unit, eat, meminfo, run, until, vmstat

COMES_BACK_SLOWLY = 100
"""MiB: what others need is read in again, from files and from swap."""


@contextmanager
def hog(name: str, *words: str, properties: tuple[str, ...] = (), program: str = EAT) -> Iterator[Unit]:
    """`eat` as a service that is gone, with its memory, when the check is over; and who else died is told."""
    innocent = _services()
    kernel_kills, available = vmstat("oom_kill"), _available()
    unit = eat(name, *words, properties=properties, program=program)
    try:
        yield unit
        now = _services()
        died = sorted(each for each, pid in innocent.items() if now.get(each) != pid)
        assert not died, f"innocent, and dead: {died}\n{_journal()}"
        assert vmstat("oom_kill") == kernel_kills, "the kernel was faster"
    finally:
        unit.stop()
        _waits_for(available - COMES_BACK_SLOWLY)


def _available() -> int:
    """In MiB. What was on its way to swap when its owner died is left in the swap cache until somebody needs
    it, and no part of MemAvailable (mm/swap_state.c `free_swap_cache()`): 120 MiB of 800, once."""
    return meminfo("MemAvailable") + meminfo("SwapCached")


def _waits_for(available: int) -> None:
    """Until so many MiB are available again; where they never are, what holds them is told."""
    try:
        until(lambda: _available() > available, "the memory back")
    except AssertionError as error:
        held = Path("/proc/meminfo").read_text()
        raise AssertionError(f"{error}: more than {available} MiB\n{held}\n{_journal()}") from None


def _services() -> dict[str, str]:
    """Every running service that is not a hog, and its main process."""
    told = run("systemctl", "show", "--state=running", "--property=Id,MainPID,Transient", "*.service")
    services = [dict(line.split("=", 1) for line in block.splitlines()) for block in told.split("\n\n")]
    return {each["Id"]: each["MainPID"] for each in services if each["Transient"] == "no"}


def leaker_dies(name: str, rate: int = 60) -> None:
    """A process that leaks `rate` MiB a second is asked to end, and does; nobody else dies."""
    with hog(name, "leak", "4000", str(rate)) as unit:
        until(lambda: not unit.alive, "its death", limit=60)
        assert unit.ending == "killed TERM", unit.ending


def flat_out_dies(mib: int, within: float) -> None:
    """A process that grows to `mib` MiB as fast as it goes is ended in so many seconds; nobody else dies."""
    with hog("flat", "flat", str(mib)) as unit:
        until(lambda: not unit.alive, "its death", limit=within)
        assert unit.ending.startswith("killed"), unit.ending


def _journal() -> str:
    """The latest of everything."""
    return run("journalctl", "--quiet", "--no-pager", "--output=short-monotonic", "--lines=60")
