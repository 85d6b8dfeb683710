"""`oomguard hooks`: runs the commands of [[hook]] for what the guard writes into its record.

A process of its own, so that nothing that an operator has run can hold up, exhaust or endanger the guard,
its journal or its life signs: it reads the record, as everybody may (docs/hooks.md).
"""

from __future__ import annotations

import os
import pwd
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import NoReturn

from oomguard import entry
from oomguard.config import Config
from oomguard.entry import Entry
from oomguard.errand import Errand
from oomguard.errors import ConfigError, RecordError
from oomguard.event import Lifecycle, LifecycleChanged
from oomguard.follower import Follower
from oomguard.hook import Hook, Occasion, occasion
from oomguard.names import printable
from oomguard.reader import Told
from oomguard.units import Seconds
from oomguard.wording import line

LOOK_EVERY = Seconds(0.25)
"""How often it looks for what is new. The record wakes nobody."""
MOST_DUE = 16
"""Runs of one hook that wait for their turn; of more, the oldest are left out, and the next is told so."""
SETPRIV = "/usr/bin/setpriv"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

Say = Callable[[str], None]
"""Tells the operator a line."""


def serve(load: Callable[[], Config]) -> NoReturn:
    """Runs the hooks of what `load` gives until told to stop. Raises `ConfigError` at the start."""
    config = load()
    os.chdir("/")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal.signal(signal.SIGINT, lambda *_: sys.exit(0))
    relay = Relay(config, load, say)
    say(f"hooks: {', '.join(hook.name for hook in config.hooks) or 'none'}; record: {line(config.record)}")
    try:
        while True:
            relay.turn(Seconds(time.monotonic()))
            time.sleep(LOOK_EVERY)
    finally:
        relay.stop()


def say(text: str) -> None:
    """A line on standard error."""
    sys.stderr.write(f"oomguard hooks: {text}\n")
    sys.stderr.flush()


class Relay:
    """From the record to the hooks, under one configuration after the other."""

    def __init__(self, config: Config, load: Callable[[], Config], say: Say) -> None:
        """`load` gives the configuration anew when the guard has read it anew; raises `ConfigError`."""
        self._load = load
        self._say = say
        self._follower = Follower(config.record)
        self._queues = tuple(Queue(hook, say) for hook in config.hooks)
        self._retired: tuple[Queue, ...] = ()

    def turn(self, now: Seconds) -> None:
        """Look for what is new, and go on with what runs."""
        try:
            lost, events = self._follower.news()
        except RecordError:
            # No guard yet, or not any more; that it starts is told by whoever starts it.
            lost, events = 0, ()
        if lost:
            self._say(f"{lost} events came faster than they could be read")
        for told in events:
            self._take(told)
        for queue in (*self._queues, *self._retired):
            queue.tend(now)
        self._retired = tuple(queue for queue in self._retired if queue.is_busy)

    def stop(self) -> None:
        """End what runs."""
        for queue in (*self._queues, *self._retired):
            queue.stop()

    def _take(self, told: Told) -> None:
        match told.event:
            case LifecycleChanged(what=Lifecycle.STARTED | Lifecycle.RELOADED):
                self._reload()
        what = occasion(told.event)
        if what is not None:
            item = entry.entry(told.event, told.wall)
            for queue in self._queues:
                if what in queue.hook.on:
                    queue.add(environment(what, item))

    def _reload(self) -> None:
        """What runs or waits goes on as it was configured."""
        try:
            config = self._load()
        except ConfigError as error:
            self._say(f"the configuration is refused, the hooks stay as they are: {line(str(error))}")
            return
        if config.hooks != tuple(queue.hook for queue in self._queues):
            self._retired += self._queues
            self._queues = tuple(Queue(hook, self._say) for hook in config.hooks)


class Queue:
    """The runs of one hook, one at a time."""

    def __init__(self, hook: Hook, say: Say) -> None:
        self.hook = hook
        self._say = say
        self._due: deque[Mapping[str, str]] = deque()
        self._missed = 0
        self._errand: Errand | None = None

    @property
    def is_busy(self) -> bool:
        """Something runs, or waits for its turn."""
        return self._errand is not None or bool(self._due)

    def add(self, environ: Mapping[str, str]) -> None:
        """Run it once more, with `environ`."""
        self._due.append(environ)
        if len(self._due) > MOST_DUE:
            self._due.popleft()
            self._missed += 1

    def tend(self, now: Seconds) -> None:
        """Go on; to be called again and again."""
        if self._errand is not None and (end := self._errand.tend(now)) is not None:
            self._errand = None
            if end.problem is not None:
                self._complain(f"{end.problem}: {end.output}" if end.output else end.problem)
        if self._errand is None and self._due:
            self._begin(self._due.popleft(), now)

    def stop(self) -> None:
        """End what runs; what waits does not run any more."""
        self._due.clear()
        if self._errand is not None:
            self._errand.stop()
            self._errand = None

    def _begin(self, environ: Mapping[str, str], now: Seconds) -> None:
        hook, missed = self.hook, {"OOMGUARD_MISSED": str(self._missed)} if self._missed else {}
        self._missed = 0
        try:
            words, theirs = as_user(hook)
            environ = {**environ, **theirs, **missed, "OOMGUARD_HOOK": hook.name}
            self._errand = Errand(words, environ, now, hook.timeout)
        except KeyError:
            self._complain(f"there is no user {hook.user}")
        except OSError as error:
            self._complain(f"cannot be started: {error.strerror}")

    def _complain(self, problem: str) -> None:
        self._say(f'hook "{self.hook.name}" {line(problem)}')


def as_user(hook: Hook) -> tuple[tuple[str, ...], dict[str, str]]:
    """What to start for `hook`, and the environment of its user. Raises KeyError where there is none."""
    if hook.user is None:
        return hook.command, {}
    user = pwd.getpwnam(hook.user)
    become = (SETPRIV, f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--init-groups", "--")
    return become + hook.command, {"HOME": user.pw_dir, "USER": user.pw_name, "LOGNAME": user.pw_name}


def environment(what: Occasion, item: Entry) -> dict[str, str]:
    """What a hook finds in its environment: the fields of the journal's entry, in printable ASCII.

    A field that there are several of has them in lines.
    """
    found: dict[str, list[str]] = {}
    for name, value in item.fields:
        if name.startswith("OOMGUARD_"):
            found.setdefault(name, []).append(value)
    ours = {
        "OOMGUARD_EVENT": [what.value],
        "OOMGUARD_MESSAGE": [item.message],
        "OOMGUARD_MESSAGE_ID": [item.message_id.value],
        "OOMGUARD_PRIORITY": [str(item.priority.value)],
        **({"OOMGUARD_RANKING": list(item.table)} if item.table else {}),
    }
    return {
        "PATH": PATH,
        "LANG": "C.UTF-8",
        **{name: "\n".join(map(ascii_only, values)) for name, values in (found | ours).items()},
    }


def ascii_only(text: str) -> str:
    r"""`text` with all that is not printable ASCII as \xNN or \uNNNN."""
    shown = "".join(char if char.isprintable() else printable(char) for char in text)
    return shown.encode("ascii", "backslashreplace").decode("ascii")
