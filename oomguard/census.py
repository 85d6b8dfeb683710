"""Everybody on the host, judged by the rules: whom to read, and when.

Each look at a process first asks whether it has changed at all since it was read; most have not. In calm
everybody is looked at now and then, while armed all the time, each at a bounded share of a CPU. So at the
limit only those are read anew who are likely to matter, and newcomers.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from heapq import nlargest
from itertools import islice
from operator import attrgetter

from oomguard.arrivals import Arrivals
from oomguard.inspector import Inspector
from oomguard.interest import ALL, Interest, advances
from oomguard.ladder import GROWING, WORST
from oomguard.newcomers import Newcomers
from oomguard.process import Process
from oomguard.procevents import NoEvents, ProcEvents
from oomguard.procfs import ProcFS, uptime
from oomguard.ranking import Judged
from oomguard.registry import Registry
from oomguard.resolver import Resolver
from oomguard.rules import Field, Rule
from oomguard.units import Pid, Seconds

NO_EVENTS = NoEvents()
SLOW = frozenset((Field.USER, Field.CMDLINE))
"""Names that may take long to read."""
AT_ONCE = 256
"""Processes looked at in one poll of the calm phase: to wake up once more costs as much as thirty looks."""
SLICE = 64
"""Newcomers looked at in one poll while armed."""
ROUND = Seconds(60.0)
"""How often everybody is looked at in calm, at the most."""
LISTING = Seconds(15.0)
"""How often /proc is listed while armed, though events tell who comes."""
CALM_SHARE = 0.0002
"""Of a CPU, for looking at everybody in calm."""
MEETING = Seconds(10.0)
"""How often newcomers are looked for in calm, at the most: who fills up within seconds of its start is seen
twice within twenty, and so is known to be steady since."""
MEETING_SHARE = 0.002
"""The same for newcomers alone: what is not read in calm would have to be at the limit."""
SETTLING = 0.01
"""Seconds between two looks for slow names, where they are waited for."""

WATCH_SHARE = 0.05
"""Of a CPU, for following everybody while armed."""
LISTING_SHARE = 0.03
"""Of a CPU, and of that: for listing /proc, to find newcomers that no event tells of."""
MOST_AT_ONCE = Seconds(0.02)
"""Following never takes longer than this within one poll."""
NO_TURNS = Seconds(math.inf)
"""When the turns began that nobody has had yet."""
OTHERS = 256
"""While armed the worst are looked at once more after so many others."""
FRESH = Seconds(5.0)
"""At the limit, who was not looked at for longer is looked at again, unless everybody is followed in turn."""


class Round:
    """Looking at some in calm, a slice at a time: when the next one begins."""

    def __init__(self, share: float, every: Seconds) -> None:
        """`share`: of a CPU; `every`: how often at the most."""
        self.due = Seconds(0.0)
        self._share = share
        self._every = every
        self._spent = 0.0

    def begin(self) -> None:
        """Of what it costs, nothing is spent yet."""
        self._spent = 0.0

    def go_on(self, at: Seconds, spent: Seconds) -> None:
        """A slice has been looked at: begun `at`, `spent` on it."""
        self._spent += spent
        self.due = Seconds(at + max(self._every, self._spent / self._share))


class Census:
    """The processes of the host with their verdicts."""

    def __init__(
        self,
        procfs: ProcFS,
        rules: tuple[Rule, ...],
        resolver: Resolver | None,
        events: ProcEvents | NoEvents = NO_EVENTS,
    ) -> None:
        """`events` tell who comes, goes and changes, so that /proc need not be listed for it."""
        self._procfs = procfs
        self._registry = Registry(procfs, rules, resolver)
        self._arrivals = Arrivals(procfs, events, self._registry)
        self._inspector = Inspector(procfs, self._registry)
        self._newcomers = Newcomers(procfs, self._arrivals, self._inspector, self._registry)
        self._leaves_none = advances(rules)
        self._everybody, self._meeting = Round(CALM_SHARE, ROUND), Round(MEETING_SHARE, MEETING)
        self._round = self._everybody
        self._ahead: list[Pid] = []
        self._following: list[Pid] = []
        self._turns_began = self._turns_before = NO_TURNS
        self._followed_at = uptime()
        self._credit = 0.0
        self._next_listing = 0.0

    def take(self) -> tuple[Judged, ...]:
        """Everybody, with figures as of now. Safe in the kill path."""
        at = uptime()
        found = (self._inspector.read(pid, at) for pid in self._procfs.pids())
        return tuple(dossier.judged for dossier in found if dossier is not None)

    def known(self) -> dict[Pid, Judged]:
        """Everybody as they were last read."""
        return {pid: dossier.judged for pid, dossier in self._registry.dossiers.items()}

    def take_likely(self, likely: Iterable[Pid], interest: Interest = ALL) -> dict[Pid, Judged]:
        """Everybody, with figures as of now where they are likely to matter. Safe in the kill path.

        Read anew are the `likely`; newcomers, and whoever has changed but was not looked at for long. The
        others are as they were last read: they may have gone since, and their pids have changed hands.
        `confirms` knows. Of many newcomers, those are left out who do not meet the `interest`: `left_out`.
        """
        at = uptime()
        self._find_news(at)
        self._newcomers.take(at, ALL if self._leaves_none else interest)
        for pid in self._overdue(at):
            self._inspector.look(pid, at)
        for pid in likely:
            self._inspector.read(pid, at)
        return self.known()

    @property
    def left_out(self) -> int:
        """How many the latest look has left for later."""
        return len(self._newcomers.left)

    def catch_up(self) -> None:
        """Read those who were left out as well. Safe in the kill path."""
        self._newcomers.catch_up()

    def meet(self) -> None:
        """Read whoever has come or changed, and learn what is said of them. Not for the kill path."""
        at = uptime()
        self._find_news(at)
        self._newcomers.meet(at)
        self.learn()

    def learn(self) -> None:
        """What is said of those who were read in haste. Not for the kill path."""
        self._registry.collect()
        self._registry.reconsider()

    def confirms(self, process: Process) -> bool:
        """Whether this may still die."""
        return self._inspector.confirms(process)

    def close(self) -> None:
        """Let go of the threads that find slow names, and of the events."""
        self._registry.close()
        self.relax()

    def relax(self) -> None:
        """Calm: nobody needs to be heard of before the next turn."""
        self._arrivals.ignore()

    @property
    def is_under_way(self) -> bool:
        """In the middle of a round: some of those who are there are still to be looked at."""
        return bool(self._ahead)

    def refresh(self) -> None:
        """Look at the next few processes, newcomers at once and all others once it is time to."""
        began = uptime()
        self.learn()
        if not self._ahead:
            if began < min(self._everybody.due, self._meeting.due):
                return
            self._set_out(began)
        for pid in self._ahead[-AT_ONCE:]:
            self._visit(pid)
        del self._ahead[-AT_ONCE:]
        self._round.go_on(began, Seconds(uptime() - began))
        # Who looks at everybody meets whoever has come as well.
        self._meeting.due = max(self._meeting.due, Seconds(began + MEETING))

    def _set_out(self, at: Seconds) -> None:
        """To look at everybody where it is time to, else at those who have come since, or just before."""
        arrivals = self._arrivals
        if at >= self._everybody.due:
            self._round, self._ahead = self._everybody, arrivals.everybody()
            self._registry.begin_round()
        else:
            if arrivals.may_have_come():
                arrivals.everybody()
            self._round, self._ahead = self._meeting, [*self._registry.unsettled(), *arrivals.unread()]
        self._round.begin()

    def follow(self) -> None:
        """Look at newcomers and at the next few others, the worst more often: for each poll while armed."""
        began = uptime()
        # What was taken beyond the share is paid back before anybody is looked at again.
        if not self._is_followed(began):
            self._turns_before = self._turns_began = NO_TURNS
            self._following.clear()
        self._credit = min(self._credit + (began - self._followed_at) * WATCH_SHARE, MOST_AT_ONCE)
        self._followed_at = began
        self._arrivals.listen()
        self._arrivals.hear()
        if self._credit > 0:
            self._take_turns(began)
        self._credit -= uptime() - began

    def _take_turns(self, began: Seconds) -> None:
        arrivals = self._arrivals
        if not self._following:
            self._following = self._turns()
            self._turns_before, self._turns_began = self._turns_began, began
        if began >= self._listing_due():
            before = uptime()
            arrivals.everybody()
            self._following += arrivals.unread()[:SLICE]
            self._next_listing = began + (uptime() - before) / LISTING_SHARE
        # Not before it is looked at does anybody leave these: at the limit, whoever is left is looked at.
        heard = list(islice(arrivals.heard, SLICE))
        while (heard or self._following) and uptime() - began < self._credit:
            pid = heard.pop() if heard else self._following.pop()
            arrivals.looked_at(pid)
            self._inspector.look(pid, began)

    def _find_news(self, at: Seconds) -> None:
        self._arrivals.hear()
        if not self._arrivals.is_complete:
            self._arrivals.seek(at)

    def _listing_due(self) -> float:
        arrivals = self._arrivals
        return arrivals.listed_at + LISTING if arrivals.is_complete else self._next_listing

    def settle(self, patience: Seconds) -> None:
        """Judge everybody in full; wait for slow names, at most for `patience`. Not for the guard's loop."""
        deadline = uptime() + patience
        for pid in self._arrivals.everybody():
            self._visit(pid)
        while self._registry.awaits_names() and uptime() < deadline:
            time.sleep(SETTLING)
            self._registry.collect()
            self._arrivals.everybody()

    def _overdue(self, at: Seconds) -> list[Pid]:
        """Who was not looked at for `FRESH` or, where everybody is followed, since the turns before."""
        since = at - FRESH
        if self._is_followed(at):
            since = min(since, self._turns_before)
        return [pid for pid, dossier in self._registry.dossiers.items() if dossier.seen_at < since]

    def _is_followed(self, at: Seconds) -> bool:
        return at - self._followed_at <= FRESH

    def _turns(self) -> list[Pid]:
        """Everybody once, and the worst again and again in between."""
        pids, worst = list(self._registry.dossiers), self._worst()
        turns = pids[:OTHERS]
        for start in range(OTHERS, len(pids), OTHERS):
            turns += worst + pids[start : start + OTHERS]
        return turns

    def _worst(self) -> list[Pid]:
        """Who holds most, and who has grown most."""
        everybody = self.known().values()
        growing = (judged for judged in everybody if judged.growth)
        worst = nlargest(WORST, everybody, attrgetter("process.held"))
        worst += nlargest(GROWING, growing, attrgetter("growth"))
        return list({judged.process.key.pid: judged for judged in worst})

    def _visit(self, pid: Pid) -> None:
        """Judge in full whoever was judged in haste, or has changed since; in no hurry for who cannot die."""
        known = self._registry.dossiers.get(pid)
        if known is not None and known.judged.process.kernel_thread:
            return
        dossier = self._inspector.look(pid, uptime())
        if dossier is not None:
            self._registry.judge_fully(dossier)
            self._registry.place(dossier)


def resolver_for(rules: tuple[Rule, ...], procfs: ProcFS) -> Resolver | None:
    """A resolver where a rule needs one: without such rules no command line is ever read."""
    slow = frozenset(pattern.field for rule in rules for pattern in rule.patterns) & SLOW
    return Resolver(procfs, slow) if slow else None
