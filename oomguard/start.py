"""`oomguard run`: puts a guard together from what this host has, and says what it lacks."""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import NoReturn

from oomguard import resident
from oomguard.companion import Companion
from oomguard.config import Address, Config, build, load, read
from oomguard.errors import OomguardError, RecordError
from oomguard.event import Mode
from oomguard.guard import Guard
from oomguard.handover import NOTHING_OPENED, Legacy, Opened
from oomguard.privilege import COSTS, SILENT, lacking
from oomguard.procfs import ProcFS
from oomguard.record import Writer
from oomguard.sources import Source, wanted
from oomguard.teller import Teller
from oomguard.trigger import NoTrigger, open_alarm
from oomguard.units import KIB, Bytes, Pid
from oomguard.wakeup import Wakeup

LEAN: tuple[str, ...] = (
    "-IS",
    "-Xno_debug_ranges",
    "-c",
    "import sys; sys.path.append(sys.argv[1]); from oomguard.lean import main; main(*sys.argv[2:])",
)
"""No site module, no environment: the guard itself needs nothing but the standard library. And no columns of
source code, which none of its messages tells."""
RESERVE = Bytes(128 * KIB)
"""Held for looks at more processes than there were at the start."""
DESCRIPTORS = 65536
"""A pidfd for each member of a scope, and then some."""
NOT_COUNTED = (
    "nobody counts the delays of processes, so where control groups tell no stall the whole host's counts; "
    "put delayacct on the kernel's command line"
)
FIRST_PASSED_ON = 3
"""Descriptor that systemd passes on (SD_LISTEN_FDS_START)."""


def launch(config: str | None, mode: Mode | None, metrics: Address | None) -> NoReturn:
    """Become the guard: this very process, in a fresh interpreter that has loaded nothing else.

    What the command line and its parser took would otherwise stay locked in memory for years. None: as
    configured; for `metrics`, no exporter. Raises `ConfigError` first, while there is somebody to read it.
    """
    documents, problems = read(config)
    legacy = Legacy(documents=documents, opened=_opened(build(documents, problems)))
    arguments = (str(legacy.leave()), config or "", str(mode or ""), str(metrics or ""))
    packages = os.path.dirname(os.path.dirname(__file__))
    # Its own language takes the C library a table of 0.15 MiB; Python speaks UTF-8 all the same (PEP 540).
    environment = {**os.environ, "LC_ALL": "C"}
    command = (sys.executable, *LEAN, packages, *arguments)
    os.execve(sys.executable, command, environment)  # noqa: S606 - no shell is meant


def main(left: str, path: str, mode: str, metrics: str) -> None:
    """The guard's process from its first line; the arguments are those of `launch`, "" for None."""
    try:
        _run(int(left), path, mode, metrics)
    except OomguardError as error:
        sys.exit(f"oomguard: {error}")


def _run(left: int, path: str, mode: str, metrics: str) -> None:
    """Guard this host until told to stop."""

    def in_mode(config: Config) -> Config:
        return replace(config, mode=Mode(mode)) if mode else config

    resident.shrink_stacks()
    procfs = ProcFS()
    legacy = Legacy.take(left)
    config = in_mode(build(legacy.documents, []))
    writer, missing = _record(config.record)
    companion = Companion(metrics, writer.fd) if metrics else None
    wakeup = Wakeup()
    guard = Guard(
        config,
        lambda: in_mode(load(path or None)),
        procfs,
        writer,
        Teller(writer.fd, writer.told),
        wakeup,
        companion,
        legacy.opened,
    )
    missing += legacy.opened.missing + _signals() + _silently_lacking(procfs) + _alarm(wakeup) + _resident()
    ballast = resident.hold_arenas(RESERVE)
    guard.run(missing)
    del ballast


def _opened(config: Config) -> Opened:
    """The sources that are wanted; of those that systemd passed on, none else stays open."""
    passed_on = frozenset(passed_on_by_systemd(os.environ))
    opened = NOTHING_OPENED
    means = ProcFS().means()
    if sources := wanted(config.sources, means):
        from oomguard import netlink  # noqa: PLC0415 - heavy, and only for this process as it is until exec

        opened = netlink.open_sources(sources, passed_on)
    if Source.DELAYS in sources and not means.counts_delays:
        opened = replace(opened, missing=(*opened.missing, NOT_COUNTED))
    for fd in passed_on - opened.fds:
        os.close(fd)
    return opened


def passed_on_by_systemd(environ: Mapping[str, str]) -> range:
    """The sockets that systemd opened for this process, by oomguard.socket (sd_listen_fds(3))."""
    if environ.get("LISTEN_PID") != str(os.getpid()):
        return range(0)
    return range(FIRST_PASSED_ON, FIRST_PASSED_ON + int(environ.get("LISTEN_FDS", "0")))


def _record(path: str) -> tuple[Writer, tuple[str, ...]]:
    """The record at `path`, or one that only the guard's own children see."""
    try:
        return Writer.open(path), ()
    except RecordError as error:
        return Writer.anonymous(), (f"{error}; only this guard's own helpers can read its record",)


def _signals() -> tuple[str, ...]:
    """Without pidfds a signal could hit whoever got the pid since, so then none is sent."""
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError as error:
        return (f"nobody can be signalled ({error.strerror}): that takes Linux 5.3 or later",)
    return ()


def _silently_lacking(procfs: ProcFS) -> tuple[str, ...]:
    """The capabilities whose lack would show no earlier than in an emergency."""
    missing = lacking(procfs.process(Pid(os.getpid())).cap_effective, SILENT)
    return tuple(f"{COSTS[each]}: give it {each.spelt}" for each in missing)


def _alarm(wakeup: Wakeup) -> tuple[str, ...]:
    trigger = open_alarm("/proc/pressure/memory")
    if isinstance(trigger, NoTrigger):
        return (f"no alarm for stalls, so they are seen at the next poll: {trigger.why}",)
    wakeup.add_trigger(trigger.fd)
    return ()


def _resident() -> tuple[str, ...]:
    """Get ready to work while the host does not; what cannot be had, in words."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, DESCRIPTORS), hard))
    missing = resident.keep_heap() + resident.exempt() + resident.hurry() + resident.lock()
    resident.grow_heap(RESERVE)
    resident.pause_collector()
    return missing
