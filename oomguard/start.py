"""`oomguard run`: puts a guard together from what this host has, and says what it lacks."""

from __future__ import annotations

import json
import os
import resource
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import NoReturn

from oomguard import resident
from oomguard.companion import Companion
from oomguard.config import Address, Config, build, load, read
from oomguard.documents import Document
from oomguard.errors import OomguardError, RecordError
from oomguard.event import Mode
from oomguard.guard import Guard
from oomguard.procevents import NoSubscription, Subscription
from oomguard.procfs import ProcFS
from oomguard.record import Writer
from oomguard.sources import wants_events
from oomguard.teller import Teller
from oomguard.trigger import Line, NoTrigger, open_trigger
from oomguard.units import KIB, Bytes, Seconds
from oomguard.wakeup import Wakeup

LEAN = (
    "-ISc",
    "import sys; sys.path.append(sys.argv[1]); from oomguard.lean import main; main(*sys.argv[2:])",
)
"""No site module, no environment: the guard itself needs nothing but the standard library."""
RESERVE = Bytes(128 * KIB)
"""Held for looks at more processes than there were at the start."""
DESCRIPTORS = 65536
"""A pidfd for each member of a scope, and then some."""
FIRST_PASSED_ON = 3
"""Descriptor that systemd passes on (SD_LISTEN_FDS_START)."""
ALARM_STALL = Seconds(0.15)
ALARM_WINDOW = Seconds(2.0)
"""A stall of this share wakes the loop from its longest pause."""


def launch(config: str | None, mode: Mode | None, metrics: Address | None) -> NoReturn:
    """Become the guard: this very process, in a fresh interpreter that has loaded nothing else.

    What the command line and its parser took would otherwise stay locked in memory for years. None: as
    configured; for `metrics`, no exporter. Raises `ConfigError` first, while there is somebody to read it.
    """
    documents, problems = read(config)
    handed = _hand_over(documents, _subscription(build(documents, problems)))
    arguments = (str(handed), config or "", str(mode or ""), str(metrics or ""))
    packages = os.path.dirname(os.path.dirname(__file__))
    os.execv(sys.executable, (sys.executable, *LEAN, packages, *arguments))  # noqa: S606 - no shell is meant


def main(handed: str, path: str, mode: str, metrics: str) -> None:
    """The guard's process from its first line; the arguments are those of `launch`, "" for None."""
    try:
        _run(int(handed), path, mode, metrics)
    except OomguardError as error:
        sys.exit(f"oomguard: {error}")


def _run(handed: int, path: str, mode: str, metrics: str) -> None:
    """Guard this host until told to stop."""

    def in_mode(config: Config) -> Config:
        return replace(config, mode=Mode(mode)) if mode else config

    resident.shrink_stacks()
    procfs = ProcFS()
    documents, subscription = _taken_over(handed)
    config = in_mode(build(documents, []))
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
        subscription if isinstance(subscription, Subscription) else None,
    )
    if isinstance(subscription, NoSubscription):
        missing += (f"no process events, so newcomers are looked for in /proc: {subscription.why}",)
    missing += _signals() + _alarm(wakeup) + _resident()
    ballast = resident.hold_arenas(RESERVE)
    guard.run(missing)
    del ballast


def _subscription(config: Config) -> Subscription | NoSubscription | None:
    """To process events; None where they are not wanted."""
    passed_on = passed_on_by_systemd(os.environ)
    if not wants_events(config.sources, ProcFS().memory().total):
        for fd in passed_on:
            os.close(fd)
        return None
    from oomguard import netlink  # noqa: PLC0415 - heavy, and only for this process as it is until exec

    return netlink.subscribe(passed_on)


def passed_on_by_systemd(environ: Mapping[str, str]) -> range:
    """The sockets that systemd opened for this process, by oomguard.socket (sd_listen_fds(3))."""
    if environ.get("LISTEN_PID") != str(os.getpid()):
        return range(0)
    return range(FIRST_PASSED_ON, FIRST_PASSED_ON + int(environ.get("LISTEN_FDS", "0")))


def _hand_over(documents: list[Document], subscription: Subscription | NoSubscription | None) -> int:
    """What is wanted after exec, behind a descriptor that outlives it: the parsers need not."""
    match subscription:
        case Subscription(fd=fd, listen=listen, ignore=ignore):
            events: object = {"fd": fd, "listen": listen.hex(), "ignore": ignore.hex()}
        case NoSubscription(why=why):
            events = {"why": why}
        case None:
            events = None
    handed = os.memfd_create("oomguard-start", flags=0)
    os.write(handed, json.dumps((documents, events)).encode())
    os.lseek(handed, 0, os.SEEK_SET)
    return handed


def _taken_over(handed: int) -> tuple[list[Document], Subscription | NoSubscription | None]:
    """What `_hand_over` was given."""
    with os.fdopen(handed) as file:
        contents, events = json.load(file)
    documents = [(name, content) for name, content in contents]
    match events:
        case {"fd": int(fd), "listen": str(listen), "ignore": str(ignore)}:
            os.set_inheritable(fd, False)
            orders = (bytes.fromhex(listen), bytes.fromhex(ignore))
            return documents, Subscription(fd=fd, listen=orders[0], ignore=orders[1])
        case {"why": str(why)}:
            return documents, NoSubscription(why=why)
        case _:
            return documents, None


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


def _alarm(wakeup: Wakeup) -> tuple[str, ...]:
    trigger = open_trigger("/proc/pressure/memory", Line.SOME, ALARM_STALL, ALARM_WINDOW)
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
