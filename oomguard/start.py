"""The guard's own process: puts it together from what this host has, and says what it lacks."""

from __future__ import annotations

import os
import resource
import sys

from oomguard import resident
from oomguard.companion import Companion
from oomguard.config import Config, build, load
from oomguard.errors import OomguardError, RecordError
from oomguard.event import Mode
from oomguard.frozen import replace
from oomguard.guard import Guard
from oomguard.handover import Legacy
from oomguard.helpers import Helpers
from oomguard.privilege import COSTS, SILENT, lacking
from oomguard.procfs import ProcFS
from oomguard.record import Writer
from oomguard.reliever import Reliever
from oomguard.teller import Teller
from oomguard.trigger import NoTrigger, open_alarm
from oomguard.units import KIB, Bytes, Pid
from oomguard.wakeup import Wakeup

RESERVE = Bytes(128 * KIB)
"""Held for looks at more processes than there were at the start."""
DESCRIPTORS = 65536
"""A pidfd for each member of a scope, and then some."""
DESCRIPTORS_HELD = 8192
"""Of these, so many can be used without a wait; they take 66 KiB of the kernel's memory."""


def main(left: str, path: str, mode: str, metrics: str) -> None:
    """The guard's process from its first line; the arguments are those of `launch.launch`, "" for None."""
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
    helpers = Helpers(
        Teller(writer.fd, writer.told),
        Reliever(f"{config.record}.relief"),
        Companion(metrics, writer.fd) if metrics else None,
    )
    wakeup = Wakeup()
    guard = Guard(config, lambda: in_mode(load(path or None)), procfs, writer, helpers, wakeup, legacy.opened)
    missing += legacy.opened.missing + _signals() + _silently_lacking(procfs) + _alarm(wakeup) + _resident()
    ballast = resident.hold_arenas(RESERVE)
    guard.run(missing)
    del ballast


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
    resident.hold_descriptors(DESCRIPTORS_HELD)
    missing = resident.keep_heap() + resident.exempt() + resident.hurry() + resident.lock()
    resident.grow_heap(RESERVE)
    resident.pause_collector()
    return missing
