"""The telling process: tells the journal, or standard error, and systemd what stands in the record.

A process of its own because systemd-python keeps the interpreter's lock while it sends: a thread that
waits for a stalled journald would stop the guard with it. Started by `teller.Teller`; ends when the
guard has ended, after telling what is left.

Nothing is dropped because a receiver is slow: each event stays in the ring of the record until it is
taken or overwritten. What is overwritten untold is counted, and the count is told.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from systemd.daemon import notify as sd_notify  # type: ignore[import-untyped]  # it has no type hints
from systemd.journal import sendv  # type: ignore[import-untyped]  # it has no type hints

from oomguard import entry, tmpfs
from oomguard.entry import Entry
from oomguard.event import Event, Holding, Lifecycle, LifecycleChanged
from oomguard.reader import Reader, Told
from oomguard.state import State
from oomguard.stopunit import Stopper, unit_to_stop
from oomguard.teller import Ledger
from oomguard.units import Seconds
from oomguard.wording import HELD_ELSEWHERE, status

PATIENCE = Seconds(1)
"""How long one send may wait for its receiver."""

TICK = Seconds(1)
"""How often to look whether a receiver reads again, and what has become of a unit that is to be stopped."""

REST = Seconds(10)
"""How often to look for what nobody wakes for where all is told: a life sign that is due, another status."""

NOTIFIED = "NOTIFY_SOCKET"
"""Set where there is somebody to notify (sd_notify(3))."""

STATUS_PAUSE = Seconds(5)
"""At least this long from one status line to the next."""

PINGS = 3
"""Life signs in each watchdog interval."""

JOURNAL_SOCKET = Path("/run/systemd/journal/socket")

Sink = Callable[[Entry], None]
"""Takes an entry, or raises OSError when its receiver does not within `PATIENCE`."""


def main() -> None:
    """Tells until the guard ends; the arguments are the descriptors of record, wake-up pipe and ledger."""
    record, wake, ledger = descriptors = tuple(map(int, sys.argv[1:]))
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    be_ordinary()
    signal.signal(signal.SIGALRM, lambda *_: None)
    sink = to_journal if has_journal(os.environ) else lines_to(sys.stderr.fileno())
    tell(Reader.from_fd(record), Ledger(ledger), wake, sink, Stopper())


def tell(reader: Reader, ledger: Ledger, wake: int, sink: Sink, stopper: Stopper) -> None:
    """Tells each event to `sink` and systemd, and the state to systemd, until `wake` is at its end.

    Units that are killed again and again are stopped by the way, where the guard has decided so.
    """
    vitals = Vitals(watchdog_interval(os.environ), is_asked=NOTIFIED in os.environ)
    guarded = True
    pause: Seconds | None = TICK
    while guarded:
        guarded, pause = wait(wake, pause), TICK
        with suppress(OSError):
            notify_events(reader, ledger, stopper)
        stopper.tend(Seconds(time.monotonic()))
        with suppress(OSError):
            tell_events(reader, ledger, sink)
            tell_failures(stopper, sink)
            pause = TICK if stopper.is_busy else vitals.rest
        with suppress(OSError):
            if (state := reader.state()) and (news := vitals.news(state, Seconds(time.monotonic()))):
                notify(news)


def wait(wake: int, pause: Seconds | None) -> bool:
    """Waits to be woken, for `pause` at most if there is one; False once nobody is left who could wake."""
    ready, _, _ = select.select([wake], [], [], pause)
    return not ready or os.read(wake, select.PIPE_BUF) != b""


def tell_events(reader: Reader, ledger: Ledger, sink: Sink) -> None:
    """Tells `sink` what is new, in order. Raises OSError at the first event that it does not take."""
    lost, events = reader.events(ledger.told)
    if lost:
        # Counted before it can be told: the metrics show it while the receiver hangs.
        ledger.dropped += lost
        ledger.told = events[0].sequence - 1 if events else ledger.told + lost
    if unsaid := ledger.dropped - ledger.admitted:
        sink(entry.lost(unsaid))
        ledger.admitted += unsaid
    for told in events:
        sink(entry_of(told))
        ledger.told = told.sequence


def tell_failures(stopper: Stopper, sink: Sink) -> None:
    """Tells `sink` of units that could not be stopped. Raises OSError at the first that it does not take."""
    while stopper.failed:
        unit, why = stopper.failed[0]
        sink(entry.not_stopped(unit, why))
        stopper.failed.popleft()


def entry_of(told: Told) -> Entry:
    """`told` as an entry; where killing does not help, with the places of the files that hold memory."""
    item = entry.entry(told.event, told.wall)
    match told.event:
        case Holding(why=why) if why in HELD_ELSEWHERE:
            return entry.with_tmpfs(item, tmpfs.biggest())
        case _:
            return item


def notify_events(reader: Reader, ledger: Ledger, stopper: Stopper) -> None:
    """The same for systemd, of what concerns it; `stopper` is asked for what it shall do."""
    _, events = reader.events(ledger.notified)
    for told in events:
        if news := notice(told.event):
            notify(news)
        if (unit := unit_to_stop(told.event)) is not None:
            stopper.ask(unit)
        ledger.notified = told.sequence


def notice(event: Event) -> str | None:
    """What systemd must know of `event`, as sd_notify(3) has it."""
    match event:
        case LifecycleChanged(what=Lifecycle.STARTED | Lifecycle.RELOADED | Lifecycle.RELOAD_REFUSED):
            return "READY=1"
        case LifecycleChanged(what=Lifecycle.RELOADING):
            return f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}"
        case LifecycleChanged(what=Lifecycle.STOPPING):
            return "STOPPING=1"
        case _:
            return None


class Vitals:
    """The status line and the life signs of the guard: what is new in its state, and due."""

    def __init__(self, watchdog: Seconds | None, *, is_asked: bool = True) -> None:
        """`watchdog`: the interval in which systemd wants a life sign; None where it wants none.

        `is_asked`: there is somebody to notify.
        """
        self._watchdog = watchdog
        self._is_asked = is_asked
        self._status = ""
        self._status_due = Seconds(0)
        self._looked_at = Seconds(0)
        self._ping_due = Seconds(0)

    @property
    def rest(self) -> Seconds | None:
        """How long no life sign is missed; None: for ever."""
        if not self._is_asked:
            return None
        return REST if self._watchdog is None else Seconds(min(REST, self._watchdog / PINGS))

    def news(self, state: State, now: Seconds) -> str:
        """What to notify systemd of, if anything. No life sign unless the guard has looked since the last."""
        lines = []
        if self._watchdog is not None and now >= self._ping_due and state.polled_at != self._looked_at:
            self._looked_at = state.polled_at
            self._ping_due = Seconds(now + self._watchdog / PINGS)
            lines.append("WATCHDOG=1")
        if now >= self._status_due and (line := status(state)) != self._status:
            self._status = line
            self._status_due = Seconds(now + STATUS_PAUSE)
            lines.append(f"STATUS={line}")
        return "\n".join(lines)


def watchdog_interval(environ: Mapping[str, str]) -> Seconds | None:
    """The interval that systemd set (sd_watchdog_enabled(3)); WATCHDOG_PID is the guard's."""
    usec = environ.get("WATCHDOG_USEC", "")
    return Seconds(int(usec) / 1e6) if usec.isdecimal() else None


def has_journal(environ: Mapping[str, str]) -> bool:
    """Whether standard error goes to the journal anyway (systemd.exec(5), JOURNAL_STREAM)."""
    stderr = os.fstat(sys.stderr.fileno())
    return environ.get("JOURNAL_STREAM") == f"{stderr.st_dev}:{stderr.st_ino}"


def to_journal(item: Entry) -> None:
    """Sends `item` with all its fields."""
    # sd_journal_sendv() reports success when there is no socket.
    JOURNAL_SOCKET.stat()
    with patience():
        sendv(
            f"MESSAGE={item.text}",
            f"MESSAGE_ID={item.message_id}",
            f"PRIORITY={item.priority:d}",
            "SYSLOG_IDENTIFIER=oomguard",
            *(f"{name}={value}" for name, value in item.fields),
        )


def lines_to(descriptor: int) -> Sink:
    """A sink for messages alone, each a line, cut to what a pipe takes at once or not at all (pipe(7))."""

    def write(item: Entry) -> None:
        _, ready, _ = select.select([], [descriptor], [], PATIENCE)
        if not ready:
            raise TimeoutError
        os.write(descriptor, f"oomguard: {item.message}".encode()[: select.PIPE_BUF - 1] + b"\n")

    return write


def notify(news: str) -> None:
    """Sends `news` to systemd, where there is one."""
    with patience():
        sd_notify(news)


@contextmanager
def patience() -> Iterator[None]:
    """Lets no system call in its body wait for longer than `PATIENCE`: it fails with InterruptedError.

    libsystemd sends with calls that wait for ever; a signal with a handler ends them. The timer goes on
    in case it fires before the call.
    """
    signal.setitimer(signal.ITIMER_REAL, PATIENCE, PATIENCE)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def be_ordinary() -> None:
    """Gives back what the guard passed on: its priority, and its exemption from the kernel's killer."""
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, 0)
    with suppress(OSError), Path("/proc/self/oom_score_adj").open("r+b", buffering=0) as file:
        if int(file.read()) < 0:
            file.write(b"0")


if __name__ == "__main__":
    main()
