"""Everybody on the host, judged by the rules; what is slow to learn is kept by identity and by exec.

A verdict stands as long as the process is the same, runs the same program and has the same user. In
calm the census is kept true at a bounded share of a CPU; at the limit only figures are read anew, and
newcomers are judged at a glance: by globs, not by `re:`, and without their command lines.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from itertools import islice

from oomguard.cgroup import NO_CGROUP
from oomguard.errors import Gone, Malformed
from oomguard.process import Key, Process
from oomguard.procfs import ProcFS
from oomguard.ranking import Judged
from oomguard.resolver import Resolver
from oomguard.rules import NO_RULE, Field, Rule, Standing, Subject, Unread, Verdict, glance, judge
from oomguard.units import Pid, Seconds, Uid

UNREADABLE = (Gone, Malformed, OSError)
"""What reading one process may raise."""
SLOW = frozenset((Field.USER, Field.CMDLINE))
"""Names that may take long to read."""
SLICE = 64
"""Processes looked at in one poll of the calm phase."""
ROUND = Seconds(15.0)
"""How often everybody is looked at in calm, at the most."""
CALM_SHARE = 0.0005
"""Of a CPU, for looking at everybody in calm."""
DELETED = " (deleted)"
"""What the kernel adds to the path of a program that was replaced while it ran: by an upgrade, say."""
SETTLING = 0.01
"""Seconds between two looks for slow names, where they are waited for."""
MANY_IMAGES = 16
"""Who has run more programs than this under one pid is not waited for any more: a process can feign an exec
(PR_SET_MM_MAP, prctl(2)), and would never be judged if it did so all the time."""
COMM_LENGTH = 15
"""TASK_COMM_LEN less the terminator."""


@dataclass(slots=True, kw_only=True)
class _Entry:
    """What is known of one process beyond its figures."""

    key: Key
    image: int
    uid: Uid
    subject: Subject
    verdict: Verdict
    foreign: bool
    """In another user namespace than the guard's: its capabilities count there, and nowhere else."""
    hasty: bool
    """Judged at a glance: to be judged again in calm."""
    images: int
    """How many programs it has run, as far as was seen."""


class Census:
    """The processes of the host with their verdicts."""

    def __init__(self, procfs: ProcFS, rules: tuple[Rule, ...], resolver: Resolver | None) -> None:
        self._procfs = procfs
        self._rules = rules
        self._glance = glance(rules)
        self._resolver = resolver
        # The guard's own, as init's may not be read from within a container.
        self._home = procfs.user_namespace(Pid(os.getpid()))
        self._entries: dict[Pid, _Entry] = {}
        self._users: dict[Uid, str | None] = {}
        self._ahead: list[Pid] = []
        self._next_round = 0.0
        self._spent = 0.0

    def take(self) -> tuple[Judged, ...]:
        """Everybody, with figures as of now. Safe in the kill path."""
        everybody = []
        for pid in self._procfs.pids():
            process = self._read(pid)
            if process is not None:
                everybody.append(self._judged(process))
        return tuple(everybody)

    def confirms(self, process: Process) -> bool:
        """Whether this may still die: the same process, and where it has exec'd since, judged anew."""
        try:
            stat = self._procfs.stat(process.key.pid)
        except UNREADABLE:
            return False
        if stat.key != process.key:
            return False
        if stat.image == process.image:
            return True
        now = self._read(process.key.pid)
        if now is None or now.key != process.key:
            return False
        verdict = self._entry(now).verdict
        return verdict.standing is not Standing.NEVER and not verdict.unresolved

    def close(self) -> None:
        """Let go of the thread that finds slow names."""
        if self._resolver is not None:
            self._resolver.close()

    def refresh(self) -> None:
        """Look at the next few processes, newcomers at once and all others once it is time to."""
        began = time.monotonic()
        self._collect()
        self._reconsider()
        if not self._ahead:
            if began < self._next_round:
                return
            self._ahead = self._procfs.pids()
            self._forget(frozenset(self._ahead))
            self._spent = 0.0
        for pid in self._ahead[-SLICE:]:
            self._look(pid)
        del self._ahead[-SLICE:]
        self._spent += time.monotonic() - began
        self._next_round = began + max(ROUND, self._spent / CALM_SHARE)

    def _reconsider(self) -> None:
        """Judge in full whoever was judged in haste: a newcomer may be the one that memory is short for."""
        if self._glance == self._rules:
            return
        for entry in islice((entry for entry in self._entries.values() if entry.hasty), SLICE):
            entry.verdict = judge(self._rules, entry.subject)
            entry.hasty = False

    def settle(self, patience: Seconds) -> None:
        """Judge everybody in full; wait for slow names, at most for `patience`. Not for the guard's loop."""
        deadline = time.monotonic() + patience
        for pid in self._procfs.pids():
            self._look(pid)
        while self._awaits_names() and time.monotonic() < deadline:
            time.sleep(SETTLING)
            self._collect()
            self._forget(frozenset(self._procfs.pids()))

    def _awaits_names(self) -> bool:
        return any(entry.subject.cmdline is Unread.UNREAD for entry in self._entries.values())

    def _look(self, pid: Pid) -> None:
        """Judge a newcomer, or whoever was judged in haste or has changed since."""
        try:
            stat = self._procfs.stat(pid)
        except UNREADABLE:
            return
        if stat.kernel_thread:
            return
        entry = self._entries.get(pid)
        if entry is not None and not entry.hasty and (entry.key, entry.image) == (stat.key, stat.image):
            self._place(entry)
            return
        process = self._read(pid)
        if process is None:
            return
        entry = self._entry(process)
        entry.verdict = judge(self._rules, entry.subject)
        entry.hasty = False

    def _place(self, entry: _Entry) -> None:
        """Judge anew whoever was moved to another cgroup, as desktops do with what they have started."""
        try:
            membership = self._procfs.membership(entry.key.pid)
        except UNREADABLE:
            return
        if membership.path != entry.subject.cgroup:
            entry.subject = replace(entry.subject, unit=membership.unit, cgroup=membership.path)
            entry.verdict = judge(self._rules, entry.subject)

    def _read(self, pid: Pid) -> Process | None:
        """None for who has gone, and for whom we cannot judge: one such process must not save the others."""
        try:
            return self._procfs.process(pid)
        except UNREADABLE:
            return None

    def _judged(self, process: Process) -> Judged:
        if process.kernel_thread:
            return Judged(process=process, verdict=NO_RULE, cgroup="/", unit=None)
        entry = self._entry(process)
        return Judged(
            process=replace(process, cap_effective=0) if entry.foreign else process,
            verdict=entry.verdict,
            cgroup=entry.subject.cgroup,
            unit=entry.subject.unit,
        )

    def _entry(self, process: Process) -> _Entry:
        """What is known of `process`; learnt now, as far as that is quick, where nothing is."""
        entry = self._entries.get(process.key.pid)
        if (
            entry is None
            or entry.key != process.key
            or entry.image != process.image
            or entry.uid != process.uid
        ):
            images = entry.images + 1 if entry is not None and entry.key == process.key else 1
            entry = self._learnt(process, images)
            self._entries[process.key.pid] = entry
        return entry

    def _learnt(self, process: Process, images: int) -> _Entry:
        pid = process.key.pid
        try:
            membership, exe = self._procfs.membership(pid), self._procfs.exe(pid)
            foreign = self._procfs.user_namespace(pid) != self._home
        except UNREADABLE:
            membership, exe, foreign = NO_CGROUP, None, True
        slow = None if self._resolver is None or images > MANY_IMAGES else Unread.UNREAD
        subject = Subject(
            exe=None if exe is None else exe.removesuffix(DELETED),
            unit=membership.unit,
            cgroup=membership.path,
            user=self._users.get(process.uid, slow),
            comm=process.comm,
            cmdline=slow,
            doubtful=_doubtful(process.comm, exe, foreign),
        )
        if self._resolver is not None:
            self._resolver.ask(pid, process.uid)
        return _Entry(
            key=process.key,
            image=process.image,
            uid=process.uid,
            subject=subject,
            verdict=judge(self._glance, subject),
            foreign=foreign,
            hasty=self._glance != self._rules,
            images=images,
        )

    def _collect(self) -> None:
        """Judge again those whose slow names have been found."""
        if self._resolver is None:
            return
        for names in self._resolver.found():
            self._users[names.uid] = names.user
            entry = self._entries.get(names.key.pid)
            if entry is not None and (entry.key, entry.image) == (names.key, names.image):
                user = self._users.get(entry.uid, entry.subject.user)
                entry.subject = replace(entry.subject, user=user, cmdline=names.cmdline)
                entry.verdict = judge(self._rules, entry.subject)
                entry.hasty = False

    def _forget(self, alive: frozenset[Pid]) -> None:
        for pid in self._entries.keys() - alive:
            del self._entries[pid]


def resolver_for(rules: tuple[Rule, ...], procfs: ProcFS) -> Resolver | None:
    """A resolver where a rule needs one: without such rules no command line is ever read."""
    slow = frozenset(pattern.field for rule in rules for pattern in rule.patterns) & SLOW
    return Resolver(procfs, slow) if slow else None


def _doubtful(comm: str, exe: str | None, foreign: bool) -> frozenset[Field]:
    """Names that the process may have made up.

    comm, once it is not the executable's name any more (prctl(2), PR_SET_NAME); and the executable's
    path itself in a user namespace other than the guard's, where anyone may mount anything anywhere.
    """
    doubtful = set()
    if foreign:
        doubtful.add(Field.EXE)
    if foreign or exe is None or exe.rpartition("/")[2][:COMM_LENGTH] != comm:
        doubtful.add(Field.COMM)
    return frozenset(doubtful)
